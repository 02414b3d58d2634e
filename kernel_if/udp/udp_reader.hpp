// One thread that reads the datagrams of several sockets and hands each to a function.
// Data path: epoll -> recvmmsg into buffers of its own -> on_datagram, on this thread; the octets
// are borrowed for the call. No queue here: what nobody reads waits, bounded, in the kernel.
#pragma once

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include "kernel_if/udp/udp_socket.hpp"

namespace imago::kernel_if {

// `local` is the address and port the datagram came to, also where the socket is bound to any.
using datagram_handler = std::function<void(const endpoint& local, const endpoint& remote,
                                            bytes_view datagram, std::size_t socket_index)>;

class udp_reader {
 public:
  udp_reader() = default;
  ~udp_reader() { stop(); }
  udp_reader(const udp_reader&) = delete;
  udp_reader& operator=(const udp_reader&) = delete;

  // The sockets must outlive stop(). The handler must not throw. Once only.
  status start(const std::vector<const udp_socket*>& sockets, datagram_handler handler);
  // Returns when no further handler call can come. Not from inside the handler.
  void stop();

  std::uint64_t received() const { return received_; }
  // Longer than limits::datagram_size_max or without an address: never seen by the handler.
  std::uint64_t dropped() const { return dropped_; }

 private:
  struct source {
    int descriptor = -1;
    endpoint bound;
    std::size_t index = 0;
  };
  void run();
  void read_some(const source& from);

  std::vector<source> sources_;
  datagram_handler handler_;
  std::thread thread_;
  int epoll_ = -1;
  int stop_event_ = -1;
  std::atomic<std::uint64_t> received_{0};
  std::atomic<std::uint64_t> dropped_{0};
};

}  // namespace imago::kernel_if
