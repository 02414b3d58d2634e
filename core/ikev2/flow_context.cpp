#include "core/ikev2/flow_context.hpp"

namespace imago::ikev2 {

std::uint32_t number_source::reqid_of(const config::connection_config& connection,
                                      const config::child_config& child) {
  if (child.reqid != 0) return child.reqid;
  const auto& peers = connection.remote_addresses;
  bool is_only_one = peers.size() == 1 && peers.front().is_single();
  return is_only_one && remembered_reqid ? remembered_reqid(connection, child) : next_reqid();
}

}  // namespace imago::ikev2
