// endpoint <-> sockaddr, for the sources of this folder.
#pragma once

#include <optional>

#include <netinet/in.h>

#include "core/base/address.hpp"

namespace imago::kernel_if {

struct socket_address {
  sockaddr_storage storage{};
  socklen_t size = 0;

  static socket_address from(const endpoint& at);
  // Nothing if it is neither IPv4 nor IPv6.
  std::optional<endpoint> to_endpoint() const;
};

ip_address address_of(const in_addr& address);
ip_address address_of(const in6_addr& address);

}  // namespace imago::kernel_if
