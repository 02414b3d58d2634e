#include "kernel_if/xfrm/selectors.hpp"

#include <algorithm>
#include <bit>

#include <netinet/in.h>

#include "core/base/limits.hpp"

namespace imago::kernel_if::xfrm {

using namespace data_plane;

namespace {

struct masked_port {
  std::uint16_t port = 0;
  std::uint16_t mask = 0;
};

bool is_icmp(std::uint8_t protocol) {
  return protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6;
}

bool is_any_port(const traffic_selector& one) {
  return one.start_port == 0 && one.end_port == 65535;
}

// The fewest masked ports that cover a range: aligned blocks, as prefixes cover addresses.
std::vector<masked_port> ports_of(std::uint16_t first, std::uint16_t last) {
  std::vector<masked_port> list;
  std::uint32_t at = first;
  while (at <= last) {
    std::uint32_t size = at == 0 ? 0x10000 : at & (~at + 1);
    while (at + size - 1 > last) size /= 2;
    list.push_back({static_cast<std::uint16_t>(at), static_cast<std::uint16_t>(~(size - 1))});
    at += size;
  }
  return list;
}

// RFC 4301 §4.4.1.1: type and code stand where ports do, type in the upper octet. The kernel has
// the type as source port and the code as destination port.
result<selector> with_icmp(selector out, const traffic_selector& local,
                           const traffic_selector& remote) {
  const auto& said = is_any_port(local) ? remote : local;
  if (is_any_port(said)) return out;
  auto type = static_cast<std::uint16_t>(said.start_port >> 8);
  if (type != said.end_port >> 8) return {errc::not_supported, said.text() + ": ICMP types"};
  out.source_port = type;
  out.source_port_mask = 0xffff;
  auto first = static_cast<std::uint8_t>(said.start_port);
  auto last = static_cast<std::uint8_t>(said.end_port);
  if (first == 0 && last == 255) return out;
  if (first != last) return {errc::not_supported, said.text() + ": ICMP codes"};
  out.destination_port = first;
  out.destination_port_mask = 0xffff;
  return out;
}

// Selectors as seen by what is sent: local is the source.
class outbound_selectors {
 public:
  result<std::vector<selector>> of(const traffic_selectors& local,
                                   const traffic_selectors& remote) {
    for (const auto& one : local)
      for (const auto& other : remote)
        if (auto added = add_pair(one, other); !added) return added.failure();
    std::sort(list_.begin(), list_.end());
    list_.erase(std::unique(list_.begin(), list_.end()), list_.end());
    if (list_.empty()) return {errc::bad_value, "policy whose selectors exclude each other"};
    return std::move(list_);
  }

 private:
  status add_pair(const traffic_selector& local, const traffic_selector& remote) {
    if (local.family() != remote.family()) return {};
    if (local.ip_protocol != 0 && remote.ip_protocol != 0 &&
        local.ip_protocol != remote.ip_protocol)
      return {};
    if (local.is_opaque() || remote.is_opaque())
      return {errc::not_supported, "OPAQUE ports in a policy of the kernel"};
    selector base;
    base.ip_protocol = std::max(local.ip_protocol, remote.ip_protocol);
    for (const auto& source : local.prefixes()) {
      for (const auto& destination : remote.prefixes()) {
        base.source = source;
        base.destination = destination;
        if (auto added = add_ports(base, local, remote); !added) return added;
      }
    }
    return {};
  }

  status add_ports(const selector& base, const traffic_selector& local,
                   const traffic_selector& remote) {
    if (is_icmp(base.ip_protocol)) {
      auto one = with_icmp(base, local, remote);
      return one ? add(*one) : status{one.failure()};
    }
    for (const auto& source : ports_of(local.start_port, local.end_port)) {
      for (const auto& destination : ports_of(remote.start_port, remote.end_port)) {
        auto one = base;
        one.source_port = source.port;
        one.source_port_mask = source.mask;
        one.destination_port = destination.port;
        one.destination_port_mask = destination.mask;
        if (auto added = add(one); !added) return added;
      }
    }
    return {};
  }

  status add(const selector& one) {
    if (list_.size() >= limits::policy_entries_max)
      return {errc::limit_exceeded, "kernel policies for one policy"};
    list_.push_back(one);
    return {};
  }

  std::vector<selector> list_;
};

selector reversed(selector out) {
  std::swap(out.source, out.destination);
  // The type of an ICMP message is no source that becomes a destination.
  if (is_icmp(out.ip_protocol)) return out;
  std::swap(out.source_port, out.destination_port);
  std::swap(out.source_port_mask, out.destination_port_mask);
  return out;
}

// Over all that protect, or under all of them; among themselves as those.
constexpr std::uint32_t shunt_offset = 0x10000;

policy_entry entry_of(const policy& policy, policy_direction direction, const selector& what) {
  bool outbound = direction == policy_direction::out;
  policy_entry entry;
  entry.key = {direction, what, policy.mark, policy.if_id};
  entry.priority = priority_of(what);
  if (policy.processing != processing::protect) {
    bool passes = policy.processing == processing::bypass;
    entry.action = passes ? policy_action::allow : policy_action::block;
    entry.priority = passes ? entry.priority - shunt_offset : entry.priority + shunt_offset;
    return entry;
  }
  entry.protection =
      policy_template{policy.mode, outbound ? policy.outer_local : policy.outer_remote,
                      outbound ? policy.outer_remote : policy.outer_local, policy.reqid};
  return entry;
}

traffic_selector covering(const ip_prefix& prefix, std::uint8_t protocol, std::uint16_t port,
                          std::uint16_t mask) {
  auto out = traffic_selector::from_prefix(prefix);
  out.ip_protocol = protocol;
  out.start_port = port;
  out.end_port = static_cast<std::uint16_t>(port | static_cast<std::uint16_t>(~mask));
  return out;
}

// Type and code of an ICMP message, as IKE puts them.
traffic_selector covering_icmp(const ip_prefix& prefix, const selector& what) {
  auto out = traffic_selector::from_prefix(prefix);
  out.ip_protocol = what.ip_protocol;
  if (what.source_port_mask == 0) return out;
  auto type = static_cast<std::uint16_t>(what.source_port << 8);
  out.start_port = static_cast<std::uint16_t>(type | (what.destination_port & 0xff));
  out.end_port =
      what.destination_port_mask == 0 ? static_cast<std::uint16_t>(type | 0xff) : out.start_port;
  return out;
}

}  // namespace

result<std::vector<policy_entry>> entries_of(const policy& policy) {
  auto selectors = outbound_selectors{}.of(policy.local_selectors, policy.remote_selectors);
  if (!selectors) return selectors.failure();
  std::vector<policy_entry> entries;
  for (const auto& one : *selectors) {
    entries.push_back(entry_of(policy, policy_direction::out, one));
    auto back = reversed(one);
    entries.push_back(entry_of(policy, policy_direction::in, back));
    if (policy.mode == mode::tunnel || policy.processing != processing::protect)
      entries.push_back(entry_of(policy, policy_direction::forward, back));
  }
  return entries;
}

std::uint32_t priority_of(const selector& what) {
  auto prefix_bits = static_cast<std::uint32_t>(what.source.length + what.destination.length);
  auto port_bits = static_cast<std::uint32_t>(std::popcount(what.source_port_mask) +
                                              std::popcount(what.destination_port_mask));
  // 0..256, then one bit, then 0..32: all of it stays below 0x10000.
  auto narrowness = prefix_bits << 7 | (what.ip_protocol != 0 ? 1U : 0U) << 6 | port_bits;
  return 0x1ffff - narrowness;
}

traffic_selector source_of(const selector& what) {
  if (is_icmp(what.ip_protocol)) return covering_icmp(what.source, what);
  return covering(what.source, what.ip_protocol, what.source_port, what.source_port_mask);
}
traffic_selector destination_of(const selector& what) {
  if (is_icmp(what.ip_protocol)) return covering_icmp(what.destination, what);
  return covering(what.destination, what.ip_protocol, what.destination_port,
                  what.destination_port_mask);
}

}  // namespace imago::kernel_if::xfrm
