// What others see of an IKE SA: published statuses, events, facts.
#include "actors/ike_sa.hpp"

namespace imago {

std::string_view name_of(sa_event_kind kind) {
  static constexpr std::string_view names[] = {"ike_up",   "ike_down",   "ike_rekeyed",
                                               "child_up", "child_down", "child_rekeyed"};
  return names[static_cast<unsigned>(kind)];
}

}  // namespace imago

namespace imago::actors {

namespace {

// strongSwan's words, which vici clients know.
std::string_view vici_state(ikev2::sa_state state) {
  switch (state) {
    case ikev2::sa_state::created: return "CREATED";
    case ikev2::sa_state::sa_init_sent:
    case ikev2::sa_state::auth_sent:
    case ikev2::sa_state::sa_init_done_r: return "CONNECTING";
    case ikev2::sa_state::established: return "ESTABLISHED";
    case ikev2::sa_state::rekeyed: return "REKEYED";
    case ikev2::sa_state::deleting: return "DELETING";
    case ikev2::sa_state::closed: break;
  }
  return "DESTROYING";
}

std::string_view vici_state(ikev2::child_state state) {
  switch (state) {
    case ikev2::child_state::installed: return "INSTALLED";
    case ikev2::child_state::rekeying: return "REKEYING";
    case ikev2::child_state::rekeyed: return "REKEYED";
    case ikev2::child_state::deleting: break;
  }
  return "DELETING";
}

std::string_view vici_task(ikev2::task_kind kind) {
  static constexpr std::string_view names[] = {"CHILD_CREATE", "CHILD_REKEY", "CHILD_DELETE",
                                               "IKE_REKEY",    "IKE_DELETE",  "IKE_DPD"};
  return names[static_cast<unsigned>(kind)];
}

}  // namespace

ike_sa_status_ptr ike_sa::make_status(std::string_view state) const {
  auto status = std::make_shared<ike_sa_status>();
  status->id = id_;
  if (model_.connection) status->connection = model_.connection->config->name;
  status->state = state.empty() ? vici_state(model_.state) : state;
  if (state.empty() && model_.rekey_in_flight) status->state = "REKEYING";
  status->role = model_.role;
  status->initiator_spi = model_.initiator_spi;
  status->responder_spi = model_.responder_spi;
  status->local = model_.local;
  status->remote = model_.remote;
  status->local_identity = model_.local_identity;
  status->remote_identity = model_.remote_identity;
  status->algorithms = model_.algorithms;
  status->local_behind_nat = model_.peer.local_behind_nat;
  status->remote_behind_nat = model_.peer.remote_behind_nat;
  status->is_started = is_started_;
  status->authenticated_by = model_.authenticated_by;
  status->created_at = created_at_;
  status->established_at = established_at_;
  status->rekey_at = rekey_at_;
  status->children.reserve(model_.children.size());
  for (const auto& model : model_.children) {
    auto at = children_.find(model.inbound_spi);
    if (at == children_.end()) continue;
    auto child = at->second.status;
    child.model = model;
    child.state = vici_state(model.state);
    status->children.push_back(std::move(child));
  }
  for (const auto& task : tasks_) status->tasks_queued.emplace_back(vici_task(task.kind));
  for (const auto& [number, running] : exchanges_)
    if (running.task) status->tasks_active.emplace_back(vici_task(running.task->kind));
  return status;
}

ike_sa_status_ptr ike_sa::publish_now(std::string_view state) {
  is_changed_ = false;
  auto status = make_status(state);
  shared_->engine.tell(status_published{caf::actor_cast<caf::actor>(this), status});
  return status;
}

void ike_sa::report(sa_event_kind kind, data_plane::spi child, data_plane::spi new_child,
                    error reason) {
  sa_event event;
  event.kind = kind;
  event.ike_sa = is_changed_ && !is_closed_ ? publish_now() : make_status();
  event.reason = std::move(reason);
  if (auto at = children_.find(child); at != children_.end()) {
    event.child = at->second.status.id;
    event.child_status = at->second.status;
    event.child_status.state = vici_state(at->second.status.model.state);
  }
  if (auto at = children_.find(new_child); at != children_.end())
    event.new_child = at->second.status.id;
  shared_->engine.tell(sa_event_happened{std::move(event)});
}

void ike_sa::record_now(journal_level level, journal_group group, static_text name, fields values,
                        static_text story) {
  fact what;
  what.level = level;
  what.group = group;
  what.name = name;
  if (model_.connection) what.connection = model_.connection->config->name;
  what.ike_sa = id_;
  what.fields = std::move(values);
  what.story = story;
  facts().record(std::move(what));
}

}  // namespace imago::actors
