#include "kernel_if/udp/socket_address.hpp"

#include <cstring>

#include <arpa/inet.h>

namespace imago::kernel_if {

ip_address address_of(const in_addr& address) {
  return *ip_address::from_octets({reinterpret_cast<const std::uint8_t*>(&address), 4});
}

ip_address address_of(const in6_addr& address) {
  return *ip_address::from_octets({reinterpret_cast<const std::uint8_t*>(&address), 16});
}

socket_address socket_address::from(const endpoint& at) {
  socket_address out;
  if (at.address.is_v4()) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(at.port);
    std::memcpy(&v4.sin_addr, at.address.octets().data(), 4);
    std::memcpy(&out.storage, &v4, sizeof v4);
    out.size = sizeof v4;
  } else {
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(at.port);
    std::memcpy(&v6.sin6_addr, at.address.octets().data(), 16);
    std::memcpy(&out.storage, &v6, sizeof v6);
    out.size = sizeof v6;
  }
  return out;
}

std::optional<endpoint> socket_address::to_endpoint() const {
  if (storage.ss_family == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, &storage, sizeof v4);
    return endpoint{address_of(v4.sin_addr), ntohs(v4.sin_port)};
  }
  if (storage.ss_family == AF_INET6) {
    sockaddr_in6 v6;
    std::memcpy(&v6, &storage, sizeof v6);
    return endpoint{address_of(v6.sin6_addr), ntohs(v6.sin6_port)};
  }
  return std::nullopt;
}

}  // namespace imago::kernel_if
