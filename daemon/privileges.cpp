#include "daemon/privileges.hpp"

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace imago {

namespace {

constexpr std::uint64_t bit(int capability) { return std::uint64_t{1} << capability; }

constexpr std::uint64_t kept = bit(CAP_NET_ADMIN) | bit(CAP_NET_BIND_SERVICE);

error refused(const std::string& what) {
  return {errc::system_error, "privileges: " + what + " (" + std::strerror(errno) + ")"};
}

struct capability_sets {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> data{};
};

// The bounding set first: dropping from it needs CAP_SETPCAP, which goes with the rest.
status shrink_bounding_set() {
  for (int one = 0; one < 64; ++one) {
    if ((kept & bit(one)) != 0 || ::prctl(PR_CAPBSET_READ, one, 0, 0, 0) != 1) continue;
    if (::prctl(PR_CAPBSET_DROP, one, 0, 0, 0) != 0 && errno != EPERM)
      return refused("the bounding set");
  }
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 && errno != EINVAL)
    return refused("the ambient set");
  return {};
}

// No other thread is there to change what it points to. Null: no such user.
const passwd* find_user(const std::string& name) { return ::getpwnam(name.c_str()); }

error unknown_user(const std::string& name) { return {errc::not_found, "user '" + name + "'"}; }

status become(const std::string& name) {
  const auto* found = find_user(name);
  if (!found) return unknown_user(name);
  if (::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) return refused("PR_SET_KEEPCAPS");
  if (::initgroups(found->pw_name, found->pw_gid) != 0) return refused("groups of '" + name + "'");
  if (::setresgid(found->pw_gid, found->pw_gid, found->pw_gid) != 0 ||
      ::setresuid(found->pw_uid, found->pw_uid, found->pw_uid) != 0)
    return refused("becoming '" + name + "'");
  return {};
}

status shrink_capabilities() {
  capability_sets sets;
  if (::syscall(SYS_capget, &sets.header, sets.data.data()) != 0) return refused("capget");
  for (std::size_t i = 0; i < sets.data.size(); ++i) {
    auto wanted = static_cast<std::uint32_t>(kept >> (32 * i));
    auto& one = sets.data[i];
    one.permitted &= wanted;
    one.effective = one.permitted;
    one.inheritable = 0;
  }
  if (::syscall(SYS_capset, &sets.header, sets.data.data()) != 0) return refused("capset");
  return {};
}

}  // namespace

status make_folder_of(const std::string& folder, const std::string& user) {
  const auto* found = find_user(user);
  if (!found) return unknown_user(user);
  if (::mkdir(folder.c_str(), 0755) != 0) return errno == EEXIST ? status{} : refused(folder);
  if (::chown(folder.c_str(), found->pw_uid, found->pw_gid) != 0) return refused(folder);
  return {};
}

status drop_privileges(const std::string& user) {
  if (auto done = shrink_bounding_set(); !done) return done;
  if (!user.empty())
    if (auto done = become(user); !done) return done;
  if (auto done = shrink_capabilities(); !done) return done;
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return refused("no_new_privs");
  return {};
}

}  // namespace imago
