#include "bench/load/transport.hpp"

#include <array>
#include <cerrno>
#include <cstring>

#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <unistd.h>

namespace imago::bench {

namespace {

constexpr std::size_t batch_count = 64;
constexpr std::size_t datagram_size_max = 4096;
constexpr std::size_t marker_size = 4;           // RFC 3948 §2.2
constexpr int socket_memory = 32 * 1024 * 1024;  // some seconds of answers
constexpr std::size_t receive_batches_max = 8;   // then what is due goes first
constexpr std::size_t control_size = CMSG_SPACE(sizeof(in_pktinfo));

error system_failure(const char* what) {
  return {errc::system_error, std::string{what} + ": " + std::strerror(errno)};
}

}  // namespace

std::uint32_t number_of(const ip_address& address) {
  std::uint32_t number = 0;
  for (auto octet : address.octets()) number = number << 8 | octet;
  return number;
}
ip_address address_of(std::uint32_t number) {
  std::uint8_t octets[4];
  for (int at = 0; at < 4; ++at) octets[at] = static_cast<std::uint8_t>(number >> (24 - 8 * at));
  return *ip_address::from_octets(octets);
}
std::uint32_t nth_address(const ip_prefix& prefix, std::uint64_t index) {
  auto count = std::uint64_t{1} << (32 - prefix.length);
  // A network's first and last address are not for hosts.
  auto offset = count > 2 ? 1 + index % (count - 2) : index % count;
  return number_of(prefix.address) + static_cast<std::uint32_t>(offset);
}

struct transport::batch {
  std::array<mmsghdr, batch_count> headers{};
  std::array<iovec, batch_count> places{};
  std::array<std::array<std::uint8_t, control_size>, batch_count> controls{};
  std::vector<std::array<std::uint8_t, datagram_size_max>> octets{batch_count};
  unsigned count = 0;

  batch() {
    for (std::size_t at = 0; at < batch_count; ++at) {
      places[at] = {octets[at].data(), datagram_size_max};
      headers[at].msg_hdr.msg_iov = &places[at];
      headers[at].msg_hdr.msg_iovlen = 1;
    }
  }
  // A place for one more, addressed.
  std::uint8_t* begin(sockaddr_in& to, std::size_t size) {
    auto& header = headers[count].msg_hdr;
    header.msg_name = &to;
    header.msg_namelen = sizeof to;
    places[count].iov_len = size;
    return octets[count].data();
  }
};

result<std::unique_ptr<transport>> transport::open(const load_options& options) {
  std::unique_ptr<transport> made{new transport};
  if (auto done = made->open_sockets(options); !done) return done.failure();
  return made;
}

status transport::open_sockets(const load_options& options) {
  target_ = options.target;
  to_.sin_family = AF_INET;
  to_.sin_port = htons(options.target.port);
  to_.sin_addr.s_addr = htonl(number_of(options.target.address));
  with_marker_ = options.with_marker;
  chooses_source_ = options.clients.length < 32;
  plain_ = std::make_unique<batch>();
  forged_ = std::make_unique<batch>();
  inbox_ = std::make_unique<batch>();

  socket_ = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (socket_ < 0) return system_failure("a UDP socket");
  const int on = 1;
  ::setsockopt(socket_, IPPROTO_IP, IP_FREEBIND, &on, sizeof on);
  // Without privileges the usual sizes must do.
  for (int which : {SO_RCVBUFFORCE, SO_SNDBUFFORCE})
    ::setsockopt(socket_, SOL_SOCKET, which, &socket_memory, sizeof socket_memory);
  sockaddr_in here{};
  here.sin_family = AF_INET;
  here.sin_port = htons(options.source_port);
  if (!chooses_source_) here.sin_addr.s_addr = htonl(number_of(options.clients.address));
  if (::bind(socket_, reinterpret_cast<sockaddr*>(&here), sizeof here) != 0)
    return system_failure("binding the UDP port of --port (ports below 1024 need root)");

  if (options.spoofed_flood == 0 && options.malformed_flood == 0) return {};
  raw_ = ::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
  if (raw_ < 0) return system_failure("a raw socket for spoofed addresses (needs CAP_NET_RAW)");
  ::setsockopt(raw_, SOL_SOCKET, SO_SNDBUFFORCE, &socket_memory, sizeof socket_memory);
  return {};
}

transport::~transport() {
  if (socket_ >= 0) ::close(socket_);
  if (raw_ >= 0) ::close(raw_);
}

void transport::send(std::uint32_t source, bytes_view message) {
  auto marker = with_marker_ ? marker_size : 0;
  auto size = std::min(message.size(), datagram_size_max - marker);
  auto* place = plain_->begin(to_, size + marker);
  std::memset(place, 0, marker);
  std::memcpy(place + marker, message.data(), size);
  if (chooses_source_) {
    auto& header = plain_->headers[plain_->count].msg_hdr;
    header.msg_control = plain_->controls[plain_->count].data();
    header.msg_controllen = control_size;
    auto* control = CMSG_FIRSTHDR(&header);
    control->cmsg_level = IPPROTO_IP;
    control->cmsg_type = IP_PKTINFO;
    control->cmsg_len = CMSG_LEN(sizeof(in_pktinfo));
    in_pktinfo from{};
    from.ipi_spec_dst.s_addr = htonl(source);
    std::memcpy(CMSG_DATA(control), &from, sizeof from);
  }
  if (++plain_->count == batch_count) flush(*plain_, socket_);
}

void transport::send_spoofed(std::uint32_t source, std::uint16_t port, bytes_view message) {
  constexpr std::size_t headers_size = sizeof(iphdr) + sizeof(udphdr);
  auto marker = with_marker_ ? marker_size : 0;
  auto size = std::min(message.size(), datagram_size_max - headers_size - marker);
  auto whole = headers_size + marker + size;
  auto* place = forged_->begin(to_, whole);
  iphdr ip{};
  ip.version = 4;
  ip.ihl = sizeof ip / 4;
  ip.tot_len = htons(static_cast<std::uint16_t>(whole));
  ip.ttl = 64;
  ip.protocol = IPPROTO_UDP;
  ip.saddr = htonl(source);
  ip.daddr = to_.sin_addr.s_addr;
  udphdr udp{};
  udp.source = htons(port);
  udp.dest = to_.sin_port;
  udp.len = htons(static_cast<std::uint16_t>(whole - sizeof ip));
  // No UDP checksum, which IPv4 allows: the flood shall be cheap to make. The kernel fills in IP's.
  std::memcpy(place, &ip, sizeof ip);
  std::memcpy(place + sizeof ip, &udp, sizeof udp);
  std::memset(place + headers_size, 0, marker);
  std::memcpy(place + headers_size + marker, message.data(), size);
  if (++forged_->count == batch_count) flush(*forged_, raw_);
}

void transport::flush() {
  flush(*plain_, socket_);
  if (raw_ >= 0) flush(*forged_, raw_);
}

void transport::flush(batch& of, int socket) {
  unsigned sent = 0;
  while (sent < of.count) {
    int done = ::sendmmsg(socket, of.headers.data() + sent, of.count - sent, 0);
    if (done > 0) {
      sent += static_cast<unsigned>(done);
    } else if (errno != EINTR) {
      // An ICMP error of an earlier one, or no memory: lost, as on any network.
      ++refused_;
      ++sent;
    }
  }
  of.count = 0;
}

std::size_t transport::receive(const std::function<void(bytes_view)>& each) {
  std::size_t all = 0;
  for (std::size_t round = 0; round < receive_batches_max; ++round) {
    int count = ::recvmmsg(socket_, inbox_->headers.data(), batch_count, MSG_DONTWAIT, nullptr);
    if (count <= 0) break;
    for (int at = 0; at < count; ++at) {
      auto place = static_cast<std::size_t>(at);
      bytes_view datagram{inbox_->octets[place].data(), inbox_->headers[place].msg_len};
      if (with_marker_ && datagram.size() > marker_size) datagram = datagram.subspan(marker_size);
      each(datagram);
    }
    all += static_cast<std::size_t>(count);
    if (static_cast<std::size_t>(count) < batch_count) break;
  }
  return all;
}

}  // namespace imago::bench
