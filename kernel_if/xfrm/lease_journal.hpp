// The file of leases (lease_records.hpp): what is in the kernel because of us, so that whoever
// comes after us, should we be killed, can take it away.
//
// Data path: driver -> note() -> memory -> flush(), one write() for all since the last, just before
// the requests themselves leave. No fsync: the file need only outlive the process, and what it
// speaks of does not outlive the host. It is rewritten when most of it is about what is gone.
// Not thread-safe.
#pragma once

#include <memory>
#include <string>

#include "kernel_if/xfrm/lease_records.hpp"

namespace imago::kernel_if::xfrm {

struct lease_journal_options {
  std::string folder;                               // made if it is not there; not its parents
  std::size_t compaction_least = 1 << 20;           // octets below which it is never rewritten
  std::size_t octets_max = std::size_t{256} << 20;  // beyond that nothing more is noted
};

class lease_journal {
 public:
  // One file a network namespace: "leases-<its inode>". What is in it is read, unless it is of
  // another boot. Errors: system_error; already_exists: a living process has it.
  static result<std::unique_ptr<lease_journal>> open(lease_journal_options options);
  ~lease_journal();
  lease_journal(const lease_journal&) = delete;
  lease_journal& operator=(const lease_journal&) = delete;

  // All that was noted and is not gone. After open(): what was left behind.
  const lease_set& leases() const { return leases_; }
  std::uint64_t salt() const { return origin_.salt; }

  void note(const sa_lease& one);
  void note(const policy_entry& one);
  void note_end(const sa_key& key);
  void note_end(const policy_key& key);
  void clear();  // all is gone
  // False: the file cannot be written; said once, then nothing is noted any more.
  bool flush();

  const std::string& path() const { return path_; }
  std::size_t file_octets() const { return file_octets_; }
  std::uint64_t writes() const { return writes_; }

 private:
  lease_journal() = default;
  status read_or_begin();
  status begin_anew();
  bool write_all(int descriptor, bytes_view octets);
  bytes snapshot() const;

  lease_journal_options options_;
  std::string path_;
  int descriptor_ = -1;
  lease_origin origin_;
  lease_set leases_;
  bytes pending_;
  std::size_t file_octets_ = 0;
  std::uint64_t writes_ = 0;
  bool is_broken_ = false;
};

}  // namespace imago::kernel_if::xfrm
