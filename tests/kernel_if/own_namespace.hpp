// Runs a function in a child process, where it may make network namespaces of its own.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>

#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

namespace imago::testing {

// What the child says: empty if all went well, "skip: why", or what failed.
inline std::string in_child(const std::function<std::string()>& function) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return "pipe2";
  std::fflush(nullptr);  // else the child would print it again
  pid_t child = fork();
  if (child < 0) return "fork";
  if (child == 0) {
    auto text = function();
    if (write(ends[1], text.data(), text.size()) != static_cast<ssize_t>(text.size())) _exit(3);
    _exit(0);
  }
  close(ends[1]);
  std::string said;
  char buffer[512];
  for (ssize_t size; (size = read(ends[0], buffer, sizeof buffer)) > 0;)
    said.append(buffer, static_cast<std::size_t>(size));
  close(ends[0]);
  int code = 0;
  waitpid(child, &code, 0);
  if (!WIFEXITED(code) || WEXITSTATUS(code) != 0) return "the child ended badly: " + said;
  return said;
}

// A network namespace, entered by this thread for as long as it takes to set things up in it.
class network_namespace {
 public:
  // Makes one and enters it.
  network_namespace() {
    if (unshare(CLONE_NEWNET) == 0) descriptor_ = open("/proc/thread-self/ns/net", O_CLOEXEC);
  }
  ~network_namespace() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  network_namespace(const network_namespace&) = delete;
  network_namespace& operator=(const network_namespace&) = delete;
  bool is_made() const { return descriptor_ >= 0; }
  int descriptor() const { return descriptor_; }
  bool enter() const { return setns(descriptor_, CLONE_NEWNET) == 0; }

 private:
  int descriptor_ = -1;
};

// Runs a command in the namespace of this thread.
inline bool run(const std::string& command) {
  return std::system((command + " >/dev/null 2>&1").c_str()) == 0;
}
inline std::string output_of(const std::string& command) {
  std::string text;
  FILE* pipe = popen((command + " 2>/dev/null").c_str(), "r");
  if (!pipe) return text;
  char buffer[256];
  while (fgets(buffer, sizeof buffer, pipe)) text += buffer;
  pclose(pipe);
  return text;
}

}  // namespace imago::testing
