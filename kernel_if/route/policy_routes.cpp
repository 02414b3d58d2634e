#include "kernel_if/route/policy_routes.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include <ifaddrs.h>
#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>

namespace imago::kernel_if {

namespace {

constexpr std::size_t message_size = 512;  // both kinds of message stay below 200 octets

unsigned char family_number(ip_family family) {
  return family == ip_family::v4 ? AF_INET : AF_INET6;
}

error refused(const std::string& what, int code) {
  return {errc::system_error, what + ": " + std::strerror(code)};
}

std::optional<ip_address> address_of(const sockaddr* address) {
  if (!address) return std::nullopt;
  if (address->sa_family == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, address, sizeof v4);
    return *ip_address::from_octets({reinterpret_cast<const std::uint8_t*>(&v4.sin_addr), 4});
  }
  if (address->sa_family == AF_INET6) {
    sockaddr_in6 v6;
    std::memcpy(&v6, address, sizeof v6);
    if (IN6_IS_ADDR_LINKLOCAL(&v6.sin6_addr)) return std::nullopt;
    return *ip_address::from_octets({reinterpret_cast<const std::uint8_t*>(&v6.sin6_addr), 16});
  }
  return std::nullopt;
}

bool is_inside(const traffic_selectors& selectors, const ip_address& address) {
  for (const auto& one : selectors)
    if (one.family() == address.family() && one.start_address <= address &&
        address <= one.end_address)
      return true;
  return false;
}

// This host's address that lies in the policy's local selectors.
std::optional<ip_address> preferred_source(const data_plane::policy& policy, ip_family family) {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return std::nullopt;
  std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner{list, freeifaddrs};
  std::optional<ip_address> first;
  for (auto* at = list; at; at = at->ifa_next) {
    auto address = address_of(at->ifa_addr);
    if (!address || address->family() != family || address->is_loopback() ||
        !is_inside(policy.local_selectors, *address))
      continue;
    if (*address == policy.outer_local) return address;
    if (!first) first = address;
  }
  return first;
}

}  // namespace

result<std::unique_ptr<policy_routes>> policy_routes::open(const std::string& device,
                                                           const route_options& options) {
  std::unique_ptr<policy_routes> made{new policy_routes};
  made->device_ = device;
  made->options_ = options;
  made->device_index_ = if_nametoindex(device.c_str());
  if (made->device_index_ == 0) return refused("device " + device, errno);
  made->socket_ = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
  if (!made->socket_ || mnl_socket_bind(made->socket_, 0, MNL_SOCKET_AUTOPID) != 0)
    return refused("rtnetlink socket", errno);
  return made;
}

policy_routes::~policy_routes() {
  clear();
  if (socket_) mnl_socket_close(socket_);
}

int policy_routes::transact(void* message) {
  auto* head = static_cast<nlmsghdr*>(message);
  head->nlmsg_flags = static_cast<std::uint16_t>(head->nlmsg_flags | NLM_F_REQUEST | NLM_F_ACK);
  head->nlmsg_seq = ++sequence_;
  if (mnl_socket_sendto(socket_, head, head->nlmsg_len) < 0) return errno;
  alignas(nlmsghdr) std::array<char, 8192> answer;
  for (;;) {
    auto size = mnl_socket_recvfrom(socket_, answer.data(), answer.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return errno;
    int code = mnl_cb_run(answer.data(), static_cast<std::size_t>(size), sequence_,
                          mnl_socket_get_portid(socket_), nullptr, nullptr);
    if (code == MNL_CB_STOP) return 0;
    if (code == MNL_CB_ERROR) return errno;
  }
}

int policy_routes::change_rule(ip_family family, bool adds) {
  alignas(nlmsghdr) std::array<char, message_size> buffer{};
  auto* head = mnl_nlmsg_put_header(buffer.data());
  head->nlmsg_type = adds ? RTM_NEWRULE : RTM_DELRULE;
  if (adds) head->nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
  auto* rule = static_cast<fib_rule_hdr*>(mnl_nlmsg_put_extra_header(head, sizeof(fib_rule_hdr)));
  rule->family = family_number(family);
  rule->action = FR_ACT_TO_TBL;
  rule->flags = FIB_RULE_INVERT;
  mnl_attr_put_u32(head, FRA_PRIORITY, options_.rule_priority);
  mnl_attr_put_u32(head, FRA_TABLE, options_.table);
  mnl_attr_put_u32(head, FRA_FWMARK, options_.mark);
  mnl_attr_put_u32(head, FRA_FWMASK, 0xffffffffU);
  return transact(head);
}

int policy_routes::change_route(const ip_prefix& prefix, const ip_address* source, bool adds) {
  alignas(nlmsghdr) std::array<char, message_size> buffer{};
  auto* head = mnl_nlmsg_put_header(buffer.data());
  head->nlmsg_type = adds ? RTM_NEWROUTE : RTM_DELROUTE;
  if (adds) head->nlmsg_flags = NLM_F_CREATE | NLM_F_REPLACE;
  auto* route = static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(head, sizeof(rtmsg)));
  route->rtm_family = family_number(prefix.address.family());
  route->rtm_dst_len = prefix.length;
  route->rtm_table = RT_TABLE_UNSPEC;  // RTA_TABLE says it
  route->rtm_protocol = RTPROT_STATIC;
  route->rtm_scope = RT_SCOPE_LINK;
  route->rtm_type = RTN_UNICAST;
  mnl_attr_put(head, RTA_DST, prefix.address.size(), prefix.address.octets().data());
  mnl_attr_put_u32(head, RTA_OIF, device_index_);
  mnl_attr_put_u32(head, RTA_TABLE, options_.table);
  if (source) mnl_attr_put(head, RTA_PREFSRC, source->size(), source->octets().data());
  return transact(head);
}

status policy_routes::add_prefix(const ip_prefix& prefix, const ip_address* source) {
  auto at = counts_.find(prefix);
  if (at != counts_.end()) {
    ++at->second;
    return {};
  }
  auto family = prefix.address.family();
  if (ruled_.count(family) == 0) {
    int code = change_rule(family, true);
    if (code != 0 && code != EEXIST) return refused("rule of table", code);
    ruled_.insert(family);
  }
  if (int code = change_route(prefix, source, true); code != 0)
    return refused("route to " + prefix.text() + " by " + device_, code);
  counts_[prefix] = 1;
  return {};
}

void policy_routes::remove_prefix(const ip_prefix& prefix) {
  auto at = counts_.find(prefix);
  if (at == counts_.end() || --at->second > 0) return;
  // It may be gone with its device or its source address: then it is as wanted.
  change_route(prefix, nullptr, false);
  counts_.erase(at);
}

status policy_routes::add(const data_plane::policy& policy) {
  std::vector<ip_prefix> added;
  for (const auto& selector : policy.remote_selectors) {
    auto source = preferred_source(policy, selector.family());
    for (const auto& prefix : selector.prefixes()) {
      if (auto done = add_prefix(prefix, source ? &*source : nullptr); !done) {
        for (const auto& one : added) remove_prefix(one);
        return done;
      }
      added.push_back(prefix);
    }
  }
  return {};
}

void policy_routes::remove(const data_plane::policy& policy) {
  for (const auto& selector : policy.remote_selectors)
    for (const auto& prefix : selector.prefixes()) remove_prefix(prefix);
}

void policy_routes::clear() {
  while (!counts_.empty()) {
    counts_.begin()->second = 1;
    remove_prefix(ip_prefix{counts_.begin()->first});
  }
  for (auto family : ruled_) change_rule(family, false);
  ruled_.clear();
}

}  // namespace imago::kernel_if
