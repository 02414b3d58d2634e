// A traffic selector (RFC 7296 §3.13.1): an address range, a port range, an IP protocol.
#pragma once

#include <optional>

#include "core/base/address.hpp"

namespace imago {

struct traffic_selector {
  std::uint8_t ip_protocol = 0;  // 0: any
  std::uint16_t start_port = 0;
  std::uint16_t end_port = 65535;
  ip_address start_address;
  ip_address end_address;

  static traffic_selector from_prefix(const ip_prefix& prefix);
  static traffic_selector host(const ip_address& address);
  static traffic_selector everything(ip_family family);

  ip_family family() const { return start_address.family(); }
  // OPAQUE ports: start 65535, end 0 (RFC 7296 §3.13.1).
  bool is_opaque() const { return start_port == 65535 && end_port == 0; }
  bool contains(const traffic_selector& other) const;
  bool contains(const ip_address& address, std::uint8_t protocol, std::uint16_t port) const;
  // The largest part that both have; nothing if they are disjoint.
  std::optional<traffic_selector> intersection(const traffic_selector& other) const;
  // The smallest list of prefixes that covers exactly the address range. At most 2 * 128 - 2.
  std::vector<ip_prefix> prefixes() const;
  std::string text() const;  // "10.0.0.0/8", "10.0.0.1-10.0.0.7", "10.0.0.0/8[tcp/80]"

  friend auto operator<=>(const traffic_selector&, const traffic_selector&) = default;
};

using traffic_selectors = std::vector<traffic_selector>;
std::string text_of(const traffic_selectors& selectors);

}  // namespace imago
