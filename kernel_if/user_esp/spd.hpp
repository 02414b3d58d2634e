// The outbound SPD (RFC 4301 §4.4.1) of user-space ESP.
//
// Order: the narrower policy is asked first (protocol, then ports, then addresses), of two equals
// the newer. Policies to a single host are found by that host, so ten thousand of them cost no
// more than one; others are asked in order.
#pragma once

#include <list>
#include <unordered_map>
#include <vector>

#include "core/base/time.hpp"
#include "core/data_plane/values.hpp"
#include "kernel_if/user_esp/ip_packet.hpp"

namespace imago::kernel_if::user_esp {

struct spd_entry {
  data_plane::policy policy;
  std::uint32_t count = 0;  // how often installed
  std::uint64_t narrowness = 0;
  std::uint64_t order = 0;          // grows with installation
  std::optional<instant> acquired;  // when sa_acquired was last told
};

class spd {
 public:
  // A policy that is there already is counted: it goes with its last remove.
  void add(const data_plane::policy& policy);
  // not_found unless installed exactly so.
  status remove(const data_plane::policy& policy);
  void clear();
  // The entry for a packet that leaves; null if there is none.
  spd_entry* find(const ip_packet& packet);
  std::size_t size() const { return entries_.size(); }
  bool has(std::uint32_t reqid) const { return by_reqid_.count(reqid) != 0; }

 private:
  using ranked = std::vector<spd_entry*>;  // best first
  using entries = std::list<spd_entry>;    // addresses stay
  using entries_of_reqids = std::unordered_multimap<std::uint32_t, entries::iterator>;
  void index(spd_entry& entry, bool adds);
  entries_of_reqids::iterator find_same(const data_plane::policy& policy);

  entries entries_;
  entries_of_reqids by_reqid_;
  ranked general_;
  std::unordered_map<ip_address, ranked> by_host_;
  std::uint64_t installed_count_ = 0;
};

}  // namespace imago::kernel_if::user_esp
