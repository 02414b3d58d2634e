// IP addresses and UDP endpoints as values, IPv4 and IPv6 alike.
#pragma once

#include <array>
#include <compare>
#include <string>
#include <string_view>

#include "core/base/bytes.hpp"
#include "core/base/result.hpp"

namespace imago {

enum class ip_family : std::uint8_t { v4 = 4, v6 = 6 };

// An address; the default is 0.0.0.0. IPv4 uses the first four octets, the rest are zero.
class ip_address {
 public:
  ip_address() = default;
  static ip_address any(ip_family family);
  static ip_address all_ones(ip_family family);
  // 4 or 16 octets, else bad_length.
  static result<ip_address> from_octets(bytes_view octets);
  // "192.0.2.1", "2001:db8::1"; else bad_value.
  static result<ip_address> parse(std::string_view text);

  ip_family family() const { return family_; }
  bool is_v4() const { return family_ == ip_family::v4; }
  bool is_any() const;
  bool is_loopback() const;
  std::size_t size() const { return is_v4() ? 4 : 16; }
  bytes_view octets() const { return bytes_view{octets_}.first(size()); }
  std::string text() const;

  // The numerically next / previous address; wraps around.
  ip_address next() const;
  ip_address previous() const;

  friend auto operator<=>(const ip_address&, const ip_address&) = default;

 private:
  ip_family family_ = ip_family::v4;
  std::array<std::uint8_t, 16> octets_{};
};

// An address and a UDP port.
struct endpoint {
  ip_address address;
  std::uint16_t port = 0;

  std::string text() const;  // "192.0.2.1:500", "[2001:db8::1]:500"
  friend auto operator<=>(const endpoint&, const endpoint&) = default;
};

// A CIDR prefix, host bits zero.
struct ip_prefix {
  ip_address address;
  std::uint8_t length = 0;

  static result<ip_prefix> parse(std::string_view text);  // "10.0.0.0/8"; a bare address is a host
  std::string text() const;
  bool contains(const ip_address& address) const;
  ip_address first() const { return address; }
  ip_address last() const;
  friend auto operator<=>(const ip_prefix&, const ip_prefix&) = default;
};

}  // namespace imago

template <>
struct std::hash<imago::ip_address> {
  std::size_t operator()(const imago::ip_address& address) const noexcept {
    return std::hash<std::string_view>{}(
        {reinterpret_cast<const char*>(address.octets().data()), address.size()});
  }
};

template <>
struct std::hash<imago::endpoint> {
  std::size_t operator()(const imago::endpoint& at) const noexcept {
    return std::hash<imago::ip_address>{}(at.address) * 31 + at.port;
  }
};
