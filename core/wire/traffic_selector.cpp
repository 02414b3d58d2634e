// Traffic Selector payloads TSi and TSr (RFC 7296 §3.13). After the generic payload header:
//
//             | number of selectors (8 bits) | RESERVED (24 bits)              |
//   selector  | TS type (8 bits) | IP protocol (8 bits) | length (16 bits)     |
//             | start port (16 bits)          | end port (16 bits)             |
//             | start address ...             | end address ...                |
#include "core/base/limits.hpp"
#include "core/wire/payload_list.hpp"

namespace imago::wire {
namespace {

constexpr std::uint8_t ipv4_addr_range = 7;
constexpr std::uint8_t ipv6_addr_range = 8;

struct any_selector {
  std::uint8_t type = 0;
  traffic_selector selector;
  bytes unknown;  // what follows the length in a selector of another type

  bool is_known() const { return type == ipv4_addr_range || type == ipv6_addr_range; }
};

std::vector<any_selector> with_types(const traffic_selectors& selectors) {
  std::vector<any_selector> list;
  for (const auto& one : selectors)
    list.push_back({one.start_address.is_v4() ? ipv4_addr_range : ipv6_addr_range, one, {}});
  return list;
}

traffic_selectors known_of(const std::vector<any_selector>& list) {
  traffic_selectors selectors;
  for (const auto& one : list)
    if (one.is_known()) selectors.push_back(one.selector);
  return selectors;
}

template <class codec>
void selector_fields(codec& c, field_of<codec, any_selector>& one) {
  c.substructure([&] {
    c.number(one.type);
    c.number(one.selector.ip_protocol);
    c.length_u16();
    // A type we do not know narrows to nothing (§2.9): skipped, not refused.
    if (!one.is_known()) return c.rest(one.unknown);
    auto family = one.type == ipv4_addr_range ? ip_family::v4 : ip_family::v6;
    c.number(one.selector.start_port);
    c.number(one.selector.end_port);
    c.address(one.selector.start_address, family);
    c.address(one.selector.end_address, family);
    c.require(one.selector.start_address <= one.selector.end_address, errc::bad_value);
  });
}

}  // namespace

template <class codec>
void fields(codec& c, field_of<codec, traffic_selector_payload>& payload) {
  auto list = with_types(payload.selectors);
  auto count = c.count_u8(list.size());
  c.reserved(3);
  c.list(list, count, limits::selector_count_max,
         [&](auto& selector, bool) { selector_fields(c, selector); });
  c.derive(payload.selectors, known_of(list));
}
IMAGO_WIRE_INSTANTIATE(traffic_selector_payload);

}  // namespace imago::wire
