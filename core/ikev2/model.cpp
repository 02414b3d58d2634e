#include "core/ikev2/model.hpp"

#include <algorithm>

namespace imago::ikev2 {

std::string_view name_of(sa_state state) {
  static constexpr std::string_view names[] = {"created",        "sa_init_sent", "auth_sent",
                                               "sa_init_done_r", "established",  "rekeyed",
                                               "deleting",       "closed"};
  return names[static_cast<unsigned>(state)];
}

std::string_view name_of(child_state state) {
  static constexpr std::string_view names[] = {"installed", "rekeying", "rekeyed", "deleting"};
  return names[static_cast<unsigned>(state)];
}

std::string_view name_of(task_kind kind) {
  static constexpr std::string_view names[] = {"create_child", "rekey_child", "delete_child",
                                               "rekey_ike",    "delete_ike",  "check_liveness"};
  return names[static_cast<unsigned>(kind)];
}

const child_sa_model* ike_sa_model::find_child(data_plane::spi inbound_spi) const {
  for (const auto& child : children)
    if (child.inbound_spi == inbound_spi) return &child;
  return nullptr;
}

child_sa_model* ike_sa_model::find_child(data_plane::spi inbound_spi) {
  return const_cast<child_sa_model*>(std::as_const(*this).find_child(inbound_spi));
}

const child_sa_model* ike_sa_model::find_child_by_outbound(data_plane::spi outbound_spi) const {
  for (const auto& child : children)
    if (child.outbound_spi == outbound_spi) return &child;
  return nullptr;
}

namespace {

task delete_of(data_plane::spi inbound_spi, bool is_only_at_peer = false) {
  task one;
  one.kind = task_kind::delete_child;
  one.inbound_spi = inbound_spi;
  one.is_only_at_peer = is_only_at_peer;
  return one;
}

task of_kind(task_kind kind) {
  task one;
  one.kind = kind;
  return one;
}

// One overload per effect; each changes the model and adds directives.
struct applier {
  ike_sa_model& model;
  std::vector<directive>& todo;

  void operator()(ike_keys_agreed& effect) const {
    model.algorithms = effect.algorithms;
    model.responder_spi = effect.responder_spi;
    model.peer = std::move(effect.peer);
    // An initiator's request as sent is known here only.
    if (effect.init.request.empty() && model.init) effect.init.request = model.init->request;
    model.init = std::make_shared<const init_material>(std::move(effect.init));
    model.keys = std::make_shared<const ike_keys>(std::move(effect.derived.keys));
    model.state = model.role == role::initiator ? sa_state::auth_sent : sa_state::sa_init_done_r;
    todo.push_back(use_keys{std::move(effect.derived)});
  }

  void operator()(ike_authenticated& effect) const {
    model.connection = std::move(effect.connection);
    model.local_identity = std::move(effect.local_identity);
    model.remote_identity = std::move(effect.remote_identity);
    model.authenticated_by = effect.proof.method();
    model.init = nullptr;
    model.state = sa_state::established;
    todo.push_back(report_established{});
  }

  void operator()(child_created& effect) const {
    auto& child = effect.child;
    auto spi = child.inbound_spi;
    auto start = [&] {
      todo.push_back(start_child{child, std::move(effect.outbound), effect.outbound_waits_for_use});
      model.children.push_back(child);
    };
    auto* old = effect.replaces ? model.find_child(*effect.replaces) : nullptr;
    if (!old) {  // new, or the old one was deleted meanwhile
      effect.outbound_waits_for_use = false;
      start();
      return;
    }
    auto old_spi = old->inbound_spi;
    if (!child.created_by_us) {
      old->peers_successor = spi;
      bool collides = old->state == child_state::rekeying;
      if (!collides) old->state = child_state::rekeyed;
      start();
      if (!collides) todo.push_back(report_child_rekeyed{old_spi, spi});
      return;
    }
    auto rival_spi = old->peers_successor;
    const auto* rival = rival_spi ? model.find_child(*rival_spi) : nullptr;
    old->state = child_state::rekeyed;
    if (rival && child.lowest_nonce < rival->lowest_nonce) {
      // §2.8.1: the SA made with the lowest of the four nonces is closed by who created it: ours.
      // The peer deletes the old one.
      child.state = child_state::rekeyed;
      start();
      todo.push_back(activate_outbound{*rival_spi});
      todo.push_back(queue_task{delete_of(spi)});
      todo.push_back(report_child_rekeyed{old_spi, *rival_spi});
      return;
    }
    if (rival) model.find_child(*rival_spi)->state = child_state::rekeyed;  // the peer deletes it
    start();
    todo.push_back(queue_task{delete_of(old_spi)});
    todo.push_back(report_child_rekeyed{old_spi, spi});
  }

  void operator()(child_not_created& effect) const {
    if (effect.exists_at_peer) todo.push_back(queue_task{delete_of(*effect.exists_at_peer, true)});
    auto* old = effect.rekeyed ? model.find_child(*effect.rekeyed) : nullptr;
    if (old && old->state == child_state::rekeying) {
      if (old->peers_successor) {  // the peer's rekey stands
        old->state = child_state::rekeyed;
        todo.push_back(report_child_rekeyed{old->inbound_spi, *old->peers_successor});
        return;
      }
      old->state = child_state::installed;
      if (effect.reason.code == errc::no_such_sa) {
        // CHILD_SA_NOT_FOUND: the peer has lost it; make a new one (§2.25.1).
        auto again = of_kind(task_kind::create_child);
        again.child = old->config;
        remove(old->inbound_spi);
        todo.push_back(queue_task{std::move(again)});
      } else {
        auto again = of_kind(task_kind::rekey_child);
        again.inbound_spi = old->inbound_spi;
        todo.push_back(retry_task{std::move(again)});
      }
    }
    todo.push_back(report_child_failed{std::move(effect)});
  }

  void operator()(children_deleted& effect) const {
    for (auto spi : effect.inbound_spis) remove(spi);
  }

  void operator()(ike_rekeyed& effect) const {
    auto take_all = [&] { return std::exchange(model.children, {}); };
    if (effect.role == role::responder) {
      model.peers_successor = {effect.initiator_spi, effect.responder_spi, effect.lowest_nonce};
      if (model.rekey_in_flight) {  // collision: decided when our own rekey ends
        todo.push_back(start_ike_sa{std::move(effect), {}, false});
        return;
      }
      model.state = sa_state::rekeyed;
      todo.push_back(start_ike_sa{std::move(effect), take_all(), false});
      return;
    }
    model.rekey_in_flight = false;
    bool lost = model.peers_successor && effect.lowest_nonce < model.peers_successor->lowest_nonce;
    model.state = sa_state::rekeyed;
    if (lost) {
      // §2.8.2: ours is redundant and ours to delete; the peer deletes the old SA.
      todo.push_back(start_ike_sa{std::move(effect), {}, true});
      move_to_peers_successor();
      return;
    }
    todo.push_back(start_ike_sa{std::move(effect), take_all(), false});
    todo.push_back(queue_task{of_kind(task_kind::delete_ike)});
  }

  void operator()(ike_not_rekeyed& effect) const {
    model.rekey_in_flight = false;
    if (model.peers_successor) {
      model.state = sa_state::rekeyed;
      move_to_peers_successor();
      return;
    }
    if (model.state == sa_state::established)
      todo.push_back(retry_task{of_kind(task_kind::rekey_ike)});
    (void)effect;
  }

  void operator()(ike_deleted& effect) const {
    close({errc::cancelled, effect.by_peer ? "deleted by the peer" : "deleted"}, effect.by_peer,
          {});
  }

  void operator()(ike_failed& effect) const {
    close(std::move(effect.reason), false, effect.notify_peer);
  }

  void operator()(peer_alive&) const {}

 private:
  void remove(data_plane::spi spi) const {
    auto at = std::find_if(model.children.begin(), model.children.end(),
                           [&](const auto& child) { return child.inbound_spi == spi; });
    if (at == model.children.end()) return;
    if (at->peers_successor && model.find_child(*at->peers_successor))
      todo.push_back(activate_outbound{*at->peers_successor});  // the old one is deleted (§2.8)
    todo.push_back(stop_child{spi, at->state == child_state::rekeyed || at->peers_successor});
    model.children.erase(at);
  }

  void move_to_peers_successor() const {
    todo.push_back(move_children{model.peers_successor->initiator_spi,
                                 model.peers_successor->responder_spi,
                                 std::exchange(model.children, {})});
  }

  void close(error reason, bool by_peer, std::optional<notify_type> notify_peer) const {
    model.state = sa_state::closed;
    ++model.epoch;
    todo.push_back(close_ike_sa{std::move(reason), by_peer, notify_peer});
  }
};

}  // namespace

result<std::vector<directive>> apply(ike_sa_model& model, outcome&& outcome) {
  if (outcome.epoch != model.epoch || model.state == sa_state::closed)
    return {errc::stale_epoch, "exchange of epoch " + std::to_string(outcome.epoch)};
  std::vector<directive> todo;
  if (!outcome.response) model.child_exchange_in_flight = false;  // our own exchange ended
  for (auto& effect : outcome.effects) std::visit(applier{model, todo}, effect);
  return todo;
}

status begin(ike_sa_model& model, const task& task) {
  auto established = model.state == sa_state::established;
  auto unfit = [&](std::string_view what) {
    return status{errc::wrong_exchange,
                  std::string{what} + " while the IKE SA is " + std::string{name_of(model.state)}};
  };
  switch (task.kind) {
    case task_kind::create_child:
      if (!established || model.rekey_in_flight) return unfit("new Child SA");
      model.child_exchange_in_flight = true;
      return {};
    case task_kind::rekey_child: {
      if (!established || model.rekey_in_flight) return unfit("Child SA rekey");
      auto* child = model.find_child(task.inbound_spi);
      if (!child) return {errc::not_found, "Child SA to rekey"};
      if (child->state != child_state::installed || child->peers_successor)
        return {errc::wrong_exchange, "Child SA is " + std::string{name_of(child->state)}};
      child->state = child_state::rekeying;
      model.child_exchange_in_flight = true;
      return {};
    }
    case task_kind::delete_child: {
      if (!established && model.state != sa_state::rekeyed) return unfit("Child SA delete");
      auto* child = model.find_child(task.inbound_spi);
      if (!child && !task.is_only_at_peer) return {errc::not_found, "Child SA to delete"};
      // A replaced SA stays "rekeyed": its inbound half is to linger.
      if (child && child->state != child_state::rekeyed) child->state = child_state::deleting;
      model.child_exchange_in_flight = true;
      return {};
    }
    case task_kind::rekey_ike:
      if (!established || model.rekey_in_flight || model.peers_successor)
        return unfit("IKE SA rekey");
      model.rekey_in_flight = true;
      return {};
    case task_kind::delete_ike:
      if (!established && model.state != sa_state::rekeyed) return unfit("IKE SA delete");
      model.state = sa_state::deleting;
      return {};
    case task_kind::check_liveness:
      if (!established) return unfit("liveness check");
      return {};
  }
  return {errc::bad_value, "task"};
}

}  // namespace imago::ikev2
