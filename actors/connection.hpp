// The CONNECTION: one configured connection. It knows its IKE SAs, serves requests to bring up
// Child SAs, owns the policies of traps and shunts, and revives what its configuration wants up.
//
// A trap, from a packet to an SA: data plane -> kernel actor (sa_acquired, by reqid) -> here, where
// all that ask for the same child are one negotiation -> an IKE SA, as for a command.
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
    bool is_started = false;      // by a start action, which unloading undoes
    bool is_established = false;  // it has been
  };
  // The policy of a child that stands without a Child SA; ours from when it was asked for.
  struct standing_policy {
    data_plane::policy policy;
    config::child_config config;
    std::uint64_t request = 0;  // of its install_policy, until that is answered
    std::vector<command_reply> replies;
  };
  // What packets asked for and is not up yet.
  struct acquisition {
    std::uint64_t command = 0;  // 0: to be tried again
    unsigned tries = 0;
  };

  void on_initiate(const initiate_connection& asked);
  void on_ike_sa_down(const ike_sa_down& down);
  void on_child_down(const child_down& down);
  void on_ike_sa_up(const ike_sa_up& up);
  void on_update(const update_connection& update);
  void on_remove();
  // Those of the configuration that `before` did not have so: all, if there was none.
  void want_start_actions(const config::connection_config* before);
  void begin_start_actions();
  void start_wanted();
  void start_waiting();  // what is wanted, and what packets asked for
  void revive_later();
  void ask_to_start();
  void on_uplink(const caf::actor& found);
  void on_uplink_down(const caf::actor_addr& who);
  void on_permitted(const start_permitted& permitted);
  void end_start();
  // Begins a new IKE SA with that Child SA. Errors go to who asked.
  void start_ike_sa(const ikev2::child_config_ptr& child, const command_reply& reply,
                    const result<endpoint>& remote, bool is_started);
  result<endpoint> remote_endpoint() const;
  // Of a peer without a configured address: where it was last.
  result<endpoint> remote_to_revive() const;
  ikev2::child_config_ptr find_child(const std::string& name) const;

  // --- connection_policies.cpp ---
  void install_wanted();
  void install(const std::string& child, const command_reply& reply);
  void uninstall(const std::string& child, const command_reply& reply);
  void uninstall_changed();
  result<data_plane::policy> policy_of(const config::child_config& child) const;
  void on_kernel_reply(kernel_reply& reply);
  void on_acquired(const data_plane::sa_acquired& acquired);
  void negotiate_acquired(const std::string& child);
  void negotiate_again();
  void on_task_ended(const task_ended& ended);
  void publish_policies();

  services_ptr shared_;
  ikev2::connection_policy_ptr configured_;
  ikev2::policy_ptr policy_;
  bool runs_start_actions_;
  std::map<std::uint64_t, known_ike_sa> ike_sas_;
  std::set<std::string> wanted_;     // children to be up: start_action = start
  std::set<std::string> unstarted_;  // ... of which no IKE SA knows yet
  unsigned failures_ = 0;            // in a row
  // With an uplink's permission: the IKE SA that was started (0: none yet), and whom to tell.
  bool waits_for_start_ = false;
  caf::actor_addr waits_at_;  // that uplink, which is watched
  std::uint64_t started_ = 0;
  uplink_handle permitted_by_;
  ip_address start_remote_;
  std::optional<ip_address> last_local_;
  std::optional<endpoint> last_remote_;
  actor_timer revive_timer_;
  std::map<std::string, standing_policy> policies_;  // by child
  std::map<std::uint64_t, std::vector<command_reply>> removals_;
  std::map<std::string, acquisition> acquisitions_;  // by child
};

}  // namespace imago::actors
