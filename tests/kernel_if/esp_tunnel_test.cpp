#include <algorithm>

#include <doctest/doctest.h>

#include "tests/kernel_if/esp_fixture.hpp"

using namespace imago;
using namespace imago::testing;
using data_plane::direction;

TEST_CASE("tunnel: every algorithm carries packets of every size, and the outer way is the SA's") {
  for (const auto& algorithms : suites) {
    CAPTURE(algorithms.name);
    one_way way;
    way.how.algorithms = algorithms;
    REQUIRE(way.install());
    for (std::size_t size = 0; size < 70; ++size) {
      auto inner = udp_packet({at("10.1.0.5"), 1}, {at("10.2.0.9"), 2}, std::string(size, 'x'));
      auto packet = way.seal(inner);
      REQUIRE_FALSE(packet.empty());
      CHECK(way.a.out.esp[0].local == way.a.outer);
      CHECK(way.a.out.esp[0].remote == way.b.outer);
      CHECK(to_hex(way.open(packet)) == to_hex(inner));
    }
    CHECK(way.usage_in().packets == 70);
    CHECK(way.usage_in().octets == way.usage_out().octets);
    CHECK(way.usage_in().last_used == second(3));
  }
}

TEST_CASE("tunnel: IPv4 and IPv6 inside and outside, in every mixture") {
  endpoint v4_a{at("192.0.2.1"), 4500};
  endpoint v4_b{at("192.0.2.2"), 40000};
  endpoint v6_a{at("2001:db8::1"), 4500};
  endpoint v6_b{at("2001:db8::2"), 40000};
  auto inner_v4 = hello();
  auto inner_v6 = udp_packet({at("fd01::5"), 1000}, {at("fd02::9"), 2000}, "hello");
  traffic_selectors both_a = net("10.1.0.0/16");
  both_a.push_back(net("fd01::/64")[0]);
  traffic_selectors both_b = net("10.2.0.0/16");
  both_b.push_back(net("fd02::/64")[0]);
  for (bool outer_v6 : {false, true}) {
    one_way way{outer_v6 ? v6_a : v4_a, both_a, outer_v6 ? v6_b : v4_b, both_b};
    REQUIRE(way.install());
    CHECK(to_hex(way.open(way.seal(inner_v4))) == to_hex(inner_v4));
    CHECK(to_hex(way.open(way.seal(inner_v6))) == to_hex(inner_v6));
  }
}

TEST_CASE("tunnel: padding against traffic analysis behind the inner packet is taken off") {
  one_way way;
  REQUIRE(way.install());
  auto inner = hello();
  auto transform = kernel_if::user_esp::esp_transform::make(
      parameters(way.how, direction::outbound, way.a, way.b, way.inbound.spi));
  auto padded = inner;
  padded.resize(inner.size() + 100);
  bytes packet;
  REQUIRE(transform->seal({way.inbound.spi, 1}, 4, padded, way.a.random, packet).has_value());
  CHECK(to_hex(way.open(packet)) == to_hex(inner));
}

namespace {

// A packet sealed with the SA's own key but with contents of a test's choice.
bytes sealed_by_hand(one_way& way, std::uint64_t sequence, std::uint8_t next_header,
                     bytes_view payload) {
  auto transform = kernel_if::user_esp::esp_transform::make(
      parameters(way.how, direction::outbound, way.a, way.b, way.inbound.spi));
  bytes packet;
  REQUIRE(transform->seal({way.inbound.spi, sequence}, next_header, payload, way.a.random, packet)
              .has_value());
  return packet;
}

}  // namespace

TEST_CASE("drops: each reason is counted, and the SA's own counters too") {
  one_way way;
  REQUIRE(way.install());
  auto& b = way.b;
  auto good = way.seal(hello());

  SUBCASE("too short for a header") {
    CHECK(way.open(bytes(7)).empty());
    CHECK(way.dropped(drop_reason::malformed) == 1);
  }
  SUBCASE("too short for the algorithm, or not aligned") {
    CHECK(way.open({good.begin(), good.begin() + 20}).empty());
    auto odd = good;
    odd.push_back(0);
    CHECK(way.open(odd).empty());
    CHECK(way.dropped(drop_reason::malformed) == 2);
  }
  SUBCASE("unknown SPI") {
    auto other = good;
    other[0] ^= 0xff;
    CHECK(way.open(other).empty());
    CHECK(way.dropped(drop_reason::no_such_sa) == 1);
  }
  SUBCASE("wrong ICV, after which the true packet still passes") {
    auto forged = good;
    forged.back() ^= 1;
    CHECK(way.open(forged).empty());
    CHECK(way.dropped(drop_reason::integrity_failed) == 1);
    CHECK(way.usage_in().integrity_failed == 1);
    CHECK(way.usage_in().packets == 0);
    CHECK_FALSE(way.open(good).empty());
  }
  SUBCASE("replay") {
    CHECK_FALSE(way.open(good).empty());
    CHECK(way.open(good).empty());
    CHECK(way.dropped(drop_reason::replayed) == 1);
    CHECK(way.usage_in().replayed == 1);
  }
  SUBCASE("an unauthenticated number does not move the window") {
    auto forged = good;
    forged[4] = 0x7f;
    CHECK(way.open(forged).empty());
    CHECK_FALSE(way.open(good).empty());
  }
  SUBCASE("dummy") {
    CHECK(way.open(sealed_by_hand(way, 9, 59, bytes(30))).empty());
    CHECK(way.dropped(drop_reason::dummy) == 1);
    CHECK(way.usage_in().packets == 1);
    CHECK(way.usage_in().octets == 0);
  }
  SUBCASE("selectors: source, destination, and what is no IP packet") {
    auto stray = udp_packet({at("10.9.0.5"), 1}, {at("10.2.0.9"), 2}, "x");
    CHECK(way.open(sealed_by_hand(way, 9, 4, stray)).empty());
    stray = udp_packet({at("10.1.0.5"), 1}, {at("10.9.0.9"), 2}, "x");
    CHECK(way.open(sealed_by_hand(way, 10, 4, stray)).empty());
    CHECK(way.dropped(drop_reason::selector_mismatched) == 2);
    CHECK(way.usage_in().selector_mismatched == 2);
    CHECK(way.open(sealed_by_hand(way, 11, 4, bytes(40))).empty());
    CHECK(way.open(sealed_by_hand(way, 12, 41, hello())).empty());  // says IPv6, is IPv4
    CHECK(way.open(sealed_by_hand(way, 13, 17, hello())).empty());  // not a tunnel's next header
    CHECK(way.dropped(drop_reason::malformed) == 3);
  }
  SUBCASE("outbound: no packet, no policy") {
    CHECK(way.seal(bytes(3)).empty());
    CHECK(way.a.processor.drops(drop_reason::malformed) == 1);
    CHECK(way.seal(udp_packet({at("10.1.0.5"), 1}, {at("10.3.0.9"), 2}, "x")).empty());
    CHECK(way.a.processor.drops(drop_reason::no_policy) == 1);
  }
  CHECK(b.out.events.empty());
}

TEST_CASE("sequence numbers: a short SA asks before its end, uses its last number and stops") {
  one_way way;
  REQUIRE(way.install());
  auto& a = way.a;
  REQUIRE(a.processor.set_sequence(way.outbound, 0xffffffff - (1U << 28) - 1).has_value());
  REQUIRE_FALSE(way.seal(hello()).empty());
  CHECK(events_of<data_plane::lifetime_reached>(a.out).empty());
  REQUIRE_FALSE(way.seal(hello()).empty());
  auto reached = events_of<data_plane::lifetime_reached>(a.out);
  REQUIRE(reached.size() == 1);
  CHECK_FALSE(reached[0].is_hard);
  CHECK(reached[0].id == way.outbound);
  REQUIRE_FALSE(way.seal(hello()).empty());
  CHECK(a.out.events.empty());  // soft is said once

  REQUIRE(a.processor.set_sequence(way.outbound, 0xfffffffe).has_value());
  auto last = way.seal(hello());
  REQUIRE_FALSE(last.empty());
  CHECK(to_hex(bytes_view{last}.subspan(4, 4)) == "ffffffff");
  reached = events_of<data_plane::lifetime_reached>(a.out);
  REQUIRE(reached.size() == 1);
  CHECK(reached[0].is_hard);
  CHECK(way.seal(hello()).empty());
  CHECK(a.out.events.empty());
  CHECK(a.processor.drops(drop_reason::lifetime_over) == 1);
}

TEST_CASE("ESN: packets flow over 2^32 in both algorithms' ways, also late ones") {
  for (const auto& algorithms : {suites[0], suites[3], suites[4]}) {
    CAPTURE(algorithms.name);
    one_way way;
    way.how.algorithms = algorithms;
    way.how.uses_esn = true;
    REQUIRE(way.install());
    std::uint64_t start = (std::uint64_t{1} << 32) - 3;
    REQUIRE(way.a.processor.set_sequence(way.outbound, start).has_value());
    REQUIRE(way.b.processor.set_sequence(way.inbound, start).has_value());
    std::vector<bytes> packets;
    for (int i = 0; i < 6; ++i) packets.push_back(way.seal(hello()));
    CHECK(events_of<data_plane::lifetime_reached>(way.a.out).empty());
    for (std::size_t i : {1U, 3U, 0U, 5U, 2U, 4U}) {
      CHECK_FALSE(way.open(packets[i]).empty());
      CHECK(way.open(packets[i]).empty());  // once only
    }
    CHECK(way.usage_in().packets == 6);
    CHECK(way.usage_in().replayed == 6);
    CHECK(way.usage_in().integrity_failed == 0);
  }
}

TEST_CASE("replay check off: the same packet passes again") {
  one_way way;
  way.how.replay_window = 0;
  REQUIRE(way.install());
  auto packet = way.seal(hello());
  CHECK_FALSE(way.open(packet).empty());
  CHECK_FALSE(way.open(packet).empty());
}

TEST_CASE("lifetimes: soft once, hard once, then nothing more, at both ends") {
  for (bool by_octets : {false, true}) {
    CAPTURE(by_octets);
    one_way way;
    auto size = hello().size();
    if (by_octets) {
      way.how.lifetime = {2 * size, 4 * size, 0, 0};
    } else {
      way.how.lifetime = {0, 0, 2, 4};
    }
    REQUIRE(way.install());
    std::vector<std::pair<int, bool>> sent;
    std::vector<std::pair<int, bool>> received;
    for (int i = 1; i <= 6; ++i) {
      auto packet = way.seal(hello());
      CHECK(packet.empty() == (i > 4));
      for (auto& event : events_of<data_plane::lifetime_reached>(way.a.out))
        sent.emplace_back(i, event.is_hard);
      if (packet.empty()) continue;
      CHECK_FALSE(way.open(packet).empty());
      for (auto& event : events_of<data_plane::lifetime_reached>(way.b.out))
        received.emplace_back(i, event.is_hard);
    }
    std::vector<std::pair<int, bool>> expected{{2, false}, {4, true}};
    CHECK(sent == expected);
    CHECK(received == expected);
    CHECK(way.a.processor.drops(drop_reason::lifetime_over) == 2);
    CHECK(way.open(sealed_by_hand(way, 50, 4, hello())).empty());
    CHECK(way.dropped(drop_reason::lifetime_over) == 1);
  }
}

TEST_CASE("acquire: a policy without an SA asks once, and again only after a while") {
  one_way way;
  auto& a = way.a;
  REQUIRE(a.carry_out(data_plane::install_policy{policy_between(way.how, a, way.b)}).has_value());
  CHECK(way.seal(hello(), second(10)).empty());
  auto acquired = events_of<data_plane::sa_acquired>(a.out);
  REQUIRE(acquired.size() == 1);
  CHECK(acquired[0].reqid == 7);
  CHECK(acquired[0].local.text() == "10.1.0.5/32[udp/1000]");
  CHECK(acquired[0].remote.text() == "10.2.0.9/32[udp/2000]");
  CHECK(way.seal(hello(), second(12)).empty());
  CHECK(a.out.events.empty());
  CHECK(way.seal(hello(), second(15)).empty());
  CHECK(events_of<data_plane::sa_acquired>(a.out).size() == 1);
  auto spi = way.allocate();
  REQUIRE(way.install_outbound(spi, false).has_value());
  CHECK_FALSE(way.seal(hello(), second(16)).empty());
}

TEST_CASE("acquire: packets wait for their SA and leave in their order when it is there") {
  one_way way;
  auto& a = way.a;
  REQUIRE(a.carry_out(data_plane::install_policy{policy_between(way.how, a, way.b)}).has_value());
  for (std::uint16_t number = 0; number < 5; ++number)
    CHECK(way.seal(hello(number), second(10 + number)).empty());
  CHECK(a.processor.waiting_count() == 5);
  auto spi = way.allocate();
  REQUIRE(way.install_inbound(spi).has_value());
  a.out.clear();
  REQUIRE(way.install_outbound(spi, false).has_value());
  CHECK(a.processor.waiting_count() == 0);
  REQUIRE(a.out.esp.size() == 5);
  REQUIRE(a.out.released.size() == 5);
  std::vector<bytes> packets;
  for (const auto& one : a.out.esp) packets.push_back(one.packet);
  for (std::uint16_t number = 0; number < 5; ++number)
    CHECK(to_hex(way.open(packets[number])) == to_hex(hello(number)));
  for (auto one : a.processor.drops()) CHECK(one == 0);
}

TEST_CASE("acquire: so many packets wait and no more, for one policy and for all") {
  one_way way;
  auto& a = way.a;
  auto policy = policy_between(way.how, a, way.b);
  auto add = [&](std::uint32_t reqid) {
    policy.reqid = reqid;
    policy.remote_selectors = net("10.2." + std::to_string(reqid) + ".0/24");
    REQUIRE(a.carry_out(data_plane::install_policy{policy}).has_value());
  };
  auto send_to = [&](std::uint32_t reqid) {
    auto to = at("10.2." + std::to_string(reqid) + ".9");
    CHECK(way.seal(udp_packet({at("10.1.0.5"), 1}, {to, 2}, "x"), second(10)).empty());
  };
  add(1);
  for (std::size_t count = 0; count < limits::acquire_queue_packets_max + 7; ++count) send_to(1);
  CHECK(a.processor.waiting_count() == limits::acquire_queue_packets_max);
  CHECK(a.processor.drops(drop_reason::acquire_queue_full) == 7);
  for (std::uint32_t reqid = 2; reqid <= 50; ++reqid) {
    add(reqid);
    for (std::size_t count = 0; count < limits::acquire_queue_packets_max; ++count) send_to(reqid);
  }
  CHECK(a.processor.waiting_count() == limits::acquire_packets_total_max);
  REQUIRE(a.carry_out(data_plane::flush{}).has_value());
  CHECK(a.processor.waiting_count() == 0);
  CHECK(a.processor.drops(drop_reason::no_outbound_sa) == limits::acquire_packets_total_max);
}

TEST_CASE("acquire: what waits is dropped and counted when the policy goes, or after a minute") {
  one_way way;
  auto& a = way.a;
  auto policy = policy_between(way.how, a, way.b);
  // Twice: a trap, and the same of a Child SA.
  REQUIRE(a.carry_out(data_plane::install_policy{policy}).has_value());
  REQUIRE(a.carry_out(data_plane::install_policy{policy}).has_value());
  CHECK(way.seal(hello(), second(10)).empty());
  CHECK(way.seal(hello(), second(20)).empty());
  REQUIRE(a.carry_out(data_plane::remove_policy{policy}, second(21)).has_value());
  CHECK(a.processor.waiting_count() == 2);
  REQUIRE(a.carry_out(data_plane::remove_policy{policy}, second(21)).has_value());
  CHECK(a.processor.waiting_count() == 0);
  CHECK(a.processor.drops(drop_reason::no_outbound_sa) == 2);
  // An hour later an SA comes at last: nothing so old leaves on it.
  REQUIRE(a.carry_out(data_plane::install_policy{policy}, second(30)).has_value());
  CHECK(way.seal(hello(), second(31)).empty());
  CHECK(way.seal(hello(), second(90)).empty());
  CHECK(a.processor.waiting_count() == 2);
  auto spi = way.allocate();
  auto sa = parameters(way.how, direction::outbound, a, way.b, spi);
  a.out.clear();
  REQUIRE(a.carry_out(data_plane::install_sa{std::move(sa), {}}, second(3600)).has_value());
  CHECK(a.out.esp.size() == 0);
  CHECK(a.processor.waiting_count() == 0);
  CHECK(a.processor.drops(drop_reason::no_outbound_sa) == 4);
}

TEST_CASE("acquire: what waited is asked about anew, since policies may have changed") {
  one_way way;
  auto& a = way.a;
  auto wide = policy_between(way.how, a, way.b);
  REQUIRE(a.carry_out(data_plane::install_policy{wide}).has_value());
  CHECK(way.seal(hello(), second(10)).empty());
  auto narrow = wide;  // of another connection, for this host
  narrow.reqid = 8;
  narrow.remote_selectors = net("10.2.0.9/32");
  REQUIRE(a.carry_out(data_plane::install_policy{narrow}, second(11)).has_value());
  auto spi = way.allocate();
  a.out.clear();
  auto sa = parameters(way.how, direction::outbound, a, way.b, spi);
  REQUIRE(a.carry_out(data_plane::install_sa{std::move(sa), {}}, second(12)).has_value());
  CHECK(a.out.esp.size() == 0);
  CHECK(a.processor.waiting_count() == 1);
  auto asked = events_of<data_plane::sa_acquired>(a.out);
  REQUIRE(asked.size() == 1);
  CHECK(asked[0].reqid == 8);
}

TEST_CASE("peer moved: told once per new place, only by an authentic packet that is the newest") {
  one_way way;
  REQUIRE(way.install());
  endpoint elsewhere{at("198.51.100.7"), 1024};
  auto first = way.seal(hello());
  auto second_packet = way.seal(hello());
  auto third = way.seal(hello());
  auto fourth = way.seal(hello());
  auto forged = second_packet;
  forged.back() ^= 1;
  CHECK(way.open_from(elsewhere, forged).empty());
  CHECK(way.b.out.events.empty());
  CHECK_FALSE(way.open_from(elsewhere, second_packet).empty());
  auto moved = events_of<data_plane::remote_endpoint_changed>(way.b.out);
  REQUIRE(moved.size() == 1);
  CHECK(moved[0].remote == elsewhere);
  CHECK(moved[0].id == way.inbound);
  CHECK_FALSE(way.open_from(elsewhere, third).empty());
  CHECK(way.b.out.events.empty());
  CHECK_FALSE(way.open_from(way.a.outer, first).empty());  // late, from the old place
  CHECK(way.b.out.events.empty());
  REQUIRE(way.b.carry_out(data_plane::update_sa{way.inbound, way.b.outer, elsewhere}).has_value());
  CHECK_FALSE(way.open_from(elsewhere, fourth).empty());
  CHECK(way.b.out.events.empty());
}

TEST_CASE("update_sa: packets leave to the new endpoint") {
  one_way way;
  REQUIRE(way.install());
  endpoint moved{at("198.51.100.7"), 1024};
  REQUIRE(way.a.carry_out(data_plane::update_sa{way.outbound, way.a.outer, moved}).has_value());
  REQUIRE_FALSE(way.seal(hello()).empty());
  CHECK(way.a.out.esp[0].remote == moved);
}
