// The operating system's files behind file_access.
#include <cerrno>
#include <system_error>

#include <fcntl.h>
#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/limits.hpp"
#include "core/config/settings.hpp"

namespace imago::config {
namespace {

error system_failure(const std::string& path) {
  int code = errno;
  return {code == ENOENT || code == ENOTDIR ? errc::not_found : errc::system_error,
          path + " (" + std::generic_category().message(code) + ")"};
}

class open_file {
 public:
  // Without waiting, should it be a FIFO.
  explicit open_file(const std::string& path)
      : descriptor_{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)} {}
  open_file(const open_file&) = delete;
  open_file& operator=(const open_file&) = delete;
  ~open_file() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  int descriptor() const { return descriptor_; }

 private:
  int descriptor_;
};

result<std::string> read_file(const std::string& path) {
  open_file file{path};
  struct stat about {};
  if (file.descriptor() < 0 || ::fstat(file.descriptor(), &about) != 0) return system_failure(path);
  if (!S_ISREG(about.st_mode)) return error{errc::system_error, path + " (not a regular file)"};
  if (static_cast<std::uintmax_t>(about.st_size) > limits::config_text_size_max)
    return error{errc::limit_exceeded, path};
  std::string text(static_cast<std::size_t>(about.st_size), '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    auto count = ::read(file.descriptor(), text.data() + size, text.size() - size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return system_failure(path);
    if (count == 0) break;
    size += static_cast<std::size_t>(count);
  }
  text.resize(size);
  return text;
}

std::vector<std::string> glob_files(const std::string& pattern) {
  ::glob_t found{};
  std::vector<std::string> paths;
  if (::glob(pattern.c_str(), 0, nullptr, &found) == 0)
    for (std::size_t i = 0; i < found.gl_pathc; ++i) {
      struct stat about {};
      if (::stat(found.gl_pathv[i], &about) == 0 && !S_ISDIR(about.st_mode))
        paths.emplace_back(found.gl_pathv[i]);
    }
  ::globfree(&found);
  return paths;
}

}  // namespace

file_access real_files() { return {read_file, glob_files}; }

}  // namespace imago::config
