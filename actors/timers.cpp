#include "actors/timers.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>

#include <caf/actor_cast.hpp>
#include <caf/actor_control_block.hpp>
#include <caf/make_message.hpp>
#include <caf/message_id.hpp>

namespace imago::actors {

std::string_view text_of(timer_kind kind) {
  switch (kind) {
#define X(name) \
  case timer_kind::name: return #name;
    IMAGO_TIMER_KINDS(X)
#undef X
  }
  return "?";
}

namespace {

// Two wheels: the fast one has a slot for each tick of a lap (20 s at 5 ms), the slow one a slot
// for each lap to come (23 hours; what is later stays for several rounds). So ten thousand timers
// that are hours away wake nobody before their lap begins.
constexpr std::uint32_t slot_count = 4096;
constexpr std::int64_t nobody_sleeps = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t forever = std::numeric_limits<std::int64_t>::max();

struct node {
  caf::actor_addr who;
  std::uint64_t due_tick = 0;
  std::uint64_t generation = 0;
  std::uint64_t sequence = 0;            // of arming
  std::uint32_t previous = 0, next = 0;  // 0: none
  std::uint32_t serial = 0;              // counts the uses of this place
  timer_kind kind{};
  bool is_armed = false;
  bool is_far = false;  // in the slow wheel
};

struct fired {
  std::uint64_t due_tick, sequence;
  caf::actor_addr who;
  timer_due due;
};

}  // namespace

// Slots are lists through `nodes`, oldest first; place 0 is not used. A bit per slot that is not
// empty lets time jump.
struct timer_wheel::shard {
  struct slot {
    std::uint32_t first, last;
  };
  struct ring {
    // Not initialised, 32 KB: what a slot holds counts only while its bit is set.
    std::unique_ptr<slot[]> slots = std::make_unique_for_overwrite<slot[]>(slot_count);
    std::array<std::uint64_t, slot_count / 64> occupied{};

    slot* at(std::uint64_t number) {
      auto index = number % slot_count;
      return occupied[index / 64] >> index % 64 & 1 ? &slots[index] : nullptr;
    }
    // The first number after `after`, within one round, whose slot is not empty.
    std::optional<std::uint64_t> next_occupied(std::uint64_t after) const {
      for (std::uint64_t number = after + 1; number <= after + slot_count;) {
        auto index = number % slot_count;
        if (auto bits = occupied[index / 64] >> index % 64)
          return number + static_cast<std::uint64_t>(std::countr_zero(bits));
        number += 64 - index % 64;
      }
      return {};
    }
  };

  mutable std::mutex mutex;
  std::vector<node> nodes{1};
  std::vector<std::uint32_t> free_places;
  ring near, far;            // ticks of `lap`; laps after it
  std::uint64_t cursor = 0;  // the last tick that was served
  std::uint64_t lap = 0;
  std::uint64_t sequence = 0;  // of the last armed
  std::size_t armed_count = 0;

  void link(std::uint32_t place) {
    auto& entry = nodes[place];
    auto entry_lap = entry.due_tick / slot_count;
    entry.is_far = entry_lap != lap;
    auto& wheel = entry.is_far ? far : near;
    auto index = (entry.is_far ? entry_lap : entry.due_tick) % slot_count;
    auto& at = wheel.slots[index];
    const auto bit = std::uint64_t{1} << index % 64;
    if (!(wheel.occupied[index / 64] & bit)) at = {};
    entry.previous = at.last;
    entry.next = 0;
    (at.last ? nodes[at.last].next : at.first) = place;
    at.last = place;
    wheel.occupied[index / 64] |= bit;
  }

  void unlink(std::uint32_t place) {
    auto& entry = nodes[place];
    auto& wheel = entry.is_far ? far : near;
    auto index = (entry.is_far ? entry.due_tick / slot_count : entry.due_tick) % slot_count;
    auto& at = wheel.slots[index];
    (entry.previous ? nodes[entry.previous].next : at.first) = entry.next;
    (entry.next ? nodes[entry.next].previous : at.last) = entry.previous;
    if (!at.first) wheel.occupied[index / 64] &= ~(std::uint64_t{1} << index % 64);
  }

  std::uint32_t arm(const caf::actor_addr& who, std::uint64_t due_tick, timer_due due) {
    std::uint32_t place;
    if (free_places.empty()) {
      place = static_cast<std::uint32_t>(nodes.size());
      nodes.emplace_back();
    } else {
      place = free_places.back();
      free_places.pop_back();
    }
    auto& entry = nodes[place];
    entry.who = who;
    entry.due_tick = due_tick;
    entry.sequence = ++sequence;
    entry.generation = due.generation;
    entry.kind = due.kind;
    entry.is_armed = true;
    link(place);
    ++armed_count;
    return place;
  }

  void remove(std::uint32_t place) {
    unlink(place);
    auto& entry = nodes[place];
    entry.who = nullptr;
    entry.is_armed = false;
    ++entry.serial;
    free_places.push_back(place);
    --armed_count;
  }

  // An empty shard is not served; it catches up here.
  void catch_up(std::uint64_t tick) {
    if (armed_count) return;
    cursor = std::max(cursor, tick);
    lap = cursor / slot_count;
  }

  std::optional<std::uint64_t> next_of_this_lap() const {
    auto tick = near.next_occupied(cursor);
    return tick && *tick < (lap + 1) * slot_count ? tick : std::nullopt;
  }

  // No timer is due before: the next of this lap, else the beginning of a lap that has some.
  std::optional<std::uint64_t> next_tick() const {
    if (!armed_count) return {};
    if (auto tick = next_of_this_lap()) return tick;
    auto next = far.next_occupied(lap);
    return next ? std::optional{*next * slot_count} : std::nullopt;
  }

  // Its timers leave the slow wheel, unless they are rounds away.
  void begin_lap(std::uint64_t number) {
    lap = number;
    cursor = number * slot_count - 1;
    auto* at = far.at(number);
    if (!at) return;
    for (auto place = at->first; place;) {
      auto next = nodes[place].next;
      if (nodes[place].due_tick / slot_count == number) {
        unlink(place);
        link(place);
      }
      place = next;
    }
  }

  void serve_until(std::uint64_t now_tick, std::vector<fired>& out) {
    for (auto tick = next_tick(); tick && *tick <= now_tick; tick = next_tick()) {
      if (*tick / slot_count != lap) begin_lap(*tick / slot_count);
      auto* at = near.at(*tick);
      if (at) cursor = *tick;
      // Its bit is set; serving the last of it clears it, and then `next` is 0.
      for (auto place = at ? at->first : 0; place;) {
        auto& entry = nodes[place];
        auto next = entry.next;
        out.push_back(
            {entry.due_tick, entry.sequence, std::move(entry.who), {entry.kind, entry.generation}});
        remove(place);
        place = next;
      }
    }
    // Never past a lap that has not begun.
    auto last = (lap + 1) * slot_count - 1;
    cursor = std::max(cursor, std::min(now_tick, last));
  }

  // The least due tick.
  std::optional<std::uint64_t> next_due() const {
    if (!armed_count) return {};
    if (auto tick = next_of_this_lap()) return tick;
    std::uint64_t least = std::numeric_limits<std::uint64_t>::max();
    if (auto next = far.next_occupied(lap))
      for (auto place = far.slots[*next % slot_count].first; place; place = nodes[place].next)
        if (nodes[place].due_tick / slot_count == *next)
          least = std::min(least, nodes[place].due_tick);
    if (least != std::numeric_limits<std::uint64_t>::max()) return least;
    for (const auto& entry : nodes)  // all are rounds away
      if (entry.is_armed) least = std::min(least, entry.due_tick);
    return least;
  }
};

timer_wheel::timer_wheel(std::shared_ptr<const clock> time, std::size_t shard_count, duration tick)
    : time_{std::move(time)}, tick_{tick}, sleeping_until_{nobody_sleeps} {
  for (std::size_t index = 0; index < std::max<std::size_t>(shard_count, 1); ++index)
    shards_.push_back(std::make_unique<shard>());
}

timer_wheel::~timer_wheel() = default;

timer_handle timer_wheel::arm(const caf::actor_addr& who, duration delay, timer_due due) {
  const auto now = time_->now().since_start;
  const auto at = now + std::max(delay, duration::zero());
  const auto now_tick = static_cast<std::uint64_t>(now / tick_);
  const auto due_tick = static_cast<std::uint64_t>((at + tick_ - duration{1}) / tick_);
  timer_handle handle;
  handle.shard = static_cast<std::uint32_t>(who ? who.id() % shards_.size() : 0);
  {
    auto& home = *shards_[handle.shard];
    std::lock_guard guard{home.mutex};
    home.catch_up(now_tick ? now_tick - 1 : 0);
    // A tick already served cannot come again.
    handle.place = home.arm(who, std::max(due_tick, home.cursor + 1), due);
    handle.serial = home.nodes[handle.place].serial;
  }
  if (static_cast<std::int64_t>(due_tick) * tick_.count() < sleeping_until_.load()) wake_sleeper();
  return handle;
}

bool timer_wheel::cancel(timer_handle handle) {
  if (!handle.place || handle.shard >= shards_.size()) return false;
  auto& home = *shards_[handle.shard];
  std::lock_guard guard{home.mutex};
  if (handle.place >= home.nodes.size()) return false;
  const auto& entry = home.nodes[handle.place];
  if (!entry.is_armed || entry.serial != handle.serial) return false;
  home.remove(handle.place);
  return true;
}

std::size_t timer_wheel::advance(instant now) {
  const auto now_tick = static_cast<std::uint64_t>(now.since_start / tick_);
  std::vector<fired> due;
  for (auto& each : shards_) {
    std::lock_guard guard{each->mutex};
    each->serve_until(now_tick, due);
  }
  // By tick; of one shard in the order of arming, also when some came from the slow wheel.
  std::stable_sort(due.begin(), due.end(), [](const fired& a, const fired& b) {
    return std::pair{a.due_tick, a.sequence} < std::pair{b.due_tick, b.sequence};
  });
  std::size_t count = 0;
  for (auto& each : due) {  // outside the locks: a last reference may end an actor here
    auto receiver = caf::actor_cast<caf::strong_actor_ptr>(each.who);
    if (!receiver) continue;
    receiver->enqueue(nullptr, caf::make_message_id(), caf::make_message(each.due), nullptr);
    ++count;
  }
  return count;
}

std::optional<instant> timer_wheel::next_due() const {
  std::optional<std::uint64_t> least;
  for (const auto& each : shards_) {
    std::lock_guard guard{each->mutex};
    if (auto tick = each->next_due()) least = least ? std::min(*least, *tick) : *tick;
  }
  if (!least) return {};
  return instant{tick_ * static_cast<std::int64_t>(*least)};
}

std::optional<instant> timer_wheel::next_wake() const {
  std::optional<std::uint64_t> least;
  for (const auto& each : shards_) {
    std::lock_guard guard{each->mutex};
    if (auto tick = each->next_tick()) least = least ? std::min(*least, *tick) : *tick;
  }
  if (!least) return {};
  return instant{tick_ * static_cast<std::int64_t>(*least)};
}

std::size_t timer_wheel::pending() const {
  std::size_t count = 0;
  for (const auto& each : shards_) {
    std::lock_guard guard{each->mutex};
    count += each->armed_count;
  }
  return count;
}

void timer_wheel::wake_sleeper() {
  {
    std::lock_guard guard{sleeper_mutex_};
    sleeper_woken_ = true;
  }
  sleeper_.notify_one();
}

// Who arms looks at sleeping_until_ after it has armed; the sleeper sets it before it looks for
// what is armed. So one of them sees the other.
template <class Stop>
void timer_wheel::sleep_until_due(Stop stop) {
  std::unique_lock guard{sleeper_mutex_};
  sleeping_until_ = forever;
  const auto wake = next_wake();
  if (wake) sleeping_until_ = wake->since_start.count();
  const auto is_over = [&] { return sleeper_woken_ || stop(); };
  if (wake)
    sleeper_.wait_for(guard, *wake - time_->now(), is_over);
  else
    sleeper_.wait(guard, is_over);
  sleeping_until_ = nobody_sleeps;
  sleeper_woken_ = false;
}

void timer_thread::start() {
  if (thread_.joinable()) return;
  stopping_ = false;
  thread_ = std::thread{[this] {
    while (!stopping_) {
      wheel_.advance(wheel_.time_->now());
      wheel_.sleep_until_due([this] { return stopping_.load(); });
    }
  }};
}

void timer_thread::stop() {
  if (!thread_.joinable()) return;
  stopping_ = true;
  wheel_.wake_sleeper();
  thread_.join();
}

}  // namespace imago::actors
