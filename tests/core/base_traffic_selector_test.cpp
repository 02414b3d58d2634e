// Traffic selectors: what one holds, what two have in common, prefixes, text.
#include <doctest/doctest.h>

#include "core/base/traffic_selector.hpp"

using namespace imago;

namespace {

ip_address address(std::string_view text) {
  auto parsed = ip_address::parse(text);
  REQUIRE(parsed);
  return *parsed;
}
traffic_selector net(std::string_view text) {
  auto parsed = ip_prefix::parse(text);
  REQUIRE(parsed);
  return traffic_selector::from_prefix(*parsed);
}
traffic_selector range(std::string_view first, std::string_view last) {
  return {0, 0, 65535, address(first), address(last)};
}
traffic_selector with(traffic_selector one, std::uint8_t protocol, std::uint16_t start_port,
                      std::uint16_t end_port) {
  one.ip_protocol = protocol;
  one.start_port = start_port;
  one.end_port = end_port;
  return one;
}
std::string prefixes_text(const traffic_selector& one) {
  std::string text;
  for (const auto& prefix : one.prefixes()) text += prefix.text() + " ";
  return text;
}

}  // namespace

TEST_CASE("traffic_selector: the common part of two is the same from either side") {
  traffic_selector all[] = {
      net("10.0.0.0/8"),
      net("10.1.0.0/16"),
      range("10.0.255.0", "10.1.0.7"),
      net("192.0.2.0/24"),
      net("2001:db8::/32"),
      traffic_selector::everything(ip_family::v4),
      traffic_selector::everything(ip_family::v6),
      with(net("10.0.0.0/8"), 6, 80, 90),
      with(net("10.0.0.0/8"), 6, 85, 443),
      with(net("10.0.0.0/8"), 17, 0, 65535),
      with(net("10.0.0.0/8"), 6, 65535, 0),
  };
  for (const auto& one : all)
    for (const auto& other : all) {
      auto common = one.intersection(other);
      CHECK(common == other.intersection(one));
      if (!common) continue;
      CHECK(one.contains(*common));
      CHECK(other.contains(*common));
      CHECK((one.contains(other) ? *common == other : *common != other));
    }
}

TEST_CASE("traffic_selector: addresses are cut to what both have") {
  CHECK(net("10.0.0.0/8").intersection(net("10.1.0.0/16")) == net("10.1.0.0/16"));
  CHECK(range("10.0.0.5", "10.0.0.20").intersection(range("10.0.0.10", "10.0.0.30")) ==
        range("10.0.0.10", "10.0.0.20"));
  CHECK(range("10.0.0.5", "10.0.0.10").intersection(range("10.0.0.10", "10.0.0.30")) ==
        range("10.0.0.10", "10.0.0.10"));
  CHECK(!range("10.0.0.5", "10.0.0.9").intersection(range("10.0.0.10", "10.0.0.30")));
  CHECK(!net("0.0.0.0/0").intersection(net("::/0")));
}

TEST_CASE("traffic_selector: protocols and ports are cut too") {
  auto http = with(net("10.0.0.0/8"), 6, 80, 80);
  auto tcp = with(net("10.0.0.0/8"), 6, 0, 65535);
  auto udp = with(net("10.0.0.0/8"), 17, 0, 65535);
  CHECK(tcp.intersection(http) == http);
  CHECK(net("10.0.0.0/8").intersection(http) == http);
  CHECK(!udp.intersection(http));
  CHECK(!http.intersection(with(http, 6, 81, 90)));
  CHECK(with(http, 6, 70, 85).intersection(with(http, 6, 80, 90)) == with(http, 6, 80, 85));
}

TEST_CASE("traffic_selector: OPAQUE ports lie in all ports and in OPAQUE only") {
  auto opaque = with(net("10.0.0.0/8"), 6, 65535, 0);
  CHECK(opaque.is_opaque());
  CHECK(net("10.0.0.0/8").contains(opaque));
  CHECK(opaque.contains(opaque));
  CHECK(!opaque.contains(with(opaque, 6, 0, 65535)));
  CHECK(!opaque.intersection(with(opaque, 6, 0, 65534)));
}

TEST_CASE("traffic_selector: which packets it holds") {
  auto http = with(net("10.0.0.0/8"), 6, 80, 81);
  CHECK(http.contains(address("10.255.255.255"), 6, 80));
  CHECK(http.contains(address("10.0.0.0"), 6, 81));
  CHECK(!http.contains(address("11.0.0.0"), 6, 80));
  CHECK(!http.contains(address("10.0.0.1"), 17, 80));
  CHECK(!http.contains(address("10.0.0.1"), 6, 82));
  CHECK(!http.contains(address("::"), 6, 80));
  CHECK(net("10.0.0.0/8").contains(address("10.0.0.1"), 89, 7));
}

TEST_CASE("traffic_selector: prefixes cover the range, no more and no less") {
  CHECK(prefixes_text(net("10.0.0.0/8")) == "10.0.0.0/8 ");
  CHECK(prefixes_text(traffic_selector::everything(ip_family::v4)) == "0.0.0.0/0 ");
  CHECK(prefixes_text(traffic_selector::everything(ip_family::v6)) == "::/0 ");
  CHECK(prefixes_text(traffic_selector::host(address("10.0.0.1"))) == "10.0.0.1/32 ");
  CHECK(prefixes_text(range("10.0.0.1", "10.0.0.6")) ==
        "10.0.0.1/32 10.0.0.2/31 10.0.0.4/31 10.0.0.6/32 ");
  CHECK(prefixes_text(range("255.255.255.254", "255.255.255.255")) == "255.255.255.254/31 ");
  auto worst = range("::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe").prefixes();
  CHECK(worst.size() == 2 * 128 - 2);
  for (std::size_t i = 1; i < worst.size(); ++i)
    CHECK(worst[i - 1].last().next() == worst[i].first());
}

TEST_CASE("traffic_selector: prefixes of every small range follow on each other and never merge") {
  constexpr unsigned count = 80;  // from 10.0.0.216 on, so that an octet carries over
  auto first = address("10.0.0.216");
  for (unsigned start = 0; start < count; ++start, first = first.next()) {
    auto last = first;
    for (unsigned end = start; end < count; ++end, last = last.next()) {
      auto list = range(first.text(), last.text()).prefixes();
      REQUIRE(list.front().first() == first);
      REQUIRE(list.back().last() == last);
      for (std::size_t i = 0; i < list.size(); ++i) {
        // A prefix in the full sense: its host bits are zero.
        REQUIRE(ip_prefix::parse(list[i].text())->first() == list[i].first());
        if (i == 0) continue;
        REQUIRE(list[i - 1].last().next() == list[i].first());
        auto wider = *ip_prefix::parse(list[i - 1].first().text() + "/" +
                                       std::to_string(list[i - 1].length - 1));
        bool would_merge = list[i - 1].length == list[i].length && wider.last() == list[i].last();
        REQUIRE(!would_merge);
      }
    }
  }
}

TEST_CASE("traffic_selector: a range that ends before it starts has no prefixes") {
  CHECK(range("10.0.0.2", "10.0.0.1").prefixes().empty());
  traffic_selector mixed{0, 0, 65535, address("10.0.0.1"), address("::1")};
  CHECK(mixed.prefixes().empty());
  CHECK(range("10.0.0.2", "10.0.0.1").text() == "10.0.0.2-10.0.0.1");
}

TEST_CASE("traffic_selector: text names the range, then protocol and ports if they matter") {
  CHECK(net("10.0.0.0/8").text() == "10.0.0.0/8");
  CHECK(range("10.0.0.1", "10.0.0.7").text() == "10.0.0.1-10.0.0.7");
  CHECK(with(net("10.0.0.0/8"), 6, 80, 80).text() == "10.0.0.0/8[tcp/80]");
  CHECK(with(net("10.0.0.0/8"), 17, 500, 4500).text() == "10.0.0.0/8[udp/500-4500]");
  CHECK(with(net("10.0.0.0/8"), 47, 0, 65535).text() == "10.0.0.0/8[47]");
  CHECK(with(net("10.0.0.0/8"), 0, 65535, 0).text() == "10.0.0.0/8[any/opaque]");
  CHECK(with(net("::/0"), 58, 0, 65535).text() == "::/0[ipv6-icmp]");
  CHECK(text_of(traffic_selectors{net("10.0.0.0/8"), net("::/0")}) == "10.0.0.0/8 ::/0");
  CHECK(text_of(traffic_selectors{}).empty());
}
