#include "kernel_if/udp/udp_socket.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kernel_if/udp/socket_address.hpp"

namespace imago::kernel_if {

namespace {

error refused(const endpoint& at, const char* what) {
  return {errc::system_error, "UDP " + at.text() + ": " + what + ": " + std::strerror(errno)};
}

bool set(int descriptor, int level, int option, int value) {
  return setsockopt(descriptor, level, option, &value, sizeof value) == 0;
}

// IKE messages and ESP of full-sized inner packets must get through: fragments are allowed, so no
// DF bit and no path MTU guess that makes sends fail.
bool set_family_options(int descriptor, bool is_v4) {
  if (is_v4) {
    return set(descriptor, IPPROTO_IP, IP_PKTINFO, 1) &&
           set(descriptor, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
  }
  return set(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, 1) &&
         set(descriptor, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1) &&
         set(descriptor, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DONT) &&
         set(descriptor, IPPROTO_IPV6, IPV6_DONTFRAG, 0);
}

error bind_error(const endpoint& at) {
  int code = errno;
  auto failure = refused(at, "bind");
  if (code == EADDRINUSE) {
    failure.code = errc::already_exists;
    failure.where = "UDP " + at.text() + " is in use by another socket";
  } else if (code == EACCES) {
    failure.where =
        "UDP " + at.text() + ": port " + std::to_string(at.port) + " needs CAP_NET_BIND_SERVICE";
  }
  return failure;
}

// The control message that chooses the source address of a datagram.
void put_source(msghdr& message, std::uint8_t* control, const ip_address& local) {
  message.msg_control = control;
  if (local.is_v4()) {
    message.msg_controllen = CMSG_SPACE(sizeof(in_pktinfo));
    auto* head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = IPPROTO_IP;
    head->cmsg_type = IP_PKTINFO;
    head->cmsg_len = CMSG_LEN(sizeof(in_pktinfo));
    in_pktinfo info{};
    std::memcpy(&info.ipi_spec_dst, local.octets().data(), 4);
    std::memcpy(CMSG_DATA(head), &info, sizeof info);
  } else {
    message.msg_controllen = CMSG_SPACE(sizeof(in6_pktinfo));
    auto* head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = IPPROTO_IPV6;
    head->cmsg_type = IPV6_PKTINFO;
    head->cmsg_len = CMSG_LEN(sizeof(in6_pktinfo));
    in6_pktinfo info{};
    std::memcpy(&info.ipi6_addr, local.octets().data(), 16);
    std::memcpy(CMSG_DATA(head), &info, sizeof info);
  }
}

}  // namespace

udp_socket::udp_socket(udp_socket&& other) noexcept
    : descriptor_{std::exchange(other.descriptor_, -1)},
      local_{other.local_},
      is_marked_{other.is_marked_} {}

udp_socket& udp_socket::operator=(udp_socket&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(local_, other.local_);
  std::swap(is_marked_, other.is_marked_);
  return *this;
}

udp_socket::~udp_socket() {
  if (descriptor_ >= 0) close(descriptor_);
}

result<udp_socket> udp_socket::bind(const endpoint& at, const udp_options& options) {
  udp_socket made;
  int family = at.address.is_v4() ? AF_INET : AF_INET6;
  made.descriptor_ = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (made.descriptor_ < 0) return refused(at, "socket");
  if (!set_family_options(made.descriptor_, at.address.is_v4())) return refused(at, "setsockopt");
  // Beyond rmem_max only with CAP_NET_ADMIN; what is granted is enough to work.
  if (!set(made.descriptor_, SOL_SOCKET, SO_RCVBUFFORCE, options.receive_buffer_octets))
    set(made.descriptor_, SOL_SOCKET, SO_RCVBUF, options.receive_buffer_octets);
  if (options.mark) {
    made.is_marked_ = set(made.descriptor_, SOL_SOCKET, SO_MARK, static_cast<int>(*options.mark));
  }
  auto address = socket_address::from(at);
  if (::bind(made.descriptor_, reinterpret_cast<sockaddr*>(&address.storage), address.size) != 0)
    return bind_error(at);
  socket_address bound;
  bound.size = sizeof bound.storage;
  if (getsockname(made.descriptor_, reinterpret_cast<sockaddr*>(&bound.storage), &bound.size) != 0)
    return refused(at, "getsockname");
  made.local_ = bound.to_endpoint().value_or(at);
  return made;
}

status udp_socket::send(const ip_address& local, const endpoint& remote,
                        bytes_view datagram) const {
  return send(local, remote, {}, datagram);
}

status udp_socket::send(const ip_address& local, const endpoint& remote, bytes_view head,
                        bytes_view datagram) const {
  if (remote.address.family() != local_.address.family())
    return {errc::bad_value, "UDP " + local_.text() + " to " + remote.text()};
  auto address = socket_address::from(remote);
  iovec parts[2] = {{const_cast<std::uint8_t*>(head.data()), head.size()},
                    {const_cast<std::uint8_t*>(datagram.data()), datagram.size()}};
  alignas(cmsghdr) std::uint8_t control[CMSG_SPACE(sizeof(in6_pktinfo))] = {};
  msghdr message{};
  message.msg_name = &address.storage;
  message.msg_namelen = address.size;
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  if (!local.is_any() && local.family() == local_.address.family())
    put_source(message, control, local);
  for (;;) {
    if (sendmsg(descriptor_, &message, MSG_NOSIGNAL) >= 0) return {};
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == ENOBUFS) return {errc::queue_full, "UDP " + local_.text()};
    return refused(remote, "send");
  }
}

datagram_kind classify_datagram(bytes_view datagram) {
  if (datagram.size() == 1 && datagram[0] == 0xff) return datagram_kind::keepalive;
  if (datagram.size() < 4) return datagram_kind::malformed;
  bool has_marker = std::equal(datagram.begin(), datagram.begin() + 4, non_esp_marker);
  return has_marker ? datagram_kind::ike : datagram_kind::esp;
}

}  // namespace imago::kernel_if
