#include "daemon/sandbox.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/sched.h>
#include <net/if.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace imago {

namespace {

// -- the list

// Allowed whatever the arguments are.
constexpr int plain_calls[] = {
    // Threads and their memory.
    SCMP_SYS(brk),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(futex),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(gettid),
    SCMP_SYS(getpid),
    SCMP_SYS(getppid),
    SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sched_getparam),
    SCMP_SYS(sched_getscheduler),
    SCMP_SYS(getcpu),
    SCMP_SYS(membarrier),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(sysinfo),
    SCMP_SYS(uname),
    SCMP_SYS(getrusage),
    // Who we are, which libraries ask.
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getegid),
    // Signals: sigwait, abort.
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigtimedwait),
    SCMP_SYS(sigaltstack),
    // Time and chance; most of these are answered by the vDSO where there is one.
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(getrandom),
    // What is open: the log, TUN, sockets; and files to read, when the configuration is read again.
    SCMP_SYS(read),
    SCMP_SYS(readv),
    SCMP_SYS(pread64),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    SCMP_SYS(lseek),
    SCMP_SYS(close),
    SCMP_SYS(fcntl),
    SCMP_SYS(fstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(stat),
    SCMP_SYS(lstat),
    SCMP_SYS(statx),
    SCMP_SYS(getdents64),
    SCMP_SYS(getcwd),
    SCMP_SYS(access),
    SCMP_SYS(faccessat),
    SCMP_SYS(readlink),
    SCMP_SYS(readlinkat),
    // The control socket's name, at the end. What else it could remove is systemd's to protect.
    SCMP_SYS(unlink),
    SCMP_SYS(unlinkat),
    // Packets, netlink messages, control clients.
    SCMP_SYS(connect),
    SCMP_SYS(accept4),
    SCMP_SYS(sendto),
    SCMP_SYS(sendmsg),
    SCMP_SYS(sendmmsg),
    SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg),
    SCMP_SYS(recvmmsg),
    SCMP_SYS(getsockname),
    SCMP_SYS(getpeername),
    SCMP_SYS(getsockopt),
    SCMP_SYS(setsockopt),
    SCMP_SYS(shutdown),
    SCMP_SYS(bind),  // netlink sockets that are made late
    // Waiting.
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(epoll_create1),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(eventfd2),
    SCMP_SYS(timerfd_create),
    SCMP_SYS(timerfd_settime),
};

// The control socket is made after the filter is in force, and then never again. The filter that
// takes these away is the last one, so that seccomp goes with them.
constexpr int opening_calls[] = {
    SCMP_SYS(mkdir),    SCMP_SYS(mkdirat), SCMP_SYS(chmod),   SCMP_SYS(fchmod),
    SCMP_SYS(fchmodat), SCMP_SYS(listen),  SCMP_SYS(seccomp),
};

// A journal in the state folder: begun, appended to, replaced by a shorter one.
constexpr int file_calls[] = {
    SCMP_SYS(openat), SCMP_SYS(ftruncate), SCMP_SYS(flock),     SCMP_SYS(rename),
    SCMP_SYS(fsync),  SCMP_SYS(fdatasync), SCMP_SYS(renameat2),
};

struct checked_call {
  int call;
  std::vector<scmp_arg_cmp> arguments;  // all of them
};

scmp_arg_cmp equals(unsigned index, std::uint64_t value) { return {index, SCMP_CMP_EQ, value, 0}; }
scmp_arg_cmp masked(unsigned index, std::uint64_t mask, std::uint64_t value) {
  return {index, SCMP_CMP_MASKED_EQ, mask, value};
}

constexpr std::uint64_t socket_type_mask = 0xf;  // without SOCK_CLOEXEC, SOCK_NONBLOCK
constexpr std::uint64_t writes_mask = O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND;

// Allowed with these arguments only.
std::vector<checked_call> checked_calls() {
  std::vector<checked_call> calls = {
      // Threads, never processes. clone3 has its arguments in memory, where no filter sees them.
      {SCMP_SYS(clone), {masked(0, CLONE_THREAD, CLONE_THREAD)}},
      // Memory is written or executed, and new memory is not executed at all.
      {SCMP_SYS(mmap), {masked(2, PROT_EXEC, 0)}},
      {SCMP_SYS(mprotect), {masked(2, PROT_EXEC, 0)}},
      {SCMP_SYS(openat), {masked(2, writes_mask, O_RDONLY)}},
      {SCMP_SYS(prctl), {equals(0, PR_SET_NAME)}},
      {SCMP_SYS(prlimit64), {equals(2, 0)}},                                    // read, not set
      {SCMP_SYS(tgkill), {equals(0, static_cast<std::uint64_t>(::getpid()))}},  // abort()
      // No raw and no packet sockets. The addresses of routes, the control socket, netlink.
      {SCMP_SYS(socket), {equals(0, AF_UNIX)}},
      {SCMP_SYS(socket), {equals(0, AF_INET), masked(1, socket_type_mask, SOCK_DGRAM)}},
      {SCMP_SYS(socket), {equals(0, AF_INET6), masked(1, socket_type_mask, SOCK_DGRAM)}},
      {SCMP_SYS(socket), {equals(0, AF_NETLINK), equals(2, NETLINK_ROUTE)}},
      {SCMP_SYS(socket), {equals(0, AF_NETLINK), equals(2, NETLINK_XFRM)}},
  };
  for (std::uint64_t one : {TCGETS, SIOCGIFINDEX, SIOCGIFNAME, SIOCGIFFLAGS, SIOCGIFMTU})
    calls.push_back({SCMP_SYS(ioctl), {masked(1, 0xffffffff, one)}});
  return calls;
}

// -- from the list to the kernel

struct release_filter {
  void operator()(void* filter) const { seccomp_release(filter); }
};
using filter_owner = std::unique_ptr<void, release_filter>;

error refused(const std::string& what, int code) {
  return {errc::system_error,
          "sandbox: " + what + " (" + std::strerror(code < 0 ? -code : code) + ")"};
}

// For all threads (TSYNC); what is refused is in the kernel's audit log (CTL_LOG, where it is
// known).
result<filter_owner> new_filter(std::uint32_t otherwise) {
  filter_owner made{seccomp_init(otherwise)};
  if (!made) return refused("libseccomp", ENOMEM);
  if (int code = seccomp_attr_set(made.get(), SCMP_FLTATR_CTL_TSYNC, 1); code != 0)
    return refused("this kernel cannot filter all threads at once", code);
  (void)seccomp_attr_set(made.get(), SCMP_FLTATR_CTL_LOG, 1);
  (void)seccomp_attr_set(made.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);  // a tree, not a long chain
  return made;
}

// A call that this architecture does not have is no error.
int add_rule(const filter_owner& filter, std::uint32_t action, const checked_call& one) {
  return seccomp_rule_add_array(filter.get(), action, one.call,
                                static_cast<unsigned>(one.arguments.size()), one.arguments.data());
}

int allow_all(const filter_owner& filter, const std::vector<checked_call>& calls) {
  for (const auto& one : calls)
    if (int code = add_rule(filter, SCMP_ACT_ALLOW, one); code != 0) return code;
  return 0;
}

template <std::size_t count>
void append(std::vector<checked_call>& calls, const int (&more)[count]) {
  for (int one : more) calls.push_back({one, {}});
}

std::size_t count_calls(const std::vector<checked_call>& calls) {
  std::vector<int> numbers;
  for (const auto& one : calls) numbers.push_back(one.call);
  std::sort(numbers.begin(), numbers.end());
  return static_cast<std::size_t>(
      std::distance(numbers.begin(), std::unique(numbers.begin(), numbers.end())));
}

status load(const filter_owner& filter) {
  if (int code = seccomp_load(filter.get()); code != 0)
    return refused("the kernel did not take the filter; --no-sandbox does without", code);
  return {};
}

}  // namespace

bool has_sandbox() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
  return false;
#else
  return true;
#endif
#else
  return true;
#endif
}

result<std::size_t> enter_sandbox(const sandbox_rules& rules) {
  auto filter = new_filter(SCMP_ACT_ERRNO(EPERM));
  if (!filter) return filter.failure();
  auto calls = checked_calls();
  append(calls, plain_calls);
  append(calls, opening_calls);
  if (rules.keeps_files) {
    // A rule without arguments beside one with them is refused; this one says it all.
    std::erase_if(calls, [](const auto& one) { return one.call == SCMP_SYS(openat); });
    append(calls, file_calls);
  }
  if (int code = allow_all(*filter, calls); code != 0) return refused("its list", code);
  // The C library takes clone instead only if there seems to be no clone3.
  if (int code = add_rule(*filter, SCMP_ACT_ERRNO(ENOSYS), {SCMP_SYS(clone3), {}}); code != 0)
    return refused("clone3", code);
  if (auto loaded = load(*filter); !loaded) return loaded.failure();
  return count_calls(calls);
}

status close_sandbox() {
  auto filter = new_filter(SCMP_ACT_ALLOW);  // the first filter still has its say
  if (!filter) return filter.failure();
  // It is set already, and prctl would be refused.
  (void)seccomp_attr_set(filter->get(), SCMP_FLTATR_CTL_NNP, 0);
  for (int one : opening_calls)
    if (int code = add_rule(*filter, SCMP_ACT_ERRNO(EPERM), {one, {}}); code != 0)
      return refused("its second list", code);
  return load(*filter);
}

}  // namespace imago
