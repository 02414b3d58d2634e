// Timers of actors: a sharded hashed wheel with injected time, and the thread that turns it live.
//
// Why not CAF's delayed_send: it cannot be cancelled and keeps dead actors alive until it is due
//. Here arm and cancel are O(1), references are weak, and what fires is
// an ordinary message `timer_due`. A timer never fires early; it may fire up to one tick late.
// A cancel can come too late, when the message already sits in the mailbox: that is what the
// generation is for. `actor_timer` does both sides of it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <thread>
#include <vector>

#include <caf/actor_addr.hpp>
#include <caf/allowed_unsafe_message_type.hpp>

#include "actors/clock.hpp"

namespace imago::actors {

#define IMAGO_TIMER_KINDS(X) \
  X(retransmit_due)          \
  X(connect_timeout_due)     \
  X(rekey_due)               \
  X(child_rekey_due)         \
  X(child_lifetime_due)      \
  X(ike_lifetime_due)        \
  X(linger_due)              \
  X(keepalive_due)           \
  X(liveness_due)            \
  X(half_open_due)           \
  X(reply_due)               \
  X(revive_due)              \
  X(sweep_due)               \
  X(activity_due)            \
  X(uplink_due)              \
  X(impairment_due)

enum class timer_kind : std::uint8_t {
#define X(name) name,
  IMAGO_TIMER_KINDS(X)
#undef X
};
std::string_view text_of(timer_kind kind);  // "retransmit_due"

// The message. Normal priority: a timer does not overtake the packet that makes it pointless.
struct timer_due {
  timer_kind kind{};
  std::uint64_t generation = 0;

  friend bool operator==(const timer_due&, const timer_due&) = default;
};

// Names one armed timer; the default names none. Reuse of its place is noticed.
struct timer_handle {
  std::uint32_t shard = 0;
  std::uint32_t place = 0;
  std::uint32_t serial = 0;
};

// Thread-safe. A world uses one shard, so that what is due in one tick fires in the order of
// arming.
class timer_wheel {
 public:
  explicit timer_wheel(std::shared_ptr<const clock> time, std::size_t shard_count = 8,
                       duration tick = std::chrono::milliseconds{5});
  ~timer_wheel();
  timer_wheel(const timer_wheel&) = delete;
  timer_wheel& operator=(const timer_wheel&) = delete;

  timer_handle arm(const caf::actor_addr& who, duration delay, timer_due due);
  // False if it has fired, was cancelled, or names none.
  bool cancel(timer_handle handle);
  // Sends what is due at `now`; returns how many reached a living actor.
  std::size_t advance(instant now);

  // When the next timer fires: advance() to it fires something. Costs O(pending): for worlds.
  std::optional<instant> next_due() const;
  // No timer fires before this. Cheap: for the live driver.
  std::optional<instant> next_wake() const;
  std::size_t pending() const;

 private:
  friend class timer_thread;
  struct shard;
  // Waits until something may be due or `stop()` says so.
  template <class Stop>
  void sleep_until_due(Stop stop);
  void wake_sleeper();

  std::shared_ptr<const clock> time_;
  duration tick_;
  std::vector<std::unique_ptr<shard>> shards_;
  std::mutex sleeper_mutex_;
  std::condition_variable sleeper_;
  bool sleeper_woken_ = false;
  std::atomic<std::int64_t> sleeping_until_;  // ns; arm() wakes the sleeper for what is earlier
};

// Turns a wheel in real time. Sleeps while nothing is pending.
class timer_thread {
 public:
  explicit timer_thread(timer_wheel& wheel) : wheel_{wheel} {}  // borrowed, must outlive it
  ~timer_thread() { stop(); }
  timer_thread(const timer_thread&) = delete;
  timer_thread& operator=(const timer_thread&) = delete;

  void start();
  void stop();  // joins; may be started again

 private:
  timer_wheel& wheel_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

// One timer of one actor, a member of it. Arming again replaces; destruction cancels.
class actor_timer {
 public:
  actor_timer(std::shared_ptr<timer_wheel> wheel, timer_kind kind)
      : wheel_{std::move(wheel)}, kind_{kind} {}
  actor_timer(const actor_timer&) = delete;
  actor_timer& operator=(const actor_timer&) = delete;
  ~actor_timer() { cancel(); }

  void arm(const caf::actor_addr& who, duration delay) {
    cancel();
    handle_ = wheel_->arm(who, delay, {kind_, generation_});
    armed_ = true;
  }
  void cancel() {
    if (!armed_) return;
    wheel_->cancel(handle_);
    ++generation_;
    armed_ = false;
  }
  // Is this message this timer's, and still wanted? Then it counts as fired.
  bool accept(const timer_due& due) {
    if (!armed_ || due != timer_due{kind_, generation_}) return false;
    ++generation_;
    armed_ = false;
    return true;
  }
  bool is_armed() const { return armed_; }
  timer_kind kind() const { return kind_; }

 private:
  std::shared_ptr<timer_wheel> wheel_;
  timer_kind kind_;
  timer_handle handle_;
  std::uint64_t generation_ = 1;
  bool armed_ = false;
};

}  // namespace imago::actors

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(imago::actors::timer_due)
