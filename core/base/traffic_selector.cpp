#include "core/base/traffic_selector.hpp"

#include <algorithm>
#include <bit>

namespace imago {
namespace {

bool is_range(const traffic_selector& one) {
  return one.family() == one.end_address.family() && one.start_address <= one.end_address;
}

// How many bits at the end are zero once the octets are XORed with `flip`.
unsigned trailing_zeros(bytes_view octets, std::uint8_t flip) {
  unsigned count = 0;
  for (auto i = octets.size(); i-- > 0; count += 8) {
    auto octet = static_cast<std::uint8_t>(octets[i] ^ flip);
    if (octet != 0) return count + static_cast<unsigned>(std::countr_zero(octet));
  }
  return count;
}

// How many bits are left behind the beginning that both have in common.
unsigned differing_bits(bytes_view one, bytes_view other) {
  for (std::size_t i = 0; i < one.size(); ++i) {
    auto difference = static_cast<std::uint8_t>(one[i] ^ other[i]);
    if (difference == 0) continue;
    auto common = i * 8 + static_cast<std::size_t>(std::countl_zero(difference));
    return static_cast<unsigned>(one.size() * 8 - common);
  }
  return 0;
}

// The widest prefix that starts at `at` and does not pass `end`; at <= end, of one family. Bit
// arithmetic, since a peer may send 255 ranges that each fall into 254 prefixes.
ip_prefix widest_prefix(const ip_address& at, const ip_address& end) {
  auto free_bits = differing_bits(at.octets(), end.octets());
  // All of the bits that differ only if the range goes up to the last address of that block.
  if (free_bits != 0 && trailing_zeros(end.octets(), 0xff) < free_bits) --free_bits;
  free_bits = std::min(free_bits, trailing_zeros(at.octets(), 0));
  return {at, static_cast<std::uint8_t>(at.size() * 8 - free_bits)};
}

}  // namespace

traffic_selector traffic_selector::from_prefix(const ip_prefix& prefix) {
  return {0, 0, 65535, prefix.first(), prefix.last()};
}

traffic_selector traffic_selector::host(const ip_address& address) {
  return {0, 0, 65535, address, address};
}

traffic_selector traffic_selector::everything(ip_family family) {
  return {0, 0, 65535, ip_address::any(family), ip_address::all_ones(family)};
}

bool traffic_selector::contains(const traffic_selector& other) const {
  auto common = intersection(other);
  return common && *common == other;
}

bool traffic_selector::contains(const ip_address& address, std::uint8_t protocol,
                                std::uint16_t port) const {
  if (address.family() != family() || address < start_address || end_address < address)
    return false;
  if (ip_protocol != 0 && ip_protocol != protocol) return false;
  if (is_opaque()) return true;
  return start_port <= port && port <= end_port;
}

std::optional<traffic_selector> traffic_selector::intersection(
    const traffic_selector& other) const {
  if (family() != other.family()) return std::nullopt;
  traffic_selector common;
  common.start_address = std::max(start_address, other.start_address);
  common.end_address = std::min(end_address, other.end_address);
  if (common.end_address < common.start_address) return std::nullopt;
  if (ip_protocol != 0 && other.ip_protocol != 0 && ip_protocol != other.ip_protocol)
    return std::nullopt;
  common.ip_protocol = std::max(ip_protocol, other.ip_protocol);
  // An all-ports selector holds the OPAQUE one; any other port range does not (§3.13.1).
  auto all_ports = [](const traffic_selector& one) {
    return one.start_port == 0 && one.end_port == 65535;
  };
  if (is_opaque() || other.is_opaque()) {
    const auto& wider = is_opaque() ? other : *this;
    if (!wider.is_opaque() && !all_ports(wider)) return std::nullopt;
    common.start_port = 65535;
    common.end_port = 0;
    return common;
  }
  common.start_port = std::max(start_port, other.start_port);
  common.end_port = std::min(end_port, other.end_port);
  if (common.end_port < common.start_port) return std::nullopt;
  return common;
}

std::vector<ip_prefix> traffic_selector::prefixes() const {
  std::vector<ip_prefix> list;
  if (!is_range(*this)) return list;
  for (auto at = start_address;; at = list.back().last().next()) {
    list.push_back(widest_prefix(at, end_address));
    if (list.back().last() == end_address) return list;
  }
}

std::string traffic_selector::text() const {
  std::string text;
  auto first = is_range(*this) ? widest_prefix(start_address, end_address) : ip_prefix{};
  if (is_range(*this) && first.last() == end_address) {
    text = first.text();
  } else {
    text = start_address.text() + "-" + end_address.text();
  }
  bool any_port = start_port == 0 && end_port == 65535;
  if (ip_protocol == 0 && any_port) return text;
  text += "[";
  switch (ip_protocol) {
    case 0: text += "any"; break;
    case 1: text += "icmp"; break;
    case 6: text += "tcp"; break;
    case 17: text += "udp"; break;
    case 58: text += "ipv6-icmp"; break;
    default: text += std::to_string(ip_protocol);
  }
  if (is_opaque()) {
    text += "/opaque";
  } else if (!any_port) {
    text += "/" + std::to_string(start_port);
    if (start_port != end_port) text += "-" + std::to_string(end_port);
  }
  return text + "]";
}

std::string text_of(const traffic_selectors& selectors) {
  std::string text;
  for (const auto& selector : selectors) {
    if (!text.empty()) text += " ";
    text += selector.text();
  }
  return text;
}

}  // namespace imago
