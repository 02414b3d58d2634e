#include <doctest/doctest.h>

#include "core/base/limits.hpp"
#include "core/ikev2/selectors.hpp"

using namespace imago;
using namespace imago::ikev2;

namespace {

// "10.0.0.0/8", "10.0.0.1-10.0.0.9", each with "[protocol/first-last]" or "[protocol/opaque]" in
// numbers behind it; blanks between selectors.
traffic_selector parse_one(std::string text) {
  traffic_selector one;
  if (auto bracket = text.find('['); bracket != std::string::npos) {
    auto inside = text.substr(bracket + 1, text.size() - bracket - 2);
    text.resize(bracket);
    auto slash = inside.find('/');
    one.ip_protocol = static_cast<std::uint8_t>(std::stoi(inside.substr(0, slash)));
    if (slash != std::string::npos) {
      auto ports = inside.substr(slash + 1);
      auto dash = ports.find('-');
      bool is_opaque = ports == "opaque";
      auto first = is_opaque ? 65535 : std::stoi(ports.substr(0, dash));
      auto last = is_opaque                   ? 0
                  : dash == std::string::npos ? first
                                              : std::stoi(ports.substr(dash + 1));
      one.start_port = static_cast<std::uint16_t>(first);
      one.end_port = static_cast<std::uint16_t>(last);
    }
  }
  if (auto dash = text.find('-'); dash != std::string::npos) {
    one.start_address = *ip_address::parse(text.substr(0, dash));
    one.end_address = *ip_address::parse(text.substr(dash + 1));
  } else {
    auto prefix = *ip_prefix::parse(text);
    one.start_address = prefix.first();
    one.end_address = prefix.last();
  }
  return one;
}

traffic_selectors parse(std::string_view text) {
  traffic_selectors list;
  while (!text.empty()) {
    auto blank = text.find(' ');
    list.push_back(parse_one(std::string{text.substr(0, blank)}));
    text = blank == std::string_view::npos ? "" : text.substr(blank + 1);
  }
  return list;
}

struct narrowing {
  const char* what;
  const char *our_local, *our_remote;
  const char *asked_local, *asked_remote;
  const char *local, *remote;  // null: refused
};

const narrowing narrowings[] = {
    {"the same", "10.1.0.0/16", "10.2.0.0/16", "10.1.0.0/16", "10.2.0.0/16", "10.1.0.0/16",
     "10.2.0.0/16"},
    {"policy is narrower", "10.1.0.0/16", "10.2.3.0/24", "0.0.0.0/0", "0.0.0.0/0", "10.1.0.0/16",
     "10.2.3.0/24"},
    {"policy is wider", "0.0.0.0/0", "0.0.0.0/0", "10.1.0.0/16", "10.2.0.9", "10.1.0.0/16",
     "10.2.0.9"},
    {"a range is cut", "10.1.0.0-10.1.0.200", "0.0.0.0/0", "10.1.0.100-10.1.1.0", "10.2.0.0/16",
     "10.1.0.100-10.1.0.200", "10.2.0.0/16"},
    {"disjoint local", "10.1.0.0/16", "10.2.0.0/16", "10.9.0.0/16", "10.2.0.0/16", nullptr,
     nullptr},
    {"disjoint remote", "10.1.0.0/16", "10.2.0.0/16", "10.1.0.0/16", "10.9.0.0/16", nullptr,
     nullptr},
    {"nothing asked", "10.1.0.0/16", "10.2.0.0/16", "", "10.2.0.0/16", nullptr, nullptr},
    {"nothing allowed", "10.1.0.0/16", "", "10.1.0.0/16", "10.2.0.0/16", nullptr, nullptr},
    // RFC 7296 §2.9: the packet that caused the request comes first.
    {"the packet goes where the rest covers it", "10.1.0.0/16", "10.2.0.0/16",
     "10.1.0.5[6/1234] 10.1.0.0/16", "10.2.0.9[6/80] 10.2.0.0/16", "10.1.0.0/16", "10.2.0.0/16"},
    {"the packet goes where the narrowed rest covers it", "10.1.0.0/24", "10.2.0.0/24",
     "10.1.0.5[6/1234] 10.1.0.0/16", "10.2.0.9[6/80] 10.2.0.0/16", "10.1.0.0/24", "10.2.0.0/24"},
    {"the packet stays where the rest does not cover it", "10.1.0.0/16 10.7.0.0/16", "0.0.0.0/0",
     "10.7.0.5[6/1234] 10.1.0.0/16", "10.2.0.0/16", "10.7.0.5[6/1234] 10.1.0.0/16", "10.2.0.0/16"},
    {"the packet stays where the rest is not allowed", "10.1.0.5", "10.2.0.9",
     "10.1.0.5[6/1234] 10.3.0.0/16", "10.2.0.9[6/80] 10.4.0.0/16", "10.1.0.5[6/1234]",
     "10.2.0.9[6/80]"},
    {"the rest stays where the packet is not allowed", "10.1.0.0/16", "10.2.0.0/16",
     "10.9.0.5[6/1234] 10.1.0.0/16", "10.2.0.0/16", "10.1.0.0/16", "10.2.0.0/16"},
    {"doubles go", "0.0.0.0/0", "0.0.0.0/0", "10.1.0.0/16 10.1.0.0/16 10.1.2.0/24", "10.2.0.0/16",
     "10.1.0.0/16", "10.2.0.0/16"},
    {"the peer's order stays", "10.1.0.0/16 10.2.0.0/16 10.3.0.0/16", "0.0.0.0/0",
     "10.3.0.0/16 10.1.0.0/16 10.2.0.0/16", "192.0.2.0/24", "10.3.0.0/16 10.1.0.0/16 10.2.0.0/16",
     "192.0.2.0/24"},
    {"several of ours inside one asked", "10.1.0.0/24 10.1.2.0/24", "0.0.0.0/0", "10.1.0.0/16",
     "10.2.0.0/16", "10.1.0.0/24 10.1.2.0/24", "10.2.0.0/16"},
    // Families.
    {"both families", "10.1.0.0/16 2001:db8:1::/48", "0.0.0.0/0 ::/0",
     "2001:db8:1::/48 10.1.0.0/16", "10.2.0.0/16 2001:db8:2::/48", "2001:db8:1::/48 10.1.0.0/16",
     "10.2.0.0/16 2001:db8:2::/48"},
    {"a family without counterpart goes", "10.1.0.0/16 2001:db8:1::/48", "10.2.0.0/16",
     "10.1.0.0/16 2001:db8:1::/48", "10.2.0.0/16 2001:db8:2::/48", "10.1.0.0/16", "10.2.0.0/16"},
    {"on the remote side too", "10.1.0.0/16", "2001:db8:2::/48 10.2.0.0/16", "10.1.0.0/16",
     "2001:db8:2::/48 10.2.0.0/16", "10.1.0.0/16", "10.2.0.0/16"},
    {"families do not match up", "10.1.0.0/16", "2001:db8:2::/48", "10.1.0.0/16 ::/0",
     "10.2.0.0/16 ::/0", nullptr, nullptr},
    {"another family asked", "10.1.0.0/16", "10.2.0.0/16", "::/0", "::/0", nullptr, nullptr},
    // Protocols and ports.
    {"protocol from policy", "10.1.0.0/16[17]", "0.0.0.0/0", "10.1.0.0/16", "10.2.0.0/16",
     "10.1.0.0/16[17]", "10.2.0.0/16"},
    {"protocol from the peer", "10.1.0.0/16", "0.0.0.0/0", "10.1.0.0/16[6]", "10.2.0.0/16[6]",
     "10.1.0.0/16[6]", "10.2.0.0/16[6]"},
    {"different protocols", "10.1.0.0/16[17]", "0.0.0.0/0", "10.1.0.0/16[6]", "10.2.0.0/16",
     nullptr, nullptr},
    {"no packet has one protocol here and another there", "10.1.0.0/16[17]", "0.0.0.0/0",
     "10.1.0.0/16", "10.2.0.0/16[6]", nullptr, nullptr},
    {"ports are cut", "10.1.0.0/16[6/1000-2000]", "0.0.0.0/0", "10.1.0.0/16[6/1500-65535]",
     "10.2.0.0/16", "10.1.0.0/16[6/1500-2000]", "10.2.0.0/16"},
    {"ports are disjoint", "10.1.0.0/16[6/80]", "0.0.0.0/0", "10.1.0.0/16[6/443]", "10.2.0.0/16",
     nullptr, nullptr},
    // RFC 7296 §3.13.1: OPAQUE lies in all ports and in itself.
    {"opaque in all ports", "10.1.0.0/16", "10.2.0.0/16", "10.1.0.0/16[6/opaque]", "10.2.0.0/16",
     "10.1.0.0/16[6/opaque]", "10.2.0.0/16"},
    {"opaque policy", "10.1.0.0/16[6/opaque]", "10.2.0.0/16", "10.1.0.0/16[6]", "10.2.0.0/16",
     "10.1.0.0/16[6/opaque]", "10.2.0.0/16"},
    {"opaque is no port", "10.1.0.0/16[6/80]", "10.2.0.0/16", "10.1.0.0/16[6/opaque]",
     "10.2.0.0/16", nullptr, nullptr},
    // What a peer may send but nobody means.
    {"addresses upside down", "0.0.0.0/0", "0.0.0.0/0", "10.1.0.9-10.1.0.1", "10.2.0.0/16", nullptr,
     nullptr},
    {"ports upside down", "0.0.0.0/0", "0.0.0.0/0", "10.1.0.0/16[6/80-70]", "10.2.0.0/16", nullptr,
     nullptr},
};

}  // namespace

TEST_CASE("selectors: narrowing gives the largest subset in the peer's order") {
  for (const auto& row : narrowings) {
    CAPTURE(row.what);
    auto pair = narrow(parse(row.our_local), parse(row.our_remote), parse(row.asked_local),
                       parse(row.asked_remote));
    REQUIRE(pair.has_value() == (row.local != nullptr));
    if (!pair) {
      CHECK(pair.failure().code == errc::traffic_selectors_unacceptable);
      continue;
    }
    CHECK(text_of(pair->local) == text_of(parse(row.local)));
    CHECK(text_of(pair->remote) == text_of(parse(row.remote)));
  }
}

TEST_CASE("selectors: what narrowing gives passes the initiator's check") {
  for (const auto& row : narrowings) {
    CAPTURE(row.what);
    auto pair = narrow(parse(row.our_local), parse(row.our_remote), parse(row.asked_local),
                       parse(row.asked_remote));
    if (!pair) continue;
    CHECK(check_narrowed(parse(row.asked_local), pair->local));
    CHECK(check_narrowed(parse(row.asked_remote), pair->remote));
    CHECK(check_narrowed(parse(row.our_local), pair->local));
    CHECK(check_narrowed(parse(row.our_remote), pair->remote));
  }
}

TEST_CASE("selectors: no more come out than a payload can hold") {
  traffic_selectors ours, asked;
  for (std::uint8_t i = 0; i < 200; ++i) {
    auto address = *ip_address::from_octets(bytes{10, 0, i, 1});
    asked.push_back(traffic_selector::host(address));
    for (std::uint16_t port : {80, 443}) {
      auto one = traffic_selector::host(address);
      one.ip_protocol = 6;
      one.start_port = one.end_port = port;
      ours.push_back(one);
    }
  }
  auto everything = traffic_selectors{traffic_selector::everything(ip_family::v4)};
  auto pair = narrow(ours, everything, asked, everything);
  REQUIRE(pair);
  CHECK(pair->local.size() == limits::selector_count_max);
  CHECK(check_narrowed(asked, pair->local));
}

TEST_CASE("selectors: an answer beyond the proposal is refused") {
  struct {
    const char *proposed, *returned;
    bool is_inside;
  } const rows[] = {
      {"10.0.0.0/8", "10.0.0.0/8", true},
      {"10.0.0.0/8", "10.1.0.0/16 10.2.0.0/16[6/80]", true},
      {"10.0.0.0/8 2001:db8::/32", "2001:db8:1::/48", true},
      {"10.0.0.0/8", "10.0.0.0/8[6/opaque]", true},
      {"10.0.0.0/8", "", false},
      {"10.0.0.0/8", "0.0.0.0/0", false},
      {"10.0.0.0/8", "10.1.0.0/16 11.0.0.0/16", false},
      {"10.0.0.0/8", "2001:db8::/32", false},
      {"10.0.0.0/8[6]", "10.0.0.0/8", false},
      {"10.0.0.0/8[6]", "10.0.0.0/8[17]", false},
      {"10.0.0.0/8[6/80]", "10.0.0.0/8[6/80-81]", false},
      {"10.0.0.0/8[6/80]", "10.0.0.0/8[6/opaque]", false},
      {"10.0.0.0/8", "10.0.0.9-10.0.0.1", false},
      {"10.0.0.0/8", "10.0.0.1[6/80-70]", false},
  };
  for (const auto& row : rows) {
    CAPTURE(row.proposed);
    CAPTURE(row.returned);
    auto checked = check_narrowed(parse(row.proposed), parse(row.returned));
    CHECK(checked.has_value() == row.is_inside);
    if (!checked) CHECK(checked.failure().code == errc::traffic_selectors_unacceptable);
  }
}
