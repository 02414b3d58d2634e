#include "actors/ike_sa.hpp"

#include <algorithm>

#include "actors/exchange.hpp"
#include "core/base/limits.hpp"

namespace imago::actors {

duration sooner_by_chance(random_source& random, duration from, duration spread) {
  if (from <= duration{} || spread <= duration{}) return from;
  auto part = duration{
      static_cast<duration::rep>(random.number() % static_cast<std::uint64_t>(spread.count()))};
  return std::max(duration{1}, from - part);
}

ike_sa::ike_sa(caf::actor_config& config, services_ptr shared, owned<ike_sa_birth> boxed)
    : actor_base{config, "ike_sa", shared->counted, shared->facts},
      shared_{std::move(shared)},
      id_{boxed.peek().id},
      retransmit_timer_{shared_->timers, timer_kind::retransmit_due},
      half_open_timer_{shared_->timers, timer_kind::half_open_due},
      rekey_timer_{shared_->timers, timer_kind::rekey_due},
      lifetime_timer_{shared_->timers, timer_kind::ike_lifetime_due},
      liveness_timer_{shared_->timers, timer_kind::liveness_due},
      keepalive_timer_{shared_->timers, timer_kind::keepalive_due},
      retry_timer_{shared_->timers, timer_kind::revive_due} {
  auto birth = boxed.take();
  model_ = std::move(birth.model);
  connection_ = std::move(birth.connection);
  is_started_ = birth.is_started;
  created_at_ = last_alive_ = last_sent_ = shared_->time->now();
  if (birth.reply) {
    initial_command_ = birth.reply.command();
    commands_.emplace(initial_command_, birth.reply);
  }
  if (birth.half_open) {
    beginning_ = std::make_unique<beginning>();
    beginning_->half_open = std::move(*birth.half_open);
  }
  if (birth.keys) {
    is_current_ = false;
    ikev2::use_keys use{std::move(*birth.keys)};
    do_use_keys(use);
  }
}

caf::behavior ike_sa::make_behavior() {
  // Without the demux nothing can arrive any more: the engine ends.
  monitor(shared_->demux.actor());
  set_down_handler([this](const caf::down_msg& down) { on_down(down); });
  begin_life();
  return handled_by(
      [this](const receive_packet& received) { on_packet(*received.what); },
      [this](const initiate_ike_sa& asked) { on_initiate(asked); },
      [this](run_task& asked) { on_run_task(asked); },
      [this](commit_exchange& commit) { on_commit(commit); },
      [this](const exchange_ended& ended) { on_exchange_ended(ended.exchange); },
      [this](send_exchange_request& asked) {
        if (asked.request.has_value() && exchanges_.count(asked.exchange) != 0)
          send_request(asked.exchange, asked.request.take());
      },
      [this](const child_rekey_wanted& wanted) {
        if (!is_known_child(wanted.inbound_spi)) return;
        want(ikev2::task_kind::rekey_child, wanted.inbound_spi);
      },
      [this](const child_expired& expired) { on_child_expired(expired); },
      [this](const child_started& started) { on_child_started(started); },
      [this](const child_used&) { heard(); },
      [this](const activity_confirmed& confirmed) { on_activity_confirmed(confirmed); },
      [this](const peer_moved& moved) {
        if (!model_.peer.remote_behind_nat) return;
        model_.remote = moved.remote;
        move_children(moved.remote);
        publish();
      },
      [this](adopt_children& adopted) { on_adopt(adopted); },
      [this](const update_policy& update) { on_update_policy(update.policy); },
      [this](const connection_found& found) { connection_ = connection_handle{found.connection}; },
      [this](const uplink_found& found) { on_uplink(found.uplink); },
      [this](const uplink_joined& joined) { on_joined(joined); },
      [this](const pause_sending& asked) { on_pause(asked); },
      [this](const resume_sending&) { on_resume(); },
      [this](const probe_path&) { on_probe_path(); },
      [this](const timer_due& due) { on_timer(due); },
      [this](job_done& done) { on_first_secret(done); },
      [this](const kill&) {
        stored_.reset();  // nothing at all is left
        close({errc::cancelled, "killed"}, false, true);
      });
}

caf::invoke_message_result ike_sa::consume(caf::mailbox_element& what) {
  auto outcome = actor_base::consume(what);
  publish_if_changed();
  return outcome;
}

void ike_sa::on_exit() {
  if (!is_closed_) stored_.reset();
  if (!is_closed_) close({errc::cancelled, "ended"}, false, true);
  for (auto* timer : {&retransmit_timer_, &half_open_timer_, &rekey_timer_, &lifetime_timer_,
                      &liveness_timer_, &keepalive_timer_, &retry_timer_})
    timer->cancel();
  outgoing_.reset();
  incoming_.reset();
  held_response_.reset();
  held_request_.reset();
  model_ = {};
  connection_ = {};
  uplink_ = {};
  successors_.clear();
  actor_base::on_exit();
}

void ike_sa::begin_life() {
  join();
  // Before anything of ours can be answered. A responder's is known: the demux made it.
  if (!beginning_)
    shared_->demux.tell(register_spi{model_.own_spi(), caf::actor_cast<caf::actor>(this)});
  if (model_.state == ikev2::sa_state::established) {  // rekeyed
    on_established();
    // §2.8.2: one that lost a collision gets no Child SAs, and its maker deletes it. If the peer
    // has forgotten it (charon, when our Delete of the old one overtakes our response), we do.
    lifetime_timer_.arm(address(), shared_->options.half_open_lifetime);
  } else if (model_.role == ikev2::role::responder) {
    half_open_timer_.arm(address(), shared_->options.half_open_lifetime);
    if (beginning_) derive_first_keys();
    if (is_closed_) return;
  }
  publish_now();
}

ikev2::sa_snapshot_ptr ike_sa::snapshot() const {
  return std::make_shared<const ikev2::ike_sa_model>(model_);
}

void ike_sa::on_initiate(const initiate_ike_sa& asked) {
  if (model_.state != ikev2::sa_state::created || own_exchange_) return;
  initial_child_ = asked.child;
  record(
      journal_level::control, journal_group::ike, "ike_sa_initiated",
      [&] {
        return fields{{"remote", model_.remote}, {"local", model_.local}};
      },
      "initiating IKE SA to {remote}");
  running_exchange entry;
  entry.is_ours = true;
  entry.type = exchange_type::ike_sa_init;
  spawn_exchange(ikev2::initiate_ike_sa_init(shared_->flow_context(), snapshot()),
                 std::move(entry));
}

void ike_sa::start_auth() {
  running_exchange entry;
  entry.is_ours = true;
  entry.type = exchange_type::ike_auth;
  spawn_exchange(ikev2::initiate_ike_auth(shared_->flow_context(), snapshot(), initial_child_),
                 std::move(entry));
}

void ike_sa::spawn_exchange(ikev2::flow flow, running_exchange entry) {
  auto number = shared_->new_id();
  (entry.is_ours ? own_exchange_ : peer_exchange_) = number;
  auto& slot = exchanges_[number];
  slot = std::move(entry);
  slot.handle = exchange_handle{spawn<exchange>(
      shared_, number, ike_sa_handle{caf::actor_cast<caf::actor>(this)}, own(std::move(flow)))};
  monitor(slot.handle.actor());
}

// Those that end as they should have said so before: what is left are those that were killed.
void ike_sa::on_down(const caf::down_msg& down) {
  if (is_closed_) return;
  if (down.source == shared_->demux.address())
    return close({errc::shutting_down, "engine"}, false, true);
  if (uplink_ && down.source == uplink_.address()) return join();
  for (auto at = exchanges_.begin(); at != exchanges_.end(); ++at) {
    if (at->second.handle.address() != down.source) continue;
    if (at->first == peer_exchange_ && !at->second.is_committed) {
      // As if the request had been lost: the peer sends it again.
      peer_exchange_.reset();
      exchanges_.erase(at);
      return release_response();
    }
    // What the peer has made of it by now is unknown: both cannot be brought to agree any more.
    send_last_delete();
    return close({errc::cancelled, "an exchange was killed"}, false, false);
  }
  for (auto& [spi, child] : children_) {
    if (child.handle.address() != down.source) continue;
    finish_command(std::exchange(child.command, 0), {errc::cancelled, "Child SA killed"});
    return want(ikev2::task_kind::delete_child, spi);
  }
}

// --- tasks ---

void ike_sa::on_run_task(run_task& asked) {
  auto& task = asked.task;
  task.command = asked.reply.command();
  if (asked.reply) commands_.emplace(task.command, asked.reply);
  bool is_double = std::any_of(tasks_.begin(), tasks_.end(), [&](const auto& one) {
    return one.kind == task.kind && one.inbound_spi == task.inbound_spi &&
           one.child == task.child && task.command == 0;
  });
  if (is_double) return;
  if (asked.force && task.kind == ikev2::task_kind::delete_ike) {
    closing_wanted_ = true;
    send_last_delete();
    return close({errc::cancelled, "terminated by force"}, false, true);
  }
  if (tasks_.size() >= limits::task_queue_max)
    return finish_command(task.command, {errc::queue_full, "tasks of the IKE SA"});
  // The end of the IKE SA makes whatever waits pointless.
  if (task.kind == ikev2::task_kind::delete_ike)
    tasks_.insert(tasks_.begin(), task);
  else
    tasks_.push_back(task);
  pump();
}

void ike_sa::want(ikev2::task_kind kind, data_plane::spi inbound_spi) {
  run_task asked;
  asked.task.kind = kind;
  asked.task.inbound_spi = inbound_spi;
  on_run_task(asked);
}

bool ike_sa::is_response_due() const {
  auto at = peer_exchange_ ? exchanges_.find(*peer_exchange_) : exchanges_.end();
  return at != exchanges_.end() && at->second.is_committed;
}

bool ike_sa::has_usable_child(const std::string& name) const {
  return std::any_of(model_.children.begin(), model_.children.end(), [&](const auto& child) {
    return child.config->name == name && (child.state == ikev2::child_state::installed ||
                                          child.state == ikev2::child_state::rekeying);
  });
}

void ike_sa::pump() {
  bool ready =
      model_.state == ikev2::sa_state::established || model_.state == ikev2::sa_state::rekeyed;
  // Its peer does not know of it: there is nothing to delete there.
  if (!ready && !tasks_.empty() && tasks_.front().kind == ikev2::task_kind::delete_ike &&
      model_.state != ikev2::sa_state::deleting) {
    closing_wanted_ = true;
    return close({errc::cancelled, "terminated before it was established"}, false, true);
  }
  if (is_pump_paused()) return;
  while (ready && !own_exchange_ && !tasks_.empty() && !is_closed_) {
    // What we ask may be about what the peer learns from that response: it leaves first.
    if (is_response_due()) return;
    if (awaits_children() && tasks_.front().kind != ikev2::task_kind::delete_ike) return;
    auto task = std::move(tasks_.front());
    tasks_.erase(tasks_.begin());
    if (task.kind == ikev2::task_kind::create_child && has_usable_child(task.child->name)) {
      finish_command(task.command, {});  // somebody was faster, perhaps the peer
      continue;
    }
    if (auto begun = ikev2::begin(model_, task); !begun) {
      record(
          journal_level::detail, journal_group::ike, "task_dropped",
          [&] {
            return fields{{"task", name_of(task.kind)}, {"reason", begun.failure().text()}};
          },
          "not doing {task}: {reason}");
      finish_command(task.command, begun);
      continue;
    }
    running_exchange entry;
    entry.is_ours = true;
    entry.task = task;
    entry.type = exchange_type::create_child_sa;
    if (task.kind == ikev2::task_kind::delete_ike) closing_wanted_ = true;
    spawn_exchange(ikev2::start_task(shared_->flow_context(), snapshot(), task), std::move(entry));
    publish();
  }
}

void ike_sa::finish_command(std::uint64_t number, const status& result) {
  auto at = commands_.find(number);
  if (number == 0 || at == commands_.end()) return;
  publish_if_changed();
  at->second.answer(result);
  commands_.erase(at);
}

// --- commits ---

void ike_sa::on_commit(commit_exchange& commit) {
  auto at = exchanges_.find(commit.exchange);
  if (at == exchanges_.end() || !commit.outcome.has_value()) return;
  auto handle = at->second.handle;
  auto outcome = commit.outcome.take();
  auto todo = ikev2::apply(model_, std::move(outcome));
  if (!todo) {
    record(
        journal_level::detail, journal_group::ike, "commit_refused",
        [&] {
          return fields{{"reason", todo.failure().text()}};
        },
        "an exchange came too late: {reason}");
    handle.tell(commit_refused{});
    if (at->second.task) finish_command(at->second.task->command, status{todo.failure()});
    exchanges_.erase(at);
    if (own_exchange_ == commit.exchange) own_exchange_.reset();
    if (peer_exchange_ == commit.exchange) peer_exchange_.reset();
    release_response();
    release_request();
    return pump();
  }
  at->second.is_committed = true;
  // As it is after apply(), which may have made a refusal of it.
  // NOLINTNEXTLINE(bugprone-use-after-move)
  at->second.response = std::move(outcome.response);
  auto done = carry_out(std::move(*todo), at->second);
  if (done.closing) {
    closing_ = done.closing->reason;
    closing_by_peer_ = done.closing->by_peer;
    if (done.closing->notify_peer && outgoing_) {
      // The peer learns why; one message, not waited for.
      auto sealed =
          seal(exchange_type::informational, false, next_own_message_id_,
               {wire::notify_payload{protocol_id::none, {}, *done.closing->notify_peer, {}}});
      if (sealed) send_datagrams(*sealed);
    }
  }
  publish();
  bool passes_leases = !done.leases.empty();
  if (!passes_leases) demonitor(handle.address());  // it has nothing more to say
  handle.tell(commit_accepted{std::move(done.leases)});
  if (!passes_leases) on_exchange_ended(commit.exchange);
}

// The exchange's leases, if any, have passed on: now, and only now, the response may leave.
void ike_sa::on_exchange_ended(std::uint64_t number) {
  auto at = exchanges_.find(number);
  if (at == exchanges_.end()) return;
  auto ended = std::move(at->second);
  exchanges_.erase(at);
  if (own_exchange_ == number) own_exchange_.reset();
  if (peer_exchange_ == number) peer_exchange_.reset();
  if (ended.response) send_response(ended);
  release_response();
  for (auto spi : ended.started_children)
    if (auto child = children_.find(spi); child != children_.end())
      child->second.handle.tell(activate_child{});
  if (closing_) {
    // The answer to the peer's Delete of this IKE SA leaves before it ends.
    if (is_response_due()) return;
    auto reason = *closing_;
    return close(reason, closing_by_peer_,
                 closing_wanted_ || closing_by_peer_ || model_.state == ikev2::sa_state::rekeyed);
  }
  if (ended.task && ended.task->kind != ikev2::task_kind::create_child)
    finish_command(ended.task->command, {});
  if (model_.state == ikev2::sa_state::auth_sent && ended.type == exchange_type::ike_sa_init)
    return start_auth();
  if (ended.task) publish();  // it is no longer under way
  release_request();
  pump();
}

// --- life ---

void ike_sa::on_established() {
  established_at_ = last_alive_ = shared_->time->now();
  half_open_timer_.cancel();
  if (!model_.connection) return;
  arm_lifetimes();
  if (model_.connection->config->dpd_delay > duration{} && !is_paused_)
    liveness_timer_.arm(address(), model_.connection->config->dpd_delay);
  if (model_.peer.local_behind_nat && !is_paused_)
    keepalive_timer_.arm(address(), shared_->options.nat_keepalive_interval);
}

void ike_sa::arm_lifetimes() {
  const auto& config = *model_.connection->config;
  if (config.rekey_time > duration{}) {
    auto delay = sooner_by_chance(*shared_->library, config.rekey_time, config.rand_time);
    rekey_at_ = shared_->time->now() + delay;
    rekey_timer_.arm(address(), delay);
  }
  auto limit = std::max(config.rekey_time, config.reauth_time);
  // Never at the instant of the rekey itself: it needs time to be answered.
  auto grace = std::max(config.over_time, limit / 10);
  if (limit > duration{}) lifetime_timer_.arm(address(), limit + grace);
}

void ike_sa::on_timer(const timer_due& due) {
  if (retransmit_timer_.accept(due)) return retransmit();
  if (half_open_timer_.accept(due))
    return close({errc::timed_out, "half-open for too long"}, false, true);
  if (liveness_timer_.accept(due)) return check_liveness();
  if (rekey_timer_.accept(due)) {
    return want(ikev2::task_kind::rekey_ike);
  }
  if (lifetime_timer_.accept(due)) {
    if (model_.state == ikev2::sa_state::rekeyed && !outstanding_)
      return close({errc::timed_out, "replaced and not deleted by the peer"}, false, true);
    if (is_paused_) return expire_unseen();
    return want(ikev2::task_kind::delete_ike);
  }
  if (keepalive_timer_.accept(due)) {
    auto interval = shared_->options.nat_keepalive_interval;
    if (shared_->time->now() - last_sent_ >= interval)
      shared_->net->send_keepalive(model_.local, model_.remote);
    keepalive_timer_.arm(address(), interval);
  }
  if (retry_timer_.accept(due)) {
    for (auto& task : std::exchange(retries_, {})) {
      run_task again{std::move(task), {}, false};
      on_run_task(again);
    }
  }
}

// Ends everything of this IKE SA. What is in flight is killed; the kernel takes leases back.
void ike_sa::close(const error& reason, bool by_peer, bool wanted) {
  if (std::exchange(is_closed_, true)) return;
  if (beginning_) beginning_->token->cancel();
  beginning_.reset();
  ++model_.epoch;
  auto was_established = established_at_ != instant{};
  model_.state = ikev2::sa_state::closed;
  for (auto& [number, running] : std::exchange(exchanges_, {})) running.handle.tell_kill();
  for (auto& [spi, child] : children_) child.handle.tell(stop_child_sa{false});
  record(
      was_established ? journal_level::control : journal_level::audit, journal_group::ike,
      "ike_sa_closed",
      [&] {
        return fields{{"reason", reason.code == errc::cancelled ? reason.where : reason.text()},
                      {"by_peer", by_peer}};
      },
      "IKE SA closed: {reason}");
  ike_sa_down ended{id_,
                    reason,
                    wanted || !is_current_,
                    by_peer && is_current_,
                    model_.local.address,
                    model_.peer.remote_behind_nat ? std::nullopt : std::optional{model_.remote},
                    {},
                    was_established && is_current_};
  for (const auto& [spi, child] : children_) ended.children.push_back(child.status.name);
  for (const auto& [spi, child] : children_) report(sa_event_kind::child_down, spi, 0, reason);
  children_.clear();
  if (is_current_ && was_established) report(sa_event_kind::ike_down, 0, 0, reason);
  auto commands = std::exchange(commands_, {});
  for (auto& [number, one] : commands) {
    bool asked_for_this = closing_wanted_ && number != initial_command_;
    one.answer(asked_for_this ? status{} : status{reason});
  }
  connection_.tell(std::move(ended));
  publish_now("DESTROYED");
  leave_last_answer();
  quit(caf::exit_reason::normal);
}

// A changed connection serves the IKE SAs that are up if all that changed are its children: then
// new ones can be created here (what is there stays as it is). Else they end as they began.
void ike_sa::on_update_policy(const ikev2::policy_ptr& policy) {
  if (!model_.connection) {
    model_.policy = policy;
    return;
  }
  auto changed = policy->find(model_.connection->config->name);
  if (!changed || changed == model_.connection) return;
  auto without_children = [](config::connection_config one) {
    one.children.clear();
    return one;
  };
  if (without_children(*changed->config) != without_children(*model_.connection->config)) return;
  model_.connection = changed;
  model_.policy = policy;
}

void ike_sa::on_adopt(adopt_children& adopted) {
  is_current_ = true;
  lifetime_timer_.cancel();
  if (model_.connection) arm_lifetimes();
  for (auto& child : adopted.children) {
    child_sa_handle handle{child.child_sa};
    model_.children.push_back(child.model);
    children_[child.model.inbound_spi] = {handle, child.status, 0, true};
    monitor(child.child_sa);
  }
  for (auto& task : adopted.tasks) on_run_task(task);
  publish();
  release_request();
  pump();
}

}  // namespace imago::actors
