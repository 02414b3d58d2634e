// A Child SA's actor: it holds the leases of its two ESP SAs, installs the outbound one when it may
// be used, watches lifetimes and activity, and gives everything back by ending.
//
//   created --(activate | first use of the inbound SA)--> installing --> installed --(stop)--> gone
//                                                                     \-(stop, lingers)-> lingering
#pragma once

#include "actors/actor_base.hpp"
#include "actors/services.hpp"

namespace imago::actors {

class child_sa final : public actor_base {
 public:
  // `outbound` is installed when activated; `waits_for_use`: also when the inbound SA is first
  // used.
  child_sa(caf::actor_config& config, services_ptr shared, ike_sa_handle owner,
           std::shared_ptr<const ikev2::child_sa_model> model, data_plane::sa_id inbound,
           owned<data_plane::install_sa> outbound, bool waits_for_use, duration rekey_in,
           duration expires_in);
  caf::behavior make_behavior() override;
  void on_exit() override;

 private:
  void install_outbound();
  void on_kernel_event(const data_plane::event& event);
  void on_timer(const timer_due& due);
  void stop(bool lingers);
  void move(const endpoint& remote);

  services_ptr shared_;
  ike_sa_handle owner_;
  std::uint64_t hand_over_ = 0;  // number of the last
  std::shared_ptr<const ikev2::child_sa_model> model_;
  data_plane::sa_id inbound_, outbound_;
  std::optional<endpoint> encap_local_, encap_remote_;
  std::unique_ptr<data_plane::install_sa> to_install_;  // keys until installed
  bool waits_for_use_;
  bool is_lingering_ = false;
  bool is_installing_ = false;  // the outbound SA
  child_sa_handle replaced_;    // stops when that is done
  // While it lingers nobody else refers to it: timers, leases and routes do so weakly.
  caf::actor itself_;
  duration rekey_in_, expires_in_;
  actor_timer rekey_timer_, lifetime_timer_, linger_timer_;
};

}  // namespace imago::actors
