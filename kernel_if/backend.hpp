// The one interface between the kernel actor and a data plane. Values in, values out, asynchronous.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/data_plane/values.hpp"

namespace imago::kernel_if {

using request_id = std::uint64_t;  // chosen by the caller; unique while in flight

// Receives what a back-end has to say. Called from any thread, also from inside submit().
class backend_sink {
 public:
  virtual ~backend_sink() = default;
  // Exactly once per request, unless the back-end loses it; the caller guards with its own timer.
  virtual void on_reply(request_id id, data_plane::reply reply) = 0;
  virtual void on_event(data_plane::event event) = 0;
};

// What a back-end can do; asked before a Child SA is negotiated.
struct capabilities {
  bool tunnel_mode = true;
  bool transport_mode = false;
  bool esn = false;
  bool requires_udp_encapsulation = false;  // user-space ESP speaks only ESP in UDP
  std::uint32_t replay_window_max = 64;     // packets
  bool has_kernel_options = false;          // marks, interface identifiers, hardware offload
  bool has_time_lifetimes = false;          // lifetime::soft_seconds, hard_seconds
  bool has_shunts = false;                  // policies that bypass or discard
};

class backend {
 public:
  virtual ~backend() = default;
  virtual std::string_view name() const = 0;  // "user-esp", "fake", "xfrm"
  virtual kernel_if::capabilities capabilities() const = 0;

  // `sink` must outlive stop(). Errors: what the host refuses (no TUN device, no privilege).
  virtual status start(backend_sink& sink) = 0;
  // What could not be set up although it goes on without: a sentence each. After start().
  virtual std::vector<std::string> warnings() const { return {}; }
  // Never blocks. Requests are carried out in the order of submission.
  virtual void submit(request_id id, data_plane::request request) = 0;
  // Removes everything it installed and returns when no further sink call can come.
  virtual void stop() = 0;

  // Before an IKE socket of the engine is read: what this data plane needs of it. `is_nat_port`:
  // ESP in UDP comes to it too.
  virtual status adopt_socket(int descriptor, ip_family family, bool is_nat_port) {
    (void)descriptor, (void)family, (void)is_nat_port;
    return {};
  }

  // An ESP packet that arrived in UDP on one of the engine's sockets, without the UDP header.
  // Only for back-ends that carry packets themselves. Called from a reader thread.
  virtual void deliver_esp(const endpoint& local, const endpoint& remote, bytes_view packet) {
    (void)local, (void)remote, (void)packet;
  }
};

// How a back-end that carries packets itself sends ESP in UDP: from one of the engine's sockets.
// Thread-safe; drops when it cannot send.
class esp_sender {
 public:
  virtual ~esp_sender() = default;
  virtual void send_esp(const endpoint& local, const endpoint& remote, bytes_view packet) = 0;
};

}  // namespace imago::kernel_if
