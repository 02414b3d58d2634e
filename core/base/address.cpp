#include "core/base/address.hpp"

#include <algorithm>
#include <charconv>

#include <arpa/inet.h>

namespace imago {

ip_address ip_address::any(ip_family family) {
  ip_address address;
  address.family_ = family;
  return address;
}

ip_address ip_address::all_ones(ip_family family) {
  auto address = any(family);
  std::fill_n(address.octets_.begin(), address.size(), std::uint8_t{0xff});
  return address;
}

result<ip_address> ip_address::from_octets(bytes_view octets) {
  if (octets.size() != 4 && octets.size() != 16) return {errc::bad_length, "IP address"};
  auto address = any(octets.size() == 4 ? ip_family::v4 : ip_family::v6);
  std::copy(octets.begin(), octets.end(), address.octets_.begin());
  return address;
}

result<ip_address> ip_address::parse(std::string_view text) {
  std::string copy{text};
  auto family = text.find(':') == text.npos ? ip_family::v4 : ip_family::v6;
  auto address = any(family);
  int code = inet_pton(address.is_v4() ? AF_INET : AF_INET6, copy.c_str(), address.octets_.data());
  if (code != 1 || copy.find('\0') != copy.npos)
    return {errc::bad_value, "IP address '" + escaped(text) + "'"};
  return address;
}

bool ip_address::is_any() const {
  return std::all_of(octets_.begin(), octets_.end(), [](auto octet) { return octet == 0; });
}

bool ip_address::is_loopback() const {
  if (is_v4()) return octets_[0] == 127;
  return *this == *parse("::1");
}

std::string ip_address::text() const {
  char buffer[INET6_ADDRSTRLEN];
  inet_ntop(is_v4() ? AF_INET : AF_INET6, octets_.data(), buffer, sizeof buffer);
  return buffer;
}

ip_address ip_address::next() const {
  auto address = *this;
  for (auto i = size(); i-- > 0;)
    if (++address.octets_[i] != 0) break;
  return address;
}

ip_address ip_address::previous() const {
  auto address = *this;
  for (auto i = size(); i-- > 0;)
    if (address.octets_[i]-- != 0) break;
  return address;
}

std::string endpoint::text() const {
  auto port_text = std::to_string(port);
  return address.is_v4() ? address.text() + ":" + port_text
                         : "[" + address.text() + "]:" + port_text;
}

result<ip_prefix> ip_prefix::parse(std::string_view text) {
  auto slash = text.find('/');
  auto address = ip_address::parse(text.substr(0, slash));
  if (!address) return address.failure();
  unsigned bits = static_cast<unsigned>(address->size() * 8);
  unsigned length = bits;
  if (slash != text.npos) {
    auto tail = text.substr(slash + 1);
    auto [end, code] = std::from_chars(tail.data(), tail.data() + tail.size(), length);
    if (code != std::errc{} || end != tail.data() + tail.size() || length > bits)
      return {errc::bad_value, "prefix length in '" + escaped(text) + "'"};
  }
  ip_prefix prefix{*address, static_cast<std::uint8_t>(length)};
  bytes octets = to_bytes(prefix.address.octets());
  for (unsigned bit = length; bit < bits; ++bit)
    octets[bit / 8] = static_cast<std::uint8_t>(octets[bit / 8] & ~(0x80U >> (bit % 8)));
  prefix.address = *ip_address::from_octets(octets);
  return prefix;
}

std::string ip_prefix::text() const { return address.text() + "/" + std::to_string(length); }

bool ip_prefix::contains(const ip_address& other) const {
  return other.family() == address.family() && first() <= other && other <= last();
}

ip_address ip_prefix::last() const {
  bytes octets = to_bytes(address.octets());
  for (unsigned bit = length; bit < octets.size() * 8; ++bit)
    octets[bit / 8] = static_cast<std::uint8_t>(octets[bit / 8] | 0x80U >> (bit % 8));
  return *ip_address::from_octets(octets);
}

}  // namespace imago
