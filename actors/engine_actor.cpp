#include "actors/engine_actor.hpp"

#include <algorithm>

#include "actors/connection.hpp"

namespace imago::actors {

namespace {
// Until it is decided which of two IKE SAs goes, the last of their exchanges has been answered.
constexpr auto redundant_wait = std::chrono::seconds{2};

bool is_established(const ike_sa_status_ptr& seen) {
  return seen && seen->established_at != instant{};
}
}  // namespace

engine_actor::engine_actor(caf::actor_config& config, services_ptr shared)
    : actor_base{config, "engine", shared->counted, shared->facts},
      shared_{std::move(shared)},
      policy_{std::make_shared<const ikev2::policy>()},
      redundant_timer_{shared_->timers, timer_kind::linger_due},
      started_at_{shared_->time->now()},
      stop_timer_{shared_->timers, timer_kind::sweep_due} {}

caf::behavior engine_actor::make_behavior() {
  set_down_handler([this](const caf::down_msg& down) {
    if (auto at = ids_.find(down.source); at != ids_.end()) {
      forget(at->second);
      ids_.erase(at);
      if (is_stopping_ && ike_sas_.empty()) finish_stop();
      return;
    }
    if (revive_connection(down.source)) return;
    if (auto subscriber = caf::actor_cast<caf::actor>(down.source)) subscribers_.erase(subscriber);
  });
  auto tell = [](const caf::actor& to, auto message) {
    if (to) caf::anon_send(to, std::move(message));
  };
  return handled_by([this](const status_published& published) { on_status(published); },
                    [this](const sa_event_happened& happened) {
                      for (const auto& subscriber : subscribers_)
                        caf::anon_send(subscriber, happened);
                    },
                    [this](const initiate_sa& asked) { on_initiate(asked); },
                    [this](const install_child_policy& asked) { on_child_policy(asked); },
                    [this](const uninstall_child_policy& asked) { on_child_policy(asked); },
                    [this](const policies_published& now) { on_policies(now); },
                    [this](const list_child_policies& asked) { on_list_policies(asked); },
                    [this](const terminate_sas& asked) { on_terminate(asked); },
                    [this, tell](const rekey_sas& asked) {
                      auto matches = select(asked.which);
                      tell(asked.reply_to, selection_made{asked.command, matches.size()});
                      for (const auto& [sa, child] : matches) {
                        auto kind =
                            child ? ikev2::task_kind::rekey_child : ikev2::task_kind::rekey_ike;
                        sa->handle.tell(run_task{
                            {kind, {}, child ? child->model.inbound_spi : 0, {}, 0}, {}, false});
                      }
                    },
                    [this, tell](const kill_sas& asked) {
                      auto matches = select(asked.which);
                      tell(asked.reply_to, selection_made{asked.command, matches.size()});
                      for (const auto& [sa, child] : matches) sa->handle.tell_kill();
                    },
                    [this, tell](const list_ike_sas& asked) {
                      ike_sas_listed listed{asked.command, {}};
                      std::uint64_t last = 0;
                      for (const auto& [sa, child] : select(asked.which)) {
                        if (sa->status->id == last) continue;
                        last = sa->status->id;
                        listed.list.push_back(sa->status);
                      }
                      tell(asked.reply_to, std::move(listed));
                    },
                    [this](const replace_policy& asked) { on_replace_policy(asked); },
                    [this](const subscribe_sa_events& subscription) {
                      if (subscribers_.insert(subscription.subscriber).second)
                        monitor(subscription.subscriber);
                    },
                    [this, tell](const count_engine& asked) {
                      engine_counted counted{asked.command, ike_sas_.size(),
                                             shared_->half_open_count, started_at_};
                      for (const auto& [id, known] : ike_sas_)
                        if (!is_established(known.status)) ++counted.half_open;
                      tell(asked.reply_to, counted);
                    },
                    [this](const stop_engine& asked) { on_stop(asked); },
                    [this](const timer_due& due) {
                      if (stop_timer_.accept(due)) finish_stop();
                      if (redundant_timer_.accept(due)) delete_redundant();
                    },
                    [this](const kill&) { quit(caf::exit_reason::kill); });
}

void engine_actor::on_exit() {
  stop_timer_.cancel();
  redundant_timer_.cancel();
  for (auto& [name, known] : connections_) known.handle.tell_kill();
  for (auto& [id, known] : ike_sas_) known.handle.tell_kill();
  connections_.clear();
  ike_sas_.clear();
  subscribers_.clear();
  stop_asker_ = {};
  actor_base::on_exit();
}

void engine_actor::on_status(const status_published& published) {
  const auto& status = published.status;
  if (status->state == "DESTROYED") return;  // DOWN follows
  auto [at, is_new] = ike_sas_.try_emplace(status->id);
  if (is_new) {
    at->second.handle = ike_sa_handle{published.ike_sa};
    ids_[published.ike_sa.address()] = status->id;
    monitor(published.ike_sa);
    if (is_stopping_) at->second.handle.tell_kill();
  }
  bool found = is_established(status) && !is_established(at->second.status);
  at->second.status = status;
  if (!found) return;
  if (peers_.add(*status) && !redundant_timer_.is_armed())
    redundant_timer_.arm(address(), redundant_wait);
  if (auto owner = connections_.find(status->connection); owner != connections_.end())
    introduce(owner->second, at->second, status->role == ikev2::role::responder);
}

// An IKE SA that its connection began knows it from birth.
void engine_actor::introduce(const known_connection& owner, const known_ike_sa& known,
                             bool is_news) {
  const auto& status = *known.status;
  owner.handle.tell(ike_sa_up{status.id, known.handle.actor(),
                              status.role == ikev2::role::initiator, status.is_started});
  if (is_news) known.handle.tell(connection_found{owner.handle.actor()});
}

void engine_actor::forget(std::uint64_t id) {
  auto at = ike_sas_.find(id);
  if (at == ike_sas_.end()) return;
  // Its connection has been told why, if they had met; now it knows at least that it is gone.
  if (auto owner = connections_.find(at->second.status->connection); owner != connections_.end())
    owner->second.handle.tell(ike_sa_down{id, {errc::cancelled, "gone"}, true});
  if (is_established(at->second.status)) peers_.remove(*at->second.status);
  ike_sas_.erase(at);
}

void engine_actor::delete_redundant() {
  auto found = peers_.find_redundant(
      [this](std::uint64_t id) -> const ike_sa_status& { return *ike_sas_.at(id).status; });
  for (auto id : found.redundant)
    ike_sas_.at(id).handle.tell(run_task{{ikev2::task_kind::delete_ike, {}, 0, {}, 0}, {}, false});
  if (!found.is_settled) redundant_timer_.arm(address(), redundant_wait);
}

std::vector<engine_actor::match> engine_actor::select(const sa_selector& which) const {
  std::vector<match> found;
  bool wants_child = !which.child.empty() || which.child_id != 0;
  auto consider = [&](const known_ike_sa& known) {
    const auto& status = *known.status;
    if (!which.ike.empty() && status.connection != which.ike) return;
    if (!wants_child) {
      found.push_back({&known, nullptr});
      return;
    }
    for (const auto& child : status.children)
      if ((which.child.empty() || child.name == which.child) &&
          (which.child_id == 0 || child.id == which.child_id))
        found.push_back({&known, &child});
  };
  if (which.ike_id != 0) {
    if (auto at = ike_sas_.find(which.ike_id); at != ike_sas_.end()) consider(at->second);
    return found;
  }
  for (const auto& [id, known] : ike_sas_) consider(known);
  return found;
}

void engine_actor::on_initiate(const initiate_sa& asked) {
  auto answer = [&](status result) {
    if (asked.reply_to) caf::anon_send(asked.reply_to, task_ended{asked.command, result});
  };
  if (is_stopping_) return answer({errc::shutting_down});
  if (auto* known = find_connection(asked.ike, asked.child))
    return known->handle.tell(initiate_connection{asked.child, {asked.command, asked.reply_to}});
  answer({errc::not_found, asked.child.empty() ? "IKE_SA config '" + asked.ike + "'"
                                               : "CHILD_SA config '" + asked.child + "'"});
}

// By name; without one, the first that has such a child.
engine_actor::known_connection* engine_actor::find_connection(const std::string& name,
                                                              const std::string& child) {
  auto has_child = [&](const auto& entry) {
    return child.empty() || entry.second.configured->config->find_child(child) != nullptr;
  };
  auto at = connections_.find(name);
  if (name.empty() && !child.empty())
    at = std::find_if(connections_.begin(), connections_.end(), has_child);
  return at != connections_.end() && has_child(*at) ? &at->second : nullptr;
}

template <class message>
void engine_actor::on_child_policy(const message& asked) {
  if (is_stopping_) return asked.reply.answer({errc::shutting_down});
  auto* known = asked.child.empty() ? nullptr : find_connection(asked.connection, asked.child);
  if (!known) return asked.reply.answer({errc::not_found, "CHILD_SA config '" + asked.child + "'"});
  known->handle.tell(asked);
}

void engine_actor::on_policies(const policies_published& now) {
  // Not of one that has a successor.
  auto at = connections_.find(now.connection);
  if (at != connections_.end() && at->second.handle.address() == now.from)
    at->second.policies = now.list;
}

void engine_actor::on_list_policies(const list_child_policies& asked) const {
  child_policies_listed listed{asked.command, {}};
  for (const auto& [name, known] : connections_)
    for (const auto& one : known.policies)
      if ((asked.connection.empty() || name == asked.connection) &&
          (asked.child.empty() || one.child == asked.child))
        listed.list.push_back(one);
  if (asked.reply_to) caf::anon_send(asked.reply_to, std::move(listed));
}

void engine_actor::on_terminate(const terminate_sas& asked) {
  auto matches = select(asked.which);
  if (asked.reply_to) caf::anon_send(asked.reply_to, selection_made{asked.command, matches.size()});
  for (const auto& [sa, child] : matches) {
    auto kind = child ? ikev2::task_kind::delete_child : ikev2::task_kind::delete_ike;
    ikev2::task task{kind, {}, child ? child->model.inbound_spi : 0, {}, asked.command};
    sa->handle.tell(run_task{std::move(task), {asked.command, asked.reply_to}, asked.force});
  }
}

namespace {

bool is_same(const ikev2::connection_policy& one, const ikev2::connection_policy& other) {
  return one.config == other.config;  // the same loaded object: a store keeps what did not change
}

}  // namespace

void engine_actor::on_replace_policy(const replace_policy& asked) {
  policy_ = asked.policy;
  for (auto& [id, known] : ike_sas_) known.handle.tell(update_policy{policy_});
  std::set<std::string> present;
  for (const auto& configured : policy_->connections) {
    const auto& name = configured->config->name;
    present.insert(name);
    auto at = connections_.find(name);
    if (at != connections_.end()) {
      bool changed = !is_same(*at->second.configured, *configured);
      at->second.configured = configured;
      at->second.handle.tell(update_connection{configured, policy_, changed});
      continue;
    }
    connections_[name] = {spawn_connection(configured, true), configured, {}};
  }
  for (auto at = connections_.begin(); at != connections_.end();) {
    if (present.count(at->first) != 0) {
      ++at;
      continue;
    }
    at->second.handle.tell(remove_connection{});
    at = connections_.erase(at);
  }
  if (asked.reply_to) caf::anon_send(asked.reply_to, task_ended{asked.command, {}});
}

connection_handle engine_actor::spawn_connection(const ikev2::connection_policy_ptr& configured,
                                                 bool runs_start_actions) {
  auto spawned = home_system().spawn<connection>(shared_, configured, policy_, runs_start_actions);
  monitor(spawned);
  return connection_handle{spawned};
}

// A connection that ended though it is configured gets a successor, which learns of its IKE SAs.
bool engine_actor::revive_connection(const caf::actor_addr& ended) {
  for (auto& [name, known] : connections_) {
    if (known.handle.address() != ended) continue;
    known.handle = spawn_connection(known.configured, false);
    restore_policies there;
    for (const auto& one : known.policies) there.children.push_back(one.child);
    known.handle.tell(std::move(there));
    for (const auto& [id, sa] : ike_sas_)
      if (sa.status->connection == name && is_established(sa.status)) introduce(known, sa, true);
    return true;
  }
  return false;
}

void engine_actor::on_stop(const stop_engine& asked) {
  stop_asker_ = asked.reply_to;
  is_stopping_ = true;
  for (auto& [name, known] : connections_) known.handle.tell_kill();  // no revival
  connections_.clear();
  for (auto& [id, known] : ike_sas_) {
    if (!is_established(known.status))
      known.handle.tell_kill();
    else
      known.handle.tell(run_task{{ikev2::task_kind::delete_ike, {}, 0, {}, 0}, {}, false});
  }
  if (ike_sas_.empty()) return finish_stop();
  stop_timer_.arm(address(), shared_->options.stop_timeout);
}

void engine_actor::finish_stop() {
  for (auto& [id, known] : ike_sas_) known.handle.tell_kill();
  if (stop_asker_) caf::anon_send(stop_asker_, engine_stopped{});
  stop_asker_ = {};
}

}  // namespace imago::actors
