// The kernel's structs <-> our values, shared by both directions of the messages.
#pragma once

#include <cstring>

#include <arpa/inet.h>
#include <linux/xfrm.h>
#include <sys/socket.h>

#include "kernel_if/xfrm/messages.hpp"

namespace imago::kernel_if::xfrm {

// UDP_ENCAP_ESPINUDP of <linux/udp.h>, which does not get on with <netinet/udp.h>.
inline constexpr std::uint16_t esp_in_udp = 2;

inline std::uint16_t family_number(ip_family family) {
  return family == ip_family::v4 ? AF_INET : AF_INET6;
}
inline std::optional<ip_family> family_of(std::uint16_t number) {
  if (number == AF_INET) return ip_family::v4;
  if (number == AF_INET6) return ip_family::v6;
  return std::nullopt;
}

inline xfrm_address_t to_kernel(const ip_address& address) {
  xfrm_address_t out{};
  std::memcpy(&out, address.octets().data(), address.size());
  return out;
}
inline ip_address address_of(const xfrm_address_t& from, ip_family family) {
  std::uint8_t octets[16];
  std::memcpy(octets, &from, sizeof octets);
  return *ip_address::from_octets({octets, family == ip_family::v4 ? 4U : 16U});
}

xfrm_selector to_kernel(const selector& from);
// bad_value: a family or prefix length that cannot be.
result<selector> selector_of(const xfrm_selector& from);

}  // namespace imago::kernel_if::xfrm
