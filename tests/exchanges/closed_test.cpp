// An IKE SA is gone, the response to its peer's last request is lost: the request comes again, and
// the demux answers it for a while.
#include <doctest/doctest.h>

#include "actors/demux.hpp"
#include "core/base/limits.hpp"
#include "tests/exchanges/ends.hpp"

using namespace imago;
using namespace imago::testing;
using namespace std::chrono_literals;
using imago::testing::pair;

namespace {

const actors::demux& demux_of(const engine_side& side) {
  return side.look_at<actors::demux>(side.shared->demux.actor());
}

std::size_t closed_count(const engine_side& side) { return demux_of(side).table_sizes().closed; }

// The first datagram with that label is lost.
void lose_first(pair& both, bool from_a, std::string label) {
  both.on_wire = [&both, from_a, label = std::move(label)](wire_datagram& what) {
    return what.from_a != from_a || what.label() != label || both.sent_count(from_a, label) != 1;
  };
}

std::vector<bytes> sent_as(const pair& both, bool from_a, std::string_view label) {
  std::vector<bytes> found;
  for (const auto& one : both.sent)
    if (one.from_a == from_a && one.label() == label) found.push_back(one.octets);
  return found;
}

// One of a's INFORMATIONAL requests is its Delete; b has answered it and the answer is lost.
std::uint64_t delete_with_response_lost(pair& both) {
  both.establish();
  lose_first(both, false, "INFORMATIONAL response 2");
  auto down = both.a.terminate(the_ike_sa);
  both.run_until_quiet();
  return down;
}

}  // namespace

TEST_CASE("closed: a lost response to the Delete of an IKE SA is sent again, bit for bit") {
  pair both{brisk()};
  auto down = delete_with_response_lost(both);
  INFO(both.text());
  // For everybody but the peer it is gone.
  CHECK(both.b.list().empty());
  CHECK(both.b.shared->counted->live("ike_sa") == 0);
  CHECK(both.b.plane->is_empty());
  CHECK(closed_count(both.b) == 1);
  CHECK(!both.a.answers->is_answered(down));
  both.advance(2s);  // a asks again
  CHECK(both.a.answers->result_of(down));
  CHECK(both.a.facts("peer_unreachable") == 0);
  auto responses = sent_as(both, false, "INFORMATIONAL response 2");
  REQUIRE(responses.size() == 2);
  CHECK(responses[0] == responses[1]);
  both.advance(10s);
  CHECK(closed_count(both.b) == 0);
  both.check_empty();
}

TEST_CASE("closed: a lost response to the Delete of a rekeyed IKE SA is sent again") {
  pair both{brisk()};
  both.establish();
  auto before = both.a.only()->id;
  lose_first(both, true, "INFORMATIONAL response 1");
  both.b.rekey(the_ike_sa);
  both.advance(3s);
  INFO(both.text());
  CHECK(both.a.only()->id != before);
  CHECK(both.b.list().size() == 1);
  CHECK(both.b.facts("peer_unreachable") == 0);
  auto responses = sent_as(both, true, "INFORMATIONAL response 1");
  REQUIRE(responses.size() == 2);
  CHECK(responses[0] == responses[1]);
  both.check_agreement();
}

TEST_CASE("closed: a lost refusal of IKE_AUTH is sent again, so the initiator learns why") {
  auto options = brisk();
  options.ends.b.credentials.shared_keys = {
      shared_key_of("another secret", {"moon.example", "sun.example"})};
  pair both{std::move(options)};
  lose_first(both, false, "IKE_AUTH response 1");
  auto up = both.a.initiate();
  both.advance(3s);
  INFO(both.text());
  CHECK(both.a.answers->result_of(up).failure().code == errc::authentication_failed);
  CHECK(sent_as(both, false, "IKE_AUTH response 1").size() == 2);
  both.check_empty();
}

TEST_CASE("closed: nothing but that one request is answered, and only for a time") {
  pair both{brisk()};
  delete_with_response_lost(both);
  auto requests = sent_as(both, true, "INFORMATIONAL request 2");
  REQUIRE(requests.size() == 1);
  both.on_wire = [](wire_datagram& what) { return !what.from_a; };  // a's own retransmissions
  endpoint at_a{both.a.self.address, 500}, at_b{both.b.self.address, 500};
  auto before = both.sent_count(false, "INFORMATIONAL response 2");
  for (std::size_t at = 16; at < requests[0].size(); ++at) {
    auto altered = requests[0];
    altered[at] ^= 1;
    both.inject(at_a, at_b, altered);
    both.inject(at_a, at_b,
                bytes{requests[0].begin(), requests[0].begin() + static_cast<long>(at)});
  }
  for (const auto& one : sent_as(both, false, "INFORMATIONAL response 2"))
    both.inject(at_a, at_b, one);
  both.run_until_quiet();
  CHECK(both.sent_count(false, "INFORMATIONAL response 2") == before);
  // From somewhere else the same octets are answered to where the peer was: no reflection.
  both.inject({*ip_address::parse("203.0.113.9"), 500}, at_b, requests[0]);
  both.run_until_quiet();
  CHECK(both.sent_count(false, "INFORMATIONAL response 2") == before + 1);
  CHECK(both.sent.back().destination == at_a);
  both.advance(11s);
  both.inject(at_a, at_b, requests[0]);
  both.run_until_quiet();
  CHECK(both.sent_count(false, "INFORMATIONAL response 2") == before + 1);
  both.advance(60s);
  both.check_empty();
}

TEST_CASE("closed: of a killed IKE SA nothing is kept, though it has answered before") {
  pair both{brisk()};
  both.establish();
  both.b.kill_sas({});
  both.run_actors();
  CHECK(both.b.shared->counted->live("ike_sa") == 0);
  CHECK(closed_count(both.b) == 0);
}

TEST_CASE("closed: an engine that stops does not wait for what it keeps") {
  pair both{brisk()};
  delete_with_response_lost(both);
  CHECK(closed_count(both.b) == 1);
  both.b.stop_engine();
  both.run_actors();
  CHECK(both.b.answers->engines_stopped == 1);
  both.b.end_roots();
  both.run_actors();
  CHECK(closed_count(both.b) == 0);
  CHECK(both.b.shared->timers->pending() == 0);
}

TEST_CASE("closed: what is kept is bounded; the oldest gives way and is counted") {
  pair both{brisk()};
  actors::last_answer one{{both.b.self.address, 500}, {both.a.self.address, 500}, {}, {}};
  auto answer = std::make_shared<const actors::last_answer>(one);
  constexpr std::size_t count = limits::closed_ike_sas_max + 3;
  for (std::size_t spi = 1; spi <= count; ++spi)
    both.b.shared->demux.tell(actors::keep_last_answer{spi, answer});
  both.run_until_quiet();
  CHECK(closed_count(both.b) == limits::closed_ike_sas_max);
  CHECK(demux_of(both.b).closed_shed_count() == 3);
  both.check_empty();
}
