// UDP from thousands of source addresses with one socket, and spoofed datagrams with a raw one.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include <netinet/in.h>
#include <sys/socket.h>

#include "bench/load/options.hpp"

namespace imago::bench {

// IPv4 addresses as numbers of the host's order.
std::uint32_t number_of(const ip_address& address);
ip_address address_of(std::uint32_t number);
// The `index`-th address of a prefix, again from its beginning after the last.
std::uint32_t nth_address(const ip_prefix& prefix, std::uint64_t index);

class transport {
 public:
  // Errors: system_error, with what would help.
  static result<std::unique_ptr<transport>> open(const load_options& options);
  ~transport();
  transport(const transport&) = delete;
  transport& operator=(const transport&) = delete;

  // Queued until flush() or until a batch is full.
  void send(std::uint32_t source, bytes_view message);
  // From an address and port that are not ours; needs the raw socket.
  void send_spoofed(std::uint32_t source, std::uint16_t port, bytes_view message);
  void flush();

  // What has arrived, at most some batches of it; how many datagrams.
  std::size_t receive(const std::function<void(bytes_view)>& each);
  int descriptor() const { return socket_; }
  std::uint64_t refused() const { return refused_; }  // datagrams that the host did not take

 private:
  transport() = default;
  struct batch;
  void flush(batch& of, int socket);
  status open_sockets(const load_options& options);

  int socket_ = -1, raw_ = -1;
  endpoint target_;
  sockaddr_in to_{};
  bool with_marker_ = false, chooses_source_ = false;
  std::uint64_t refused_ = 0;
  std::unique_ptr<batch> plain_, forged_, inbox_;
};

}  // namespace imago::bench
