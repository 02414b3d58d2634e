#include <doctest/doctest.h>

#include "tests/kernel_if/esp_fixture.hpp"

using namespace imago;
using namespace imago::testing;

namespace {

one_way transport_way(const endpoint& a, const endpoint& b) {
  auto host = [](const ip_address& address) {
    return traffic_selectors{traffic_selector::host(address)};
  };
  one_way way{a, host(a.address), b, host(b.address)};
  way.how.mode = data_plane::mode::transport;
  return way;
}

bytes upper_of(const bytes& packet) {
  return {packet.begin() + (packet[0] >> 4 == 4 ? 20 : 40), packet.end()};
}

}  // namespace

TEST_CASE("transport: only the upper layer is sealed, and the header is made anew") {
  struct ends {
    const char* a;
    const char* b;
  };
  for (auto [a_text, b_text] :
       {ends{"192.0.2.1", "192.0.2.2"}, ends{"2001:db8::1", "2001:db8::2"}}) {
    endpoint a{at(a_text), 4500};
    endpoint b{at(b_text), 4500};
    auto way = transport_way(a, b);
    REQUIRE(way.install());
    for (const auto& inner : {udp_packet({a.address, 1000}, {b.address, 2000}, "odd"),
                              udp_packet({a.address, 1000}, {b.address, 2000}, "even"),
                              tcp_packet({a.address, 1000}, {b.address, 80}, "GET / HTTP/1.0")}) {
      auto packet = way.seal(inner);
      CHECK(packet.size() < inner.size() + 20);
      auto opened = way.open(packet);
      REQUIRE(opened.size() == inner.size());
      CHECK(to_hex(upper_of(opened)) == to_hex(upper_of(inner)));
      auto parsed = kernel_if::user_esp::parse_ip_packet(opened);
      REQUIRE(parsed);
      CHECK(parsed->source == a.address);
      CHECK(parsed->destination == b.address);
      CHECK(parsed->size == inner.size());
      if (a.address.is_v4()) CHECK(checksum_of({opened.begin(), opened.begin() + 20}) == 0);
    }
  }
}

TEST_CASE("transport: behind a NAT the checksums fit the addresses that the receiver sees") {
  // a believes to be 10.0.0.1; b sees it as 198.51.100.1:1024.
  for (bool is_v6 : {false, true}) {
    CAPTURE(is_v6);
    endpoint a{at(is_v6 ? "fd00::1" : "10.0.0.1"), 4500};
    endpoint seen{at(is_v6 ? "2001:db8:1::1" : "198.51.100.1"), 1024};
    endpoint b{at(is_v6 ? "2001:db8::2" : "192.0.2.2"), 4500};
    auto way = transport_way(a, b);
    auto spi = way.allocate();
    REQUIRE(way.install_outbound(spi).has_value());
    peer a_as_seen{seen, {traffic_selector::host(seen.address)}, 9};
    auto sa = parameters(way.how, data_plane::direction::inbound, way.b, a_as_seen, spi);
    REQUIRE(way.b.carry_out(data_plane::install_sa{std::move(sa), {}}).has_value());
    struct sample {
      bytes inner;
      std::uint8_t protocol;
      std::size_t field;
    };
    writer echo;
    echo.u16(0x8000);
    echo.u16(0);
    echo.u32(0x00010001);
    echo.patch_u16(2, upper_checksum(a.address, b.address, 58, echo.written()));
    std::vector<sample> samples{{udp_packet({a.address, 1000}, {b.address, 2000}, "odd"), 17, 6},
                                {tcp_packet({a.address, 1000}, {b.address, 80}, "x"), 6, 16}};
    if (is_v6) samples.push_back({ip_packet_of(a.address, b.address, 58, echo.finish()), 58, 2});
    for (const auto& one : samples) {
      auto opened = way.open_from(seen, way.seal(one.inner));
      REQUIRE_FALSE(opened.empty());
      auto upper = upper_of(opened);
      CHECK(upper_checksum(seen.address, b.address, one.protocol, upper) == 0);
      CHECK(upper_checksum(a.address, b.address, one.protocol, upper) != 0);
    }
  }
}

TEST_CASE("transport: a UDP checksum that is not there stays away, in IPv4") {
  endpoint a{at("192.0.2.1"), 4500};
  endpoint b{at("192.0.2.2"), 4500};
  auto way = transport_way(a, b);
  REQUIRE(way.install());
  auto inner = udp_packet({a.address, 1000}, {b.address, 2000}, "x");
  inner[26] = inner[27] = 0;
  auto opened = way.open(way.seal(inner));
  CHECK(to_hex(upper_of(opened)) == to_hex(upper_of(inner)));
}

TEST_CASE("transport: a UDP checksum that comes out as zero is sent as all ones") {
  endpoint a{at("192.0.2.1"), 4500};
  endpoint b{at("192.0.2.2"), 4500};
  auto way = transport_way(a, b);
  REQUIRE(way.install());
  // Two octets of data chosen so that everything else sums to them.
  auto inner = udp_packet({a.address, 1000}, {b.address, 2000}, std::string(2, '\0'));
  auto rest = static_cast<std::uint16_t>(inner[26] << 8 | inner[27]);
  inner[28] = static_cast<std::uint8_t>(rest >> 8);
  inner[29] = static_cast<std::uint8_t>(rest);
  inner[26] = inner[27] = 0xff;
  auto opened = way.open(way.seal(inner));
  REQUIRE(opened.size() == inner.size());
  CHECK(to_hex(bytes_view{opened}.subspan(26, 2)) == "ffff");
}

TEST_CASE("transport: IPv4 options are left behind, extension headers of IPv6 come along") {
  endpoint a{at("192.0.2.1"), 4500};
  endpoint b{at("192.0.2.2"), 4500};
  auto way = transport_way(a, b);
  REQUIRE(way.install());
  auto plain = udp_packet({a.address, 1000}, {b.address, 2000}, "x");
  bytes with_options{plain.begin(), plain.begin() + 20};
  append(with_options, from_hex("01010100"));
  append(with_options, upper_of(plain));
  with_options[0] = 0x46;
  with_options[3] = static_cast<std::uint8_t>(with_options[3] + 4);
  CHECK(to_hex(upper_of(way.open(way.seal(with_options)))) == to_hex(upper_of(plain)));

  endpoint a6{at("2001:db8::1"), 4500};
  endpoint b6{at("2001:db8::2"), 4500};
  auto way6 = transport_way(a6, b6);
  REQUIRE(way6.install());
  bytes upper = from_hex("11 00 0104 00000000");  // destination options with padding
  append(upper, upper_of(udp_packet({a6.address, 1000}, {b6.address, 2000}, "x")));
  auto inner = ip_packet_of(a6.address, b6.address, 60, upper);
  auto opened = way6.open(way6.seal(inner));
  CHECK(to_hex(opened) == to_hex(inner));
}

TEST_CASE("transport: fragments are refused outbound and inbound") {
  endpoint a{at("192.0.2.1"), 4500};
  endpoint b{at("192.0.2.2"), 4500};
  auto way = transport_way(a, b);
  REQUIRE(way.install());
  auto inner = udp_packet({a.address, 1000}, {b.address, 2000}, "x");
  inner[6] = 0x20;
  CHECK(way.seal(inner).empty());
  CHECK(way.a.processor.drops(drop_reason::unsupported) == 1);

  endpoint a6{at("2001:db8::1"), 4500};
  endpoint b6{at("2001:db8::2"), 4500};
  auto way6 = transport_way(a6, b6);
  REQUIRE(way6.install());
  auto transform = kernel_if::user_esp::esp_transform::make(
      parameters(way6.how, data_plane::direction::outbound, way6.a, way6.b, way6.inbound.spi));
  bytes packet;
  auto fragment = from_hex("11 00 0001 00000001 03e807d0000a0000 6162");
  REQUIRE(transform->seal({way6.inbound.spi, 1}, 44, fragment, way6.a.random, packet).has_value());
  CHECK(way6.open(packet).empty());
  CHECK(way6.dropped(drop_reason::unsupported) == 1);
}

TEST_CASE("transport: what does not fit the selectors of the SA is dropped") {
  endpoint a{at("192.0.2.1"), 4500};
  endpoint b{at("192.0.2.2"), 4500};
  auto way = transport_way(a, b);
  way.a.inner[0].ip_protocol = 6;
  way.b.inner[0].ip_protocol = 6;
  REQUIRE(way.install());
  CHECK(way.seal(udp_packet({a.address, 1000}, {b.address, 2000}, "x")).empty());
  CHECK(way.a.processor.drops(drop_reason::no_policy) == 1);
  auto transform = kernel_if::user_esp::esp_transform::make(
      parameters(way.how, data_plane::direction::outbound, way.a, way.b, way.inbound.spi));
  bytes packet;
  auto upper = upper_of(udp_packet({a.address, 1000}, {b.address, 2000}, "x"));
  REQUIRE(transform->seal({way.inbound.spi, 1}, 17, upper, way.a.random, packet).has_value());
  CHECK(way.open(packet).empty());
  CHECK(way.dropped(drop_reason::selector_mismatched) == 1);
}
