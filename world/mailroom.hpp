// The mailroom: every message between actors lies here as a letter until somebody delivers it.
//
// It is what makes an order of deliveries a choice. A letter may be delivered when it is the oldest
// of its channel, which is one sender to one receiver at one priority: FIFO per pair and nothing
// more. On real threads a message sent later can arrive earlier elsewhere, and a sender can be
// held up between two messages to different receivers.
//
// Production actors run unchanged: CAF's test coordinator holds their jobs, the mailroom takes
// their mail (actor_base::intercept_mail). One mailroom per thread at a time.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <typeinfo>
#include <vector>

#include <caf/actor_system.hpp>
#include <caf/execution_unit.hpp>
#include <caf/scheduler/test_coordinator.hpp>

#include "actors/actor_base.hpp"

namespace imago::world {

using letter_id = std::uint64_t;  // counts from 1 in the order of sending
using party_id = std::uint32_t;   // an actor, or something outside that sends; 0: nobody

struct party {
  std::uint32_t host = 0;  // its place among the attached systems
  const char* kind = "";   // "ike_sa"; of something outside: "wire", "crypto"
  // Who it is, whatever else has happened: made of its maker\'s and of how many it had made before.
  std::uint64_t lineage = 0;
  std::uint32_t made_count = 0;  // of others
  std::uint32_t deliveries = 0;
  std::uint32_t number = 0;             // of that kind on that host, from 1
  actors::actor_base* actor = nullptr;  // borrowed; null once it ended, or outside
  caf::actor_addr address;              // tells whether it lives; null outside
  bool is_started = false;
  bool has_ended = false;
};

enum class letter_kind : std::uint8_t {
  mail,
  start,  // the actor's first activation: nothing else may be delivered before
  act,    // something that happens to the world: a kill, a link that goes down
  ghost,  // mail for an actor that ended: it was destroyed, as CAF does; delivery does nothing
};

// What becomes of a letter when it is sent.
enum class letter_fate : std::uint8_t {
  waits,    // until it is delivered, as all do
  held,     // until a script lets it go
  dropped,  // never arrives; a start is held instead, since an actor cannot be without it
  doubled,  // a second one right behind, if it can be copied
};

struct letter {
  letter_id id = 0;
  party_id from = 0, to = 0;
  letter_kind kind{};
  bool is_urgent = false;
  bool is_held = false;                  // by a script: not deliverable
  std::uint32_t sent_in = 0;             // number of the delivery during which it was sent; 0: none
  const std::type_info* type = nullptr;  // of the message; null: one of CAF's own
  caf::mailbox_element_ptr content;      // null for a start and a ghost
  caf::strong_actor_ptr receiver;        // kept as a full mailbox keeps its actor
  std::function<void()> act;             // of an act
};

// The letters of one receiver, oldest first. Ten thousand may wait for one, and it is the first
// that is taken, so that must not move the others.
class letter_queue {
 public:
  using iterator = std::vector<letter>::iterator;
  using const_iterator = std::vector<letter>::const_iterator;
  iterator begin() { return all_.begin() + first_; }
  iterator end() { return all_.end(); }
  const_iterator begin() const { return all_.begin() + first_; }
  const_iterator end() const { return all_.end(); }
  std::size_t size() const { return all_.size() - static_cast<std::size_t>(first_); }
  bool empty() const { return size() == 0; }
  letter& operator[](std::size_t index) { return begin()[static_cast<std::ptrdiff_t>(index)]; }
  const letter& operator[](std::size_t index) const {
    return begin()[static_cast<std::ptrdiff_t>(index)];
  }
  letter& back() { return all_.back(); }
  const letter& front() const { return *begin(); }
  void push_back(letter made) { all_.push_back(std::move(made)); }
  void insert(std::size_t index, letter made) {
    all_.insert(begin() + static_cast<std::ptrdiff_t>(index), std::move(made));
  }
  letter take(std::size_t index);

 private:
  std::vector<letter> all_;
  std::ptrdiff_t first_ = 0;  // before it: taken
};

class mailroom final : private actors::mail_interceptor {
 public:
  mailroom();
  ~mailroom() override;
  mailroom(const mailroom&) = delete;
  mailroom& operator=(const mailroom&) = delete;

  // The system must use the testing scheduler. Returns the host's number. Attach before anything
  // is spawned in it, detach() before it is destroyed.
  std::uint32_t attach(caf::actor_system& system);
  // Ends all actors of a host: what waits for them is destroyed, in the order of sending.
  void detach(std::uint32_t host);

  // Something that sends without being an actor: a wire, a crypto job, a data plane.
  party_id add_outside(std::uint32_t host, const char* kind, std::uint32_t number = 0);
  // A number of that party and of what was delivered to it so far: two runs that deliver the same
  // to it give the same, whatever happens elsewhere.
  std::uint64_t history_of(party_id who) const;
  // What is sent while `act` runs comes from `who`, outside any delivery.
  template <class Act>
  void as(party_id who, Act act) {
    auto before = std::exchange(sender_, who);
    act();
    if (!is_delivering_) collect_starts();
    sender_ = before;
  }
  // Something that happens when it is delivered; `who` is outside (add_outside).
  letter_id add_act(party_id who, std::function<void()> act);

  // --- deliveries ---
  bool is_empty() const { return pending_ == 0; }
  std::size_t pending() const { return pending_; }
  // What may be delivered next, oldest first. Valid until the next call of anything.
  const std::vector<const letter*>& deliverable();
  // The oldest deliverable; null: none. Amortised O(1) without held letters.
  const letter* oldest();
  // Runs its receiver with just this letter. It must be deliverable.
  void deliver(letter_id id);
  const letter* find(letter_id id) const;
  // All letters, of one receiver after the other.
  void for_each(const std::function<void(const letter&)>& see) const;

  // --- interference, for scripts ---
  void hold(letter_id id, bool held = true);
  void drop(letter_id id);
  // A second one right behind. False: the message owns a move-only value and cannot be copied.
  bool duplicate(letter_id id);
  // Asked for each letter when it is sent, with the letter already in its channel; must not send,
  // deliver or interfere itself.
  std::function<letter_fate(const letter&)> on_sent;

  // --- names ---
  const party& who(party_id id) const { return parties_[id]; }
  party_id party_of(const caf::actor_addr& actor) const;  // 0: never seen
  // Who is being run, or speaks from outside; 0: nobody.
  party_id sender() const { return sender_; }
  // Its running number of deliveries, from 1; 0 before the first.
  std::uint32_t delivered() const { return delivered_; }
  std::vector<party_id> living(std::uint32_t host, std::string_view kind) const;

 private:
  class unit;  // CAF's execution unit of deliveries
  struct cell;
  struct host {
    caf::actor_system* system = nullptr;
    caf::scheduler::test_coordinator* scheduler = nullptr;
    caf::actor_id first_actor = 0;      // of this world: systems are used again
    std::vector<party_id> by_actor_id;  // from that one on
    std::vector<std::pair<const char*, std::uint32_t>> counts;  // of each kind
    bool is_detached = false;
  };

  void on_mail(actors::actor_base& to, caf::mailbox_element_ptr what) override;
  party_id party_for(actors::actor_base& actor);
  host& host_of(const caf::actor_system& system);
  void add(letter made);
  void decide_fate(letter& made);
  void collect_starts();
  void run(party_id who, caf::resumable& job);
  void end(party_id who);
  bool is_deliverable(const letter_queue& letters, std::size_t index) const;
  std::pair<party_id, std::size_t> place_of(letter_id id) const;
  letter take(letter_id id);

  actors::mail_interceptor* outer_ = nullptr;
  std::vector<host> hosts_;
  std::vector<party> parties_;         // by party_id
  std::vector<letter_queue> letters_;  // by receiver
  std::vector<party_id> busy_;         // who has letters, perhaps with some who have none
  std::vector<bool> is_busy_;          // is in busy_; by party_id
  std::deque<std::pair<letter_id, party_id>> order_;  // may name letters that are gone
  std::vector<const letter*> deliverable_;
  std::size_t pending_ = 0;
  std::vector<party_id> receivers_{0};  // by letter, also of those that are gone
  party_id sender_ = 0;
  std::uint32_t delivered_ = 0;
  bool is_delivering_ = false;
};

// "kernel_request", "timer_due", "down", "start": the message's type. The text lives for ever.
std::string_view name_of(const letter& what);
// Can be sent twice: it owns nothing that cannot be copied.
bool is_copyable(const letter& what);

}  // namespace imago::world
