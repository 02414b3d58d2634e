#include "core/ikev2/model.hpp"

#include <algorithm>

#include "core/base/planted.hpp"

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
    child.replaced = effect.replaces;
    auto start = [&] {
      todo.push_back(start_child{child, std::move(effect.outbound), effect.outbound_waits_for_use});
      model.children.push_back(child);
    };
    if (!effect.replaces) {
      start();
      delete_redundant_twin(child);
      return;
    }
    auto old_spi = *effect.replaces;
    auto* old = model.find_child(old_spi);
    if (!child.created_by_us) {  // refuse_what_is_late() made sure that there is an old one
      old->peers_successor = spi;
      bool collides = old->state == child_state::rekeying;
      if (!collides) old->state = child_state::rekeyed;
      start();
      if (!collides) todo.push_back(report_child_rekeyed{old_spi, spi});
      return;
    }
    if (old) old->state = child_state::rekeyed;
    // The peer may have finished its rekey and deleted the old one already: the rival remains.
    if (auto* rival = find_peers_successor(old_spi)) {
      auto rival_spi = rival->inbound_spi;
      if (child.lowest_nonce < rival->lowest_nonce) {
        // §2.8.1: the SA made with the lowest of the four nonces is closed by who created it: ours.
        // The peer deletes the old one.
        child.state = child_state::rekeyed;
        effect.outbound_waits_for_use = true;  // it is not to be used
        start();
        todo.push_back(activate_outbound{rival_spi});
        if (!is_planted(planted_bug::kept_redundant_child))
          todo.push_back(queue_task{delete_of(spi)});
        todo.push_back(report_child_rekeyed{old_spi, rival_spi});
        return;
      }
      rival->state = child_state::rekeyed;  // the peer deletes it
      if (old) old->peers_successor.reset();
    }
    start();
    if (old) todo.push_back(queue_task{delete_of(old_spi)});
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
    if (model.is_deleted_by_peer) {  // the peer's rekey stands, the Child SAs have moved
      todo.push_back(start_ike_sa{std::move(effect), {}, true});
      close_as_deleted_by_peer();
      return;
    }
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
    if (model.is_deleted_by_peer) {
      close_as_deleted_by_peer();
      return;
    }
    if (model.peers_successor) {
      model.state = sa_state::rekeyed;
      move_to_peers_successor();
      return;
    }
    if (model.state != sa_state::established) return;
    // §2.25: out of step with the peer, the IKE SA is closed; the old one takes no rekey any more.
    if (effect.done_at_peer)
      todo.push_back(queue_task{of_kind(task_kind::delete_ike)});
    else
      todo.push_back(retry_task{of_kind(task_kind::rekey_ike)});
  }

  void operator()(ike_deleted& effect) const {
    if (effect.by_peer && model.rekey_in_flight && model.peers_successor) {
      // §2.8.2: the peer has finished its rekey; ours may yet make an SA, which is then redundant.
      model.state = sa_state::rekeyed;
      model.is_deleted_by_peer = true;
      move_to_peers_successor();
      return;
    }
    close({errc::cancelled, effect.by_peer ? "deleted by the peer" : "deleted"}, effect.by_peer,
          {});
  }

  void operator()(ike_failed& effect) const {
    close(std::move(effect.reason), false, effect.notify_peer);
  }

  void operator()(peer_alive&) const {}

 private:
  // Both ends asked for the same Child SA at once. As in §2.8.1, that made with the lowest of the
  // four nonces is closed, by who created it.
  void delete_redundant_twin(const child_sa_model& made) const {
    for (const auto& other : model.children) {
      bool is_twin = other.created_by_us != made.created_by_us &&
                     other.state == child_state::installed &&
                     other.config->name == made.config->name &&
                     other.local_selectors == made.local_selectors &&
                     other.remote_selectors == made.remote_selectors;
      if (!is_twin) continue;
      const auto& ours = made.created_by_us ? made : other;
      const auto& theirs = made.created_by_us ? other : made;
      if (ours.lowest_nonce < theirs.lowest_nonce)
        todo.push_back(queue_task{delete_of(ours.inbound_spi)});
    }
  }

  void remove(data_plane::spi spi) const {
    auto at = std::find_if(model.children.begin(), model.children.end(),
                           [&](const auto& child) { return child.inbound_spi == spi; });
    if (at == model.children.end()) return;
    if (at->peers_successor && model.find_child(*at->peers_successor))
      todo.push_back(activate_outbound{*at->peers_successor});  // the old one is deleted (§2.8)
    bool is_replaced = at->state == child_state::rekeyed || at->peers_successor;
    todo.push_back(stop_child{spi, is_replaced, successor_of(*at)});
    model.children.erase(at);
    // A successor that goes before what it was to replace: that one is the SA in use again.
    for (auto& old : model.children) {
      if (old.peers_successor != spi) continue;
      old.peers_successor.reset();
      if (old.state == child_state::rekeyed && !has_successor(old.inbound_spi))
        old.state = child_state::installed;
    }
  }

  std::optional<data_plane::spi> successor_of(const child_sa_model& old) const {
    if (old.peers_successor && model.find_child(*old.peers_successor)) return old.peers_successor;
    // The loser of a collision replaced it too, and is never sent on.
    for (const auto& child : model.children)
      if (child.replaced == old.inbound_spi && child.state != child_state::rekeyed)
        return child.inbound_spi;
    return {};
  }

  bool has_successor(data_plane::spi spi) const {
    return std::any_of(model.children.begin(), model.children.end(),
                       [&](const auto& child) { return child.replaced == spi; });
  }

  void move_to_peers_successor() const {
    todo.push_back(move_children{model.peers_successor->initiator_spi,
                                 model.peers_successor->responder_spi,
                                 std::exchange(model.children, {})});
  }

  // The successor, made by the peer, of a Child SA.
  child_sa_model* find_peers_successor(data_plane::spi replaced) const {
    for (auto& child : model.children)
      if (!child.created_by_us && child.replaced == replaced) return &child;
    return nullptr;
  }

  void close_as_deleted_by_peer() const {
    close({errc::cancelled, "deleted by the peer"}, true, {});
  }

  void close(error reason, bool by_peer, std::optional<notify_type> notify_peer) const {
    model.state = sa_state::closed;
    ++model.epoch;
    todo.push_back(close_ike_sa{std::move(reason), by_peer, notify_peer});
  }
};

// A flow decides by its snapshot; while it was suspended our own exchanges may have ended or begun.
// What it granted to the peer and cannot be granted any more is answered TEMPORARY_FAILURE instead
// (§2.25), since nothing has been sent yet.
bool is_late(const ike_sa_model& model, const effect& one) {
  if (const auto* created = std::get_if<child_created>(&one)) {
    if (model.state == sa_state::rekeyed) return true;
    if (!created->replaces) return false;
    const auto* old = model.find_child(*created->replaces);
    return !old || old->peers_successor || old->state == child_state::rekeyed ||
           old->state == child_state::deleting;
  }
  if (std::holds_alternative<ike_rekeyed>(one))
    return model.state != sa_state::established || model.child_exchange_in_flight ||
           model.peers_successor;
  return false;
}

void refuse_what_is_late(const ike_sa_model& model, outcome& outcome) {
  for (auto& one : outcome.effects) {
    if (!is_late(model, one)) continue;
    wire::notify_payload refusal;
    refusal.type = notify_type::temporary_failure;
    outcome.response = wire::payloads{refusal};
    child_not_created failure;
    failure.reason = {errc::wrong_exchange, "our own exchange was faster"};
    if (std::holds_alternative<child_created>(one)) {
      one = std::move(failure);
    } else {
      one = peer_alive{};
    }
  }
}

}  // namespace

result<std::vector<directive>> apply(ike_sa_model& model, outcome&& outcome) {
  if (outcome.epoch != model.epoch || model.state == sa_state::closed)
    return {errc::stale_epoch, "exchange of epoch " + std::to_string(outcome.epoch)};
  std::vector<directive> todo;
  if (outcome.response) {
    refuse_what_is_late(model, outcome);
  } else {
    model.child_exchange_in_flight = false;  // our own exchange ended
  }
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
