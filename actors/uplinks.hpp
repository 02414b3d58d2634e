// The UPLINKS: a directory of local addresses. It makes an uplink actor for each interface and
// sends IKE SAs and connections to the one that has their local address. Who has an address that
// no interface has (yet, or any more) waits here.
#pragma once

#include <map>
#include <vector>

#include "actors/actor_base.hpp"
#include "actors/services.hpp"

namespace imago::actors {

class uplinks final : public actor_base {
 public:
  uplinks(caf::actor_config& config, services_ptr shared);
  caf::behavior make_behavior() override;
  void on_exit() override;

 private:
  struct known {
    uplink_handle handle;
    kernel_if::link link;
  };
  void on_links(const std::vector<kernel_if::link>& links);
  void make(const kernel_if::link& link);
  void on_down(const caf::actor_addr& who);
  const known* with_address(const ip_address& local) const;
  template <class Message>
  void pass_on(const Message& what, std::vector<Message>& homeless);
  template <class Message>
  void place_again(std::vector<Message>& homeless);

  services_ptr shared_;
  std::map<std::uint32_t, known> uplinks_;  // by interface index
  std::vector<join_uplink> members_;        // homeless, paused
  std::vector<request_start> starts_;
  actor_timer routes_timer_;  // a thousand changes are one
};

}  // namespace imago::actors
