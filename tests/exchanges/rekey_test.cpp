// Rekeying between two engines: by command, by time, by traffic, by both at once.
#include <doctest/doctest.h>

#include "kernel_if/fake/fake_backend.hpp"
#include "tests/exchanges/ends.hpp"

using namespace imago;
using namespace imago::testing;
using namespace std::chrono_literals;
using imago::testing::pair;

namespace {

constexpr auto linger = 5s + 1s;

std::size_t events_of(const engine_side& side, sa_event_kind kind) {
  std::size_t count = 0;
  for (const auto& one : side.answers->events) count += one.kind == kind;
  return count;
}

}  // namespace

TEST_CASE("rekey: a Child SA by either side") {
  for (const auto& ends : {shared_key_ends(), pfs_ends()}) {
    pair both{brisk(ends)};
    both.establish();
    auto first = both.a.only_child();
    both.a.rekey(the_child_sa);
    both.run_until_quiet();
    auto second = both.a.only_child();
    CHECK(second.model.inbound_spi != first.model.inbound_spi);
    both.b.rekey(the_child_sa);
    both.run_until_quiet();
    CHECK(both.a.only_child().model.inbound_spi != second.model.inbound_spi);
    for (auto* side : {&both.a, &both.b}) {
      CHECK(events_of(*side, sa_event_kind::child_rekeyed) == 2);
      CHECK(events_of(*side, sa_event_kind::child_down) == 0);
      CHECK(events_of(*side, sa_event_kind::child_up) == 1);
    }
    both.advance(linger);
    both.check_agreement();
  }
}

TEST_CASE("rekey: with a key exchange or without, as both configurations allow") {
  struct known {
    const char *a, *b;
    ke_method by_a, by_b;
  };
  using enum ke_method;
  const auto* all = "default";
  // Whoever begins says what it likes best; the responder's order decides among what both allow.
  for (const auto& one :
       {known{"aes128gcm16-x25519, aes128gcm16", "aes128gcm16", none, none},
        known{"aes128gcm16-x25519", "aes128gcm16-ecp256-x25519", curve25519, curve25519},
        known{"aes128gcm16, aes128gcm16-ecp256", "aes128gcm16-ecp256", ecp_256, ecp_256},
        known{"aes128gcm16-x25519", all, curve25519, curve25519},
        known{"aes128gcm16", all, none, none}, known{all, all, none, none}}) {
    INFO(std::string{one.a} << " and " << std::string{one.b});
    auto ends = shared_key_ends();
    auto proposals = [](const char* text) {
      return std::string_view{text} == "default" ? config::default_proposals(protocol_id::esp)
                                                 : proposals_of(protocol_id::esp, text);
    };
    ends.a.child().proposals = proposals(one.a);
    ends.b.child().proposals = proposals(one.b);
    pair both{brisk(ends)};
    both.establish();
    CHECK(both.a.only_child().model.algorithms.key_exchange == none);  // of IKE_AUTH
    for (bool by_a : {true, false}) {
      auto before = both.a.only_child().model.inbound_spi;
      (by_a ? both.a : both.b).rekey(the_child_sa);
      both.run_until_quiet();
      INFO(both.text());
      auto after = both.a.only_child().model;
      CHECK(after.inbound_spi != before);
      CHECK(after.algorithms.key_exchange == (by_a ? one.by_a : one.by_b));
      CHECK(both.b.only_child().model.algorithms == after.algorithms);
    }
    both.advance(linger);
    both.check_agreement();
  }
}

TEST_CASE("rekey: the responder keeps the old outbound SA until the new one is used") {
  pair both{brisk()};
  both.establish();
  auto reqid = both.b.plane->sas().front().reqid;
  auto before = both.b.plane->outbound_sa_of(reqid);
  both.a.rekey(the_child_sa);
  both.run_actors();  // the request is out
  both.deliver();
  both.run_actors();  // b has answered
  INFO(both.text());
  CHECK(both.b.plane->outbound_sa_of(reqid) == before);
  SUBCASE("seen in use") {
    data_plane::sa_id newest;
    std::uint64_t order = 0;
    for (const auto& one : both.b.plane->sas())
      if (one.id.direction == data_plane::direction::inbound && one.installed_order > order)
        order = one.installed_order, newest = one.id;
    both.b.plane->inject_event(data_plane::sa_first_used{newest});
    both.run_actors();
    CHECK(both.b.plane->outbound_sa_of(reqid) != before);
  }
  SUBCASE("the old one deleted") {
    both.run_until_quiet();
    CHECK(both.b.plane->outbound_sa_of(reqid) != before);
  }
  both.run_until_quiet();
  both.advance(linger);
  both.check_agreement();
}

TEST_CASE("rekey: the old inbound SA lingers, the old outbound SA does not") {
  pair both{brisk()};
  both.establish();
  auto old = both.a.only_child();
  both.a.rekey(the_child_sa);
  both.run_until_quiet();
  auto has = [&](const data_plane::sa_id& id) {
    for (const auto& one : both.a.plane->sas())
      if (one.id == id) return true;
    return false;
  };
  CHECK(has(old.inbound));
  CHECK(!has(old.outbound));
  both.advance(linger);
  CHECK(!has(old.inbound));
}

TEST_CASE("rekey: an IKE SA by either side, its Child SAs adopted") {
  pair both{brisk(two_children_ends())};
  both.establish("net");
  both.a.initiate("net2");
  both.run_until_quiet();
  auto sas = both.a.plane->sas().size();
  for (auto* side : {&both.a, &both.b}) {
    auto before = side->only();
    side->rekey(the_ike_sa);
    both.run_until_quiet();
    auto after = side->only();
    CHECK(after->initiator_spi != before->initiator_spi);
    CHECK(after->children.size() == 2);
    CHECK(both.a.plane->sas().size() == sas);
    both.check_agreement();
  }
  CHECK(events_of(both.a, sa_event_kind::ike_rekeyed) == 2);
  CHECK(events_of(both.a, sa_event_kind::ike_up) == 1);
  CHECK(events_of(both.a, sa_event_kind::ike_down) == 0);
  both.a.terminate(the_ike_sa);
  both.run_until_quiet();
  both.advance(linger);
  both.check_empty();
}

TEST_CASE("rekey: both sides rekey the Child SA at once") {
  for (int attempt = 0; attempt < 8; ++attempt) {  // nonces decide who wins
    pair both{brisk()};
    both.establish();
    both.a.rekey(the_child_sa);
    both.b.rekey(the_child_sa);
    both.run_actors();
    CHECK(both.in_flight.size() == 2);
    both.run_until_quiet();
    both.advance(linger);
    CHECK(both.a.only()->children.size() == 1);
    both.check_agreement();
  }
}

TEST_CASE("rekey: both sides rekey the IKE SA at once") {
  for (int attempt = 0; attempt < 8; ++attempt) {
    pair both{brisk()};
    both.establish();
    both.a.rekey(the_ike_sa);
    both.b.rekey(the_ike_sa);
    both.run_actors();
    CHECK(both.in_flight.size() == 2);
    both.run_until_quiet();
    both.advance(linger);
    CHECK(both.a.only_child().name == "net");
    both.check_agreement();
  }
}

TEST_CASE("rekey: one side the Child SA, the other the IKE SA, at once") {
  pair both{brisk()};
  both.establish();
  both.a.rekey(the_child_sa);
  both.b.rekey(the_ike_sa);
  both.run_until_quiet();
  both.advance(30s);  // what got TEMPORARY_FAILURE is tried again
  CHECK(both.a.only_child().name == "net");
  both.check_agreement();
}

TEST_CASE("rekey: when their times come") {
  auto ends = shared_key_ends();
  ends.a.child().rekey_time = 60s;
  ends.a.connection().rekey_time = 200s;
  ends.a.connection().over_time = 20s;
  pair both{brisk(ends)};
  both.establish();
  auto child = both.a.only_child();
  auto ike = both.a.only();
  CHECK(child.rekey_at == both.time->now() + 60s);
  both.advance(59s);
  CHECK(both.a.only_child().model.inbound_spi == child.model.inbound_spi);
  both.advance(2s);
  CHECK(both.a.only_child().model.inbound_spi != child.model.inbound_spi);
  both.advance(150s);
  CHECK(both.a.only()->initiator_spi != ike->initiator_spi);
  CHECK(events_of(both.a, sa_event_kind::child_rekeyed) == 3);
  both.advance(linger);
  both.check_agreement();
}

TEST_CASE("rekey: a hard lifetime ends the Child SA on both sides") {
  auto ends = shared_key_ends();
  ends.a.child().life_time = 60s;
  pair both{brisk(ends)};
  both.establish();
  both.advance(61s);
  CHECK(both.a.only()->children.empty());
  both.check_agreement();
  CHECK(both.a.plane->is_empty());
}

TEST_CASE("rekey: the data plane's counters ask for it") {
  pair both{brisk()};
  both.establish();
  auto child = both.a.only_child();
  both.a.plane->inject_event(data_plane::lifetime_reached{child.inbound, false});
  both.run_until_quiet();
  CHECK(both.a.only_child().model.inbound_spi != child.model.inbound_spi);
  both.a.plane->inject_event(data_plane::lifetime_reached{both.a.only_child().outbound, true});
  both.run_until_quiet();
  CHECK(both.a.only()->children.empty());
  both.advance(linger);
  both.check_agreement();
}
