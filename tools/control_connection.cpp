#include "tools/control_connection.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace imago {

namespace {

error system_failure(const std::string& what) {
  return {errc::system_error, what + " (" + std::strerror(errno) + ")"};
}

}  // namespace

result<control_connection> control_connection::open(const std::string& uri) {
  constexpr std::string_view scheme = "unix://";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (!uri.starts_with(scheme) || uri.size() == scheme.size() ||
      uri.size() - scheme.size() >= sizeof address.sun_path)
    return {errc::bad_value, "URI '" + uri + "': write unix://PATH"};
  auto path = uri.substr(scheme.size());
  std::memcpy(address.sun_path, path.data(), path.size());
  int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return system_failure("socket");
  control_connection made{fd};
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return system_failure("no daemon answers on " + path);
  return made;
}

control_connection::control_connection(control_connection&& other) noexcept
    : fd_{std::exchange(other.fd_, -1)},
      input_{std::move(other.input_)},
      deadline_{other.deadline_} {}

control_connection::~control_connection() {
  if (fd_ >= 0) ::close(fd_);
}

status control_connection::wait_for(short what) {
  for (;;) {
    int wait_ms = -1;
    if (deadline_) {
      auto rest_ms =
          std::chrono::ceil<std::chrono::milliseconds>(*deadline_ - clock::now()).count();
      wait_ms = static_cast<int>(std::clamp<std::int64_t>(rest_ms, 0, 1'000'000));
    }
    pollfd one{fd_, what, 0};
    int ready = ::poll(&one, 1, wait_ms);
    if (ready > 0) return {};
    if (ready < 0 && errno != EINTR) return system_failure("poll");
    if (ready == 0 && deadline_ && clock::now() >= *deadline_)
      return {errc::timed_out, "the daemon did not answer in time"};
  }
}

status control_connection::send(const vici::packet& packet) {
  auto octets = vici::encode_packet(packet);
  if (!octets) return octets.failure();
  bytes_view rest{*octets};
  while (!rest.empty()) {
    if (auto ready = wait_for(POLLOUT); !ready) return ready;
    auto count = ::send(fd_, rest.data(), rest.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (count < 0) return system_failure("the daemon closed the connection");
    rest = rest.subspan(static_cast<std::size_t>(count));
  }
  return {};
}

result<vici::packet> control_connection::receive() {
  std::array<std::uint8_t, 16384> buffer;
  for (;;) {
    if (auto segment = input_.next()) return vici::parse_packet(*segment);
    if (auto ready = wait_for(POLLIN); !ready) return ready.failure();
    auto count = ::recv(fd_, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (count < 0) return system_failure("recv");
    if (count == 0) return {errc::system_error, "the daemon closed the connection"};
    auto octets = bytes_view{buffer}.first(static_cast<std::size_t>(count));
    if (auto added = input_.add(octets); !added) return added.failure();
  }
}

result<vici::message> control_connection::call(std::string command, vici::message request,
                                               const on_event& tell) {
  using vici::packet_type;
  if (auto sent = send({packet_type::command_request, command, std::move(request)}); !sent)
    return sent.failure();
  for (;;) {
    auto packet = receive();
    if (!packet) return packet.failure();
    if (packet->type == packet_type::command_response) return std::move(packet->body);
    if (packet->type == packet_type::command_unknown)
      return {errc::not_supported, "the daemon does not know the command '" + command + "'"};
    if (packet->type == packet_type::event && tell) tell(*packet);
  }
}

status control_connection::listen_to(std::string event) {
  using vici::packet_type;
  if (auto sent = send({packet_type::event_register, event, {}}); !sent) return sent;
  for (;;) {
    auto packet = receive();
    if (!packet) return packet.failure();
    if (packet->type == packet_type::event_confirm) return {};
    if (packet->type == packet_type::event_unknown)
      return {errc::not_supported, "the daemon does not know the event '" + event + "'"};
  }
}

status control_connection::follow(const on_event& tell) {
  for (;;) {
    auto packet = receive();
    if (!packet) return packet.failure();
    if (packet->type == vici::packet_type::event) tell(*packet);
  }
}

}  // namespace imago
