#include "actors/connection.hpp"

#include <algorithm>

#include "actors/ike_sa.hpp"
#include "core/ikev2/exchanges/common.hpp"

namespace imago::actors {

namespace {
constexpr auto revive_delay_first = std::chrono::seconds{1};
constexpr auto revive_delay_max = std::chrono::seconds{60};
}  // namespace

connection::connection(caf::actor_config& config, services_ptr shared,
                       ikev2::connection_policy_ptr configured, ikev2::policy_ptr policy,
                       bool runs_start_actions)
    : actor_base{config, "connection", shared->counted, shared->facts},
      shared_{std::move(shared)},
      configured_{std::move(configured)},
      policy_{std::move(policy)},
      runs_start_actions_{runs_start_actions},
      revive_timer_{shared_->timers, timer_kind::revive_due} {}

caf::behavior connection::make_behavior() {
  set_down_handler([this](const caf::down_msg& down) { on_uplink_down(down.source); });
  if (runs_start_actions_) {
    want_start_actions(nullptr);
    install_wanted();
    begin_start_actions();
  }
  return handled_by(
      [this](const initiate_connection& asked) { on_initiate(asked); },
      [this](const install_child_policy& asked) { install(asked.child, asked.reply); },
      [this](const uninstall_child_policy& asked) { uninstall(asked.child, asked.reply); },
      [this](const restore_policies& there) {
        for (const auto& child : there.children) install(child, {});
      },
      [this](const update_connection& update) { on_update(update); },
      [this](const remove_connection&) { on_remove(); },
      [this](const ike_sa_up& up) { on_ike_sa_up(up); },
      [this](kernel_reply& reply) { on_kernel_reply(reply); },
      [this](const kernel_event& event) {
        if (const auto* acquired = std::get_if<data_plane::sa_acquired>(&event.event))
          on_acquired(*acquired);
      },
      [this](const task_ended& ended) { on_task_ended(ended); },
      [this](const ike_sa_down& down) { on_ike_sa_down(down); },
      [this](const child_down& down) { on_child_down(down); },
      [this](const uplink_found& found) { on_uplink(found.uplink); },
      [this](const start_permitted& permitted) { on_permitted(permitted); },
      [this](const timer_due& due) {
        if (revive_timer_.accept(due)) ike_sas_.empty() ? ask_to_start() : start_waiting();
      },
      [this](const kill&) { quit(caf::exit_reason::kill); });
}

void connection::on_exit() {
  revive_timer_.cancel();
  ike_sas_.clear();
  policies_.clear();
  removals_.clear();
  if (permitted_by_) end_start();
  actor_base::on_exit();
}

void connection::on_ike_sa_up(const ike_sa_up& up) {
  auto& known = ike_sas_[up.id];
  known.handle = ike_sa_handle{up.ike_sa};
  known.is_initiator = up.is_initiator;
  known.is_started = up.is_started;
  known.is_established = true;
  failures_ = 0;
  if (up.id == started_) end_start();
}

void connection::on_update(const update_connection& update) {
  auto before = std::exchange(configured_, update.connection);
  policy_ = update.policy;
  for (auto* names : {&wanted_, &unstarted_})
    std::erase_if(*names, [this](const auto& name) { return !find_child(name); });
  if (!update.runs_start_actions) return;
  uninstall_changed();
  // Without an IKE SA all begin anew; under one that is up, what is new or has changed: what is as
  // it was is up, or was ended by somebody who meant it.
  want_start_actions(ike_sas_.empty() ? nullptr : before->config.get());
  install_wanted();
  begin_start_actions();
}

// Undoes what loading did: the IKE SAs that start actions began. What is not established yet is
// not worth finishing either. The policies go with us, by our leases; what commands, packets or the
// peer brought up stays.
void connection::on_remove() {
  wanted_.clear();
  acquisitions_.clear();
  for (auto& [id, known] : ike_sas_)
    if (known.is_started || (known.is_initiator && !known.is_established))
      known.handle.tell(run_task{{ikev2::task_kind::delete_ike, {}, 0, {}, 0}, {}, false});
  quit(caf::exit_reason::normal);
}

ikev2::child_config_ptr connection::find_child(const std::string& name) const {
  const auto* child = configured_->config->find_child(name);
  return child ? ikev2::child_config_ptr{configured_->config, child} : nullptr;
}

void connection::on_initiate(const initiate_connection& asked) {
  auto answer = [&](const status& result) { asked.reply.answer(result); };
  auto child = find_child(asked.child);
  if (!asked.child.empty() && !child)
    return answer({errc::not_found, "child '" + asked.child + "'"});
  if (child && child->is_shunt())
    return answer({errc::not_supported, "mode = pass and drop have no SA; install the policy"});
  if (ike_sas_.empty()) return start_ike_sa(child, asked.reply, remote_endpoint(), false);
  if (!child) return answer({});  // there is one already
  ikev2::task task{ikev2::task_kind::create_child, child, 0, {}, asked.reply.command()};
  ike_sas_.rbegin()->second.handle.tell(run_task{std::move(task), asked.reply, false});
}

result<endpoint> connection::remote_endpoint() const {
  for (const auto& one : configured_->config->remote_addresses) {
    if (!one.host_name.empty())
      return {errc::not_supported,
              "remote address '" + one.host_name + "' is a name: write its IP address"};
    if (one.is_single()) return endpoint{one.first, configured_->config->remote_port};
  }
  return {errc::no_matching_connection, "connection '" + configured_->config->name +
                                            "' has no single remote address to connect to"};
}

result<endpoint> connection::remote_to_revive() const {
  auto configured = remote_endpoint();
  bool is_anyone = !configured && configured.failure().code == errc::no_matching_connection;
  if (!is_anyone || !last_remote_) return configured;
  return endpoint{last_remote_->address, configured_->config->remote_port};
}

void connection::start_ike_sa(const ikev2::child_config_ptr& child, const command_reply& reply,
                              const result<endpoint>& remote, bool is_started) {
  auto local = remote ? shared_->net->local_for(*remote, configured_->config->local_addresses)
                      : result<endpoint>{remote.failure()};
  if (!local) {
    reply.answer(status{local.failure()});
    facts().record(journal_level::control, journal_group::ike, [&] {
      fact failed;
      failed.name = "initiation_failed";
      failed.connection = configured_->config->name;
      failed.fields = {{"reason", local.failure().text()}};
      failed.story = "cannot initiate: {reason}";
      return failed;
    });
    return;
  }
  ike_sa_birth birth;
  birth.id = shared_->new_id();
  birth.connection = connection_handle{caf::actor_cast<caf::actor>(this)};
  birth.reply = reply;
  birth.is_started = is_started;
  auto& model = birth.model;
  model.role = ikev2::role::initiator;
  model.initiator_spi = ikev2::make_ike_spi(*shared_->library);
  model.local = *local;
  model.remote = *remote;
  model.connection = configured_;
  model.policy = policy_;
  auto id = birth.id;
  ike_sa_handle handle{home_system().spawn<ike_sa>(shared_, own(std::move(birth)))};
  ike_sas_[id] = {handle, true, is_started, false};
  if (permitted_by_ && started_ == 0) started_ = id;
  handle.tell(initiate_ike_sa{child});
}

void connection::want_start_actions(const config::connection_config* before) {
  for (const auto& child : configured_->config->children) {
    if (!starts(child.start_action) || child.is_shunt()) continue;
    const auto* known = before ? before->find_child(child.name) : nullptr;
    if (known && *known == child) continue;
    wanted_.insert(child.name);
    unstarted_.insert(child.name);
  }
}

// Thousands of connections that are loaded at once are as much of a storm as thousands that come
// back: the first IKE SA takes its turn.
void connection::begin_start_actions() {
  if (unstarted_.empty()) return;
  ike_sas_.empty() ? ask_to_start() : start_wanted();
}

void connection::start_waiting() {
  start_wanted();
  negotiate_again();
}

// With a new IKE SA all that are wanted; with one that is there already those that it was not asked
// for (it does nothing if it has them).
void connection::start_wanted() {
  auto names = ike_sas_.empty() ? wanted_ : unstarted_;
  unstarted_.clear();
  for (const auto& name : names) {
    if (!ike_sas_.empty())
      on_initiate({name, {}});
    else if (name == *names.begin())
      start_ike_sa(find_child(name), {}, remote_to_revive(), true);
  }
}

// Backoff with full jitter: a thousand connections that lost one peer do not return in step.
void connection::revive_later() {
  auto ceiling =
      std::min<duration>(revive_delay_max, revive_delay_first * (1U << std::min(failures_, 6U)));
  auto part = shared_->library->number() % static_cast<std::uint64_t>(ceiling.count());
  revive_timer_.arm(address(),
                    std::chrono::milliseconds{100} + duration{static_cast<duration::rep>(part)});
}

// Revival begins when its uplink says so: not while it is down, and not all at once.
void connection::ask_to_start() {
  auto remote = remote_to_revive();
  if (!shared_->uplinks || !remote) return start_waiting();
  if (waits_for_start_ || permitted_by_) return;
  auto local = last_local_;
  if (!local) {
    auto routed = shared_->net->local_for(*remote, configured_->config->local_addresses);
    if (!routed) {
      ++failures_;
      return revive_later();
    }
    local = routed->address;
  }
  waits_for_start_ = true;
  start_remote_ = remote->address;
  shared_->uplinks.tell(request_start{*local, start_remote_, caf::actor_cast<caf::actor>(this)});
}

void connection::on_uplink(const caf::actor& found) {
  if (!waits_for_start_ || waits_at_ == found.address()) return;
  if (waits_at_) demonitor(waits_at_);
  waits_at_ = found.address();
  monitor(found);
}

// With it went our place in its queue.
void connection::on_uplink_down(const caf::actor_addr& who) {
  if (!waits_at_ || waits_at_ != who) return;
  waits_at_ = {};
  if (std::exchange(waits_for_start_, false)) revive_later();
}

void connection::on_permitted(const start_permitted& permitted) {
  permitted_by_ = uplink_handle{permitted.uplink};
  if (waits_at_) demonitor(std::exchange(waits_at_, {}));
  if (std::exchange(waits_for_start_, false)) start_waiting();
  if (started_ != 0) return;
  end_start();
  // Not reachable after all (it was told why); later perhaps.
  if (!wanted_.empty() && ike_sas_.empty()) {
    ++failures_;
    revive_later();
  }
}

void connection::end_start() {
  std::exchange(permitted_by_, {}).tell(start_ended{start_remote_});
  started_ = 0;
}

// What ends by a command stays ended. Else each Child SA's configuration says what becomes of it:
// close_action if the peer deleted it, dpd_action if the peer is gone.
void connection::on_ike_sa_down(const ike_sa_down& down) {
  ike_sas_.erase(down.id);
  if (started_ != 0 && down.id == started_) end_start();
  if (down.was_established) {
    last_local_ = down.local;
    last_remote_ = down.remote;
  }
  if (down.wanted && !down.by_peer) return;
  bool any = !down.by_peer;
  for (const auto& name : down.children) {
    auto child = find_child(name);
    if (!child) continue;
    bool comes_back = down.by_peer ? starts(child->close_action)
                                   : child->dpd_action == config::dpd_action::restart;
    bool is_trapped =
        down.by_peer ? traps(child->close_action) : child->dpd_action == config::dpd_action::trap;
    if (is_trapped) install(name, {});
    any = any || comes_back;
    for (auto* names : {&wanted_, &unstarted_}) {
      if (comes_back)
        names->insert(name);
      else
        names->erase(name);
    }
  }
  // The end of one that was up is no failed try.
  failures_ = down.was_established ? 0 : failures_ + 1;
  if (!any || wanted_.empty() || !ike_sas_.empty()) return;
  auto tries = configured_->config->keying_tries;
  if (tries == 0 || failures_ < tries) revive_later();
}

void connection::on_child_down(const child_down& down) {
  auto child = find_child(down.child);
  if (!child || !down.by_peer) return;
  if (traps(child->close_action)) install(down.child, {});
  if (starts(child->close_action)) on_initiate({down.child, {}});
}

}  // namespace imago::actors
