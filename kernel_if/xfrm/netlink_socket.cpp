#include <cerrno>
#include <cstring>

#include <libmnl/libmnl.h>
#include <linux/netlink.h>
#include <linux/xfrm.h>
#include <sys/socket.h>

#include "kernel_if/xfrm/netlink_transport.hpp"

namespace imago::kernel_if::xfrm {

namespace {

// Room for the answers to a thousand requests sent in one go, and for a storm of events.
constexpr int receive_buffer_wanted = 8 << 20;
// The kernel's dumps come in pieces of at most 32 KiB.
constexpr std::size_t datagram_size_max = 65536;

class netlink_socket final : public netlink_transport {
 public:
  explicit netlink_socket(mnl_socket* socket) : socket_{socket} {}
  ~netlink_socket() override { mnl_socket_close(socket_); }
  netlink_socket(const netlink_socket&) = delete;
  netlink_socket& operator=(const netlink_socket&) = delete;

  int descriptor() const override { return mnl_socket_get_fd(socket_); }

  std::size_t receive_buffer_octets() const override {
    int size = 0;
    socklen_t length = sizeof size;
    getsockopt(descriptor(), SOL_SOCKET, SO_RCVBUF, &size, &length);
    return static_cast<std::size_t>(size);
  }

  int send(bytes_view messages) override {
    for (;;) {
      if (mnl_socket_sendto(socket_, messages.data(), messages.size()) >= 0) return 0;
      if (errno != EINTR) return errno;
    }
  }

  int receive(bytes& datagram) override {
    datagram.resize(datagram_size_max);
    for (;;) {
      sockaddr_nl from{};
      iovec into{datagram.data(), datagram.size()};
      msghdr how{};
      how.msg_name = &from;
      how.msg_namelen = sizeof from;
      how.msg_iov = &into;
      how.msg_iovlen = 1;
      auto size = recvmsg(descriptor(), &how, MSG_DONTWAIT);
      if (size < 0 && errno == EINTR) continue;
      if (size < 0) return errno;
      if ((how.msg_flags & MSG_TRUNC) != 0) return EMSGSIZE;
      if (from.nl_pid != 0) continue;  // another process may write to us; only the kernel counts
      datagram.resize(static_cast<std::size_t>(size));
      return 0;
    }
  }

 private:
  mnl_socket* socket_;
};

error refused(const char* what) {
  return {errc::system_error, std::string{"XFRM netlink: "} + what + ": " + std::strerror(errno)};
}

void set_options(mnl_socket* socket) {
  int wanted = receive_buffer_wanted;
  int descriptor = mnl_socket_get_fd(socket);
  if (setsockopt(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, &wanted, sizeof wanted) != 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &wanted, sizeof wanted);
  int on = 1;
  // A refusal would else bring the request back, keys and all.
  mnl_socket_setsockopt(socket, NETLINK_CAP_ACK, &on, sizeof on);
  mnl_socket_setsockopt(socket, NETLINK_EXT_ACK, &on, sizeof on);
}

result<std::unique_ptr<netlink_transport>> open_socket(unsigned groups) {
  auto* socket = mnl_socket_open2(NETLINK_XFRM, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (!socket) return refused("socket");
  auto owner = std::make_unique<netlink_socket>(socket);
  if (mnl_socket_bind(socket, groups, MNL_SOCKET_AUTOPID) != 0) return refused("bind");
  set_options(socket);
  return std::unique_ptr<netlink_transport>{std::move(owner)};
}

constexpr unsigned group(int number) { return 1U << (number - 1); }

}  // namespace

result<std::unique_ptr<netlink_transport>> open_request_socket() { return open_socket(0); }

result<std::unique_ptr<netlink_transport>> open_event_socket() {
  return open_socket(group(XFRMNLGRP_ACQUIRE) | group(XFRMNLGRP_EXPIRE) | group(XFRMNLGRP_AEVENTS) |
                     group(XFRMNLGRP_MAPPING));
}

}  // namespace imago::kernel_if::xfrm
