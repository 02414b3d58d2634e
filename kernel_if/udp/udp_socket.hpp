// A UDP socket that knows the local address of each datagram.
#pragma once

#include <optional>

#include "core/base/address.hpp"

namespace imago::kernel_if {

struct udp_options {
  // Room for a burst of a thousand peers' requests while the reader is descheduled.
  int receive_buffer_octets = 4 << 20;
  // SO_MARK, so that rules can lead the engine's own packets past its routes. Needs
  // CAP_NET_ADMIN; without it the socket works unmarked, see is_marked().
  std::optional<std::uint32_t> mark;
};

class udp_socket {
 public:
  // Port 0: any free one. Errors: system_error with what helps ("port 500 needs
  // CAP_NET_BIND_SERVICE"), already_exists if the port is in use.
  static result<udp_socket> bind(const endpoint& at, const udp_options& options = {});
  udp_socket(udp_socket&& other) noexcept;
  udp_socket& operator=(udp_socket&& other) noexcept;
  udp_socket(const udp_socket&) = delete;
  udp_socket& operator=(const udp_socket&) = delete;
  ~udp_socket();

  // Where it is bound; the address may be any, the port is real.
  const endpoint& local() const { return local_; }
  bool is_marked() const { return is_marked_; }
  int descriptor() const { return descriptor_; }

  // From `local` (any: the host's choice). Thread-safe, never blocks. queue_full when the socket's
  // buffer is full, else system_error.
  status send(const ip_address& local, const endpoint& remote, bytes_view datagram) const;
  // The same with octets put in front without a copy (a non-ESP marker).
  status send(const ip_address& local, const endpoint& remote, bytes_view head,
              bytes_view datagram) const;

 private:
  udp_socket() = default;
  int descriptor_ = -1;
  endpoint local_;
  bool is_marked_ = false;
};

// What a datagram on port 4500 is (RFC 3948 §2.2, §2.3).
enum class datagram_kind : std::uint8_t { ike, esp, keepalive, malformed };
datagram_kind classify_datagram(bytes_view datagram);
inline constexpr std::uint8_t non_esp_marker[4] = {0, 0, 0, 0};
inline constexpr std::uint8_t nat_keepalive[1] = {0xff};

}  // namespace imago::kernel_if
