#include "kernel_if/udp/local_address.hpp"

#include <cerrno>
#include <cstring>

#include <sys/socket.h>
#include <unistd.h>

#include "kernel_if/udp/socket_address.hpp"

namespace imago::kernel_if {

result<ip_address> local_address_for(const endpoint& remote, std::optional<std::uint32_t> mark) {
  auto to = socket_address::from(remote);
  int descriptor = socket(to.storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return {errc::system_error, std::string{"socket: "} + strerror(errno)};
  if (mark) (void)setsockopt(descriptor, SOL_SOCKET, SO_MARK, &*mark, sizeof *mark);
  socket_address from;
  from.size = sizeof from.storage;
  bool routed =
      connect(descriptor, reinterpret_cast<const sockaddr*>(&to.storage), to.size) == 0 &&
      getsockname(descriptor, reinterpret_cast<sockaddr*>(&from.storage), &from.size) == 0;
  auto reason = std::string{strerror(errno)};
  close(descriptor);
  auto local = routed ? from.to_endpoint() : std::nullopt;
  if (!local)
    return {errc::peer_unreachable, "no route to " + remote.address.text() + ": " + reason};
  return local->address;
}

}  // namespace imago::kernel_if
