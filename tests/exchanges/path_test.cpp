// What lies between: fragmentation of large messages, NATs that rewrite, move and forget.
#include <algorithm>

#include <doctest/doctest.h>

#include "tests/exchanges/ends.hpp"

using namespace imago;
using namespace imago::testing;
using namespace std::chrono_literals;
using imago::testing::pair;

namespace {

// A NAT in front of a: its packets come from one public address, each port from another.
struct nat {
  ip_address inside, outside = *ip_address::parse("203.0.113.7");
  std::uint16_t shift = 20000;
  bool operator()(wire_datagram& what) const {
    if (what.from_a) {
      what.source = {outside, static_cast<std::uint16_t>(what.source.port + shift)};
    } else if (what.destination.address == outside) {
      what.destination = {inside, static_cast<std::uint16_t>(what.destination.port - shift)};
    } else {
      return false;  // nobody inside asked for it
    }
    return true;
  }
};

ends behind_nat() {
  auto made = shared_key_ends();
  made.b.connection().remote_addresses = {config::address_pattern{}};
  made.b.connection().remote_addresses.front().any = true;
  return made;
}

std::size_t keepalives(const pair& both, bool from_a) {
  return both.sent_count(from_a, "keepalive");
}

}  // namespace

TEST_CASE("path: large certificates go in fragments") {
  pair both{brisk(large_certificate_ends())};
  both.establish();
  both.check_agreement();
  std::size_t largest = 0;
  for (const auto& one : both.sent)
    if (one.label() != "IKE_SA_INIT request 0") largest = std::max(largest, one.octets.size());
  CHECK(largest <= 1280);
  CHECK(both.sent_count(true, "IKE_AUTH request 1") > 1);
  CHECK(both.sent_count(false, "IKE_AUTH response 1") > 1);
}

TEST_CASE("path: any fragment lost, doubled or out of order") {
  std::size_t count = 0;
  {
    pair both{brisk(large_certificate_ends())};
    both.establish();
    count = both.sent.size();
  }
  for (std::size_t which = 0; which < count; ++which)
    for (const auto* what : {"lost", "doubled", "late"}) {
      INFO("datagram " << which << " " << what);
      pair both{brisk(large_certificate_ends())};
      std::size_t number = 0;
      std::optional<wire_datagram> kept;
      both.on_wire = [&, how = std::string_view{what}](wire_datagram& datagram) {
        if (kept) both.in_flight.push_back(*std::exchange(kept, std::nullopt));
        if (number++ != which) return true;
        if (how == "doubled") both.in_flight.push_back(datagram);
        if (how == "late") kept = datagram;
        return how == "doubled";
      };
      auto command = both.a.initiate();
      both.advance(9s);
      INFO(both.text());
      REQUIRE(both.a.answers->is_answered(command));
      CHECK(both.a.answers->result_of(command));
      both.check_agreement();
    }
}

TEST_CASE("path: fragments without their rest are forgotten with the IKE SA") {
  pair both{brisk(large_certificate_ends())};
  both.on_wire = [&](wire_datagram& what) {
    return what.label() != "IKE_AUTH request 1" ||
           both.sent_count(true, "IKE_AUTH request 1") % 3 != 0;
  };
  auto command = both.a.initiate();
  both.advance(60s);
  CHECK(!both.a.answers->result_of(command));
  both.check_empty();
}

TEST_CASE("path: a NAT is found, ESP goes in UDP, keepalives keep its mapping") {
  pair both{brisk(behind_nat())};
  both.on_wire = nat{both.a.self.address};
  both.establish();
  auto at_a = both.a.only(), at_b = both.b.only();
  INFO(both.text());
  CHECK(at_a->local_behind_nat);
  CHECK(!at_a->remote_behind_nat);
  CHECK(at_b->remote_behind_nat);
  CHECK(!at_b->local_behind_nat);
  CHECK(at_a->local.port == 4500);
  CHECK(at_a->remote.port == 4500);
  CHECK(at_b->remote == endpoint{*ip_address::parse("203.0.113.7"), 24500});
  for (auto* side : {&both.a, &both.b}) {
    REQUIRE(side->plane->sas().size() == 2);
    for (const auto& sa : side->plane->sas()) {
      REQUIRE(sa.encap_local.has_value());
      REQUIRE(sa.encap_remote.has_value());
      CHECK(*sa.encap_local == side->only()->local);
      CHECK(*sa.encap_remote == side->only()->remote);
    }
  }
  both.check_agreement();
}

TEST_CASE("path: keepalives are sent where nothing else is") {
  auto options = brisk(behind_nat());
  for (auto* one : {&options.ends.a, &options.ends.b}) one->connection().dpd_delay = duration{};
  pair both{std::move(options)};
  both.on_wire = nat{both.a.self.address};
  both.establish();
  both.advance(101s);
  CHECK(keepalives(both, true) == 5);
  CHECK(keepalives(both, false) == 0);
}

TEST_CASE("path: without a NAT there is no encapsulation and no keepalive") {
  auto options = brisk();
  for (auto* one : {&options.ends.a, &options.ends.b}) one->connection().dpd_delay = duration{};
  pair both{std::move(options)};
  both.establish();
  for (const auto& sa : both.a.plane->sas()) CHECK(!sa.encap_local);
  both.advance(100s);
  CHECK(keepalives(both, true) + keepalives(both, false) == 0);
  CHECK(both.a.only()->local.port == 500);
}

TEST_CASE("path: a NAT that forgets its mapping: the responder follows what is authenticated") {
  pair both{brisk(behind_nat())};
  both.on_wire = nat{both.a.self.address};
  both.establish();
  auto moved = nat{both.a.self.address};
  moved.shift = 30000;
  both.on_wire = moved;
  // Somebody else's packets from a third place do not move anything.
  auto old = both.sent.back();
  both.inject({*ip_address::parse("198.51.100.1"), 4500}, {both.b.self.address, 4500}, old.octets);
  both.run_until_quiet();
  CHECK(both.b.only()->remote.port == 24500);
  both.a.rekey(the_child_sa);
  both.advance(10s);
  INFO(both.text());
  CHECK(both.b.only()->remote.port == 34500);
  for (const auto& sa : both.b.plane->sas()) CHECK(sa.encap_remote == both.b.only()->remote);
  both.check_agreement();
}

TEST_CASE("path: ESP from another port moves both SAs, once") {
  pair both{brisk(behind_nat())};
  both.on_wire = nat{both.a.self.address};
  both.establish();
  endpoint moved{*ip_address::parse("203.0.113.7"), 44500};
  for (int times = 0; times < 3; ++times)
    both.b.plane->inject_event(
        data_plane::remote_endpoint_changed{both.b.only_child().inbound, moved});
  both.run_actors();
  CHECK(both.b.plane->sas().size() == 2);
  for (const auto& sa : both.b.plane->sas()) CHECK(sa.encap_remote == moved);
  CHECK(both.b.only()->remote == moved);
  auto requests = both.b.plane->submitted();
  CHECK(std::count(requests.begin(), requests.end(), "update_sa") == 2);
}

TEST_CASE("path: an IKE message from another port moves both SAs") {
  pair both{brisk(behind_nat())};
  both.on_wire = nat{both.a.self.address};
  both.establish();
  auto elsewhere = nat{both.a.self.address};
  elsewhere.shift = 30000;
  both.on_wire = elsewhere;
  both.advance(60s);  // liveness checks
  INFO(both.text());
  CHECK(both.b.only()->remote.port == 34500);
  REQUIRE(both.b.plane->sas().size() == 2);
  for (const auto& sa : both.b.plane->sas()) CHECK(sa.encap_remote == both.b.only()->remote);
}
