// The ENGINE actor: the root of the tree. It owns the connections, the directory of IKE SAs with
// what each last published, and the commands that come from outside.
#pragma once

#include <map>
#include <set>

#include "actors/actor_base.hpp"
#include "actors/peer_table.hpp"
#include "actors/services.hpp"

namespace imago::actors {

class engine_actor final : public actor_base {
 public:
  engine_actor(caf::actor_config& config, services_ptr shared);
  caf::behavior make_behavior() override;
  void on_exit() override;

 private:
  struct known_ike_sa {
    ike_sa_handle handle;
    ike_sa_status_ptr status;
  };
  struct known_connection {
    connection_handle handle;
    ikev2::connection_policy_ptr configured;
    std::vector<child_policy_status> policies;  // that stand without a Child SA
  };
  // What a selector means: whole IKE SAs, or Child SAs of them.
  struct match {
    const known_ike_sa* ike_sa;
    const child_sa_status* child;  // null: the IKE SA
  };

  void forget(std::uint64_t id);
  void on_status(const status_published& published);
  void on_initiate(const initiate_sa& asked);
  template <class message>
  void on_child_policy(const message& asked);
  void on_policies(const policies_published& now);
  void on_list_policies(const list_child_policies& asked) const;
  known_connection* find_connection(const std::string& name, const std::string& child);
  void on_terminate(const terminate_sas& asked);
  void on_replace_policy(const replace_policy& asked);
  void on_stop(const stop_engine& asked);
  void finish_stop();
  void delete_redundant();
  connection_handle spawn_connection(const ikev2::connection_policy_ptr& configured,
                                     bool runs_start_actions);
  // Who owns which, once it is established.
  static void introduce(const known_connection& owner, const known_ike_sa& known, bool is_news);
  bool revive_connection(const caf::actor_addr& ended);
  std::vector<match> select(const sa_selector& which) const;

  services_ptr shared_;
  ikev2::policy_ptr policy_;
  std::map<std::string, known_connection> connections_;
  std::map<std::uint64_t, known_ike_sa> ike_sas_;
  std::map<caf::actor_addr, std::uint64_t> ids_;
  peer_table peers_;  // of the established
  actor_timer redundant_timer_;
  std::set<caf::actor> subscribers_;
  instant started_at_;
  caf::actor stop_asker_;
  bool is_stopping_ = false;
  actor_timer stop_timer_;
};

}  // namespace imago::actors
