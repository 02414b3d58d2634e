#include "kernel_if/xfrm/errors.hpp"

#include <cerrno>
#include <cstring>

namespace imago::kernel_if::xfrm {

namespace {

errc code_of(int code) {
  switch (code) {
    case 0: return errc::data_plane_lost;  // good, and yet nothing came with it
    case ETIMEDOUT: return errc::data_plane_lost;
    case EBUSY:
    case EAGAIN:
    case EINTR: return errc::data_plane_busy;
    case ENOBUFS: return errc::no_buffer_space;
    case ENOMEM: return errc::out_of_memory;
    case EEXIST: return errc::already_exists;
    case ESRCH: return errc::no_such_sa;
    case ENOENT: return errc::not_found;
    case ENOSYS:
    case EPROTONOSUPPORT:
    case EOPNOTSUPP: return errc::not_supported;
    case EINVAL: return errc::bad_value;
    default: return errc::system_error;
  }
}

}  // namespace

error error_of(std::string what, const answer& said) {
  what += ": the kernel said ";
  what += said.code == 0 ? "nothing" : std::strerror(said.code);
  if (!said.text.empty()) what += " (" + said.text + ")";
  if (said.code == EPERM) what += "; CAP_NET_ADMIN is needed";
  return {code_of(said.code), std::move(what)};
}

data_plane::sa_usage usage_of(const sa_image& image, instant now, std::int64_t wall_seconds) {
  data_plane::sa_usage usage;
  usage.octets = image.octets;
  usage.packets = image.packets;
  usage.replayed = image.replayed;
  usage.integrity_failed = image.integrity_failed;
  if (image.last_used_at) {
    // Whole seconds of a clock that may have been set meanwhile: never in the future.
    auto ago = wall_seconds - static_cast<std::int64_t>(*image.last_used_at);
    auto since = std::chrono::seconds{ago < 0 ? 0 : ago};
    usage.last_used = now.since_start > since ? instant{now.since_start - since} : instant{};
  }
  return usage;
}

}  // namespace imago::kernel_if::xfrm
