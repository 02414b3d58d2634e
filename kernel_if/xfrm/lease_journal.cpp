#include "kernel_if/xfrm/lease_journal.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

namespace imago::kernel_if::xfrm {

namespace {

error failed(const std::string& path) {
  return {errc::system_error, path + ": " + std::strerror(errno)};
}

result<lease_origin> origin_here() {
  lease_origin here;
  std::ifstream boot{"/proc/sys/kernel/random/boot_id"};
  std::getline(boot, here.boot);
  struct stat seen {};
  if (::stat("/proc/thread-self/ns/net", &seen) != 0) return failed("network namespace");
  here.namespace_device = seen.st_dev;
  here.namespace_inode = seen.st_ino;
  if (::getrandom(&here.salt, sizeof here.salt, 0) != static_cast<ssize_t>(sizeof here.salt))
    return failed("getrandom");
  return here;
}

// The file itself, locked, and not one that was replaced while we waited for it.
result<int> open_locked(const std::string& path) {
  for (int tries = 0; tries < 8; ++tries) {
    int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (descriptor < 0) return failed(path);
    struct stat mine {
    }, named{};
    if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
      bool is_held = errno == EWOULDBLOCK;
      auto why = failed(path);
      ::close(descriptor);
      if (is_held) return {errc::already_exists, path + ": another process has it"};
      return why;
    }
    if (::fstat(descriptor, &mine) == 0 && ::stat(path.c_str(), &named) == 0 &&
        mine.st_ino == named.st_ino && mine.st_dev == named.st_dev)
      return descriptor;
    ::close(descriptor);
  }
  return {errc::system_error, path + ": it changes all the time"};
}

}  // namespace

result<std::unique_ptr<lease_journal>> lease_journal::open(lease_journal_options options) {
  std::unique_ptr<lease_journal> made{new lease_journal};
  made->options_ = std::move(options);
  const auto& folder = made->options_.folder;
  if (::mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) return failed(folder);
  auto here = origin_here();
  if (!here) return here.failure();
  made->origin_ = *here;
  made->path_ = folder + "/leases-" + std::to_string(here->namespace_inode);
  auto descriptor = open_locked(made->path_);
  if (!descriptor) return descriptor.failure();
  made->descriptor_ = *descriptor;
  if (auto ready = made->read_or_begin(); !ready) return ready.failure();
  return made;
}

lease_journal::~lease_journal() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

// What was left behind here keeps its salt: its labels are made with it.
status lease_journal::read_or_begin() {
  bytes octets;
  bytes part(std::size_t{64} * 1024);
  for (off_t at = 0; octets.size() < options_.octets_max;) {
    auto size = ::pread(descriptor_, part.data(), part.size(), at);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return failed(path_);
    if (size == 0) break;
    append(octets, bytes_view{part}.first(static_cast<std::size_t>(size)));
    at += size;
  }
  auto found = parse_leases(octets);
  if (!found || !found->origin.is_same_place(origin_)) return begin_anew();
  origin_ = found->origin;
  leases_ = std::move(found->leases);
  file_octets_ = found->octets;
  // What is cut off or spoilt goes, so that what follows can be read.
  if (::ftruncate(descriptor_, static_cast<off_t>(file_octets_)) != 0 ||
      ::lseek(descriptor_, 0, SEEK_END) < 0)
    return failed(path_);
  return {};
}

status lease_journal::begin_anew() {
  auto header = encode_lease_header(origin_);
  if (::ftruncate(descriptor_, 0) != 0 || ::lseek(descriptor_, 0, SEEK_SET) < 0 ||
      !write_all(descriptor_, header))
    return failed(path_);
  file_octets_ = header.size();
  return {};
}

bool lease_journal::write_all(int descriptor, bytes_view octets) {
  ++writes_;
  while (!octets.empty()) {
    auto written = ::write(descriptor, octets.data(), octets.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    octets = octets.subspan(static_cast<std::size_t>(written));
  }
  return true;
}

void lease_journal::note(const sa_lease& one) {
  auto& versions = leases_.sas[one.key];
  if (!versions.empty() && versions.back() == one) return;
  versions = {one};
  append(pending_, encode_lease(one));
}

void lease_journal::note(const policy_entry& one) {
  auto& versions = leases_.policies[one.key];
  if (!versions.empty() && versions.back() == one) return;
  versions = {one};
  append(pending_, encode_lease(one));
}

void lease_journal::note_end(const sa_key& key) {
  if (leases_.sas.erase(key) != 0) append(pending_, encode_lease_end(key));
}

void lease_journal::note_end(const policy_key& key) {
  if (leases_.policies.erase(key) != 0) append(pending_, encode_lease_end(key));
}

void lease_journal::clear() {
  leases_ = {};
  pending_.clear();
  if (!begin_anew()) is_broken_ = true;
}

bytes lease_journal::snapshot() const {
  auto octets = encode_lease_header(origin_);
  for (const auto& [key, versions] : leases_.sas)
    for (const auto& one : versions) append(octets, encode_lease(one));
  for (const auto& [key, versions] : leases_.policies)
    for (const auto& one : versions) append(octets, encode_lease(one));
  return octets;
}

bool lease_journal::flush() {
  if (is_broken_) return pending_.clear(), true;
  if (pending_.empty()) return true;
  bool is_large = file_octets_ + pending_.size() > options_.compaction_least;
  bytes whole;
  // Only where it is worth it: at least half of what is there must be about what is gone. The
  // length of what lives is guessed, from the longest records there are.
  constexpr std::size_t record_octets_most = 160;
  if (is_large && file_octets_ > 2 * record_octets_most * leases_.size()) whole = snapshot();
  if (whole.empty()) {
    is_broken_ =
        file_octets_ + pending_.size() > options_.octets_max || !write_all(descriptor_, pending_);
    file_octets_ += pending_.size();
    pending_.clear();
    return !is_broken_;
  }
  // A whole new file takes the place of the old one at once.
  auto next_path = path_ + ".new";
  int next = ::open(next_path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  is_broken_ = next < 0 || ::flock(next, LOCK_EX | LOCK_NB) != 0 || !write_all(next, whole) ||
               std::rename(next_path.c_str(), path_.c_str()) != 0;
  if (is_broken_) {
    if (next >= 0) ::close(next);
    return false;
  }
  ::close(std::exchange(descriptor_, next));
  file_octets_ = whole.size();
  pending_.clear();
  return true;
}

}  // namespace imago::kernel_if::xfrm
