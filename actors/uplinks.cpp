#include "actors/uplinks.hpp"

#include <algorithm>

#include "actors/uplink.hpp"

namespace imago::actors {

namespace {
// Until the members' routes are looked at: a table that is filled anew changes all the time.
constexpr duration routes_wait = std::chrono::seconds{1};

const caf::actor& asker_of(const join_uplink& what) { return what.member; }
const caf::actor& asker_of(const request_start& what) { return what.connection; }

}  // namespace

uplinks::uplinks(caf::actor_config& config, services_ptr shared)
    : actor_base{config, "uplinks", shared->counted, shared->facts},
      shared_{std::move(shared)},
      routes_timer_{shared_->timers, timer_kind::uplink_due} {}

caf::behavior uplinks::make_behavior() {
  set_down_handler([this](const caf::down_msg& down) { on_down(down.source); });
  return handled_by([this](const links_changed& changed) { on_links(changed.links); },
                    [this](const routes_changed&) {
                      if (!routes_timer_.is_armed()) routes_timer_.arm(address(), routes_wait);
                    },
                    [this](const timer_due& due) {
                      if (!routes_timer_.accept(due)) return;
                      for (auto& [index, one] : uplinks_) one.handle.tell(routes_changed{});
                    },
                    [this](const join_uplink& joined) { pass_on(joined, members_); },
                    [this](const request_start& asked) { pass_on(asked, starts_); },
                    [this](const kill&) { quit(caf::exit_reason::kill); });
}

void uplinks::on_exit() {
  routes_timer_.cancel();
  for (auto& [index, one] : uplinks_) one.handle.tell_kill();
  uplinks_.clear();
  members_.clear();
  starts_.clear();
  actor_base::on_exit();
}

const uplinks::known* uplinks::with_address(const ip_address& local) const {
  for (const auto& [index, one] : uplinks_)
    if (one.link.addresses.count(local) != 0) return &one;
  return nullptr;
}

template <class Message>
void uplinks::pass_on(const Message& what, std::vector<Message>& homeless) {
  if (const auto* at = with_address(what.local)) {
    at->handle.tell(Message{what});
    return caf::anon_send(asker_of(what), uplink_found{at->handle.actor()});
  }
  if constexpr (std::is_same_v<Message, join_uplink>) {
    caf::anon_send(what.member, pause_sending{true});
    homeless.push_back({what.local, what.remote, what.member, true});
  } else {
    homeless.push_back(what);
  }
  monitor(asker_of(what));
}

template <class Message>
void uplinks::place_again(std::vector<Message>& homeless) {
  for (auto& one : std::exchange(homeless, {})) {
    if (with_address(one.local)) demonitor(asker_of(one).address());
    pass_on(one, homeless);
  }
}

void uplinks::make(const kernel_if::link& link) {
  auto spawned = spawn<uplink>(shared_, uplinks_handle{caf::actor_cast<caf::actor>(this)}, link);
  monitor(spawned);
  uplinks_[link.index] = {uplink_handle{spawned}, link};
}

void uplinks::on_links(const std::vector<kernel_if::link>& links) {
  // First it is noted where addresses are now, then uplinks learn it: who is sent away finds its
  // new place at once.
  std::vector<uplink_handle> gone;
  for (auto at = uplinks_.begin(); at != uplinks_.end();) {
    auto still = std::find_if(links.begin(), links.end(),
                              [&](const auto& link) { return link.index == at->first; });
    if (still != links.end()) {
      ++at;
      continue;
    }
    gone.push_back(at->second.handle);
    demonitor(at->second.handle.address());
    at = uplinks_.erase(at);
  }
  std::vector<kernel_if::link> changed;
  for (const auto& link : links) {
    auto at = uplinks_.find(link.index);
    if (at == uplinks_.end()) {
      make(link);
    } else if (at->second.link != link) {
      at->second.link = link;
      changed.push_back(link);
    }
  }
  for (const auto& one : gone) one.tell(uplink_changed{{}, true});
  for (const auto& link : changed) uplinks_[link.index].handle.tell(uplink_changed{link, false});
  place_again(members_);
  place_again(starts_);
}

// An uplink that was killed: its interface gets another, its IKE SAs join it.
void uplinks::on_down(const caf::actor_addr& who) {
  for (auto& [index, one] : uplinks_) {
    if (one.handle.address() != who) continue;
    return make(kernel_if::link{one.link});
  }
  std::erase_if(members_, [&](const auto& one) { return one.member.address() == who; });
  std::erase_if(starts_, [&](const auto& one) { return one.connection.address() == who; });
}

}  // namespace imago::actors
