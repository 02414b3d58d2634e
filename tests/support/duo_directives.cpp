// What a peer of a duo does to itself as apply() directs, and what a test asks of it.
#include <algorithm>

#include <doctest/doctest.h>

#include "tests/support/duo.hpp"

namespace imago::ikev2::testing {

using data_plane::direction;

void peer::remove_sa(direction direction, data_plane::spi spi) {
  auto removed = plane.carry_out(data_plane::remove_sa{{direction, at.address, spi}});
  CHECK(removed);
}

void peer::install_outbound(data_plane::spi inbound_spi) {
  auto at_dormant = dormant_.find(inbound_spi);
  if (at_dormant == dormant_.end()) return;  // is in use already
  auto installed = plane.carry_out(std::move(at_dormant->second));
  CHECK(installed);
  dormant_.erase(at_dormant);
}

void peer::on(ike_side& ike, exchange_run& run, start_child& one) {
  auto spi = one.child.inbound_spi;
  CHECK(run.leased.erase(spi) == 1);
  CHECK(plane.has(direction::inbound, spi));
  CHECK(ike.model.find_child(spi) != nullptr);
  outbound_of_[spi] = one.child.outbound_spi;
  dormant_.emplace(spi, std::move(one.outbound));
  if (!one.outbound_waits_for_use) install_outbound(spi);
}

void peer::on(stop_child& one) {
  auto spi = one.inbound_spi;
  REQUIRE(outbound_of_.count(spi) == 1);
  // What replaces it can be sent on already.
  if (one.successor) CHECK(plane.has(direction::outbound, outbound_of_.at(*one.successor)));
  if (dormant_.erase(spi) == 0) remove_sa(direction::outbound, outbound_of_.at(spi));
  outbound_of_.erase(spi);
  if (one.lingers) {
    lingering_.insert(spi);
  } else {
    remove_sa(direction::inbound, spi);
  }
}

void peer::expire_lingering() {
  for (auto spi : lingering_) remove_sa(direction::inbound, spi);
  lingering_.clear();
}

void peer::on(ike_side& ike, use_keys& one) {
  bool is_initiator = ike.model.role == role::initiator;
  auto& keys = one.derived;
  ike.outbound.emplace(
      std::move(is_initiator ? keys.initiator_to_responder : keys.responder_to_initiator));
  ike.inbound.emplace(
      std::move(is_initiator ? keys.responder_to_initiator : keys.initiator_to_responder));
  ike.wants_auth = is_initiator;
}

void peer::hand_over_tasks(ike_side& from, ike_side& to) {
  auto is_of_ike = [](const task& one) {
    return one.kind == task_kind::delete_ike || one.kind == task_kind::rekey_ike ||
           one.kind == task_kind::check_liveness;
  };
  auto move_some = [&](auto& source, auto& target) {
    for (auto& one : std::exchange(source, {})) (is_of_ike(one) ? source : target).push_back(one);
  };
  move_some(from.tasks, to.tasks);
  move_some(from.delayed, to.delayed);
}

void peer::on(ike_side& ike, start_ike_sa& one) {
  auto successor = std::make_unique<ike_side>();
  auto& model = successor->model;
  const auto& old = ike.model;
  model.role = one.material.role;
  model.state = sa_state::established;
  model.initiator_spi = one.material.initiator_spi;
  model.responder_spi = one.material.responder_spi;
  model.local = old.local;
  model.remote = old.remote;
  model.connection = old.connection;
  model.policy = old.policy;
  model.algorithms = one.material.algorithms;
  model.peer = old.peer;
  model.local_identity = old.local_identity;
  model.remote_identity = old.remote_identity;
  model.authenticated_by = old.authenticated_by;
  model.children = std::move(one.children);
  model.keys = std::make_shared<const ike_keys>(std::move(one.material.derived.keys));
  use_keys keys{std::move(one.material.derived)};
  on(*successor, keys);
  successor->wants_auth = false;
  auto& made = *successor;
  ikes.push_back(std::move(successor));
  if (one.is_redundant) {
    made.tasks.push_back(of_kind(task_kind::delete_ike));
  } else if (old.state == sa_state::rekeyed) {
    hand_over_tasks(ike, made);
  }
  begin_next(made);
}

void peer::on(ike_side& ike, move_children& one) {
  for (const auto& other_ike : ikes) {
    auto& model = other_ike->model;
    if (model.initiator_spi != one.initiator_spi || model.responder_spi != one.responder_spi)
      continue;
    CHECK(!other_ike->closed);
    for (auto& child : one.children) model.children.push_back(std::move(child));
    hand_over_tasks(ike, *other_ike);
    begin_next(*other_ike);
    return;
  }
  FAIL("children are moved to an IKE SA that does not exist");
}

void peer::drop_exchanges(ike_side& ike) {
  for (auto* slot : {&ike.own, &ike.theirs}) {
    if (!*slot) continue;
    give_back(**slot);
    slot->reset();
  }
  ike.tasks.clear();
  ike.delayed.clear();
}

void peer::drop_children(ike_side& ike) {
  for (const auto& child : std::exchange(ike.model.children, {})) {
    stop_child stop{child.inbound_spi, false, {}};
    on(stop);
  }
}

void peer::on(ike_side& ike, close_ike_sa& one) {
  reports.push_back("closed: " + one.reason.text());
  drop_exchanges(ike);
  drop_children(ike);
  auto notify = one.notify_peer;
  ike.closed = std::move(one);
  if (notify)
    start(ike,
          initiate_failure_notice(context(), std::make_shared<const ike_sa_model>(ike.model),
                                  *notify),
          true, exchange_type::informational, 0);
}

void peer::carry_out(ike_side& ike, exchange_run& run, directive& one) {
  if (auto* start = std::get_if<start_child>(&one)) on(ike, run, *start);
  if (auto* activate = std::get_if<activate_outbound>(&one))
    install_outbound(activate->inbound_spi);
  if (auto* stop = std::get_if<stop_child>(&one)) on(*stop);
  if (auto* failed = std::get_if<report_child_failed>(&one))
    reports.push_back("child failed: " + failed->failure.reason.text());
  if (std::get_if<report_child_rekeyed>(&one)) reports.push_back("child rekeyed");
  if (std::get_if<report_established>(&one)) reports.push_back("established");
  if (auto* start = std::get_if<start_ike_sa>(&one)) on(ike, *start);
  if (auto* move = std::get_if<move_children>(&one)) on(ike, *move);
  if (auto* use = std::get_if<use_keys>(&one)) on(ike, *use);
  if (auto* close = std::get_if<close_ike_sa>(&one)) on(ike, *close);
  if (auto* queue = std::get_if<queue_task>(&one)) ike.tasks.push_back(std::move(queue->task));
  if (auto* retry = std::get_if<retry_task>(&one)) ike.delayed.push_back(std::move(retry->task));
}

void peer::kill(ike_side& ike) {
  drop_exchanges(ike);
  drop_children(ike);
  ike.model.state = sa_state::closed;
  ++ike.model.epoch;
  ike.closed = close_ike_sa{{errc::cancelled, "killed"}, false, {}};
}

void peer::lose_child(data_plane::spi inbound_spi) {
  auto& children = current().model.children;
  auto lost = std::find_if(children.begin(), children.end(),
                           [&](const auto& child) { return child.inbound_spi == inbound_spi; });
  REQUIRE(lost != children.end());
  children.erase(lost);
  stop_child stop{inbound_spi, false, {}};
  on(stop);
}

// --- what a test asks ----------------------------------------------------------------------------

std::size_t peer::held_count() const {
  std::size_t count = 0;
  for (const auto& ike : ikes)
    for (const auto* slot : {&ike->own, &ike->theirs})
      if (*slot) count += (*slot)->held.size();
  return count;
}

void peer::carry_out_held(std::size_t at_index) {
  for (std::size_t i = 0; i < ikes.size(); ++i)
    for (auto* slot : {&ikes[i]->own, &ikes[i]->theirs}) {
      if (!*slot) continue;
      auto& held = (*slot)->held;
      if (at_index >= held.size()) {
        at_index -= held.size();
        continue;
      }
      auto one = std::move(held[at_index]);
      held.erase(held.begin() + static_cast<std::ptrdiff_t>(at_index));
      answer(**slot, one.index, std::move(one.what));
      drive(*ikes[i], *slot);
      return;
    }
  FAIL("no work is held there");
}

bool peer::is_quiet() const {
  return std::all_of(ikes.begin(), ikes.end(), [](const auto& ike) {
    return !ike->own && !ike->theirs && ike->tasks.empty() && ike->delayed.empty();
  });
}

bool peer::has_request_in_flight() const {
  return std::any_of(ikes.begin(), ikes.end(), [](const auto& ike) {
    return ike->own && ike->own->response_index.has_value();
  });
}

bool peer::begin_delayed() {
  bool any = false;
  for (std::size_t i = 0; i < ikes.size(); ++i) {
    auto list = std::exchange(ikes[i]->delayed, {});
    any = any || !list.empty();
    for (auto& one : list) add(*ikes[i], std::move(one));
  }
  return any;
}

std::vector<ike_side*> peer::live() {
  std::vector<ike_side*> list;
  for (const auto& ike : ikes)
    if (!ike->closed) list.push_back(ike.get());
  return list;
}

ike_side& peer::current() {
  ike_side* found = nullptr;
  for (auto* ike : live()) {
    if (ike->model.state != sa_state::established) continue;
    REQUIRE(found == nullptr);
    found = ike;
  }
  REQUIRE(found != nullptr);
  return *found;
}

std::size_t peer::child_count() {
  std::size_t count = 0;
  for (auto* ike : live()) count += ike->model.children.size();
  return count;
}

task peer::of_kind(task_kind kind) {
  task made;
  made.kind = kind;
  return made;
}

task peer::create_child(std::string_view child) {
  const auto& config = current().model.connection->config;
  const auto* found = config->find_child(child);
  REQUIRE(found);
  auto made = of_kind(task_kind::create_child);
  made.child = {config, found};
  return made;
}

task peer::rekey_child() {
  auto made = of_kind(task_kind::rekey_child);
  REQUIRE(current().model.children.size() == 1);
  made.inbound_spi = current().model.children.front().inbound_spi;
  return made;
}

task peer::delete_child() {
  auto made = rekey_child();
  made.kind = task_kind::delete_child;
  return made;
}

bool peer::has_reported(std::string_view text) const {
  return std::any_of(reports.begin(), reports.end(),
                     [&](const std::string& one) { return one.find(text) != one.npos; });
}

}  // namespace imago::ikev2::testing
