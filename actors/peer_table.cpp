#include "actors/peer_table.hpp"

#include <algorithm>

namespace imago::actors {

namespace {

bool serves(const ike_sa_status& sa, const child_sa_status& child) {
  return std::any_of(sa.children.begin(), sa.children.end(), [&](const auto& one) {
    return one.name == child.name && one.model.state == ikev2::child_state::installed &&
           one.model.local_selectors == child.model.local_selectors &&
           one.model.remote_selectors == child.model.remote_selectors;
  });
}

bool is_redundant(const ike_sa_status& ours, const ike_sa_status& theirs) {
  return ours.initiator_spi < theirs.initiator_spi && !ours.children.empty() &&
         std::all_of(ours.children.begin(), ours.children.end(),
                     [&](const auto& child) { return serves(theirs, child); });
}

bool is_busy(const ike_sa_status& sa) {
  return !sa.tasks_active.empty() || !sa.tasks_queued.empty() ||
         std::any_of(sa.children.begin(), sa.children.end(), [](const auto& child) {
           return child.model.state != ikev2::child_state::installed;
         });
}

}  // namespace

peer_table::peer_pair peer_table::pair_of(const ike_sa_status& sa) {
  return {sa.connection, config::text_of(sa.local_identity), config::text_of(sa.remote_identity)};
}

bool peer_table::add(const ike_sa_status& sa) {
  auto pair = pair_of(sa);
  auto& ids = pairs_[pair];
  ids.insert(sa.id);
  if (ids.size() < 2) return false;
  doubled_.insert(std::move(pair));
  return true;
}

void peer_table::remove(const ike_sa_status& sa) {
  auto at = pairs_.find(pair_of(sa));
  if (at == pairs_.end()) return;
  at->second.erase(sa.id);
  if (at->second.size() < 2) doubled_.erase(at->first);
  if (at->second.empty()) pairs_.erase(at);
}

peer_table::finding peer_table::find_redundant(
    const std::function<const ike_sa_status&(std::uint64_t id)>& status_of) const {
  finding found;
  for (const auto& pair : doubled_) {
    std::vector<const ike_sa_status*> ours, theirs;
    for (auto id : pairs_.at(pair)) {
      const auto& sa = status_of(id);
      if (sa.state == "REKEYING") found.is_settled = false;
      if (sa.state != "ESTABLISHED") continue;
      (sa.role == ikev2::role::initiator ? ours : theirs).push_back(&sa);
    }
    for (const auto* one : ours)
      for (const auto* other : theirs) {
        if (one->initiator_spi > other->initiator_spi) continue;
        if (is_busy(*one) || is_busy(*other)) {
          found.is_settled = false;
        } else if (is_redundant(*one, *other)) {
          found.redundant.push_back(one->id);
          break;
        }
      }
  }
  return found;
}

}  // namespace imago::actors
