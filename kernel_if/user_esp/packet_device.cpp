#include "kernel_if/user_esp/packet_device.hpp"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace imago::kernel_if::user_esp {

namespace {

class descriptor_owner {
 public:
  explicit descriptor_owner(int descriptor) : descriptor_{descriptor} {}
  ~descriptor_owner() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  descriptor_owner(const descriptor_owner&) = delete;
  descriptor_owner& operator=(const descriptor_owner&) = delete;
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

class tun_device final : public packet_device {
 public:
  explicit tun_device(int descriptor) : descriptor_{descriptor} {}
  int descriptor() const override { return descriptor_.get(); }
  const std::string& name() const override { return name_; }
  void set_name(std::string name) { name_ = std::move(name); }

 private:
  descriptor_owner descriptor_;
  std::string name_;
};

error refused(const std::string& what) {
  int code = errno;
  std::string where = what + ": " + std::strerror(code);
  if (code == EPERM || code == EACCES) where += " (needs CAP_NET_ADMIN)";
  if (code == ENOENT || code == ENODEV || code == ENXIO) where += " (is the tun module loaded?)";
  return {errc::system_error, where};
}

status bring_up(const std::string& name, std::uint32_t mtu) {
  descriptor_owner control{socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  if (control.get() < 0) return refused("socket");
  ifreq request{};
  std::strncpy(request.ifr_name, name.c_str(), IFNAMSIZ - 1);
  request.ifr_mtu = static_cast<int>(mtu);
  if (ioctl(control.get(), SIOCSIFMTU, &request) != 0) return refused("MTU of " + name);
  if (ioctl(control.get(), SIOCGIFFLAGS, &request) != 0) return refused("flags of " + name);
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  if (ioctl(control.get(), SIOCSIFFLAGS, &request) != 0) return refused("bringing up " + name);
  return {};
}

}  // namespace

result<std::unique_ptr<packet_device>> open_tun(const std::string& name, std::uint32_t mtu) {
  if (name.size() >= IFNAMSIZ) return {errc::bad_value, "device name " + escaped(name)};
  auto made = std::make_unique<tun_device>(open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (made->descriptor() < 0) return refused("/dev/net/tun");
  ifreq request{};
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  std::strncpy(request.ifr_name, name.c_str(), IFNAMSIZ - 1);
  if (ioctl(made->descriptor(), TUNSETIFF, &request) != 0) return refused("TUN device " + name);
  made->set_name(request.ifr_name);
  if (auto up = bring_up(made->name(), mtu); !up) return up.failure();
  return std::unique_ptr<packet_device>{std::move(made)};
}

}  // namespace imago::kernel_if::user_esp
