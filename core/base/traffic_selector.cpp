#include "core/base/traffic_selector.hpp"

#include <algorithm>

namespace imago {

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
  if (family() != end_address.family() || end_address < start_address) return list;
  auto at = start_address;
  auto bits = static_cast<std::uint8_t>(at.size() * 8);
  for (;;) {
    // The widest prefix that starts at `at` and does not pass the end.
    ip_prefix best{at, bits};
    while (best.length > 0) {
      ip_prefix wider = *ip_prefix::parse(at.text() + "/" + std::to_string(best.length - 1));
      if (wider.first() != at || end_address < wider.last()) break;
      best = wider;
    }
    list.push_back(best);
    if (best.last() == end_address) return list;
    at = best.last().next();
  }
}

std::string traffic_selector::text() const {
  std::string text;
  auto list = prefixes();
  if (list.size() == 1) {
    text = list.front().text();
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
