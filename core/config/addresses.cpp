// Addresses and traffic selectors as a configuration writes them.
#include <algorithm>

#include "core/config/values.hpp"

namespace imago::config {
namespace {

error bad(std::string what) { return {errc::bad_value, std::move(what)}; }

struct range {
  ip_address first, last;
};

// "192.0.2.1", "192.0.2.0/24", "192.0.2.1-192.0.2.9".
result<range> parse_range(std::string_view text) {
  if (auto dash = text.find('-'); dash != text.npos) {
    auto first = ip_address::parse(trimmed(text.substr(0, dash)));
    auto last = ip_address::parse(trimmed(text.substr(dash + 1)));
    if (!first || !last || first->family() != last->family())
      return bad("'" + escaped(text) + "' is no range of addresses");
    if (*last < *first) return bad("the range '" + escaped(text) + "' ends before it begins");
    return range{*first, *last};
  }
  auto prefix = ip_prefix::parse(text);
  if (!prefix) return bad("'" + escaped(text) + "' is no address, prefix or range");
  return range{prefix->first(), prefix->last()};
}

struct named_number {
  std::string_view name;
  std::uint16_t number;
};

// The protocols one filters by (IANA "Protocol Numbers"); any other is written as a number.
constexpr named_number protocols[] = {
    {"any", 0},   {"icmp", 1},  {"igmp", 2},  {"ipencap", 4}, {"tcp", 6},        {"udp", 17},
    {"ipv6", 41}, {"gre", 47},  {"esp", 50},  {"ah", 51},     {"ipv6-icmp", 58}, {"icmpv6", 58},
    {"ospf", 89}, {"ipip", 94}, {"pim", 103}, {"vrrp", 112},  {"l2tp", 115},     {"sctp", 132},
};
// Likewise for ports (IANA "Service Name and Transport Protocol Port Number Registry").
constexpr named_number services[] = {
    {"ssh", 22},     {"telnet", 23},        {"smtp", 25},   {"domain", 53}, {"http", 80},
    {"ntp", 123},    {"snmp", 161},         {"bgp", 179},   {"ldap", 389},  {"https", 443},
    {"syslog", 514}, {"isakmp", 500},       {"l2tp", 1701}, {"l2f", 1701},  {"radius", 1812},
    {"nfs", 2049},   {"ipsec-nat-t", 4500},
};

template <std::size_t N>
result<std::uint16_t> parse_named(std::string_view text, const named_number (&names)[N],
                                  unsigned max, std::string_view noun) {
  std::vector<std::string_view> known;
  for (const auto& one : names) {
    if (equal_ignoring_case(one.name, text)) return one.number;
    known.push_back(one.name);
  }
  auto number = parse_number(text);
  if (number && *number <= max) return static_cast<std::uint16_t>(*number);
  return bad("'" + escaped(text) + "' is no " + std::string{noun} + suggestion(text, known) +
             "; a number will do");
}

// "any", "opaque", "80", "http", "1024-2047".
status parse_ports(std::string_view text, traffic_selector& selector) {
  if (text.empty() || text == "any") return {};
  if (text == "opaque") {
    selector.start_port = 65535;  // RFC 7296 §3.13.1
    selector.end_port = 0;
    return {};
  }
  auto whole = parse_named(text, services, 65535, "port");
  auto dash = text.find('-');
  if (whole || dash == text.npos) {
    if (!whole) return whole.failure();
    selector.start_port = selector.end_port = *whole;
    return {};
  }
  auto first = parse_named(text.substr(0, dash), services, 65535, "port");
  auto last = parse_named(text.substr(dash + 1), services, 65535, "port");
  if (!first) return first.failure();
  if (!last) return last.failure();
  if (*last < *first) return bad("the ports '" + escaped(text) + "' end before they begin");
  selector.start_port = *first;
  selector.end_port = *last;
  return {};
}

bool is_host_name(std::string_view text) {
  if (text.empty() || text.size() > 253) return false;
  auto good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  };
  if (!std::all_of(text.begin(), text.end(), good)) return false;
  // A top-level domain is never a number (RFC 1123 §2.1): this is a mistyped address.
  auto dot = text.rfind('.', text.size() - 2);
  auto last = dot == text.npos ? text : text.substr(dot + 1);
  return !std::all_of(last.begin(), last.end(),
                      [](char c) { return (c >= '0' && c <= '9') || c == '.'; });
}

}  // namespace

result<address_pattern> parse_address_pattern(std::string_view text) {
  address_pattern pattern;
  if (text == "%any" || text == "%any4" || text == "%any6" || text == "0.0.0.0" || text == "::") {
    pattern.any = true;
    if (text == "%any4" || text == "0.0.0.0") pattern.any_family = ip_family::v4;
    if (text == "%any6" || text == "::") pattern.any_family = ip_family::v6;
    return pattern;
  }
  if (auto range = parse_range(text)) {
    pattern.first = range->first;
    pattern.last = range->last;
    return pattern;
  }
  if (!is_host_name(text))
    return bad("'" + escaped(text) + "' is no address, prefix, range or host name");
  pattern.host_name = text;
  return pattern;
}

bool address_pattern::matches(const ip_address& address) const {
  if (any) return !any_family || *any_family == address.family();
  return host_name.empty() && address.family() == first.family() && first <= address &&
         address <= last;
}

result<selector_template> parse_selector(std::string_view text) {
  selector_template out;
  auto addresses = trimmed(text);
  if (auto open = addresses.find('['); open != addresses.npos) {
    auto inside = addresses.substr(open + 1);
    if (!inside.ends_with(']')) return bad("'" + escaped(text) + "' has no ']' at its end");
    inside.remove_suffix(1);
    addresses = trimmed(addresses.substr(0, open));
    auto slash = inside.find('/');
    auto protocol = parse_named(inside.substr(0, slash), protocols, 255, "protocol");
    if (!protocol) return protocol.failure();
    out.selector.ip_protocol = static_cast<std::uint8_t>(*protocol);
    if (slash != inside.npos)
      if (auto done = parse_ports(inside.substr(slash + 1), out.selector); !done)
        return done.failure();
  }
  if (addresses == "dynamic") {
    out.dynamic = true;
    return out;
  }
  auto range = parse_range(addresses);
  if (!range) return range.failure();
  out.selector.start_address = range->first;
  out.selector.end_address = range->last;
  return out;
}

}  // namespace imago::config
