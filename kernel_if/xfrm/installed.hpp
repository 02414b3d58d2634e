// What the back-end has put into the kernel: how a kernel event finds its SA, what flush removes,
// and who shares a policy.
#pragma once

#include <map>

#include "kernel_if/xfrm/messages.hpp"

namespace imago::kernel_if::xfrm {

struct installed_sa {
  data_plane::sa_id id;
  sa_key key;  // as the kernel knows it; follows the peer's address, the id does not
  bool is_larval = false;
  bool is_gone = false;  // the kernel has ended it; its owner has not said so yet
  ip_address source;
  data_plane::mode mode{};
  std::uint32_t reqid = 0;
  std::optional<endpoint> encap_local;
  std::optional<endpoint> encap_remote;
  data_plane::lifetime lifetime;
  bool reports_first_use = false;  // not yet reported
  // sa_active: see driver_activity.cpp.
  duration activity_interval{};
  bool speaks_at_once = false;  // the kernel tells of each packet, hence of the first
  std::uint64_t packets_seen = 0;
  std::optional<instant> last_active;
  bool is_soft_reported = false;
  std::optional<endpoint> source_reported;
};

class sa_table {
 public:
  installed_sa* find(const data_plane::sa_id& id);
  installed_sa* find(const sa_key& key);  // as events name it
  installed_sa& add(installed_sa one);
  void remove(const data_plane::sa_id& id);
  // The kernel knows it by another name now.
  void rename(installed_sa& one, const sa_key& key);
  const std::map<data_plane::sa_id, installed_sa>& all() const { return sas_; }
  void clear();

 private:
  std::map<data_plane::sa_id, installed_sa> sas_;
  std::map<sa_key, data_plane::sa_id> names_;
};

// What has to be said to the kernel.
struct policy_change {
  enum class what : std::uint8_t { add, update, remove };
  what kind{};
  policy_entry entry;
};

// The kernel has one policy for a selector and direction; of ours several may want it. The newest
// one's is there, those before come back when it goes.
class policy_table {
 public:
  bool has(const data_plane::policy& policy) const { return policies_.count(policy) != 0; }
  // The kernel's entries of a policy that is there.
  const std::vector<policy_entry>& entries_of(const data_plane::policy& policy) const {
    return policies_.at(policy).entries;
  }
  // Counts it; what changes in the kernel.
  std::vector<policy_change> add(const data_plane::policy& policy,
                                 const std::vector<policy_entry>& entries);
  // It must be there.
  std::vector<policy_change> remove(const data_plane::policy& policy);
  // The entries that would change if the SAs of `reqid` moved from `before` to `after`.
  std::vector<policy_change> move(std::uint32_t reqid, const ip_address& before,
                                  const ip_address& after);
  bool wants(std::uint32_t reqid) const { return reqids_.count(reqid) != 0; }
  std::vector<policy_key> keys() const;
  bool empty() const { return policies_.empty(); }
  void clear();

 private:
  struct counted {
    std::uint32_t count = 0;
    std::vector<policy_entry> entries;
  };
  std::map<data_plane::policy, counted> policies_;
  std::map<policy_key, std::vector<policy_entry>> holders_;  // the last is the kernel's
  std::map<std::uint32_t, std::size_t> reqids_;
};

}  // namespace imago::kernel_if::xfrm
