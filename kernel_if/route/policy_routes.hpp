// Leads the traffic of policies into a device, and nothing else past it.
//
// All routes stand in one table of our own; one rule per address family, "not fwmark <mark> lookup
// <table>", asks it before the main table. The engine's UDP sockets carry the mark (SO_MARK), so
// IKE and ESP in UDP never enter the table: a policy may cover the peer's own address, everything,
// or (transport mode) just the peer, and nothing loops. The rule comes with the first route of a
// family and goes with clear(). Everything is taken back by clear(); after a crash the routes went
// with the device, and the rule left behind points to an empty table and is adopted.
//
// Limits: a route knows addresses, not ports, so traffic to remote_selectors that no policy wants
// is dropped by the data plane, not sent in the clear. Hosts with a strict reverse path filter
// (rp_filter = 1) and a policy that covers the peer's outer address need src_valid_mark and a mark
// on what comes in, or rp_filter = 2. Two engines in one network namespace need two tables and two
// marks.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "core/data_plane/values.hpp"

struct mnl_socket;

namespace imago::kernel_if {

struct route_options {
  std::uint32_t table = 4500;
  std::uint32_t rule_priority = 4500;  // before main (32766), after local (0)
  std::uint32_t mark = 0x1194;
};

// Not thread-safe. Calls are answered by the kernel at once.
class policy_routes {
 public:
  static result<std::unique_ptr<policy_routes>> open(const std::string& device,
                                                     const route_options& options);
  ~policy_routes();
  policy_routes(const policy_routes&) = delete;
  policy_routes& operator=(const policy_routes&) = delete;

  // A route to every prefix of remote_selectors, counted. The preferred source is an address of
  // this host inside local_selectors: outer_local if it is one, else the first found, else none.
  // All or nothing. Errors: system_error.
  status add(const data_plane::policy& policy);
  void remove(const data_plane::policy& policy);
  void clear();  // all routes and rules

  std::size_t route_count() const { return counts_.size(); }

 private:
  policy_routes() = default;
  int transact(void* message);  // 0 or an errno
  int change_rule(ip_family family, bool adds);
  int change_route(const ip_prefix& prefix, const ip_address* source, bool adds);
  status add_prefix(const ip_prefix& prefix, const ip_address* source);
  void remove_prefix(const ip_prefix& prefix);

  mnl_socket* socket_ = nullptr;
  std::uint32_t sequence_ = 0;
  std::uint32_t device_index_ = 0;
  std::string device_;
  route_options options_;
  std::map<ip_prefix, std::uint32_t> counts_;  // how many policies want the route
  std::set<ip_family> ruled_;
};

}  // namespace imago::kernel_if
