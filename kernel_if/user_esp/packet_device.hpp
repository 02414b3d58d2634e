// Where inner packets come from and go to: a TUN device, or a test's stand-in.
#pragma once

#include <memory>
#include <string>

#include "core/base/bytes.hpp"
#include "core/base/result.hpp"

namespace imago::kernel_if::user_esp {

class packet_device {
 public:
  virtual ~packet_device() = default;
  // Non-blocking; each read and write is one whole IP packet.
  virtual int descriptor() const = 0;
  virtual const std::string& name() const = 0;
};

// A new TUN device, up, with this MTU. `name` may hold one %d. It goes when the object does.
// Errors: system_error, with the missing privilege or module named.
result<std::unique_ptr<packet_device>> open_tun(const std::string& name, std::uint32_t mtu);

}  // namespace imago::kernel_if::user_esp
