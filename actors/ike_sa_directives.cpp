// What apply() asks for, done: Child SAs started and stopped, successors, keys, closing.
#include <fmt/format.h>

#include "actors/child_sa.hpp"
#include "actors/ike_sa.hpp"
#include "core/base/limits.hpp"

namespace imago::actors {

namespace {

template <class... functions>
struct overloaded : functions... {
  using functions::operator()...;
};
template <class... functions>
overloaded(functions...) -> overloaded<functions...>;

// RFC 7296 §2.25 leaves it open how long to wait. By chance, or two peers whose rekeys of the IKE
// SA and of a Child SA collided collide again, and again.
constexpr auto retry_delay = std::chrono::seconds{4};
constexpr auto retry_spread = std::chrono::seconds{3};

constexpr static_text not_created{"Child SA {child} not created: {reason}"};
constexpr static_text not_created_for_peer{
    "a Child SA that the peer asked for not created: {reason}"};

}  // namespace

ike_sa::commit_result ike_sa::carry_out(std::vector<ikev2::directive> todo,
                                        running_exchange& exchange) {
  commit_result result;
  for (auto& one : todo)
    std::visit(
        overloaded{
            [&](ikev2::start_child& start) { do_start_child(start, exchange, result); },
            [&](ikev2::activate_outbound& activate) {
              if (auto child = children_.find(activate.inbound_spi); child != children_.end())
                child->second.handle.tell(activate_child{});
            },
            [&](ikev2::stop_child& stop) { do_stop_child(stop); },
            [&](ikev2::report_child_failed& report) {
              auto reason = report.failure.reason;
              record(
                  journal_level::control, journal_group::child, "child_sa_failed",
                  [&] {
                    return fields{{"child", report.failure.child}, {"reason", reason.text()}};
                  },
                  report.failure.child.empty() ? not_created_for_peer : not_created);
              if (!exchange.is_ours) return;
              finish_command(exchange.task ? exchange.task->command : initial_command_,
                             status{reason});
            },
            [&](ikev2::report_child_rekeyed& rekeyed) {
              report(sa_event_kind::child_rekeyed, rekeyed.old_inbound_spi,
                     rekeyed.new_inbound_spi);
            },
            [&](ikev2::report_established&) {
              on_established();
              shared_->demux.tell(half_open_ended{model_.own_spi()});
              record(
                  journal_level::audit, journal_group::ike, "ike_sa_established",
                  [&] {
                    return fields{{"local_id", config::text_of(model_.local_identity)},
                                  {"remote_id", config::text_of(model_.remote_identity)},
                                  {"remote", model_.remote},
                                  {"method", model_.authenticated_by}};
                  },
                  "IKE SA established: {local_id} ... {remote_id} at {remote}, peer "
                  "authenticated by {method}");
              publish();
              report(sa_event_kind::ike_up);
              // Asked for without a Child SA: that is all there was to do.
              if (!initial_child_ && initial_command_ != 0) finish_command(initial_command_, {});
            },
            [&](ikev2::start_ike_sa& start) { do_start_ike_sa(start); },
            [&](ikev2::move_children& move) {
              do_move_children(move.initiator_spi, move.responder_spi, std::move(move.children));
            },
            [&](ikev2::use_keys& use) { do_use_keys(use); },
            [&](ikev2::close_ike_sa& close) { result.closing = std::move(close); },
            [&](ikev2::queue_task& queue) { tasks_.push_back(std::move(queue.task)); },
            [&](ikev2::retry_task& retry) {
              if (retries_.size() >= limits::task_queue_max) return;
              retries_.push_back(std::move(retry.task));
              retry_timer_.arm(address(),
                               sooner_by_chance(*shared_->library, retry_delay, retry_spread));
            },
        },
        one);
  return result;
}

void ike_sa::do_start_child(ikev2::start_child& start, running_exchange& exchange,
                            commit_result& result) {
  const auto& config = *start.child.config;
  auto& random = *shared_->library;
  auto rekey_in = sooner_by_chance(random, config.rekey_time, config.rand_time);
  auto now = shared_->time->now();
  child_sa_status status;
  status.id = shared_->new_id();
  status.name = config.name;
  status.model = start.child;
  status.installed_at = now;
  if (rekey_in > duration{}) status.rekey_at = now + rekey_in;
  if (config.life_time > duration{}) status.expires_at = now + config.life_time;
  status.outbound = start.outbound.sa.id;
  status.inbound = {data_plane::direction::inbound, model_.local.address, start.child.inbound_spi};
  auto child = spawn<child_sa>(shared_, ike_sa_handle{caf::actor_cast<caf::actor>(this)},
                               std::make_shared<const ikev2::child_sa_model>(start.child),
                               status.inbound, own(std::move(start.outbound)),
                               start.outbound_waits_for_use, rekey_in, config.life_time);
  monitor(child);
  auto spi = start.child.inbound_spi;
  result.leases.emplace_back(status.inbound, child);
  bool is_rekey = start.outbound_waits_for_use ||
                  (exchange.task && exchange.task->kind == ikev2::task_kind::rekey_child);
  std::uint64_t command = 0;
  if (exchange.is_ours && !is_rekey)
    command = exchange.task ? exchange.task->command : initial_command_;
  children_[spi] = {child_sa_handle{child}, std::move(status), command, is_rekey};
  if (!start.outbound_waits_for_use) exchange.started_children.push_back(spi);
}

void ike_sa::on_child_started(const child_started& started) {
  auto at = children_.find(started.inbound_spi);
  if (at == children_.end()) return;
  const auto& child = at->second.status;
  if (!started.result) {
    record(
        journal_level::audit, journal_group::child, "child_sa_not_installed",
        [&] {
          return fields{{"child", child.name}, {"reason", started.result.failure().text()}};
        },
        "outbound SA of {child} not installed: {reason}");
    want(ikev2::task_kind::delete_child, started.inbound_spi);
    finish_command(std::exchange(at->second.command, 0), started.result);
    return;
  }
  record(
      journal_level::audit, journal_group::child, "child_sa_installed",
      [&] {
        return fields{
            {"child", child.name},
            {"spi_in", [spi = child.model.inbound_spi] { return fmt::format("{:08x}", spi); }},
            {"spi_out", [spi = child.model.outbound_spi] { return fmt::format("{:08x}", spi); }},
            {"local_ts", [list = child.model.local_selectors] { return text_of(list); }},
            {"remote_ts", [list = child.model.remote_selectors] { return text_of(list); }}};
      },
      "Child SA {child} installed: in {spi_in} out {spi_out}, {local_ts} === {remote_ts}");
  publish();
  if (!at->second.is_rekey) report(sa_event_kind::child_up, started.inbound_spi);
  finish_command(std::exchange(at->second.command, 0), {});
}

void ike_sa::do_stop_child(const ikev2::stop_child& stop) {
  auto at = children_.find(stop.inbound_spi);
  if (at == children_.end()) return;
  auto successor = stop.successor ? children_.find(*stop.successor) : children_.end();
  if (stop.lingers && successor != children_.end())
    successor->second.handle.tell(stop_replaced{at->second.handle.actor()});
  else
    at->second.handle.tell(stop_child_sa{stop.lingers});
  finish_command(at->second.command, {errc::cancelled, "Child SA closed"});
  if (!stop.lingers) {
    record(
        journal_level::audit, journal_group::child, "child_sa_closed",
        [&] {
          return fields{{"child", at->second.status.name}};
        },
        "Child SA {child} closed");
    report(sa_event_kind::child_down, stop.inbound_spi);
    connection_.tell(child_down{at->second.status.name, !own_exchange_});
  }
  children_.erase(at);
}

void ike_sa::do_use_keys(ikev2::use_keys& use) {
  bool initiator = model_.role == ikev2::role::initiator;
  auto& derived = use.derived;
  outgoing_.emplace(
      std::move(initiator ? derived.initiator_to_responder : derived.responder_to_initiator));
  incoming_.emplace(
      std::move(initiator ? derived.responder_to_initiator : derived.initiator_to_responder));
  if (model_.state == ikev2::sa_state::established) return;  // a rekeyed one counts from 0
  // After IKE_SA_INIT the next message ID is 1.
  next_own_message_id_ = initiator ? 1 : 0;
  // A NAT between us: everything moves to the NAT port (§2.23).
  if (initiator && model_.peer.udp_encapsulation && !shared_->net->is_nat_port(model_.local)) {
    model_.local = shared_->net->on_nat_port(model_.local);
    if (model_.remote.port == 500) model_.remote.port = 4500;
  }
}

void ike_sa::do_start_ike_sa(ikev2::start_ike_sa& start) {
  auto& material = start.material;
  ike_sa_birth birth;
  birth.id = shared_->new_id();
  auto& model = birth.model;
  model.role = material.role;
  model.state = ikev2::sa_state::established;
  model.initiator_spi = material.initiator_spi;
  model.responder_spi = material.responder_spi;
  model.local = model_.local;
  model.remote = model_.remote;
  model.connection = model_.connection;
  model.policy = model_.policy;
  model.algorithms = material.algorithms;
  model.peer = model_.peer;
  model.local_identity = model_.local_identity;
  model.remote_identity = model_.remote_identity;
  model.authenticated_by = model_.authenticated_by;
  model.keys = std::make_shared<const ikev2::ike_keys>(std::move(material.derived.keys));
  birth.connection = connection_;
  birth.is_started = is_started_;
  birth.keys.emplace(std::move(material.derived));
  auto own_spi = model.own_spi();
  auto id = birth.id;
  ike_sa_handle successor{home_system().spawn<ike_sa>(shared_, own(std::move(birth)))};
  successors_[own_spi] = successor;
  shared_->demux.tell(register_spi{own_spi, successor.actor()});
  connection_.tell(
      ike_sa_up{id, successor.actor(), model_.role == ikev2::role::initiator, is_started_});
  record(
      journal_level::control, journal_group::ike, "ike_sa_rekeyed",
      [&] {
        return fields{{"new_id", id}};
      },
      "IKE SA rekeyed, successor is #{new_id}");
  if (start.is_redundant) {
    successor.tell(run_task{{ikev2::task_kind::delete_ike, {}, 0, {}, 0}, {}, false});
    return;
  }
  if (model_.state != ikev2::sa_state::rekeyed) return;  // collision: decided later
  hand_over(successor, std::move(start.children));
}

void ike_sa::do_move_children(std::uint64_t initiator_spi, std::uint64_t responder_spi,
                              std::vector<ikev2::child_sa_model> children) {
  for (auto own_spi : {initiator_spi, responder_spi})
    if (auto at = successors_.find(own_spi); at != successors_.end())
      return hand_over(at->second, std::move(children));
}

// Child SAs, queued tasks and waiting commands go to the successor (§2.8). The Child SAs learn it
// from us, before they could learn of our end.
void ike_sa::hand_over(const ike_sa_handle& successor,
                       std::vector<ikev2::child_sa_model> children) {
  adopt_children adoption;
  for (auto& model : children) {
    auto at = children_.find(model.inbound_spi);
    if (at == children_.end()) continue;
    at->second.handle.tell(change_owner{successor.actor(), shared_->new_id()});
    adoption.children.push_back(
        {std::move(model), at->second.handle.actor(), std::move(at->second.status)});
    children_.erase(at);
  }
  for (auto list : {&tasks_, &retries_})
    for (auto& task : std::exchange(*list, {})) {
      command_reply reply;
      if (auto command = commands_.find(task.command); command != commands_.end()) {
        reply = command->second;
        commands_.erase(command);
      }
      adoption.tasks.push_back({std::move(task), std::move(reply), false});
    }
  successor.tell(std::move(adoption));
  is_current_ = false;
  // Who began the rekey deletes us (§2.8); if it died meanwhile, nobody does.
  rekey_timer_.cancel();
  lifetime_timer_.arm(address(), shared_->options.half_open_lifetime);
  report(sa_event_kind::ike_rekeyed);
}

}  // namespace imago::actors
