// The CONNECTION: one configured connection. It knows its IKE SAs, serves requests to bring up
// Child SAs, and revives what its configuration wants up.
#pragma once

#include <map>
#include <set>

#include "actors/actor_base.hpp"
#include "actors/services.hpp"

namespace imago::actors {

class connection final : public actor_base {
 public:
  connection(caf::actor_config& config, services_ptr shared,
             ikev2::connection_policy_ptr configured, ikev2::policy_ptr policy,
             bool runs_start_actions);
  caf::behavior make_behavior() override;
  void on_exit() override;

 private:
  struct known_ike_sa {
    ike_sa_handle handle;
    bool is_initiator = false;
  };

  void on_initiate(const initiate_connection& asked);
  void on_ike_sa_down(const ike_sa_down& down);
  void on_child_down(const child_down& down);
  void want_start_actions();
  void start_wanted();
  void revive_later();
  void ask_to_start();
  void on_permitted(const start_permitted& permitted);
  void end_start();
  // Begins a new IKE SA with that Child SA. Errors go to who asked.
  void start_ike_sa(const ikev2::child_config_ptr& child, const command_reply& reply);
  result<endpoint> remote_endpoint() const;
  ikev2::child_config_ptr find_child(const std::string& name) const;

  services_ptr shared_;
  ikev2::connection_policy_ptr configured_;
  ikev2::policy_ptr policy_;
  bool runs_start_actions_;
  std::map<std::uint64_t, known_ike_sa> ike_sas_;
  std::set<std::string> wanted_;  // children to be up: start_action = start
  unsigned failures_ = 0;         // in a row
  // With an uplink's permission: the IKE SA that was started (0: none yet), and whom to tell.
  bool waits_for_start_ = false;
  std::uint64_t started_ = 0;
  uplink_handle permitted_by_;
  ip_address start_remote_;
  std::optional<ip_address> last_local_;
  actor_timer revive_timer_;
};

}  // namespace imago::actors
