#include "actors/control.hpp"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "actors/control_io.hpp"

namespace imago::actors {

namespace {

error system_failure(const std::string& what) {
  return {errc::system_error, what + " (" + std::strerror(errno) + ")"};
}

// A socket file that nobody answers on is left from a daemon that crashed.
status remove_stale(const std::string& path, const sockaddr_un& address) {
  struct stat found {};
  if (::lstat(path.c_str(), &found) != 0) return {};
  if (!S_ISSOCK(found.st_mode))
    return {errc::system_error, "control socket " + path + ": there is a file that is no socket"};
  int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (probe < 0) return system_failure("control socket");
  bool is_stale =
      ::connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
      errno == ECONNREFUSED;
  ::close(probe);
  if (!is_stale)
    return {errc::system_error, "control socket " + path + ": another daemon answers there"};
  if (::unlink(path.c_str()) != 0) return system_failure("control socket " + path);
  return {};
}

// /run is empty after a start of the host: the last folder is made if it is missing.
void make_folder(const std::string& path) {
  auto slash = path.rfind('/');
  if (slash != path.npos && slash != 0) (void)::mkdir(path.substr(0, slash).c_str(), 0755);
}

}  // namespace

result<std::string> path_of_control_uri(std::string_view uri) {
  constexpr std::string_view scheme = "unix://";
  std::string text{uri};
  if (!uri.starts_with(scheme)) {
    if (uri.find("://") != uri.npos)
      return {errc::not_supported, "control URI '" + text + "': write unix://PATH"};
    return {errc::bad_value, "control URI '" + text + "': write unix://PATH"};
  }
  auto path = uri.substr(scheme.size());
  if (path.empty() || path.size() >= sizeof(sockaddr_un::sun_path) || path.find('\0') != path.npos)
    return {errc::bad_value, "control URI '" + text + "': the path has 1 to 107 octets"};
  return std::string{path};
}

status control_io::listen(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  make_folder(path);
  if (auto removed = remove_stale(path, address); !removed) return removed;
  listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (listener_ < 0) return system_failure("control socket");
  // The mode of the file to be: nobody else may get in before chmod gives it to the group.
  (void)::fchmod(listener_, 0600);
  if (::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return system_failure("control socket " + path);
  path_ = path;
  struct stat made {};
  if (::chmod(path.c_str(), 0660) != 0 || ::stat(path.c_str(), &made) != 0 ||
      ::listen(listener_, SOMAXCONN) != 0)
    return system_failure("control socket " + path);
  device_ = made.st_dev;
  inode_ = made.st_ino;
  spare_ = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  poll_ = ::epoll_create1(EPOLL_CLOEXEC);
  epoll_event listening{EPOLLIN, {.u64 = 0}};
  epoll_event woken{EPOLLIN, {.u64 = 1}};
  if (poll_ < 0 || ::epoll_ctl(poll_, EPOLL_CTL_ADD, listener_, &listening) != 0 ||
      ::epoll_ctl(poll_, EPOLL_CTL_ADD, waker_->fd(), &woken) != 0)
    return system_failure("control socket: epoll");
  thread_ = std::thread{[this] { run(); }};
  return {};
}

void control_io::stop() {
  if (thread_.joinable()) {
    is_stopping_ = true;
    waker_->call(0);
    thread_.join();
  }
  while (!clients_.empty()) close_client(clients_.begin()->first);
  if (poll_ >= 0) ::close(poll_);
  if (listener_ >= 0) ::close(listener_);
  if (spare_ >= 0) ::close(spare_);
  poll_ = listener_ = spare_ = -1;
  struct stat found {};
  if (!path_.empty() && ::lstat(path_.c_str(), &found) == 0 && found.st_dev == device_ &&
      found.st_ino == inode_)
    (void)::unlink(path_.c_str());
  path_.clear();
}

control_server::control_server() = default;
control_server::~control_server() { stop(); }

result<std::unique_ptr<control_server>> control_server::start(engine_parts& parts,
                                                              std::string_view uri,
                                                              std::function<status()> reload) {
  auto path = path_of_control_uri(uri);
  if (!path) return path.failure();
  auto context = std::make_shared<control_context>(parts, std::move(reload));
  std::unique_ptr<control_server> made{new control_server};
  made->io_ = std::make_unique<control_io>(std::move(context));
  if (auto listening = made->io_->listen(*path); !listening) return listening.failure();
  return made;
}

void control_server::stop() { io_.reset(); }

}  // namespace imago::actors
