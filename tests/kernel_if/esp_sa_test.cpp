// The life of SAs in user-space ESP: larval queue, promotion, rekeying, policies.
#include <doctest/doctest.h>

#include "tests/kernel_if/esp_fixture.hpp"

using namespace imago;
using namespace imago::testing;
using data_plane::direction;

TEST_CASE("larval SA: what comes early waits and is released in order with the promotion") {
  one_way way;
  way.how.reports_first_use = true;
  auto spi = way.allocate();
  REQUIRE(way.install_outbound(spi).has_value());
  std::vector<bytes> inner;
  for (std::uint16_t i = 0; i < 3; ++i) {
    inner.push_back(hello(i));
    CHECK(way.open(way.seal(inner.back())).empty());
  }
  way.b.out.clear();
  REQUIRE(way.install_inbound(spi).has_value());
  REQUIRE(way.b.out.inner.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) CHECK(to_hex(way.b.out.inner[i]) == to_hex(inner[i]));
  auto used = events_of<data_plane::sa_first_used>(way.b.out);
  REQUIRE(used.size() == 1);
  CHECK(used[0].id == way.inbound);
  CHECK(way.usage_in().packets == 3);
  CHECK_FALSE(way.open(way.seal(hello())).empty());
  CHECK(events_of<data_plane::sa_first_used>(way.b.out).empty());
  CHECK(way.b.processor.larval_count() == 0);
}

TEST_CASE("larval SA: the queue is bounded and keeps the oldest") {
  one_way way;
  auto spi = way.allocate();
  REQUIRE(way.install_outbound(spi).has_value());
  for (std::uint16_t i = 0; i < limits::larval_queue_packets_max + 5; ++i)
    CHECK(way.open(way.seal(hello(i))).empty());
  CHECK(way.dropped(drop_reason::larval_queue_full) == 5);
  way.b.out.clear();
  REQUIRE(way.install_inbound(spi).has_value());
  REQUIRE(way.b.out.inner.size() == limits::larval_queue_packets_max);
  CHECK(to_hex(way.b.out.inner[0]) == to_hex(hello(0)));
}

TEST_CASE("larval SA: all queues together are bounded too, and removal gives the room back") {
  one_way way;
  std::vector<data_plane::sa_id> ids;
  auto per_sa = limits::larval_queue_packets_max;
  auto enough = limits::larval_packets_total_max / per_sa + 1;
  for (std::size_t i = 0; i < enough; ++i)
    ids.push_back({direction::inbound, way.b.outer.address, way.allocate()});
  auto fill = [&](const data_plane::sa_id& id) {
    writer packet;
    packet.u32(id.spi);
    packet.zeros(40);
    for (std::size_t i = 0; i < per_sa; ++i) CHECK(way.open(packet.written()).empty());
  };
  for (std::size_t i = 0; i + 1 < enough; ++i) fill(ids[i]);
  CHECK(way.dropped(drop_reason::larval_queue_full) == 0);
  fill(ids.back());
  CHECK(way.dropped(drop_reason::larval_queue_full) == per_sa);
  REQUIRE(way.b.carry_out(data_plane::remove_sa{ids[0]}).has_value());
  CHECK(way.dropped(drop_reason::no_such_sa) == per_sa);
  fill(ids.back());
  CHECK(way.dropped(drop_reason::larval_queue_full) == per_sa);
}

TEST_CASE("larval SA: a refused promotion leaves it and its packets as they were") {
  one_way way;
  auto spi = way.allocate();
  REQUIRE(way.install_outbound(spi).has_value());
  CHECK(way.open(way.seal(hello())).empty());
  auto sa = parameters(way.how, direction::inbound, way.b, way.a, spi);
  sa.encryption_key = secret{std::size_t{3}};
  auto refused = way.b.carry_out(data_plane::install_sa{std::move(sa), {}});
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.failure().code == errc::bad_key);
  CHECK(way.b.processor.larval_count() == 1);
  REQUIRE(way.install_inbound(spi).has_value());
  CHECK(way.b.out.inner.size() == 1);
}

TEST_CASE("first use: a dummy packet tells it, a forged or misfit one does not") {
  one_way way;
  way.how.reports_first_use = true;
  REQUIRE(way.install());
  auto forged = way.seal(hello());
  forged.back() ^= 1;
  CHECK(way.open(forged).empty());
  CHECK(way.b.out.events.empty());
  auto transform = kernel_if::user_esp::esp_transform::make(
      parameters(way.how, direction::outbound, way.a, way.b, way.inbound.spi));
  bytes packet;
  auto stray = udp_packet({at("10.9.0.1"), 1}, {at("10.2.0.1"), 2}, "x");
  REQUIRE(transform->seal({way.inbound.spi, 5}, 4, stray, way.a.random, packet).has_value());
  CHECK(way.open(packet).empty());
  CHECK(way.b.out.events.empty());
  REQUIRE(transform->seal({way.inbound.spi, 6}, 59, stray, way.a.random, packet).has_value());
  CHECK(way.open(packet).empty());
  CHECK(events_of<data_plane::sa_first_used>(way.b.out).size() == 1);
}

TEST_CASE(
    "rekey: the newest outbound SA sends, both inbound receive, removal brings the old back") {
  one_way way;
  REQUIRE(way.install());
  auto old_outbound = way.outbound;
  auto old_inbound = way.inbound;
  way.how.key_start = 0x60;
  auto spi = way.allocate();
  REQUIRE(way.install_inbound(spi).has_value());
  auto by_old = way.seal(hello(1));
  REQUIRE(way.install_outbound(spi, false).has_value());
  auto by_new = way.seal(hello(2));
  CHECK(reader{by_old}.u32() == old_outbound.spi);
  CHECK(reader{by_new}.u32() == spi);
  CHECK(to_hex(way.open(by_new)) == to_hex(hello(2)));
  CHECK(to_hex(way.open(by_old)) == to_hex(hello(1)));
  REQUIRE(way.a.carry_out(data_plane::remove_sa{way.outbound}).has_value());
  auto again = way.seal(hello(3));
  CHECK(reader{again}.u32() == old_outbound.spi);
  CHECK(to_hex(way.open(again)) == to_hex(hello(3)));
  REQUIRE(way.b.carry_out(data_plane::remove_sa{old_inbound}).has_value());
  CHECK(way.open(way.seal(hello(4))).empty());
  CHECK(way.dropped(drop_reason::no_such_sa) == 1);
}

TEST_CASE("policies: the narrower is asked first, of equals the newer, and a copy counts") {
  one_way way;
  auto& a = way.a;
  auto install = [&](std::uint32_t reqid, std::string_view remote, std::uint8_t protocol) {
    auto policy = policy_between(way.how, a, way.b);
    policy.reqid = reqid;
    policy.remote_selectors = net(remote);
    policy.remote_selectors[0].ip_protocol = protocol;
    policy.local_selectors[0].ip_protocol = protocol;
    REQUIRE(a.carry_out(data_plane::install_policy{policy}).has_value());
    return policy;
  };
  std::int64_t now = 0;
  auto asked = [&](const bytes& packet) -> std::uint32_t {
    CHECK(way.seal(packet, second(now += 100)).empty());
    auto acquired = events_of<data_plane::sa_acquired>(a.out);
    return acquired.empty() ? 0 : acquired[0].reqid;
  };
  install(1, "0.0.0.0/0", 0);
  install(2, "10.2.0.0/16", 0);
  auto host = install(3, "10.2.0.9/32", 0);
  install(4, "10.2.0.0/16", 6);
  CHECK(asked(hello()) == 3);
  CHECK(asked(udp_packet({at("10.1.0.5"), 1}, {at("10.2.0.10"), 2}, "x")) == 2);
  CHECK(asked(tcp_packet({at("10.1.0.5"), 1}, {at("10.2.0.10"), 2}, "x")) == 4);
  CHECK(asked(udp_packet({at("10.1.0.5"), 1}, {at("9.9.9.9"), 2}, "x")) == 1);
  install(5, "10.2.0.9/32", 0);
  CHECK(asked(hello()) == 5);
  REQUIRE(a.carry_out(data_plane::install_policy{host}).has_value());  // a second time
  auto newer = host;
  newer.reqid = 5;
  REQUIRE(a.carry_out(data_plane::remove_policy{newer}).has_value());
  REQUIRE(a.carry_out(data_plane::remove_policy{host}).has_value());
  CHECK(asked(hello()) == 3);
  REQUIRE(a.carry_out(data_plane::remove_policy{host}).has_value());
  CHECK(asked(hello()) == 2);
  auto gone = a.carry_out(data_plane::remove_policy{host});
  REQUIRE_FALSE(gone.has_value());
  CHECK(gone.failure().code == errc::not_found);
}

TEST_CASE("selectors: ports, ICMP types, later fragments and extension headers") {
  using kernel_if::user_esp::fits_as_destination;
  using kernel_if::user_esp::fits_as_source;
  using kernel_if::user_esp::parse_ip_packet;
  auto tcp = tcp_packet({at("10.1.0.5"), 1000}, {at("10.2.0.9"), 80}, "x");
  auto web = net("10.2.0.0/16");
  web[0].ip_protocol = 6;
  web[0].start_port = 80;
  web[0].end_port = 81;
  auto opaque = net("10.2.0.0/16");
  opaque[0].start_port = 65535;
  opaque[0].end_port = 0;
  auto packet = parse_ip_packet(tcp);
  REQUIRE(packet);
  CHECK(fits_as_destination(web, *packet));
  CHECK_FALSE(fits_as_source(web, *packet));
  auto fragment = tcp;
  fragment[7] = 5;  // a later fragment has no ports
  packet = parse_ip_packet(fragment);
  REQUIRE(packet);
  CHECK(packet->is_fragment);
  CHECK_FALSE(fits_as_destination(web, *packet));
  CHECK(fits_as_destination(opaque, *packet));
  CHECK(fits_as_destination(net("10.2.0.0/16"), *packet));

  auto ping = ip_packet_of(at("10.1.0.5"), at("10.2.0.9"), 1, from_hex("0800 1234 0001 0001"));
  packet = parse_ip_packet(ping);
  REQUIRE(packet);
  CHECK(packet->source_port == 0x0800);
  CHECK(packet->destination_port == 0x0800);

  bytes upper = from_hex("11 00 0102 0000 0000");  // hop-by-hop: one word, UDP follows
  append(upper, from_hex("03e8 07d0 0008 0000"));
  auto extended = ip_packet_of(at("fd01::5"), at("fd02::9"), 0, upper);
  packet = parse_ip_packet(extended);
  REQUIRE(packet);
  CHECK(packet->protocol == 17);
  CHECK(packet->first_next_header == 0);
  CHECK(packet->source_port == 1000);
  extended[41] = 200;  // a header longer than the packet
  CHECK_FALSE(parse_ip_packet(extended));
}

TEST_CASE("SPIs: random, never reserved, never one that an SA has") {
  // A source that gives a reserved number, then the same number again and again.
  class stubborn final : public random_source {
   public:
    void fill(std::span<std::uint8_t> out) override {
      static constexpr std::uint32_t numbers[] = {0, 255, 256, 256, 0xffffffff};
      std::uint64_t value = numbers[std::min<std::size_t>(count_++, 4)];
      for (std::size_t i = 0; i < out.size(); ++i)
        out[i] = i < 8 ? static_cast<std::uint8_t>(value >> (8 * i)) : 0;
    }

   private:
    std::size_t count_ = 0;
  };
  stubborn random;
  esp_processor processor{random};
  outputs out;
  auto allocate = [&] {
    auto reply = processor.carry_out(data_plane::allocate_spi{at("192.0.2.1"), at("192.0.2.2")},
                                     second(1), out);
    return std::get<data_plane::spi_allocated>(*reply).spi;
  };
  CHECK(allocate() == 256);
  CHECK(allocate() == 0xffffffff);
}

TEST_CASE("user-space ESP: an SA without UDP encapsulation is refused") {
  one_way way;
  auto sa = parameters(way.how, direction::outbound, way.a, way.b, 4711);
  sa.encap_local.reset();
  sa.encap_remote.reset();
  auto refused = way.a.carry_out(data_plane::install_sa{std::move(sa), {}});
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.failure().code == errc::not_supported);
}

TEST_CASE("activity: the first packet, then one report a period; after silence at once again") {
  one_way way;
  way.how.activity_interval = std::chrono::seconds{10};
  REQUIRE(way.install());
  auto reports = [&](double at_second) {
    auto when = instant{duration{static_cast<duration::rep>(at_second * 1e9)}};
    auto packet = way.seal(hello());
    CHECK_FALSE(way.open_from(way.a.outer, packet, when).empty());
    auto active = events_of<data_plane::sa_active>(way.b.out);
    for (const auto& one : active) CHECK(one.id == way.inbound);
    return active.size();
  };
  CHECK(reports(100) == 1);
  CHECK(reports(101) == 0);
  CHECK(reports(109.9) == 0);
  CHECK(reports(110) == 1);
  CHECK(reports(119) == 0);
  CHECK(reports(500) == 1);
  // What does not open proves nothing.
  auto forged = way.seal(hello());
  forged.back() = static_cast<std::uint8_t>(forged.back() ^ 1);
  CHECK(way.open_from(way.a.outer, forged, second(600)).empty());
  CHECK(events_of<data_plane::sa_active>(way.b.out).empty());
  CHECK(reports(601) == 1);
}

TEST_CASE("activity: an SA that was not asked to says nothing") {
  one_way way;
  REQUIRE(way.install());
  CHECK_FALSE(way.open(way.seal(hello())).empty());
  CHECK(events_of<data_plane::sa_active>(way.b.out).empty());
}
