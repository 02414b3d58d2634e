// Policies of ours as the kernel's selectors, and which of two that overlap wins.
#include <doctest/doctest.h>

#include "tests/kernel_if/xfrm_fixture.hpp"

using namespace imago;
using namespace imago::testing;
using namespace imago::kernel_if::xfrm;

TEST_CASE("xfrm selectors: ranges become prefixes and masked ports") {
  ends e;
  traffic_selector range = selector_with("10.2.0.0/32", 17, 1000, 1007);
  range.end_address = at("10.2.0.2");
  e.own.inner = {range};
  auto entries = entries_of(policy_between(e.how, e.own, e.other));
  REQUIRE(entries.has_value());
  // 10.2.0.0/31 and 10.2.0.2/32; 1000..1007 is one aligned block; three directions.
  CHECK(entries->size() == 6);
  CHECK(entries->front().key.selector.source_port == 1000);
  CHECK(entries->front().key.selector.source_port_mask == 0xfff8);
  CHECK(source_of(entries->front().key.selector).end_port == 1007);
}

TEST_CASE("xfrm selectors: the pairs that exist, and those that do not") {
  ends e;
  e.own.inner = {selector_with("10.2.0.0/16", 6, 0, 65535),
                 selector_with("fd00::/64", 0, 0, 65535)};
  e.other.inner = {selector_with("10.1.0.0/16", 17, 0, 65535),
                   selector_with("10.3.0.0/16", 0, 0, 65535)};
  auto wanted = policy_between(e.how, e.own, e.other);
  auto entries = entries_of(wanted);
  REQUIRE(entries.has_value());
  CHECK(entries->size() == 3);
  CHECK(entries->front().key.selector.ip_protocol == 6);
  wanted.mode = data_plane::mode::transport;
  CHECK(entries_of(wanted)->size() == 2);  // nothing is forwarded
  wanted.remote_selectors.pop_back();
  auto none = entries_of(wanted);
  REQUIRE_FALSE(none.has_value());
  CHECK(none.failure().code == errc::bad_value);
  wanted.local_selectors = {selector_with("10.2.0.0/16", 17, 65535, 0)};
  auto opaque = entries_of(wanted);
  REQUIRE_FALSE(opaque.has_value());
  CHECK(opaque.failure().code == errc::not_supported);
}

TEST_CASE("xfrm selectors: an ICMP type is the kernel's source port, a code its destination port") {
  ends e;
  e.own.inner = {selector_with("10.2.0.0/16", 1, 0x0800, 0x0800)};
  auto entries = entries_of(policy_between(e.how, e.own, e.other));
  REQUIRE(entries.has_value());
  for (const auto& entry : *entries) {
    CHECK(entry.key.selector.source_port == 8);
    CHECK(entry.key.selector.source_port_mask == 0xffff);
    CHECK(entry.key.selector.destination_port == 0);
    CHECK(entry.key.selector.destination_port_mask == 0xffff);
    CHECK(source_of(entry.key.selector).start_port == 0x0800);
  }
  e.own.inner = {selector_with("10.2.0.0/16", 1, 0x0800, 0x08ff)};
  CHECK(entries_of(policy_between(e.how, e.own, e.other))
            ->front()
            .key.selector.destination_port_mask == 0);
  e.own.inner = {selector_with("10.2.0.0/16", 1, 0x0300, 0x0801)};
  CHECK_FALSE(entries_of(policy_between(e.how, e.own, e.other)).has_value());
}

TEST_CASE("xfrm selectors: a bypass is before and a discard after whatever protects") {
  ends e;
  e.own.inner = {selector_with("10.2.0.0/16", 0, 0, 65535)};
  e.other.inner = {selector_with("10.1.0.0/16", 0, 0, 65535)};
  auto shunt = policy_between(e.how, e.own, e.other);
  shunt.reqid = 0;
  for (auto processing : {data_plane::processing::bypass, data_plane::processing::discard}) {
    bool passes = processing == data_plane::processing::bypass;
    shunt.processing = processing;
    for (auto mode : {data_plane::mode::tunnel, data_plane::mode::transport}) {
      shunt.mode = mode;
      auto entries = entries_of(shunt);
      REQUIRE(entries.has_value());
      CHECK(entries->size() == 3);  // in, out, and forwarded whatever the mode
      for (const auto& entry : *entries) {
        CHECK_FALSE(entry.protection.has_value());
        CHECK(entry.action == (passes ? policy_action::allow : policy_action::block));
        CHECK(passes == (entry.priority < 0x10000));
        CHECK(passes != (entry.priority > 0x1ffff));
      }
    }
  }
}

TEST_CASE("xfrm selectors: of two that overlap the narrower one wins") {
  auto priority = [](std::string_view source, std::string_view destination, std::uint8_t protocol,
                     std::uint16_t mask) {
    selector one;
    one.source = *ip_prefix::parse(source);
    one.destination = *ip_prefix::parse(destination);
    one.ip_protocol = protocol;
    one.destination_port_mask = mask;
    return priority_of(one);
  };
  auto host = priority("10.2.0.1/32", "10.1.0.0/16", 0, 0);
  auto wide = priority("10.2.0.0/16", "10.1.0.0/16", 0, 0);
  CHECK(host < wide);
  CHECK(priority("10.2.0.0/16", "10.1.0.0/16", 6, 0) < wide);
  CHECK(priority("10.2.0.0/16", "10.1.0.0/16", 6, 0xffff) <
        priority("10.2.0.0/16", "10.1.0.0/16", 6, 0));
  CHECK(host < priority("10.2.0.0/16", "10.1.0.0/16", 6, 0xffff));
  CHECK(priority("0.0.0.0/0", "0.0.0.0/0", 0, 0) == 0x1ffff);
  CHECK(priority("fd00::1/128", "fd00::2/128", 6, 0xffff) > 0x10000);
}
