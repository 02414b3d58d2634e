// Addresses, endpoints, prefixes.
#include <unordered_set>

#include <doctest/doctest.h>

#include "core/base/address.hpp"
#include "tests/support/hex.hpp"

using namespace imago;

namespace {

ip_address address(std::string_view text) {
  auto parsed = ip_address::parse(text);
  REQUIRE(parsed);
  return *parsed;
}
ip_prefix prefix(std::string_view text) {
  auto parsed = ip_prefix::parse(text);
  REQUIRE(parsed);
  return *parsed;
}

}  // namespace

TEST_CASE("address: text of both families, both ways") {
  for (auto* text : {"0.0.0.0", "192.0.2.1", "255.255.255.255", "::", "::1", "2001:db8::1"})
    CHECK(address(text).text() == text);
  CHECK(address("2001:DB8:0:0::1").text() == "2001:db8::1");
  for (auto* text : {"", "1.2.3", "1.2.3.4.5", "256.0.0.1", "1.2.3.4 ", ":", "::g", "fe80::1%lo",
                     "host", "1.2.3.4/8"}) {
    CAPTURE(text);
    CHECK(!ip_address::parse(text));
  }
  CHECK(!ip_address::parse(std::string_view{"1.2.3.4\0", 8}));
}

TEST_CASE("address: from 4 or 16 octets, nothing else") {
  CHECK(ip_address::from_octets(from_hex("c0000201"))->text() == "192.0.2.1");
  CHECK(ip_address::from_octets(bytes(16))->text() == "::");
  for (std::size_t size : {0, 3, 5, 15, 17})
    CHECK(ip_address::from_octets(bytes(size)).failure().code == errc::bad_length);
  CHECK(to_hex(address("10.1.2.3").octets()) == "0a010203");
  CHECK(address("::1").octets().size() == 16);
}

TEST_CASE("address: neighbours carry over octets and wrap around") {
  CHECK(address("10.0.0.255").next() == address("10.0.1.0"));
  CHECK(address("10.0.1.0").previous() == address("10.0.0.255"));
  CHECK(address("255.255.255.255").next() == address("0.0.0.0"));
  CHECK(address("0.0.0.0").previous() == address("255.255.255.255"));
  CHECK(address("2001:db8::ffff").next() == address("2001:db8::1:0"));
  CHECK(address("::").previous() == ip_address::all_ones(ip_family::v6));
}

TEST_CASE("address: order is numeric within a family; families differ") {
  CHECK(address("9.255.0.0") < address("10.0.0.0"));
  CHECK(address("10.0.0.2") < address("10.0.0.10"));
  CHECK(address("0.0.0.0") != address("::"));
  CHECK(address("127.0.0.1").is_loopback());
  CHECK(address("::1").is_loopback());
  CHECK(!address("128.0.0.1").is_loopback());
  CHECK(address("::").is_any());
  CHECK(!address("::1").is_any());
  std::unordered_set<ip_address> set{address("::"), address("0.0.0.0"), address("0.0.0.0")};
  CHECK(set.size() == 2);
}

TEST_CASE("endpoint: text, order, hash") {
  endpoint one{address("192.0.2.1"), 500};
  endpoint other{address("2001:db8::1"), 4500};
  CHECK(one.text() == "192.0.2.1:500");
  CHECK(other.text() == "[2001:db8::1]:4500");
  CHECK(one != endpoint{address("192.0.2.1"), 4500});
  std::unordered_set<endpoint> set{one, other, one};
  CHECK(set.size() == 2);
}

TEST_CASE("prefix: host bits are cleared; a bare address is a host") {
  CHECK(prefix("10.1.2.3/8").text() == "10.0.0.0/8");
  CHECK(prefix("10.1.2.3").text() == "10.1.2.3/32");
  CHECK(prefix("10.1.2.3/0").text() == "0.0.0.0/0");
  CHECK(prefix("10.1.2.255/25").text() == "10.1.2.128/25");
  CHECK(prefix("2001:db8::1/64").text() == "2001:db8::/64");
  CHECK(prefix("::1").text() == "::1/128");
  for (auto* text : {"10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8x", "/8",
                     "10.0.0.0/ 8", "10.0.0/8", "10.0.0.0/8/8"}) {
    CAPTURE(text);
    CHECK(!ip_prefix::parse(text));
  }
}

TEST_CASE("prefix: first, last, what lies inside") {
  auto net = prefix("10.1.2.128/25");
  CHECK(net.first() == address("10.1.2.128"));
  CHECK(net.last() == address("10.1.2.255"));
  CHECK(net.contains(address("10.1.2.200")));
  CHECK(!net.contains(address("10.1.2.127")));
  CHECK(!net.contains(address("10.1.3.0")));
  CHECK(!prefix("0.0.0.0/0").contains(address("::")));
  CHECK(prefix("::/0").last() == ip_address::all_ones(ip_family::v6));
}
