#include "world/mailroom.hpp"

#include <algorithm>
#include <cstring>
#include <unordered_map>

#include <caf/actor_cast.hpp>
#include <caf/resumable.hpp>
#include <caf/system_messages.hpp>

#include "actors/messages.hpp"

namespace imago::world {

class mailroom::unit final : public caf::execution_unit {
 public:
  unit(caf::actor_system& system, caf::scheduler::test_coordinator& scheduler)
      : caf::execution_unit{&system}, scheduler_{scheduler} {}
  void exec_later(caf::resumable* job) override { scheduler_.jobs.push_back(job); }

 private:
  caf::scheduler::test_coordinator& scheduler_;
};

namespace {
std::uint64_t mixed(std::uint64_t one, std::uint64_t other) {
  auto value = (one ^ (other * 0x9e3779b97f4a7c15)) * 0xbf58476d1ce4e5b9;
  return value ^ (value >> 29);
}
}  // namespace

letter letter_queue::take(std::size_t index) {
  constexpr std::ptrdiff_t kept_max = 64;
  auto taken = std::move((*this)[index]);
  if (index != 0) {
    all_.erase(begin() + static_cast<std::ptrdiff_t>(index));
  } else if (++first_ == static_cast<std::ptrdiff_t>(all_.size())) {
    all_.clear();
    first_ = 0;
  } else if (first_ > kept_max && first_ > static_cast<std::ptrdiff_t>(all_.size() / 2)) {
    all_.erase(all_.begin(), begin());
    first_ = 0;
  }
  return taken;
}

mailroom::mailroom() : parties_(1), letters_(1), is_busy_(1) {
  outer_ = actors::actor_base::intercept_mail(this);
  parties_.reserve(128);
  letters_.reserve(128);
  receivers_.reserve(512);
}

mailroom::~mailroom() { actors::actor_base::intercept_mail(outer_); }

std::uint32_t mailroom::attach(caf::actor_system& system) {
  host made;
  made.system = &system;
  made.first_actor = system.latest_actor_id() + 1;
  made.scheduler = &dynamic_cast<caf::scheduler::test_coordinator&>(system.scheduler());
  hosts_.push_back(std::move(made));
  return static_cast<std::uint32_t>(hosts_.size() - 1);
}

party_id mailroom::add_outside(std::uint32_t host, const char* kind, std::uint32_t number) {
  party made;
  made.host = host;
  made.kind = kind;
  made.number = number;
  made.is_started = true;
  made.lineage = mixed(mixed(host + 1, number), static_cast<std::uint64_t>(kind[0]));
  parties_.push_back(made);
  letters_.emplace_back();
  is_busy_.push_back(false);
  return static_cast<party_id>(parties_.size() - 1);
}

mailroom::host& mailroom::host_of(const caf::actor_system& system) {
  for (auto& one : hosts_)
    if (one.system == &system) return one;
  std::abort();  // an actor of a system that was not attached
}

party_id mailroom::party_for(actors::actor_base& actor) {
  auto& host = host_of(actor.home_system());
  auto id = actor.id() - host.first_actor;
  if (id >= host.by_actor_id.size()) host.by_actor_id.resize(id + 16);
  auto& slot = host.by_actor_id[id];
  if (slot != 0) return slot;
  party made;
  made.host = static_cast<std::uint32_t>(&host - hosts_.data());
  made.kind = actor.name();
  made.actor = &actor;
  made.address = actor.address();
  made.lineage = mixed(parties_[sender_].lineage, ++parties_[sender_].made_count);
  auto count = std::find_if(host.counts.begin(), host.counts.end(),
                            [&](const auto& one) { return one.first == made.kind; });
  if (count == host.counts.end()) count = host.counts.insert(count, {made.kind, 0});
  made.number = ++count->second;
  parties_.push_back(made);
  letters_.emplace_back();
  is_busy_.push_back(false);
  return slot = static_cast<party_id>(parties_.size() - 1);
}

party_id mailroom::party_of(const caf::actor_addr& actor) const {
  for (const auto& host : hosts_)
    if (actor && host.system == &actor.home_system() && actor.id() >= host.first_actor) {
      auto id = actor.id() - host.first_actor;
      return id < host.by_actor_id.size() ? host.by_actor_id[id] : 0;
    }
  return 0;
}

std::uint64_t mailroom::history_of(party_id who) const {
  return mixed(parties_[who].lineage, parties_[who].deliveries);
}

std::vector<party_id> mailroom::living(std::uint32_t host, std::string_view kind) const {
  std::vector<party_id> found;
  for (party_id id = 1; id < parties_.size(); ++id) {
    const auto& one = parties_[id];
    if (one.host == host && (kind.empty() || kind == one.kind) &&
        caf::actor_cast<caf::strong_actor_ptr>(one.address) && !one.has_ended)
      found.push_back(id);
  }
  return found;
}

void mailroom::on_mail(actors::actor_base& to, caf::mailbox_element_ptr what) {
  letter made;
  made.to = party_for(to);
  made.is_urgent = what->is_high_priority();
  if (!what->content().empty()) made.type = what->content().type(0).second;
  // Who ends says so itself, after all else that it said; also when asked afterwards.
  if (made.type == nullptr && what->content().match_elements<caf::down_msg>())
    made.from = party_of(what->content().get_as<caf::down_msg>(0).source);
  // For somebody who ended: destroyed here, after all is in order; that may send again.
  caf::mailbox_element_ptr doomed;
  if (parties_[made.to].has_ended) {
    made.kind = letter_kind::ghost;
    doomed = std::move(what);
  } else {
    made.receiver = caf::actor_cast<caf::strong_actor_ptr>(&to);
    made.content = std::move(what);
  }
  add(std::move(made));
}

letter_id mailroom::add_act(party_id who, std::function<void()> act) {
  letter made;
  made.to = who;
  made.kind = letter_kind::act;
  made.act = std::move(act);
  letter_id id = receivers_.size();
  as(who, [&] { add(std::move(made)); });
  return id;
}

void mailroom::add(letter made) {
  made.id = receivers_.size();
  receivers_.push_back(made.to);
  if (made.from == 0) made.from = sender_;
  made.sent_in = is_delivering_ ? delivered_ : 0;
  auto& letters = letters_[made.to];
  if (!is_busy_[made.to]) busy_.push_back(made.to);
  is_busy_[made.to] = true;
  order_.emplace_back(made.id, made.to);
  letters.push_back(std::move(made));
  ++pending_;
  if (on_sent) decide_fate(letters.back());
}

void mailroom::decide_fate(letter& made) {
  auto id = made.id;
  auto fate = on_sent(made);
  if (fate == letter_fate::dropped && made.kind == letter_kind::start) fate = letter_fate::held;
  switch (fate) {
    case letter_fate::waits: return;
    case letter_fate::held: made.is_held = true; return;
    case letter_fate::dropped: return drop(id);
    case letter_fate::doubled: (void)duplicate(id); return;
  }
}

// A job in the coordinator is an actor that was just made: everything else passes on_mail.
void mailroom::collect_starts() {
  for (auto& host : hosts_) {
    if (host.is_detached) continue;
    while (!host.scheduler->jobs.empty()) {
      auto* job = host.scheduler->jobs.front();
      host.scheduler->jobs.pop_front();
      auto& actor = dynamic_cast<actors::actor_base&>(*job);
      auto who = party_for(actor);
      letter made;
      made.to = who;
      made.kind = letter_kind::start;
      made.receiver = caf::actor_cast<caf::strong_actor_ptr>(&actor);
      caf::intrusive_ptr_release(job);  // the letter holds it now
      add(std::move(made));
      // Sent before its maker could have sent anything to it.
      auto& letters = letters_[who];
      std::rotate(letters.begin(), letters.end() - 1, letters.end());
    }
  }
}

bool mailroom::is_deliverable(const letter_queue& letters, std::size_t index) const {
  const auto& one = letters[index];
  if (one.is_held) return false;
  if (one.kind == letter_kind::start) return true;
  if (letters.front().kind == letter_kind::start) return false;
  for (std::size_t before = 0; before < index; ++before)
    if (letters[before].from == one.from && letters[before].is_urgent == one.is_urgent)
      return false;
  return true;
}

const std::vector<const letter*>& mailroom::deliverable() {
  deliverable_.clear();
  for (std::size_t at = 0; at < busy_.size();) {
    const auto& letters = letters_[busy_[at]];
    if (letters.empty()) {
      is_busy_[busy_[at]] = false;
      busy_[at] = busy_.back();
      busy_.pop_back();
      continue;
    }
    for (std::size_t index = 0; index < letters.size(); ++index)
      if (is_deliverable(letters, index)) deliverable_.push_back(&letters[index]);
    ++at;
  }
  std::sort(deliverable_.begin(), deliverable_.end(),
            [](const letter* one, const letter* other) { return one->id < other->id; });
  return deliverable_;
}

const letter* mailroom::oldest() {
  while (!order_.empty()) {
    auto [id, to] = order_.front();
    auto& letters = letters_[to];
    auto at = std::find_if(letters.begin(), letters.end(),
                           [id = id](const letter& one) { return one.id == id; });
    if (at == letters.end()) {
      order_.pop_front();
      continue;
    }
    if (is_deliverable(letters, static_cast<std::size_t>(at - letters.begin()))) return &*at;
    break;  // held, or behind a held one
  }
  for (const auto& [id, to] : order_) {
    const auto& letters = letters_[to];
    for (std::size_t index = 0; index < letters.size(); ++index)
      if (letters[index].id == id && is_deliverable(letters, index)) return &letters[index];
  }
  return nullptr;
}

std::pair<party_id, std::size_t> mailroom::place_of(letter_id id) const {
  if (id >= receivers_.size()) return {0, 0};
  auto who = receivers_[id];
  const auto& letters = letters_[who];
  for (std::size_t index = 0; index < letters.size(); ++index)
    if (letters[index].id == id) return {who, index};
  return {0, 0};
}

const letter* mailroom::find(letter_id id) const {
  auto [who, index] = place_of(id);
  return who == 0 ? nullptr : &letters_[who][index];
}

void mailroom::for_each(const std::function<void(const letter&)>& see) const {
  for (const auto& letters : letters_)
    for (const auto& one : letters) see(one);
}

letter mailroom::take(letter_id id) {
  auto [who, index] = place_of(id);
  if (who == 0) std::abort();  // a letter that is not there
  --pending_;
  return letters_[who].take(index);
}

void mailroom::deliver(letter_id id) {
  auto taken = take(id);
  ++delivered_;
  ++parties_[taken.to].deliveries;
  if (taken.kind == letter_kind::ghost) return;
  if (taken.kind == letter_kind::act) {
    is_delivering_ = true;
    as(taken.to, taken.act);
    is_delivering_ = false;
    return collect_starts();
  }
  auto& actor = *parties_[taken.to].actor;
  is_delivering_ = true;
  auto before = std::exchange(sender_, taken.to);
  if (taken.kind == letter_kind::start) {
    parties_[taken.to].is_started = true;
  } else {
    // Idle, hence blocked: the message makes it a job, which we take back at once.
    auto& jobs = hosts_[parties_[taken.to].host].scheduler->jobs;
    actor.accept(std::move(taken.content), nullptr);
    if (jobs.empty()) std::abort();  // it was not idle
    jobs.pop_back();
    caf::intrusive_ptr_release(static_cast<caf::resumable*>(&actor));  // the letter holds it
  }
  run(taken.to, actor);
  collect_starts();
  taken.receiver.reset();  // perhaps its last
  sender_ = before;
  is_delivering_ = false;
}

void mailroom::run(party_id who, caf::resumable& job) {
  auto& host = hosts_[parties_[who].host];
  unit here{*host.system, *host.scheduler};
  if (job.resume(&here, 1) == caf::resumable::done) end(who);
}

// As CAF does: what waits for an actor is destroyed when it ends.
void mailroom::end(party_id who) {
  auto& one = parties_[who];
  one.has_ended = true;
  one.actor = nullptr;
  one.address = nullptr;  // even a weak reference keeps its memory
  std::vector<caf::mailbox_element_ptr> content;
  for (auto& waiting : letters_[who]) {
    content.push_back(std::move(waiting.content));
    waiting.kind = letter_kind::ghost;
    waiting.receiver.reset();
  }
}

void mailroom::detach(std::uint32_t host) {
  auto& leaving = hosts_[host];
  for (party_id who = 1; who < parties_.size(); ++who) {
    if (parties_[who].host != host) continue;
    auto dropped = std::exchange(letters_[who], {});
    pending_ -= dropped.size();
    parties_[who].actor = nullptr;
    parties_[who].has_ended = true;
    dropped = {};  // not before
  }
  leaving.is_detached = true;
  leaving.system = nullptr;
}

void mailroom::hold(letter_id id, bool held) {
  auto [who, index] = place_of(id);
  if (who != 0) letters_[who][index].is_held = held;
}

void mailroom::drop(letter_id id) {
  auto dropped = take(id);
  as(0, [&] { dropped.content.reset(); });
}

bool mailroom::duplicate(letter_id id) {
  auto [who, index] = place_of(id);
  if (who == 0 || !is_copyable(letters_[who][index])) return false;
  const auto& original = letters_[who][index];
  letter copy;
  copy.from = original.from;
  copy.to = original.to;
  copy.kind = original.kind;
  copy.is_urgent = original.is_urgent;
  copy.sent_in = original.sent_in;
  copy.type = original.type;
  copy.receiver = original.receiver;
  copy.content = caf::make_mailbox_element(original.content->sender, original.content->mid, {},
                                           original.content->copy_content_to_message());
  copy.id = receivers_.size();
  receivers_.push_back(copy.to);
  order_.emplace_back(copy.id, copy.to);
  letters_[who].insert(index + 1, std::move(copy));
  ++pending_;
  return true;
}

namespace {

struct message_facts {
  std::string_view name;
  bool is_copyable = true;
};

using table = std::unordered_map<const std::type_info*, message_facts>;

const table& known_messages() {
  static const table made = [] {
    table built;
#define X(message) built[&typeid(actors::message)] = {#message, true};
    IMAGO_MESSAGES(X)
#undef X
    built[&typeid(actors::timer_due)] = {"timer_due", true};
    built[&typeid(actors::job_done)] = {"job_done", false};
    built[&typeid(caf::down_msg)] = {"down", true};
    for (const auto* owning :
         {&typeid(actors::commit_exchange), &typeid(actors::send_exchange_request),
          &typeid(actors::receive_response), &typeid(actors::kernel_request),
          &typeid(actors::kernel_reply), &typeid(actors::backend_replied)})
      built[owning].is_copyable = false;
    return built;
  }();
  return made;
}

}  // namespace

std::string_view name_of(const letter& what) {
  if (what.kind == letter_kind::start) return "start";
  if (what.kind == letter_kind::act) return "act";
  if (!what.type) return "down";  // the only one of CAF's own that our actors exchange
  auto at = known_messages().find(what.type);
  return at == known_messages().end() ? std::string_view{what.type->name()} : at->second.name;
}

bool is_copyable(const letter& what) {
  if (what.kind != letter_kind::mail) return false;
  auto at = known_messages().find(what.type);
  return what.type && at != known_messages().end() && at->second.is_copyable;
}

}  // namespace imago::world
