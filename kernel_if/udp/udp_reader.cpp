#include "kernel_if/udp/udp_reader.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/limits.hpp"
#include "kernel_if/udp/socket_address.hpp"

namespace imago::kernel_if {

namespace {

// Datagrams per system call: beyond some twenty the call itself no longer shows.
constexpr std::size_t batch_count = 20;
constexpr std::size_t control_size = 64;
constexpr std::uint64_t stop_tag = ~std::uint64_t{0};

// The buffers of one recvmmsg call, made once per reader.
struct batch {
  struct slot {
    sockaddr_storage from;
    alignas(cmsghdr) std::array<std::uint8_t, control_size> control;
    std::array<std::uint8_t, limits::datagram_size_max> octets;
  };
  std::unique_ptr<slot[]> slots = std::make_unique<slot[]>(batch_count);
  std::array<iovec, batch_count> parts{};
  std::array<mmsghdr, batch_count> headers{};

  void prepare() {
    for (std::size_t i = 0; i < batch_count; ++i) {
      parts[i] = {slots[i].octets.data(), slots[i].octets.size()};
      auto& head = headers[i].msg_hdr;
      head = {};
      head.msg_name = &slots[i].from;
      head.msg_namelen = sizeof slots[i].from;
      head.msg_iov = &parts[i];
      head.msg_iovlen = 1;
      head.msg_control = slots[i].control.data();
      head.msg_controllen = control_size;
    }
  }
};

// The address a datagram came to, from its control message.
std::optional<ip_address> destination_of(msghdr& message) {
  for (auto* at = CMSG_FIRSTHDR(&message); at; at = CMSG_NXTHDR(&message, at)) {
    if (at->cmsg_level == IPPROTO_IP && at->cmsg_type == IP_PKTINFO) {
      in_pktinfo info;
      std::memcpy(&info, CMSG_DATA(at), sizeof info);
      return address_of(info.ipi_addr);
    }
    if (at->cmsg_level == IPPROTO_IPV6 && at->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info;
      std::memcpy(&info, CMSG_DATA(at), sizeof info);
      return address_of(info.ipi6_addr);
    }
  }
  return std::nullopt;
}

batch& own_batch() {
  thread_local batch buffers;
  return buffers;
}

}  // namespace

status udp_reader::start(const std::vector<const udp_socket*>& sockets, datagram_handler handler) {
  if (thread_.joinable()) return {errc::already_exists, "UDP reader"};
  handler_ = std::move(handler);
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  stop_event_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  bool ok = epoll_ >= 0 && stop_event_ >= 0;
  auto watch = [&](int descriptor, std::uint64_t tag) {
    epoll_event wanted{};
    wanted.events = EPOLLIN;
    wanted.data.u64 = tag;
    ok = ok && epoll_ctl(epoll_, EPOLL_CTL_ADD, descriptor, &wanted) == 0;
  };
  watch(stop_event_, stop_tag);
  for (std::size_t i = 0; i < sockets.size(); ++i) {
    sources_.push_back({sockets[i]->descriptor(), sockets[i]->local(), i});
    watch(sockets[i]->descriptor(), i);
  }
  if (!ok) {
    error failure{errc::system_error, std::string{"UDP reader: "} + std::strerror(errno)};
    stop();
    return failure;
  }
  thread_ = std::thread{[this] { run(); }};
  return {};
}

void udp_reader::stop() {
  if (thread_.joinable()) {
    std::uint64_t one = 1;
    // An eventfd that was never written takes this; the reader cannot miss it.
    if (write(stop_event_, &one, sizeof one) != static_cast<ssize_t>(sizeof one)) std::abort();
    thread_.join();
  }
  for (int* descriptor : {&epoll_, &stop_event_}) {
    if (*descriptor >= 0) close(*descriptor);
    *descriptor = -1;
  }
  sources_.clear();
}

void udp_reader::run() {
  std::array<epoll_event, 16> ready{};
  for (;;) {
    int count = epoll_wait(epoll_, ready.data(), static_cast<int>(ready.size()), -1);
    if (count < 0 && errno != EINTR) return;
    for (int i = 0; i < count; ++i) {
      auto tag = ready[static_cast<std::size_t>(i)].data.u64;
      if (tag == stop_tag) return;
      // One batch each, then the next socket: a flood on one must not starve the others. epoll is
      // level-triggered and comes back.
      read_some(sources_[tag]);
    }
  }
}

void udp_reader::read_some(const source& from) {
  auto& buffers = own_batch();
  buffers.prepare();
  int count = recvmmsg(from.descriptor, buffers.headers.data(), batch_count, MSG_DONTWAIT, nullptr);
  if (count <= 0) return;
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    auto& message = buffers.headers[i].msg_hdr;
    socket_address sender{buffers.slots[i].from, message.msg_namelen};
    auto remote = sender.to_endpoint();
    auto destination = destination_of(message);
    if (!remote || (message.msg_flags & MSG_TRUNC) != 0) {
      ++dropped_;
      continue;
    }
    ++received_;
    endpoint local{destination.value_or(from.bound.address), from.bound.port};
    handler_(local, *remote, {buffers.slots[i].octets.data(), buffers.headers[i].msg_len},
             from.index);
  }
}

}  // namespace imago::kernel_if
