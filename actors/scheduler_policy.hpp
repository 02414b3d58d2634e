// How CAF's worker threads share actors: a FIFO run queue per worker, stealing from its old end in
// O(1), sleeping on a condition variable. CAF's own work stealing searches its queue under two spin
// locks, runs the newest first and polls when idle, all of which an idle or an overloaded keying
// daemon would feel.
//
// Errands (errand.hpp, CAF's subtype function_object) wait in a queue for each rank, which all
// workers share: brief crypto jobs, and after everything else the admission of new peers. That
// order is what finishes what has begun before anything new begins.
//
// No wake-up is lost: a worker says that it sleeps before it looks for the last time, and who
// queues a job looks for sleepers afterwards. A run queue holds an actor at most once, so it is
// bounded by the number of living actors, which admission bounds; errands by who makes them.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <utility>

#include <caf/fwd.hpp>
#include <caf/policy/unprofiled.hpp>

#include "actors/errand.hpp"

namespace imago::actors {

// Selects this policy. Messages that an actor may handle in a row: few enough that nobody waits
// long, enough that switching is cheap.
inline constexpr std::size_t messages_in_a_row_max = 48;
// Actors that a worker resumes before it does an errand that waits: a flood of messages does not
// starve crypto. How long one at leisure waits at most for a worker that is never at leisure.
inline constexpr std::size_t turns_before_errand = 2;
inline constexpr auto leisure_wait_max = std::chrono::milliseconds{100};
void configure_scheduler(caf::actor_system_config& config, std::size_t thread_count);

class scheduler_policy : public caf::policy::unprofiled {
 public:
  struct coordinator_data {
    explicit coordinator_data(caf::scheduler::abstract_coordinator*) {}
    std::atomic<std::size_t> next_worker{0};
    std::atomic<std::size_t> sleeper_count{0};
    struct errand_queue {
      std::mutex mutex;
      std::deque<caf::resumable*> waiting;
      std::atomic<std::size_t> count{0};
    };
    std::array<errand_queue, errand_rank_count> errands;
    std::atomic<std::chrono::steady_clock::time_point> last_leisure{};
  };

  struct worker_data {
    explicit worker_data(caf::scheduler::abstract_coordinator*) {}
    // CAF copies the initial data once per worker; there is nothing in it to copy.
    worker_data(const worker_data&) {}
    worker_data& operator=(const worker_data&) = delete;
    std::mutex mutex;
    std::condition_variable wakeup;
    std::deque<caf::resumable*> jobs;
    bool is_sleeping = false;
    bool is_called = false;  // somebody else has work: steal
    std::size_t turns = 0;   // since the last errand; the worker's own
  };

  template <class Coordinator>
  void central_enqueue(Coordinator* all, caf::resumable* job) {
    if (job->subtype() == caf::resumable::function_object) return enqueue_errand(all, job);
    auto index = d(all).next_worker.fetch_add(1, std::memory_order_relaxed) % all->num_workers();
    all->worker_by_id(index)->external_enqueue(job);
  }

  template <class Worker>
  void external_enqueue(Worker* self, caf::resumable* job) {
    auto& own = d(self);
    bool was_sleeping;
    {
      std::lock_guard guard{own.mutex};
      own.jobs.push_back(job);
      was_sleeping = own.is_sleeping;
    }
    // A busy worker should not keep it waiting while another has nothing to do.
    if (was_sleeping)
      own.wakeup.notify_one();
    else
      call_a_sleeper(self);
  }

  // From the worker's own thread, which is busy with the actor that sends: the first job can wait
  // for its end, which is near; more is for others.
  template <class Worker>
  void internal_enqueue(Worker* self, caf::resumable* job) {
    auto& own = d(self);
    std::size_t count;
    {
      std::lock_guard guard{own.mutex};
      own.jobs.push_back(job);
      count = own.jobs.size();
    }
    if (count > 1) call_a_sleeper(self);
  }

  template <class Worker>
  void resume_job_later(Worker* self, caf::resumable* job) {
    internal_enqueue(self, job);
  }

  template <class Worker>
  caf::resumable* dequeue(Worker* self) {
    works_for = self->parent();
    auto& own = d(self);
    auto& sleeper_count = d(self->parent()).sleeper_count;
    for (;;) {
      if (auto* job = take_turn(self)) return job;
      {
        std::lock_guard guard{own.mutex};
        own.is_sleeping = true;
        ++sleeper_count;
      }
      auto* found = steal(self);  // the last look, after saying so
      if (!found) found = take_any_errand(self);
      {
        std::unique_lock guard{own.mutex};
        if (!found) own.wakeup.wait(guard, [&] { return own.is_called || !own.jobs.empty(); });
        own.is_sleeping = false;
        own.is_called = false;
        --sleeper_count;
      }
      if (found) return found;
    }
  }

  template <class Worker, class Function>
  void foreach_resumable(Worker* self, Function each) {
    while (auto* job = take_oldest(d(self))) each(job);
  }
  template <class Coordinator, class Function>
  void foreach_central_resumable(Coordinator* all, Function each) {
    for (auto& queue : d(all).errands)
      for (auto* one : std::exchange(queue.waiting, {})) each(one);
  }

 private:
  // Whose worker the calling thread is; null: nobody's. An engine is not the only one in a process.
  static inline thread_local const void* works_for = nullptr;

  template <class Worker>
  static caf::resumable* take_turn(Worker* self) {
    auto& own = d(self);
    if (own.turns >= turns_before_errand) {
      if (auto* due = take_errand(self, errand_rank::soon)) return due;
      if (is_overdue(self))
        if (auto* due = take_errand(self, errand_rank::at_leisure)) return due;
    }
    auto* job = take_oldest(own);
    if (!job) job = steal(self);
    if (!job) return take_any_errand(self);
    ++own.turns;
    return job;
  }

  template <class Worker>
  static caf::resumable* take_any_errand(Worker* self) {
    if (auto* one = take_errand(self, errand_rank::soon)) return one;
    return take_errand(self, errand_rank::at_leisure);
  }

  // Looks at the time only if somebody waits.
  template <class Worker>
  static bool is_overdue(Worker* self) {
    auto& all = d(self->parent());
    if (queue_of(all, errand_rank::at_leisure).count.load() == 0) return false;
    return std::chrono::steady_clock::now() - all.last_leisure.load() > leisure_wait_max;
  }

  template <class Worker>
  static caf::resumable* take_errand(Worker* self, errand_rank rank) {
    auto& all = d(self->parent());
    if (rank == errand_rank::soon) d(self).turns = 0;
    auto& queue = queue_of(all, rank);
    if (queue.count.load() == 0) return nullptr;
    std::lock_guard guard{queue.mutex};
    if (queue.waiting.empty()) return nullptr;
    auto* oldest = queue.waiting.front();
    queue.waiting.pop_front();
    queue.count.store(queue.waiting.size());
    if (rank == errand_rank::at_leisure) all.last_leisure = std::chrono::steady_clock::now();
    return oldest;
  }

  // As with jobs: the first of a worker's own errands can wait for it.
  template <class Coordinator>
  static void enqueue_errand(Coordinator* all, caf::resumable* job) {
    auto& queue = queue_of(d(all), static_cast<errand*>(job)->rank());
    std::size_t count;
    {
      std::lock_guard guard{queue.mutex};
      queue.waiting.push_back(job);
      count = queue.waiting.size();
      queue.count.store(count);
    }
    if (count > 1 || works_for != all) call_a_sleeper(all, 0);
  }

  static coordinator_data::errand_queue& queue_of(coordinator_data& all, errand_rank rank) {
    return all.errands[static_cast<std::size_t>(rank)];
  }

  static caf::resumable* take_oldest(worker_data& from) {
    std::lock_guard guard{from.mutex};
    if (from.jobs.empty()) return nullptr;
    auto* job = from.jobs.front();
    from.jobs.pop_front();
    return job;
  }

  template <class Worker>
  static caf::resumable* steal(Worker* self) {
    auto* all = self->parent();
    for (std::size_t step = 1; step < all->num_workers(); ++step) {
      auto* victim = all->worker_by_id((self->id() + step) % all->num_workers());
      if (auto* job = take_oldest(d(victim))) return job;
    }
    return nullptr;
  }

  template <class Worker>
  static void call_a_sleeper(Worker* self) {
    call_a_sleeper(self->parent(), self->id() + 1);
  }

  template <class Coordinator>
  static void call_a_sleeper(Coordinator* all, std::size_t first) {
    if (d(all).sleeper_count.load() == 0) return;
    for (std::size_t step = 0; step < all->num_workers(); ++step) {
      auto& other = d(all->worker_by_id((first + step) % all->num_workers()));
      {
        std::lock_guard guard{other.mutex};
        if (!other.is_sleeping || other.is_called) continue;
        other.is_called = true;
      }
      other.wakeup.notify_one();
      return;
    }
  }
};

}  // namespace imago::actors
