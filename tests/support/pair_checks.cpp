// What must hold of two engines: when all is quiet, and when everything has ended.
#include <doctest/doctest.h>

#include "actors/demux.hpp"
#include "actors/kernel.hpp"
#include "tests/support/pair.hpp"

namespace imago::testing {

using namespace imago::actors;

namespace {

using sa_key = std::pair<std::uint64_t, std::uint64_t>;
std::map<sa_key, ike_sa_status_ptr> established(engine_side& side) {
  std::map<sa_key, ike_sa_status_ptr> found;
  for (const auto& one : side.list())
    if (one->established_at != instant{}) found[{one->initiator_spi, one->responder_spi}] = one;
  return found;
}

// The Child SAs' SPIs: inbound of the first, outbound of the first.
std::set<std::pair<data_plane::spi, data_plane::spi>> children_of(const ike_sa_status& sa) {
  std::set<std::pair<data_plane::spi, data_plane::spi>> found;
  for (const auto& child : sa.children)
    found.emplace(child.model.inbound_spi, child.model.outbound_spi);
  return found;
}

void check_data_plane(engine_side& side, engine_side& other,
                      const std::map<sa_key, ike_sa_status_ptr>& sas) {
  std::set<std::pair<data_plane::direction, data_plane::spi>> expected, present;
  for (const auto& [key, sa] : sas)
    for (const auto& [inbound, outbound] : children_of(*sa)) {
      expected.emplace(data_plane::direction::inbound, inbound);
      expected.emplace(data_plane::direction::outbound, outbound);
    }
  auto others = other.plane->sas();
  for (const auto& one : side.plane->sas()) {
    present.emplace(one.id.direction, one.id.spi);
    for (const auto& mirror : others)
      if (mirror.id.spi == one.id.spi && mirror.id.direction != one.id.direction)
        CHECK(mirror.key_fingerprint == one.key_fingerprint);
  }
  CHECK(present == expected);
  CHECK(side.plane->larval().empty());
  CHECK(side.plane->policies().empty() == expected.empty());
}

void check_empty_side(engine_side& side) {
  for (const auto* kind : {"exchange", "ike_sa", "child_sa"}) {
    INFO(kind);
    CHECK(side.shared->counted->live(kind) == 0);
  }
  CHECK(side.shared->digests->live == 0);
  CHECK(side.plane->is_empty());
  CHECK(side.crypto->waiting() == 0);
  CHECK(side.shared->timers->pending() == 0);
  for (const auto& one : side.problems()) FAIL_CHECK(one);
  CHECK(side.shared->counted->live("connection") ==
        (side.is_engine_killed ? 0 : static_cast<std::int64_t>(side.self.connections.size())));
  if (side.is_engine_killed) return;
  CHECK(side.look_at<demux>(side.shared->demux.actor()).table_sizes().total() == 0);
  CHECK(side.look_at<kernel>(side.shared->kernel.actor()).table_sizes().total() == 0);
  for (const auto& command : side.answers->expected) {
    INFO("command " << command.first);
    CHECK(side.answers->is_answered(command.first));
  }
}

}  // namespace

void pair::check_agreement() {
  auto of_a = established(a);
  auto of_b = established(b);
  INFO(text());
  CHECK(of_a.size() == of_b.size());
  for (const auto& [key, sa] : of_a) {
    auto at = of_b.find(key);
    REQUIRE(at != of_b.end());
    std::set<std::pair<data_plane::spi, data_plane::spi>> mirrored;
    for (const auto& [inbound, outbound] : children_of(*at->second))
      mirrored.emplace(outbound, inbound);
    CHECK(children_of(*sa) == mirrored);
  }
  check_data_plane(a, b, of_a);
  check_data_plane(b, a, of_b);
}

void pair::check_empty() {
  // The kernel actor looks after lost replies each second; the demux answers for closed IKE SAs.
  advance(a.shared->options.closed_lifetime + std::chrono::seconds{2});
  INFO(text());
  CHECK(in_flight.empty());
  for (auto* side : {&a, &b}) {
    INFO((side->is_a ? "of a" : "of b"));
    check_empty_side(*side);
  }
}

}  // namespace imago::testing
