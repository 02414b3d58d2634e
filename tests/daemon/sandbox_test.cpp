// What imagod's sandbox refuses and what it leaves, each tried by a process of its own.
#include "daemon/sandbox.hpp"

#include <atomic>
#include <cerrno>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/privileges.hpp"

namespace {

using namespace imago;  // NOLINT(google-build-using-namespace): a test

constexpr int not_confined = 250;  // no errno: the sandbox itself was refused
constexpr int signalled = 251;     // nor this: it did not live to say

// errno of a system call that failed, else 0.
int outcome_of(long returned) { return returned < 0 ? errno : 0; }

// What `body` returns, an errno or 0, in a process of its own.
int in_child(const std::function<int()>& body) {
  auto child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) ::_exit(body());
  int how = 0;
  REQUIRE(::waitpid(child, &how, 0) == child);
  return WIFEXITED(how) ? WEXITSTATUS(how) : signalled;
}

int in_sandbox(const std::function<int()>& body, sandbox_rules rules = {}, bool is_closed = true) {
  return in_child([&] {
    if (!enter_sandbox(rules) || (is_closed && !close_sandbox())) return not_confined;
    return body();
  });
}

struct attempt {
  std::string what;
  std::function<int()> body;
};

int run_true() {
  char path[] = "/bin/true";
  char* const arguments[] = {path, nullptr};
  return outcome_of(::execve(path, arguments, nullptr));
}

int fork_once() {
  auto child = ::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr);
  if (child == 0) ::_exit(0);
  return outcome_of(child);
}

int map_executable() {
  auto* at = ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return at == MAP_FAILED ? errno : 0;
}

int make_executable() {
  auto* at = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return at == MAP_FAILED ? 0 : outcome_of(::mprotect(at, 4096, PROT_READ | PROT_EXEC));
}

int call(long number, long first = 0, long second = 0, long third = 0, long fourth = 0) {
  return outcome_of(::syscall(number, first, second, third, fourth));
}

// Harmless where nothing refuses them: arguments are wrong, or ask for what is so already.
std::vector<attempt> never_done() {
  return {
      {"execve", run_true},
      {"a new process", fork_once},
      {"ptrace", [] { return outcome_of(::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr)); }},
      {"process_vm_readv", [] { return call(SYS_process_vm_readv, ::getpid()); }},
      {"kill", [] { return outcome_of(::kill(::getpid(), 0)); }},
      {"mount", [] { return outcome_of(::mount("none", "/nowhere/at/all", "tmpfs", 0, nullptr)); }},
      {"umount", [] { return outcome_of(::umount2("/nowhere/at/all", 0)); }},
      {"chroot", [] { return outcome_of(::chroot("/nowhere/at/all")); }},
      {"chdir", [] { return outcome_of(::chdir("/")); }},
      {"setns", [] { return call(SYS_setns, -1); }},
      {"unshare", [] { return call(SYS_unshare, 0); }},
      {"init_module", [] { return call(SYS_init_module); }},
      {"finit_module", [] { return call(SYS_finit_module, -1); }},
      {"kexec_load", [] { return call(SYS_kexec_load, 0, 0, 0, 0xffff); }},
      {"reboot", [] { return call(SYS_reboot); }},
      {"bpf", [] { return call(SYS_bpf, -1); }},
      {"perf_event_open", [] { return call(SYS_perf_event_open); }},
      {"userfaultfd", [] { return call(SYS_userfaultfd, -1); }},
      {"io_uring_setup", [] { return call(SYS_io_uring_setup); }},
      {"keyctl", [] { return call(SYS_keyctl, KEYCTL_GET_KEYRING_ID, -1); }},
      {"memfd_create", [] { return outcome_of(::memfd_create("test", 0)); }},
      {"setuid", [] { return outcome_of(::setuid(::getuid())); }},
      {"capset", [] { return call(SYS_capset); }},
      {"another seccomp filter", [] { return call(SYS_seccomp, 99); }},
      {"PR_SET_DUMPABLE", [] { return outcome_of(::prctl(PR_SET_DUMPABLE, 1)); }},
      {"personality", [] { return call(SYS_personality, 0xffffffff); }},
      {"executable memory", map_executable},
      {"memory made executable", make_executable},
      {"a packet socket",
       [] { return outcome_of(::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0)); }},
      {"a raw socket",
       [] { return outcome_of(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_UDP)); }},
      {"a raw socket of IPv6",
       [] { return outcome_of(::socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_UDP)); }},
      {"a TCP socket", [] { return outcome_of(::socket(AF_INET, SOCK_STREAM, 0)); }},
      {"a netlink socket that is not ours",
       [] { return outcome_of(::socket(AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT)); }},
      {"writing below /etc", [] { return outcome_of(::open("/etc/passwd", O_WRONLY)); }},
      {"appending to /dev/null", [] { return outcome_of(::open("/dev/null", O_RDWR | O_APPEND)); }},
      {"rename", [] { return outcome_of(::rename("/nowhere/a", "/nowhere/b")); }},
      {"mkdir", [] { return outcome_of(::mkdir("/nowhere/at/all", 0700)); }},
      {"chmod", [] { return outcome_of(::chmod("/nowhere/at/all", 0700)); }},
      {"chown", [] { return outcome_of(::chown("/nowhere/at/all", 0, 0)); }},
      {"listen", [] { return outcome_of(::listen(-1, 1)); }},
  };
}

int start_thread() {
  std::atomic<int> seen{0};
  std::thread{[&] { seen = 1; }}.join();
  return seen == 1 ? 0 : ECHILD;
}

int read_a_file() {
  std::ifstream file{"/proc/self/status"};
  std::string line;
  return std::getline(file, line) ? 0 : EIO;
}

std::vector<attempt> still_done() {
  return {
      {"a thread", start_thread},
      {"reading a file", read_a_file},
      {"a UDP socket", [] { return outcome_of(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)); }},
      {"an rtnetlink socket",
       [] { return outcome_of(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)); }},
      {"a control client's socket", [] { return outcome_of(::socket(AF_UNIX, SOCK_STREAM, 0)); }},
      {"an eventfd", [] { return outcome_of(::eventfd(0, EFD_CLOEXEC)); }},
      {"the name of a thread", [] { return outcome_of(::prctl(PR_SET_NAME, "tested")); }},
  };
}

std::string status_line(const std::string& name) {
  std::ifstream file{"/proc/self/status"};
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(name + ":\t")) return line.substr(name.size() + 2);
  return {};
}

}  // namespace

TEST_CASE("sandbox: what the daemon never does is refused with EPERM, and was not before") {
  if (!has_sandbox()) return;
  for (const auto& one : never_done()) {
    CAPTURE(one.what);
    auto before = in_child(one.body);
    if (before == EPERM && ::geteuid() != 0)
      MESSAGE("refused to this user without a sandbox, too: ", one.what);
    else
      CHECK(before != EPERM);
    CHECK(in_sandbox(one.body) == EPERM);
  }
}

TEST_CASE("sandbox: what the daemon goes on doing is allowed") {
  if (!has_sandbox()) return;
  for (const auto& one : still_done()) {
    CAPTURE(one.what);
    CHECK(in_sandbox(one.body) == 0);
  }
}

TEST_CASE("sandbox: a thread that was there before is in it, too") {
  if (!has_sandbox()) return;
  auto found = in_child([] {
    std::atomic<bool> is_entered{false};
    int outcome = 0;
    std::thread earlier{[&] {
      is_entered.wait(false);
      outcome = run_true();
    }};
    bool is_confined = enter_sandbox({}).has_value();
    is_entered = true;
    is_entered.notify_all();
    earlier.join();
    return is_confined ? outcome : not_confined;
  });
  CHECK(found == EPERM);
}

TEST_CASE("sandbox: the control socket can be made until it is closed") {
  if (!has_sandbox()) return;
  auto make_folder = [] { return outcome_of(::mkdir("/nowhere/at/all", 0700)); };
  CHECK(in_sandbox(make_folder, {}, false) == ENOENT);
  CHECK(in_sandbox(make_folder) == EPERM);
}

TEST_CASE("sandbox: files are written only by a daemon that keeps some") {
  if (!has_sandbox()) return;
  char path[] = "/tmp/imago-sandbox-XXXXXX";
  int made = ::mkstemp(path);
  REQUIRE(made >= 0);
  ::close(made);
  auto write_file = [&] { return outcome_of(::open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600)); };
  CHECK(in_sandbox(write_file) == EPERM);
  CHECK(in_sandbox(write_file, {.keeps_files = true}) == 0);
  CHECK(in_sandbox(run_true, {.keeps_files = true}) == EPERM);
  ::unlink(path);
}

TEST_CASE("sandbox: it is a filter and no_new_privs, as the kernel sees it") {
  if (!has_sandbox()) return;
  auto found = in_sandbox([] {
    return status_line("Seccomp") == "2" && status_line("NoNewPrivs") == "1" ? 0 : EINVAL;
  });
  CHECK(found == 0);
}

TEST_CASE("privileges: two capabilities at most stay, and no exec brings others back") {
  constexpr const char* kept_most = "0000000000001400";  // CAP_NET_ADMIN, CAP_NET_BIND_SERVICE
  const bool is_root = ::geteuid() == 0;
  auto found = in_child([&] {
    if (!drop_privileges()) return 1;
    if (is_root && status_line("CapBnd") != kept_most) return 2;
    for (const auto* name : {"CapPrm", "CapEff"})
      if (status_line(name) != (is_root ? kept_most : "0000000000000000")) return 3;
    for (const auto* name : {"CapInh", "CapAmb"})
      if (status_line(name) != "0000000000000000") return 4;
    return status_line("NoNewPrivs") == "1" ? 0 : 5;
  });
  CHECK(found == 0);
}

TEST_CASE("privileges: another user has the two capabilities and none of root's files") {
  if (::geteuid() != 0) return;
  auto found = in_child([] {
    if (!drop_privileges("nobody")) return 1;
    if (::getuid() == 0 || ::geteuid() == 0 || ::getgid() == 0) return 2;
    if (status_line("CapEff") != "0000000000001400") return 3;
    if (::setuid(0) == 0) return 4;
    return ::open("/etc/shadow", O_RDONLY) < 0 && errno == EACCES ? 0 : 5;
  });
  CHECK(found == 0);
}

TEST_CASE("privileges: an unknown user is an error, not root") {
  auto dropped = drop_privileges("no-such-user-of-imago");
  REQUIRE(!dropped.has_value());
  CHECK(dropped.failure().code == errc::not_found);
}
