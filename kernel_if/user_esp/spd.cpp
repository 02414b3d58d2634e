#include "kernel_if/user_esp/spd.hpp"

#include <algorithm>

namespace imago::kernel_if::user_esp {

namespace {

bool is_host(const traffic_selector& selector) {
  return selector.start_address == selector.end_address;
}

// How many leading bits the two ends of an address range share.
std::uint64_t common_bits(const traffic_selector& selector) {
  auto first = selector.start_address.octets();
  auto last = selector.end_address.octets();
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < first.size(); ++i) {
    auto differ = static_cast<unsigned>(first[i] ^ last[i]);
    if (differ == 0) {
      bits += 8;
      continue;
    }
    while ((differ & 0x80U) == 0) {
      differ <<= 1;
      ++bits;
    }
    break;
  }
  return bits;
}

std::uint64_t narrowness_of(const traffic_selector& selector) {
  std::uint64_t ports =
      selector.is_opaque()
          ? 0
          : 65535U - static_cast<std::uint64_t>(selector.end_port - selector.start_port);
  return std::uint64_t{selector.ip_protocol != 0} << 40 | ports << 16 | common_bits(selector);
}

// A policy is as narrow as its widest pair of selectors.
std::uint64_t narrowness_of(const data_plane::policy& policy) {
  auto widest = [](const traffic_selectors& list) {
    auto narrowness = ~std::uint64_t{0};
    for (const auto& one : list) narrowness = std::min(narrowness, narrowness_of(one));
    return narrowness;
  };
  return widest(policy.local_selectors) + widest(policy.remote_selectors);
}

bool is_before(const spd_entry* one, const spd_entry* other) {
  if (one->narrowness != other->narrowness) return one->narrowness > other->narrowness;
  return one->order > other->order;
}

template <class List>
spd_entry* first_fit(const List& list, const ip_packet& packet) {
  for (auto* entry : list) {
    if (fits_as_source(entry->policy.local_selectors, packet) &&
        fits_as_destination(entry->policy.remote_selectors, packet))
      return entry;
  }
  return nullptr;
}

}  // namespace

void spd::index(spd_entry& entry, bool adds) {
  auto change = [&](ranked& list) {
    auto at = std::lower_bound(list.begin(), list.end(), &entry, is_before);
    if (adds) {
      list.insert(at, &entry);
    } else {
      list.erase(at);
    }
  };
  const auto& remote = entry.policy.remote_selectors;
  if (!std::all_of(remote.begin(), remote.end(), is_host)) {
    change(general_);
    return;
  }
  std::vector<ip_address> hosts;
  for (const auto& selector : remote) hosts.push_back(selector.start_address);
  std::sort(hosts.begin(), hosts.end());
  hosts.erase(std::unique(hosts.begin(), hosts.end()), hosts.end());
  for (const auto& host : hosts) {
    auto& list = by_host_[host];
    change(list);
    if (list.empty()) by_host_.erase(host);
  }
}

spd::entries_of_reqids::iterator spd::find_same(const data_plane::policy& policy) {
  auto [at, last] = by_reqid_.equal_range(policy.reqid);
  at = std::find_if(at, last, [&](const auto& one) { return one.second->policy == policy; });
  return at == last ? by_reqid_.end() : at;
}

void spd::add(const data_plane::policy& policy) {
  if (auto there = find_same(policy); there != by_reqid_.end()) {
    ++there->second->count;
    return;
  }
  entries_.push_back({policy, 1, narrowness_of(policy), ++installed_count_, std::nullopt});
  by_reqid_.emplace(policy.reqid, std::prev(entries_.end()));
  index(entries_.back(), true);
}

status spd::remove(const data_plane::policy& policy) {
  auto at = find_same(policy);
  if (at == by_reqid_.end()) return {errc::not_found, "policy " + text_of(policy.remote_selectors)};
  auto entry = at->second;
  if (--entry->count > 0) return {};
  index(*entry, false);
  by_reqid_.erase(at);
  entries_.erase(entry);
  return {};
}

void spd::clear() {
  general_.clear();
  by_host_.clear();
  by_reqid_.clear();
  entries_.clear();
}

spd_entry* spd::find(const ip_packet& packet) {
  auto* best = first_fit(general_, packet);
  auto host = by_host_.find(packet.destination);
  if (host == by_host_.end()) return best;
  auto* other = first_fit(host->second, packet);
  if (!best || !other) return best ? best : other;
  return is_before(best, other) ? best : other;
}

}  // namespace imago::kernel_if::user_esp
