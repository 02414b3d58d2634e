#include "actors/kernel.hpp"

#include <algorithm>

#include "core/base/limits.hpp"

namespace imago::actors {

namespace {
constexpr auto sweep_interval = std::chrono::seconds{1};
// A back-end that says nothing for so long has lost the request.
constexpr auto reply_wait_max = std::chrono::seconds{10};
// SPIs are drawn from 2^32: one that is taken is bad luck, several mean something else.
constexpr unsigned spi_tries_max = 8;
constexpr unsigned question_tries_max = 3;
// Of one SA: first use, activity, soft and hard limit, a new endpoint.
constexpr std::size_t early_events_max = 5;
// One sweep after the other; a data plane that is busy for longer is lost.
constexpr unsigned removal_tries_max = 30;

const data_plane::sa_id* sa_of(const data_plane::event& event) {
  return std::visit(
      [](const auto& fact) -> const data_plane::sa_id* {
        if constexpr (requires { fact.id; })
          return &fact.id;
        else
          return nullptr;
      },
      event);
}
}  // namespace

kernel::kernel(caf::actor_config& config, services_ptr shared, kernel_if::backend* backend)
    : actor_base{config, "kernel", shared->counted, shared->facts},
      shared_{std::move(shared)},
      backend_{backend},
      sweep_{shared_->timers, timer_kind::sweep_due},
      look_timer_{shared_->timers, timer_kind::activity_due} {}

caf::behavior kernel::make_behavior() {
  set_down_handler([this](const caf::down_msg& down) { on_down(down); });
  return handled_by([this](kernel_request& request) { on_request(request); },
                    [this](backend_replied& replied) {
                      if (replied.reply.has_value()) on_reply(replied.id, replied.reply.take());
                    },
                    [this](const backend_reported& reported) { on_event(reported.event); },
                    [this](transfer_leases& transfer) { on_transfer(transfer); },
                    [this](const confirm_activity& asked) { on_confirm(asked); },
                    [this](const timer_due& due) {
                      if (sweep_.accept(due)) on_sweep();
                      if (look_timer_.accept(due)) look();
                    },
                    [this](const kill&) { quit(caf::exit_reason::kill); });
}

void kernel::on_exit() {
  sweep_.cancel();
  look_timer_.cancel();
  questions_.clear();
  asked_.clear();
  pending_.clear();
  again_.clear();
  uncertain_.clear();
  leases_.clear();
  policy_leases_.clear();
  policy_owners_.clear();
  owners_.clear();
  actor_base::on_exit();
}

void kernel::on_request(kernel_request& asked) {
  if (!asked.request.has_value()) return;
  auto request = asked.request.take();
  pending entry;
  entry.asker = asked.reply_to;
  entry.asker_id = asked.id;
  entry.submitted_at = shared_->time->now();
  if (!backend_) return reply_to(entry, error{errc::not_supported, "no data plane"});
  if (pending_.size() >= limits::kernel_requests_max)
    return reply_to(entry, error{errc::queue_full, "kernel requests"});
  if (auto* allocate = std::get_if<data_plane::allocate_spi>(&request)) {
    // Named by us, so that a lost reply can be undone.
    if (allocate->spi == 0) {
      allocate->spi = choose_spi(allocate->local);
      entry.tries_left = spi_tries_max - 1;
    }
    entry.allocates = *allocate;
    entry.creates = {data_plane::direction::inbound, allocate->local, allocate->spi};
  } else if (const auto* install = std::get_if<data_plane::install_sa>(&request)) {
    entry.installs = true;
    entry.creates = install->sa.id;
    entry.policies = install->policies;
    if (auto at = leases_.find(entry.creates); at != leases_.end()) at->second.is_installing = true;
  } else if (const auto* remove = std::get_if<data_plane::remove_sa>(&request)) {
    // The owner gives it back itself: its policies go with it.
    auto at = leases_.find(remove->id);
    if (at != leases_.end()) {
      auto policies = std::move(at->second.policies);
      if (auto owner = owners_.find(at->second.owner); owner != owners_.end())
        owner->second.erase(remove->id);
      leases_.erase(at);
      for (const auto& policy : policies) remove_policy(policy);
    }
    entry.removes = *remove;
    entry.tries_left = removal_tries_max;
  } else if (const auto* added = std::get_if<data_plane::install_policy>(&request)) {
    entry.adds = added->policy;
    if (entry.asker) {
      policy_leases_.emplace(added->policy.reqid,
                             policy_lease{entry.asker.address(), added->policy});
      ++policy_owners_[entry.asker.address()];
    }
  } else if (const auto* policy = std::get_if<data_plane::remove_policy>(&request)) {
    if (entry.asker) (void)end_policy_lease(entry.asker.address(), policy->policy);
    entry.removes = *policy;
    entry.tries_left = removal_tries_max;
  }
  if (entry.allocates || entry.installs || entry.adds) watch(entry.asker);
  submit(std::move(entry), std::move(request));
}

void kernel::submit(pending entry, data_plane::request request) {
  entry.submitted_at = shared_->time->now();
  auto id = next_id_++;
  pending_.emplace(id, std::move(entry));
  if (!sweep_.is_armed()) sweep_.arm(address(), sweep_interval);
  backend_->submit(id, std::move(request));
}

void kernel::on_reply(kernel_if::request_id id, data_plane::reply reply) {
  auto at = pending_.find(id);
  if (at == pending_.end()) return;  // answered twice
  auto entry = std::move(at->second);
  pending_.erase(at);
  if (entry.looks) return finish_look(entry, reply);
  if (entry.removes.index() != 0) {
    bool is_gone = reply || reply.failure().code == errc::no_such_sa ||
                   reply.failure().code == errc::not_found;
    reply_to(entry, std::move(reply));
    if (!is_gone) remove_later(std::move(entry));
    return;
  }
  if (entry.adds) {
    bool is_refused = !reply;
    reply_to(entry, std::move(reply));
    // A lease that has ended meanwhile has left its removal behind.
    if (is_refused && entry.asker && end_policy_lease(entry.asker.address(), *entry.adds))
      undo(std::move(entry));
    return;
  }
  if (entry.undoes) {
    if (!reply) return end_install(entry.creates);  // it was not
    grant({}, entry.creates, std::move(entry.policies));
    return take_back(entry.creates);
  }
  if (!reply && entry.allocates && reply.failure().code == errc::already_exists &&
      entry.tries_left > 0)
    return allocate_another(std::move(entry));
  bool created = reply.has_value() && (entry.allocates || entry.installs);
  if (created && entry.allocates) {
    const auto* allocated = std::get_if<data_plane::spi_allocated>(&*reply);
    if (!allocated) return;
    entry.creates.spi = allocated->spi;
  }
  // What was created for an asker that is gone is undone.
  bool asker_lives = entry.asker && owners_.count(entry.asker.address()) != 0;
  if (created) {
    grant(entry.asker, entry.creates, std::move(entry.policies));
    if (!asker_lives) take_back(entry.creates);
  } else if (!reply && (entry.allocates || entry.installs) &&
             reply.failure().code != errc::already_exists) {
    // A data plane that ran out of buffers may have done it all the same.
    reply_to(entry, std::move(reply));
    return undo(std::move(entry));
  } else if (entry.installs) {
    end_install(entry.creates);
  }
  reply_to(entry, std::move(reply));
}

void kernel::remove(removal what, unsigned tries_left) {
  pending entry;
  entry.removes = what;
  entry.tries_left = tries_left;
  if (auto* sa = std::get_if<data_plane::remove_sa>(&what))
    submit(std::move(entry), *sa);
  else
    submit(std::move(entry), std::get<data_plane::remove_policy>(what));
}

void kernel::remove_later(pending failed) {
  if (failed.tries_left == 0) return;
  --failed.tries_left;
  failed.asker = {};  // was told
  again_.push_back(std::move(failed));
  if (!sweep_.is_armed()) sweep_.arm(address(), sweep_interval);
}

bool kernel::is_held(const data_plane::policy& what) const {
  auto has = [&](const std::vector<data_plane::policy>& list) {
    return std::find(list.begin(), list.end(), what) != list.end();
  };
  auto [first, last] = policy_leases_.equal_range(what.reqid);
  return std::any_of(first, last, [&](const auto& one) { return one.second.policy == what; }) ||
         std::any_of(leases_.begin(), leases_.end(),
                     [&](const auto& one) { return has(one.second.policies); }) ||
         std::any_of(pending_.begin(), pending_.end(), [&](const auto& one) {
           return one.second.installs && has(one.second.policies);
         });
}

void kernel::remove_policy(const data_plane::policy& what) {
  remove(data_plane::remove_policy{what}, removal_tries_max);
  if (uncertain_.empty() || is_held(what)) return;
  for (auto count = std::erase(uncertain_, what); count > 0; --count)
    remove(data_plane::remove_policy{what}, removal_tries_max);
}

data_plane::spi kernel::choose_spi(const ip_address& local) const {
  for (;;) {
    auto spi = static_cast<data_plane::spi>(shared_->library->number());
    if (spi >= 256 && leases_.count({data_plane::direction::inbound, local, spi}) == 0) return spi;
  }
}

void kernel::allocate_another(pending entry) {
  --entry.tries_left;
  entry.allocates->spi = entry.creates.spi = choose_spi(entry.allocates->local);
  auto request = *entry.allocates;
  submit(std::move(entry), request);
}

// It failed, or was not done at all. A larval SA may be left of an owner that died meanwhile.
void kernel::end_install(const data_plane::sa_id& id) {
  auto at = leases_.find(id);
  if (at == leases_.end()) return;
  at->second.is_installing = false;
  if (owners_.count(at->second.owner) == 0) take_back(id);
}

// The reply is lost, or an error that may come late: was it done? Requests are carried out in
// order, so whatever is asked now comes after.
void kernel::undo(pending lost) {
  if (lost.adds) {
    lost.removes = data_plane::remove_policy{*std::exchange(lost.adds, std::nullopt)};
    lost.tries_left = removal_tries_max;
  }
  if (const auto* removed = std::get_if<data_plane::remove_policy>(&lost.removes);
      removed && is_held(removed->policy)) {
    if (uncertain_.size() < limits::kernel_requests_max) uncertain_.push_back(removed->policy);
    return;
  }
  if (lost.removes.index() != 0) return remove_later(std::move(lost));
  if (lost.allocates) {
    // Unless the data plane refused it because we have that SPI already.
    if (leases_.count(lost.creates) == 0)
      remove(data_plane::remove_sa{lost.creates}, removal_tries_max);
    return;
  }
  if (lost.undoes && lost.tries_left == 0) return end_install(lost.creates);
  pending question;
  question.undoes = true;
  question.tries_left = lost.undoes ? lost.tries_left - 1 : question_tries_max - 1;
  question.creates = lost.creates;
  question.policies = std::move(lost.policies);
  submit(std::move(question), data_plane::query_sa{lost.creates});
}

void kernel::reply_to(const pending& entry, data_plane::reply reply) {
  if (entry.asker) caf::anon_send(entry.asker, kernel_reply{entry.asker_id, own(std::move(reply))});
}

bool kernel::end_policy_lease(const caf::actor_addr& owner, const data_plane::policy& policy) {
  auto [first, last] = policy_leases_.equal_range(policy.reqid);
  auto at = std::find_if(first, last, [&](const auto& one) {
    return one.second.owner == owner && one.second.policy == policy;
  });
  if (at == last) return false;
  policy_leases_.erase(at);
  if (auto count = policy_owners_.find(owner); --count->second == 0) {
    policy_owners_.erase(count);
    unwatch_idle(owner);
  }
  return true;
}

// A connection lives on without any policy. Who still waits for something of its own is watched.
void kernel::unwatch_idle(const caf::actor_addr& owner) {
  auto at = owners_.find(owner);
  bool is_waiting = std::any_of(pending_.begin(), pending_.end(), [&](const auto& one) {
    return one.second.asker && one.second.asker.address() == owner &&
           (one.second.allocates || one.second.installs);
  });
  if (at == owners_.end() || !at->second.empty() || is_waiting) return;
  owners_.erase(at);
  demonitor(owner);
}

// A packet waits: who owns the trap decides what is begun. Others than traps have SAs to come, or
// to go.
void kernel::on_acquire(const data_plane::sa_acquired& acquired) {
  auto covers = [](const traffic_selectors& list, const traffic_selector& one) {
    return std::any_of(list.begin(), list.end(),
                       [&](const auto& wide) { return wide.contains(one); });
  };
  auto [first, last] = policy_leases_.equal_range(acquired.reqid);
  for (auto at = first; at != last; ++at) {
    const auto& [owner, policy] = at->second;
    // A number that the configuration gave to several children: the packet tells which.
    if (std::next(first) != last && !(covers(policy.local_selectors, acquired.local) &&
                                      covers(policy.remote_selectors, acquired.remote)))
      continue;
    if (auto to = caf::actor_cast<caf::actor>(owner)) caf::anon_send(to, kernel_event{acquired});
    return;
  }
}

void kernel::on_events_lost() {
  facts().record(journal_level::audit, journal_group::kernel, [] {
    fact lost;
    lost.name = "data_plane_events_lost";
    lost.story = "the data plane said more than could be heard; its SAs were looked at instead";
    return lost;
  });
}

void kernel::on_event(const data_plane::event& event) {
  if (const auto* acquired = std::get_if<data_plane::sa_acquired>(&event))
    return on_acquire(*acquired);
  if (std::holds_alternative<data_plane::events_lost>(event)) return on_events_lost();
  const auto* id = sa_of(event);
  auto at = id ? leases_.find(*id) : leases_.end();
  if (at == leases_.end()) return;
  auto& lease = at->second;
  if (id->direction == data_plane::direction::inbound && !lease.is_passed_on) {
    if (lease.waiting.size() < early_events_max) lease.waiting.push_back(event);
    return;
  }
  if (auto owner = caf::actor_cast<caf::actor>(lease.owner))
    caf::anon_send(owner, kernel_event{event});
}

void kernel::watch(const caf::actor& owner) {
  if (!owner) return;
  auto [at, is_new] = owners_.try_emplace(owner.address());
  if (is_new) monitor(owner);
}

void kernel::grant(const caf::actor& owner, const data_plane::sa_id& id,
                   std::vector<data_plane::policy> policies) {
  // Installing under an allocated SPI keeps the lease and adds the policies.
  auto& lease = leases_[id];
  lease.owner = owner ? owner.address() : caf::actor_addr{};
  lease.policies = std::move(policies);
  lease.is_installing = false;
  if (auto at = owners_.find(lease.owner); at != owners_.end()) at->second.insert(id);
}

void kernel::take_back(const data_plane::sa_id& id) {
  auto at = leases_.find(id);
  if (at == leases_.end()) return;
  auto taken = std::move(at->second);
  leases_.erase(at);
  if (auto owner = owners_.find(taken.owner); owner != owners_.end()) owner->second.erase(id);
  remove(data_plane::remove_sa{id}, removal_tries_max);
  for (const auto& policy : taken.policies) remove_policy(policy);
}

void kernel::take_back_policies(const caf::actor_addr& owner) {
  for (auto at = policy_leases_.begin(); at != policy_leases_.end();) {
    if (at->second.owner != owner) {
      ++at;
      continue;
    }
    auto policy = std::move(at->second.policy);
    at = policy_leases_.erase(at);
    remove_policy(policy);
  }
}

void kernel::on_transfer(transfer_leases& transfer) {
  for (auto& [id, to] : transfer.leases) {
    auto at = leases_.find(id);
    if (at == leases_.end()) continue;
    if (auto from = owners_.find(at->second.owner); from != owners_.end()) from->second.erase(id);
    watch(to);
    at->second.owner = to.address();
    owners_[to.address()].insert(id);
    at->second.is_passed_on = true;
    for (auto& event : std::exchange(at->second.waiting, {}))
      caf::anon_send(to, kernel_event{std::move(event)});
  }
  if (transfer.reply_to) caf::anon_send(transfer.reply_to, leases_transferred{});
}

void kernel::on_down(const caf::down_msg& down) {
  auto at = owners_.find(down.source);
  if (at == owners_.end()) return;
  auto ids = std::move(at->second);
  owners_.erase(at);  // requests of its still in flight find no owner when they are answered
  if (policy_owners_.erase(down.source) != 0) take_back_policies(down.source);
  for (const auto& id : ids)
    if (auto known = leases_.find(id); known != leases_.end() && !known->second.is_installing)
      take_back(id);
}

// Requests that the back-end lost: their askers are told, what was done all the same is undone.
void kernel::on_sweep() {
  auto now = shared_->time->now();
  std::vector<pending> lost;
  for (auto at = pending_.begin(); at != pending_.end();) {
    if (now - at->second.submitted_at < reply_wait_max) {
      ++at;
      continue;
    }
    if (at->second.looks) finish_look(at->second, error{errc::data_plane_lost, "no reply"});
    reply_to(at->second, error{errc::data_plane_lost, "no reply"});
    auto& entry = at->second;
    bool is_undone =
        entry.adds && entry.asker && end_policy_lease(entry.asker.address(), *entry.adds);
    if (entry.removes.index() != 0 || entry.allocates || entry.installs || entry.undoes ||
        is_undone)
      lost.push_back(std::move(at->second));
    at = pending_.erase(at);
  }
  for (auto& entry : std::exchange(again_, {})) {
    // Perhaps it was done: then who holds the same by now would lose it.
    const auto* removed = std::get_if<data_plane::remove_policy>(&entry.removes);
    if (removed && is_held(removed->policy))
      undo(std::move(entry));
    else
      remove(std::move(entry.removes), entry.tries_left);
  }
  for (auto& entry : lost) undo(std::move(entry));
  if (!pending_.empty()) sweep_.arm(address(), sweep_interval);
}

}  // namespace imago::actors
