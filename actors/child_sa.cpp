#include "actors/child_sa.hpp"

#include <utility>

namespace imago::actors {

namespace {
// Our numbers for kernel requests; one of each kind is in flight at most.
enum request_number : std::uint64_t { installing_outbound = 1, removing_outbound, moving };
}  // namespace

child_sa::child_sa(caf::actor_config& config, services_ptr shared, ike_sa_handle owner,
                   std::shared_ptr<const ikev2::child_sa_model> model, data_plane::sa_id inbound,
                   owned<data_plane::install_sa> outbound, bool waits_for_use, duration rekey_in,
                   duration expires_in)
    : actor_base{config, "child_sa", shared->counted, shared->facts},
      shared_{std::move(shared)},
      owner_{std::move(owner)},
      model_{std::move(model)},
      inbound_{inbound},
      to_install_{outbound.take_pointer()},
      waits_for_use_{waits_for_use},
      rekey_in_{rekey_in},
      expires_in_{expires_in},
      rekey_timer_{shared_->timers, timer_kind::child_rekey_due},
      lifetime_timer_{shared_->timers, timer_kind::child_lifetime_due},
      linger_timer_{shared_->timers, timer_kind::linger_due} {
  outbound_ = to_install_->sa.id;
  encap_local_ = to_install_->sa.encap_local;
  encap_remote_ = to_install_->sa.encap_remote;
}

caf::behavior child_sa::make_behavior() {
  // Without its IKE SA a Child SA cannot be kept (RFC 7296 §1.4.1): it ends with it.
  monitor(owner_.actor());
  monitor(shared_->kernel.actor());
  set_down_handler([this](const caf::down_msg& down) {
    bool is_owner = down.source == owner_.address();
    if (is_owner ? !is_lingering_ : down.source == shared_->kernel.address())
      quit(caf::exit_reason::user_shutdown);
  });
  if (rekey_in_ > duration{}) rekey_timer_.arm(address(), rekey_in_);
  if (expires_in_ > duration{}) lifetime_timer_.arm(address(), expires_in_);
  return handled_by(
      [this](const activate_child&) { install_outbound(); },
      [this](const stop_child_sa& asked) { stop(asked.lingers); },
      [this](const stop_replaced& asked) {
        replaced_ = child_sa_handle{asked.child_sa};
        if (!is_installing_) std::exchange(replaced_, {}).tell(stop_child_sa{true});
      },
      [this](const move_child& moved) { move(moved.remote); },
      [this](const change_owner& change) {
        if (change.number < hand_over_) return;
        hand_over_ = change.number;
        demonitor(owner_.address());
        owner_ = ike_sa_handle{change.ike_sa};
        monitor(owner_.actor());
      },
      [this](kernel_reply& reply) {
        if (reply.id != installing_outbound || !reply.reply.has_value()) return;
        is_installing_ = false;
        std::exchange(replaced_, {}).tell(stop_child_sa{true});
        auto result = reply.reply.take();
        if (result && encap_remote_ && encap_remote_->address != outbound_.destination)
          move(*std::exchange(encap_remote_, std::nullopt));
        owner_.tell(
            child_started{model_->inbound_spi, result ? status{} : status{result.failure()}});
      },
      [this](const kernel_event& event) { on_kernel_event(event.event); },
      [this](const timer_due& due) { on_timer(due); },
      [this](const kill&) { quit(caf::exit_reason::kill); });
}

void child_sa::on_exit() {
  rekey_timer_.cancel();
  lifetime_timer_.cancel();
  linger_timer_.cancel();
  to_install_.reset();
  std::exchange(replaced_, {}).tell(stop_child_sa{true});
  owner_ = {};
  itself_ = {};
  actor_base::on_exit();
}

void child_sa::install_outbound() {
  if (!to_install_ || is_lingering_) return;
  data_plane::request request{std::move(*to_install_)};
  to_install_.reset();
  is_installing_ = true;
  shared_->kernel.tell(kernel_request{installing_outbound, own(std::move(request)),
                                      caf::actor_cast<caf::actor>(this)});
}

void child_sa::on_kernel_event(const data_plane::event& event) {
  if (std::holds_alternative<data_plane::sa_first_used>(event)) {
    // §2.8: the peer uses the new SA, so it has it.
    if (waits_for_use_) install_outbound();
    owner_.tell(child_used{model_->inbound_spi});
  } else if (std::holds_alternative<data_plane::sa_active>(event)) {
    owner_.tell(child_used{model_->inbound_spi});
  } else if (const auto* reached = std::get_if<data_plane::lifetime_reached>(&event)) {
    if (is_lingering_) return;
    if (reached->is_hard)
      owner_.tell(child_expired{model_->inbound_spi});
    else
      owner_.tell(child_rekey_wanted{model_->inbound_spi});
  } else if (const auto* moved = std::get_if<data_plane::remote_endpoint_changed>(&event)) {
    move(moved->remote);
    owner_.tell(peer_moved{model_->inbound_spi, moved->remote});
  }
}

// §2.23: answer to where authenticated packets come from. The inbound SA is told as well: a kernel
// else reports the other endpoint with every packet, and transport mode makes headers of it.
void child_sa::move(const endpoint& remote) {
  if (!encap_local_ || is_lingering_ || encap_remote_ == remote) return;
  encap_remote_ = remote;
  auto tell = [&](const data_plane::sa_id& id) {
    data_plane::request request{data_plane::update_sa{id, *encap_local_, remote}};
    shared_->kernel.tell(
        kernel_request{moving, own(std::move(request)), caf::actor_cast<caf::actor>(this)});
  };
  tell(inbound_);
  if (!to_install_) return tell(outbound_);
  // Not there yet, and its name has the old address: at another it is moved when it is there.
  if (remote.address == outbound_.destination) to_install_->sa.encap_remote = remote;
}

void child_sa::on_timer(const timer_due& due) {
  if (rekey_timer_.accept(due)) owner_.tell(child_rekey_wanted{model_->inbound_spi});
  if (lifetime_timer_.accept(due)) owner_.tell(child_expired{model_->inbound_spi});
  if (linger_timer_.accept(due)) quit(caf::exit_reason::normal);
}

// Ending is enough: the kernel actor takes the leases back when we are DOWN.
void child_sa::stop(bool lingers) {
  if (!lingers || shared_->options.inbound_linger <= duration{}) {
    quit(caf::exit_reason::normal);
    return;
  }
  is_lingering_ = true;
  itself_ = caf::actor_cast<caf::actor>(this);
  rekey_timer_.cancel();
  lifetime_timer_.cancel();
  to_install_.reset();
  data_plane::request request{data_plane::remove_sa{outbound_}};
  shared_->kernel.tell(kernel_request{removing_outbound, own(std::move(request)),
                                      caf::actor_cast<caf::actor>(this)});
  linger_timer_.arm(address(), shared_->options.inbound_linger);
}

}  // namespace imago::actors
