#include "world/network.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "core/wire/message.hpp"

namespace imago::world {

std::uint64_t seeded_random::next() {
  state_ += 0x9e3779b97f4a7c15;
  auto mixed = (state_ ^ (state_ >> 30)) * 0xbf58476d1ce4e5b9;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
  return mixed ^ (mixed >> 31);
}

void seeded_random::fill(std::span<std::uint8_t> out) {
  for (auto& octet : out) octet = static_cast<std::uint8_t>(next() >> 56);
}

bool seeded_random::happens(double probability) {
  if (probability <= 0) return false;
  return static_cast<double>(next() >> 11) < probability * 9007199254740992.0;  // 2^53
}

std::string datagram::label() const {
  if (octets.empty()) return "keepalive";
  if (is_esp) {
    auto word = [this](std::size_t at) {
      std::uint32_t value = 0;
      for (std::size_t i = at; i < at + 4 && i < octets.size(); ++i) value = value << 8 | octets[i];
      return value;
    };
    return fmt::format("ESP {:08x} {}", word(0), word(4));
  }
  auto header = wire::parse_header(octets);
  return header ? wire::describe(*header) : "garbage";
}

void network::add_host(host_number host, std::vector<ip_address> addresses, arrival arrive) {
  arrivals_[host] = std::move(arrive);
  for (const auto& one : addresses) addresses_[one] = host;
}

void network::add_nat(host_number host, const ip_address& outside) {
  nats_[host].outside = outside;
  addresses_[outside] = host;
}

void network::remap(host_number host) {
  auto at = nats_.find(host);
  if (at == nats_.end()) return;
  at->second.ports.clear();
  at->second.inside_of.clear();
}

void network::set_link(host_number from, host_number to, link_conditions conditions) {
  links_[{from, to}] = conditions;
}

void network::set_up(host_number host, bool is_up) {
  bool was_up = down_.count(host) == 0;
  if (is_up)
    down_.erase(host);
  else
    down_.insert(host);
  if (on_link && was_up != is_up) on_link(host, is_up);
}

const link_conditions& network::link(host_number from, host_number to) const {
  auto at = links_.find({from, to});
  return at == links_.end() ? everywhere : at->second;
}

bool network::are_parted(host_number one, host_number other) const {
  auto group_of = [this](host_number host) {
    return std::find_if(groups_.begin(), groups_.end(),
                        [&](const auto& group) { return group.count(host) != 0; });
  };
  auto first = group_of(one), second = group_of(other);
  return first != groups_.end() && second != groups_.end() && first != second;
}

std::optional<host_number> network::host_at(const ip_address& address) const {
  auto at = addresses_.find(address);
  if (at == addresses_.end()) return std::nullopt;
  return at->second;
}

void network::send(instant now, host_number from, const endpoint& source,
                   const endpoint& destination, bytes octets, bool is_esp) {
  datagram what{next_id_++, from, source, destination, std::move(octets), is_esp};
  if (auto nat = nats_.find(from); nat != nats_.end()) {
    auto [port, is_new] = nat->second.ports.try_emplace(source, nat->second.next_port);
    if (is_new) nat->second.inside_of[nat->second.next_port++] = source;
    what.source = {nat->second.outside, port->second};
  }
  if (keeps_sent) sent_.push_back(what);
  if (on_wire && !on_wire(what)) return;
  if (holds) {
    waiting.push_back(std::move(what));
    return;
  }
  auto to = host_at(what.destination.address);
  if (!to || down_.count(from) != 0 || are_parted(from, *to)) return;
  const auto& conditions = link(from, *to);
  if (conditions.datagram_size_max != 0 && what.octets.size() > conditions.datagram_size_max)
    return;
  if (chance_.happens(conditions.loss)) return;
  if (!what.octets.empty() && chance_.happens(conditions.corruption)) {
    auto bit = chance_.below(what.octets.size() * 8);
    what.octets[bit / 8] = static_cast<std::uint8_t>(what.octets[bit / 8] ^ (1u << (bit % 8)));
  }
  int copies = chance_.happens(conditions.duplication) ? 2 : 1;
  for (; copies > 0; --copies) {
    auto delay = conditions.delay;
    if (conditions.jitter > duration{})
      delay += duration{static_cast<duration::rep>(
          chance_.below(static_cast<std::size_t>(conditions.jitter.count())))};
    if (delay > duration{})
      travelling_.emplace(now + delay, what);
    else
      arrive(what);
  }
}

std::optional<datagram> network::take(std::size_t index) {
  if (index >= waiting.size()) return std::nullopt;
  auto what = std::move(waiting[index]);
  waiting.erase(waiting.begin() + static_cast<std::ptrdiff_t>(index));
  return what;
}

bool network::deliver(std::size_t index) {
  auto what = take(index);
  if (!what) return false;
  auto to = host_at(what->destination.address);
  if (to && down_.count(what->from) == 0 && !are_parted(what->from, *to)) arrive(std::move(*what));
  return true;
}

bool network::delay(std::size_t index, instant due) {
  auto what = take(index);
  if (!what) return false;
  travelling_.emplace(due, std::move(*what));
  return true;
}

bool network::duplicate(std::size_t index) {
  if (index >= waiting.size()) return false;
  auto copy = waiting[index];
  waiting.insert(waiting.begin() + static_cast<std::ptrdiff_t>(index) + 1, std::move(copy));
  return true;
}

void network::arrive(datagram what) {
  auto to = host_at(what.destination.address);
  if (!to || down_.count(*to) != 0) return;
  auto nat = nats_.find(*to);
  if (nat != nats_.end() && nat->second.outside == what.destination.address) {
    auto inside = nat->second.inside_of.find(what.destination.port);
    if (inside == nat->second.inside_of.end()) return;
    what.destination = inside->second;
  }
  if (auto at = arrivals_.find(*to); at != arrivals_.end()) at->second(what);
}

std::optional<instant> network::next_due() const {
  if (travelling_.empty()) return std::nullopt;
  return travelling_.begin()->first;
}

void network::advance(instant now) {
  while (!travelling_.empty() && travelling_.begin()->first <= now) {
    auto what = std::move(travelling_.begin()->second);
    travelling_.erase(travelling_.begin());
    arrive(std::move(what));
  }
}

}  // namespace imago::world
