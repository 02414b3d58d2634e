// Which of this host's addresses would be used to reach a peer.
#pragma once

#include <optional>

#include "core/base/address.hpp"

namespace imago::kernel_if {

// By the host's routing, without sending anything. Errors: system_error (no route).
// `mark`: as the engine's sockets are marked, since rules may look at it.
result<ip_address> local_address_for(const endpoint& remote,
                                     std::optional<std::uint32_t> mark = {});

}  // namespace imago::kernel_if
