#include "kernel_if/user_esp/sad.hpp"

#include <algorithm>

namespace imago::kernel_if::user_esp {

using data_plane::direction;
using data_plane::sa_id;
using data_plane::spi;

bool sad::has_inbound(spi number) const {
  return inbound_.count(number) + larval_.count(number) != 0;
}

spi sad::choose_spi(random_source& random) const {
  for (;;) {
    auto number = static_cast<spi>(random.number());
    if (number >= 256 && !has_inbound(number)) return number;
  }
}

void sad::add_larval(const sa_id& id, const ip_address& remote) {
  larval_[id.spi] = {id, remote, {}};
}

bool sad::has_larval(const sa_id& id) const {
  auto at = larval_.find(id.spi);
  return at != larval_.end() && at->second.id == id;
}

std::optional<larval_sa> sad::take_larval(const sa_id& id) {
  if (!has_larval(id)) return std::nullopt;
  auto node = larval_.extract(id.spi);
  return std::move(node.mapped());
}

larval_sa* sad::find_larval(spi number) {
  auto at = larval_.find(number);
  return at == larval_.end() ? nullptr : &at->second;
}

esp_sa* sad::find_inbound(spi number) {
  auto at = inbound_.find(number);
  return at == inbound_.end() ? nullptr : at->second.get();
}

esp_sa* sad::find(const sa_id& id) {
  if (id.direction == direction::inbound) {
    auto* sa = find_inbound(id.spi);
    return sa && sa->parameters.id == id ? sa : nullptr;
  }
  auto at = outbound_.find(id);
  return at == outbound_.end() ? nullptr : at->second.get();
}

esp_sa* sad::outbound_of(std::uint32_t reqid) {
  auto at = outbound_by_reqid_.find(reqid);
  return at == outbound_by_reqid_.end() ? nullptr : at->second.back();
}

esp_sa& sad::add(std::unique_ptr<esp_sa> sa) {
  auto& added = *sa;
  const auto& id = added.parameters.id;
  if (id.direction == direction::inbound) {
    inbound_[id.spi] = std::move(sa);
  } else {
    outbound_by_reqid_[added.parameters.reqid].push_back(&added);
    outbound_[id] = std::move(sa);
  }
  return added;
}

bool sad::remove(const sa_id& id) {
  auto* sa = find(id);
  if (!sa) return false;
  if (id.direction == direction::inbound) {
    inbound_.erase(id.spi);
    return true;
  }
  auto group = outbound_by_reqid_.find(sa->parameters.reqid);
  auto& list = group->second;
  list.erase(std::find(list.begin(), list.end(), sa));
  if (list.empty()) outbound_by_reqid_.erase(group);
  outbound_.erase(id);
  return true;
}

void sad::clear() {
  outbound_by_reqid_.clear();
  outbound_.clear();
  inbound_.clear();
  larval_.clear();
}

}  // namespace imago::kernel_if::user_esp
