#include "actors/uplink.hpp"

#include <algorithm>

namespace imago::actors {

namespace {

// So many peers without an answer, while others have none either: one in a thousand by chance even
// if a third of them were gone.
constexpr std::size_t silent_peers_many = 8;
constexpr std::size_t silent_peers_min = 3;
// An answer takes less over any path; the first retransmission would come about now.
constexpr duration probe_wait = std::chrono::seconds{2};
constexpr std::size_t probes_of_doubt = 3;
constexpr duration probe_interval_first = std::chrono::seconds{5};
constexpr duration probe_interval_max = std::chrono::seconds{30};

std::string_view name_of(uplink::state state) {
  static constexpr std::string_view names[] = {"up", "suspected", "down", "dark", "reviving"};
  return names[static_cast<std::size_t>(state)];
}

bool can_send(const kernel_if::link& link) { return link.is_up && !link.addresses.empty(); }

}  // namespace

uplink::uplink(caf::actor_config& config, services_ptr shared, uplinks_handle directory,
               kernel_if::link link)
    : actor_base{config, "uplink", shared->counted, shared->facts},
      shared_{std::move(shared)},
      directory_{std::move(directory)},
      link_{std::move(link)},
      state_{can_send(link_) ? state::up : state::down},
      tokens_{static_cast<double>(shared_->options.uplink_burst)},
      tokens_at_{shared_->time->now()},
      timer_{shared_->timers, timer_kind::uplink_due} {}

caf::behavior uplink::make_behavior() {
  set_down_handler([this](const caf::down_msg& down) { on_down(down.source); });
  return handled_by(
      [this](const uplink_changed& changed) {
        changed.is_gone ? on_gone() : on_link(changed.link);
      },
      [this](const routes_changed&) { on_routes(); },
      [this](const join_uplink& joined) { on_join(joined); },
      [this](const peer_silent& silent) { on_silent(silent.member); },
      [this](const peer_heard&) {
        if (state_ == state::dark) revive();
      },
      [this](const request_start& asked) { on_request(asked); },
      [this](const start_ended& ended) { on_start_ended(ended.remote); },
      [this](const timer_due& due) {
        if (timer_.accept(due)) on_timer();
      },
      [this](const kill&) { quit(caf::exit_reason::kill); });
}

void uplink::on_exit() {
  timer_.cancel();
  members_.clear();
  to_start_.clear();
  behind_peer_.clear();
  starting_.clear();
  starters_.clear();
  directory_ = {};
  actor_base::on_exit();
}

void uplink::enter(state next) {
  if (state_ == next) return;
  facts().record(journal_level::control, journal_group::net, [&] {
    fact changed;
    changed.name = "uplink_changed";
    changed.fields = {{"link", link_.name},
                      {"was", std::string{name_of(state_)}},
                      {"is", std::string{name_of(next)}},
                      {"ike_sas", members_.size()}};
    changed.story = "uplink {link} with {ike_sas} IKE SAs is {is}, was {was}";
    return changed;
  });
  state_ = next;
  timer_.cancel();
  silent_.clear();
}

bool uplink::was_heard_since(instant when) const {
  return duration{signs_->heard_at.load(std::memory_order_relaxed)} >= when.since_start;
}

void uplink::on_timer() {
  switch (state_) {
    case state::up:
    case state::reviving: return release();
    case state::suspected:
      if (!was_heard_since(doubted_at_)) return go_dark();
      enter(state::up);
      return release();
    case state::dark: return was_heard_since(doubted_at_) ? revive() : probe();
    case state::down: return;
  }
}

// --- the link ---

void uplink::on_link(const kernel_if::link& link) {
  bool could_send = can_send(link_);
  auto gone = std::exchange(link_, link).addresses;
  for (const auto& one : link.addresses) gone.erase(one);
  if (could_send && !can_send(link_)) {
    enter(state::down);
    to_release_.clear();
    canary_ = {};
    for (auto& [who, one] : members_) pause(one);
  }
  send_away(gone);
  if (!could_send && can_send(link_)) revive();
}

// Their address is gone: perhaps another interface has it, or will.
void uplink::send_away(const std::set<ip_address>& addresses) {
  if (addresses.empty()) return;
  for (auto at = members_.begin(); at != members_.end();) {
    auto one = at->second;
    if (addresses.count(one.local) == 0) {
      ++at;
      continue;
    }
    pause(one);
    demonitor(at->first);
    if (--peers_[one.remote] == 0) peers_.erase(one.remote);
    at = members_.erase(at);
    directory_.tell(join_uplink{one.local, one.remote, one.handle, true});
  }
}

// The interface is no more. Another may get its addresses.
void uplink::on_gone() {
  enter(state::down);
  send_away(link_.addresses);
  quit(caf::exit_reason::normal);
}

void uplink::on_routes() {
  std::map<ip_address, bool> has_route;
  bool has_gained = false;
  for (const auto& [remote, count] : peers_) has_route[remote] = shared_->net->has_route(remote);
  for (auto& [who, one] : members_) {
    bool had_route = std::exchange(one.has_route, has_route[one.remote]);
    if (had_route && !one.has_route) {
      pause(one);
    } else if (!had_route && one.has_route && !is_blocked()) {
      to_release_.push_back(who);
      has_gained = true;
    }
  }
  if (has_gained) release();
}

// --- members ---

void uplink::pause(member& one) {
  one.is_paused = true;
  caf::anon_send(one.handle, pause_sending{state_ != state::dark});
}

void uplink::on_join(const join_uplink& joined) {
  auto who = joined.member.address();
  auto [at, is_new] = members_.try_emplace(
      who, member{joined.member, joined.local, joined.remote, joined.is_paused, true});
  if (!is_new) return;
  ++peers_[joined.remote];
  monitor(joined.member);
  auto& one = at->second;
  caf::anon_send(one.handle, uplink_joined{caf::actor_cast<caf::actor>(this), signs_});
  if (is_blocked()) pause(one);
  if (state_ == state::dark && !canary_) {
    canary_ = who;  // somebody new, of whom its peer may know more
    caf::anon_send(one.handle, probe_path{});
  } else if (!is_blocked() && one.is_paused) {
    to_release_.push_back(who);
    if (!timer_.is_armed()) release();
  } else if (!is_blocked()) {
    caf::anon_send(one.handle, resume_sending{});
  }
}

void uplink::on_down(const caf::actor_addr& who) {
  if (auto starter = starters_.find(who); starter != starters_.end())
    return on_start_ended(ip_address{starter->second});
  auto at = members_.find(who);
  if (at == members_.end()) return;
  if (--peers_[at->second.remote] == 0) peers_.erase(at->second.remote);
  members_.erase(at);
  if (canary_ != who) return;
  canary_ = {};
  if (state_ != state::dark) return;
  // It gave up. The next waits a moment: its connection may want to start anew.
  timer_.arm(address(), probe_wait);
}

// --- an outage further up ---

void uplink::on_silent(const caf::actor_addr& who) {
  auto at = members_.find(who);
  if (at == members_.end() || state_ != state::up) return;
  auto now = shared_->time->now();
  if (silent_.empty() || was_heard_since(silent_since_)) {
    silent_.clear();
    silent_since_ = now;
  }
  silent_.insert(at->second.remote);
  auto many = std::clamp(peers_.size(), silent_peers_min, silent_peers_many);
  if (silent_.size() >= many) suspect();
}

void uplink::suspect() {
  auto silent = silent_;
  enter(state::suspected);
  doubted_at_ = shared_->time->now();
  // By chance, and a few: one of them may be as dead as those that complained.
  std::vector<const member*> others;
  for (const auto& [who, one] : members_)
    if (silent.count(one.remote) == 0) others.push_back(&one);
  for (std::size_t count = 0; count < probes_of_doubt && !others.empty(); ++count) {
    auto at =
        others.begin() + static_cast<std::ptrdiff_t>(shared_->library->number() % others.size());
    caf::anon_send((*at)->handle, probe_path{});
    others.erase(at);
  }
  timer_.arm(address(), probe_wait);
}

void uplink::go_dark() {
  enter(state::dark);
  doubted_at_ = shared_->time->now();
  probe_interval_ = probe_interval_first;
  has_starters_ = !to_start_.empty();
  to_release_.clear();
  for (auto& [who, one] : members_) pause(one);
  probe();
}

void uplink::probe() {
  auto at = members_.find(canary_);
  if (at == members_.end()) {
    canary_ = {};
    // A peer that has forgotten the IKE SA answers an IKE_SA_INIT still.
    bool is_first = probe_interval_ == probe_interval_first;
    if (!is_first && release_start()) {
      // It becomes the canary when it joins.
    } else if (members_.empty() || (!is_first && !has_starters_)) {
      return revive();
    } else {
      at = members_.begin();
      std::advance(at, static_cast<std::ptrdiff_t>(shared_->library->number() % members_.size()));
      canary_ = at->first;
    }
  }
  if (at != members_.end()) caf::anon_send(at->second.handle, probe_path{});
  auto part = shared_->library->number() % static_cast<std::uint64_t>(probe_interval_.count() / 4);
  timer_.arm(address(), probe_interval_ - duration{static_cast<duration::rep>(part)});
  probe_interval_ = std::min(probe_interval_ + probe_interval_ / 2, probe_interval_max);
}

// --- back again ---

void uplink::revive() {
  enter(state::reviving);
  canary_ = {};
  to_release_.clear();
  for (const auto& [who, one] : members_) {
    if (!one.is_paused || !one.has_route) continue;
    to_release_.push_back(who);
    caf::anon_send(one.handle, pause_sending{false});  // who asks is answered already
  }
  // In no order that peers could share.
  for (std::size_t count = to_release_.size(); count > 1; --count)
    std::swap(to_release_[count - 1], to_release_[shared_->library->number() % count]);
  release();
}

void uplink::take_tokens_in() {
  auto now = shared_->time->now();
  auto seconds = std::chrono::duration<double>(now - tokens_at_).count();
  tokens_at_ = now;
  tokens_ = std::min<double>(shared_->options.uplink_burst,
                             tokens_ + seconds * shared_->options.uplink_starts_per_second);
}

void uplink::release() {
  if (is_blocked()) return;
  take_tokens_in();
  while (tokens_ >= 1 && (release_member() || release_start())) tokens_ -= 1;
  if (!to_release_.empty() || !to_start_.empty()) {
    // A token's time and up to as much again, so that two gateways do not keep step.
    auto token = duration{std::chrono::seconds{1}} /
                 std::max<std::int64_t>(shared_->options.uplink_starts_per_second, 1);
    auto part = shared_->library->number() % static_cast<std::uint64_t>(token.count());
    return timer_.arm(address(), token + duration{static_cast<duration::rep>(part)});
  }
  if (state_ == state::reviving) enter(state::up);
}

bool uplink::release_member() {
  while (!to_release_.empty()) {
    auto at = members_.find(to_release_.front());
    to_release_.pop_front();
    if (at == members_.end() || !at->second.has_route) continue;
    at->second.is_paused = false;
    caf::anon_send(at->second.handle, resume_sending{});
    return true;
  }
  return false;
}

// --- connections that start ---

void uplink::on_request(const request_start& asked) {
  has_starters_ = true;
  if (starting_.count(asked.remote) != 0) {
    behind_peer_[asked.remote].push_back(asked);
    return;
  }
  to_start_.push_back(asked);
  if (!timer_.is_armed()) release();
}

bool uplink::release_start() {
  while (!to_start_.empty()) {
    auto asked = std::move(to_start_.front());
    to_start_.pop_front();
    if (starting_.count(asked.remote) != 0) {
      behind_peer_[asked.remote].push_back(std::move(asked));
      continue;
    }
    starting_[asked.remote] = asked.connection.address();
    starters_[asked.connection.address()] = asked.remote;
    monitor(asked.connection);
    caf::anon_send(asked.connection, start_permitted{caf::actor_cast<caf::actor>(this)});
    return true;
  }
  return false;
}

void uplink::on_start_ended(const ip_address& remote) {
  auto at = starting_.find(remote);
  if (at == starting_.end()) return;
  demonitor(at->second);
  auto starter = starters_.find(at->second);  // it may have begun with another peer since
  if (starter != starters_.end() && starter->second == remote) starters_.erase(starter);
  starting_.erase(at);
  auto behind = behind_peer_.find(remote);
  if (behind == behind_peer_.end()) return;
  auto next = std::move(behind->second.front());
  behind->second.pop_front();
  if (behind->second.empty()) behind_peer_.erase(behind);
  on_request(next);
}

}  // namespace imago::actors
