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

// One lap is 4096 ticks (20 s at 5 ms); a longer timer stays in its slot for several laps.
constexpr std::uint32_t slot_count = 4096;
constexpr std::int64_t nobody_sleeps = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t forever = std::numeric_limits<std::int64_t>::max();

struct node {
  caf::actor_addr who;
  std::uint64_t due_tick = 0;
  std::uint64_t generation = 0;
  std::uint32_t previous = 0, next = 0;  // 0: none
  std::uint32_t serial = 0;              // counts the uses of this place
  timer_kind kind{};
  bool is_armed = false;
};

struct fired {
  std::uint64_t due_tick;
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

  mutable std::mutex mutex;
  std::vector<node> nodes{1};
  std::vector<std::uint32_t> free_places;
  // Not initialised, 32 KB: what a slot holds counts only while its bit is set.
  std::unique_ptr<slot[]> slots = std::make_unique_for_overwrite<slot[]>(slot_count);
  std::array<std::uint64_t, slot_count / 64> occupied{};
  std::uint64_t cursor = 0;  // the last tick that was served
  std::size_t armed_count = 0;

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
    auto index = static_cast<std::uint32_t>(due_tick % slot_count);
    const auto bit = std::uint64_t{1} << index % 64;
    auto& at = slots[index];
    if (!(occupied[index / 64] & bit)) at = {};
    entry.who = who;
    entry.due_tick = due_tick;
    entry.generation = due.generation;
    entry.kind = due.kind;
    entry.is_armed = true;
    entry.previous = at.last;
    entry.next = 0;
    (at.last ? nodes[at.last].next : at.first) = place;
    at.last = place;
    occupied[index / 64] |= bit;
    ++armed_count;
    return place;
  }

  void unlink(std::uint32_t place) {
    auto& entry = nodes[place];
    auto index = static_cast<std::uint32_t>(entry.due_tick % slot_count);
    auto& at = slots[index];
    (entry.previous ? nodes[entry.previous].next : at.first) = entry.next;
    (entry.next ? nodes[entry.next].previous : at.last) = entry.previous;
    if (!at.first) occupied[index / 64] &= ~(std::uint64_t{1} << index % 64);
    entry.who = nullptr;
    entry.is_armed = false;
    ++entry.serial;
    free_places.push_back(place);
    --armed_count;
  }

  // The first tick after `after`, within one lap, whose slot is not empty.
  std::optional<std::uint64_t> next_occupied(std::uint64_t after) const {
    if (!armed_count) return {};
    for (std::uint64_t tick = after + 1; tick <= after + slot_count;) {
      auto index = tick % slot_count;
      if (auto bits = occupied[index / 64] >> index % 64)
        return tick + static_cast<std::uint64_t>(std::countr_zero(bits));
      tick += 64 - index % 64;
    }
    return {};
  }

  void serve_until(std::uint64_t now_tick, std::vector<fired>& out) {
    while (cursor < now_tick) {
      auto tick = next_occupied(cursor);
      if (!tick || *tick > now_tick) break;
      cursor = *tick;
      // Its bit is set; serving the last of it clears it, and then `next` is 0.
      for (auto place = slots[cursor % slot_count].first; place;) {
        auto& entry = nodes[place];
        auto next = entry.next;
        if (entry.due_tick <= cursor) {
          out.push_back({entry.due_tick, std::move(entry.who), {entry.kind, entry.generation}});
          unlink(place);
        }
        place = next;
      }
    }
    cursor = std::max(cursor, now_tick);
  }

  // The least due tick: mostly in the first slot that is not empty, unless all are laps away.
  std::optional<std::uint64_t> next_due() const {
    if (!armed_count) return {};
    for (auto tick = next_occupied(cursor); tick && *tick <= cursor + slot_count;
         tick = next_occupied(*tick))
      for (auto place = slots[*tick % slot_count].first; place; place = nodes[place].next)
        if (nodes[place].due_tick <= *tick) return tick;
    std::uint64_t least = std::numeric_limits<std::uint64_t>::max();
    for (const auto& entry : nodes)
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
    // An empty shard is not served; it catches up here. A tick already served cannot come again.
    if (!home.armed_count) home.cursor = std::max(home.cursor, now_tick ? now_tick - 1 : 0);
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
  home.unlink(handle.place);
  return true;
}

std::size_t timer_wheel::advance(instant now) {
  const auto now_tick = static_cast<std::uint64_t>(now.since_start / tick_);
  std::vector<fired> due;
  for (auto& each : shards_) {
    std::lock_guard guard{each->mutex};
    each->serve_until(now_tick, due);
  }
  std::stable_sort(due.begin(), due.end(),
                   [](const fired& a, const fired& b) { return a.due_tick < b.due_tick; });
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
    if (auto tick = each->next_occupied(each->cursor))
      least = least ? std::min(*least, *tick) : *tick;
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
