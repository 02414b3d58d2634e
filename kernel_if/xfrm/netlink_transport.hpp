// A netlink socket as the back-end sees it, so that a script can stand in for the kernel.
#pragma once

#include <memory>

#include "core/base/bytes.hpp"
#include "core/base/result.hpp"

namespace imago::kernel_if::xfrm {

class netlink_transport {
 public:
  virtual ~netlink_transport() = default;
  virtual int descriptor() const = 0;  // to poll; -1: there is nothing to poll
  virtual std::size_t receive_buffer_octets() const = 0;
  // Whole messages. 0, or an errno: then the kernel has seen none of them. Else it has carried
  // out all of them, in order, when this returns.
  virtual int send(bytes_view messages) = 0;
  // 0 and one datagram; or an errno. EAGAIN: nothing is there; ENOBUFS: something was dropped
  // before what comes next; EMSGSIZE: one was longer than can be and is gone.
  virtual int receive(bytes& datagram) = 0;
};

// The kernel's, of the calling thread's network namespace. Non-blocking. Error: system_error.
result<std::unique_ptr<netlink_transport>> open_request_socket();
// Hears of acquires, expiries, activity and changed sources.
result<std::unique_ptr<netlink_transport>> open_event_socket();

}  // namespace imago::kernel_if::xfrm
