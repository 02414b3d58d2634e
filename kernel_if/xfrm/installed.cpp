#include "kernel_if/xfrm/installed.hpp"

#include <algorithm>

namespace imago::kernel_if::xfrm {

installed_sa* sa_table::find(const data_plane::sa_id& id) {
  auto at = sas_.find(id);
  return at == sas_.end() ? nullptr : &at->second;
}

installed_sa* sa_table::find(const sa_key& key) {
  auto at = names_.find({key.destination, key.spi, {}});
  return at == names_.end() ? nullptr : find(at->second);
}

// Marks are left out of the names: an id has none, so there is one SA for a destination and SPI.
installed_sa& sa_table::add(installed_sa one) {
  names_[{one.key.destination, one.key.spi, {}}] = one.id;
  auto id = one.id;
  return sas_.insert_or_assign(id, std::move(one)).first->second;
}

void sa_table::remove(const data_plane::sa_id& id) {
  auto at = sas_.find(id);
  if (at == sas_.end()) return;
  names_.erase({at->second.key.destination, at->second.key.spi, {}});
  sas_.erase(at);
}

void sa_table::rename(installed_sa& one, const sa_key& key) {
  names_.erase({one.key.destination, one.key.spi, {}});
  one.key = key;
  names_[{key.destination, key.spi, {}}] = one.id;
}

void sa_table::clear() {
  sas_.clear();
  names_.clear();
}

std::vector<policy_change> policy_table::add(const data_plane::policy& policy,
                                             const std::vector<policy_entry>& entries) {
  auto& one = policies_[policy];
  if (++one.count > 1) return {};
  one.entries = entries;
  ++reqids_[policy.reqid];
  std::vector<policy_change> changes;
  for (const auto& entry : entries) {
    auto& holders = holders_[entry.key];
    changes.push_back(
        {holders.empty() ? policy_change::what::add : policy_change::what::update, entry});
    holders.push_back(entry);
  }
  return changes;
}

std::vector<policy_change> policy_table::remove(const data_plane::policy& policy) {
  auto at = policies_.find(policy);
  if (--at->second.count > 0) return {};
  auto entries = std::move(at->second.entries);
  policies_.erase(at);
  if (--reqids_[policy.reqid] == 0) reqids_.erase(policy.reqid);
  std::vector<policy_change> changes;
  for (const auto& entry : entries) {
    auto held = holders_.find(entry.key);
    auto& holders = held->second;
    bool was_newest = holders.back() == entry;
    // Of equal ones any will do.
    holders.erase(std::next(std::find(holders.rbegin(), holders.rend(), entry)).base());
    if (holders.empty()) {
      holders_.erase(held);
      changes.push_back({policy_change::what::remove, entry});
    } else if (was_newest && holders.back() != entry) {
      changes.push_back({policy_change::what::update, holders.back()});
    }
  }
  return changes;
}

std::vector<policy_change> policy_table::move(std::uint32_t reqid, const ip_address& before,
                                              const ip_address& after) {
  std::vector<policy_change> changes;
  auto moved = [&](policy_entry& entry) {
    if (!entry.protection || entry.protection->reqid != reqid) return false;
    auto& end = entry.key.direction == policy_direction::out ? entry.protection->destination
                                                             : entry.protection->source;
    if (end != before) return false;
    end = after;
    return true;
  };
  for (auto& [key, holders] : holders_) {
    for (auto& entry : holders)
      if (moved(entry) && &entry == &holders.back())
        changes.push_back({policy_change::what::update, entry});
  }
  for (auto& [policy, one] : policies_)
    for (auto& entry : one.entries) moved(entry);
  return changes;
}

std::vector<policy_key> policy_table::keys() const {
  std::vector<policy_key> list;
  for (const auto& [key, holders] : holders_) list.push_back(key);
  return list;
}

void policy_table::clear() {
  policies_.clear();
  holders_.clear();
  reqids_.clear();
}

}  // namespace imago::kernel_if::xfrm
