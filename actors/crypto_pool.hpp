// Where crypto jobs run. An actor submits a task and goes on with its other messages; the result
// comes back as the message `job_done`, unless the actor is gone: then it is wiped where it is.
// Brief jobs run on the scheduler's threads when those have nothing else to do, which saves two
// switches of threads each; long ones on threads of their own (decision 0015).
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include <caf/actor_addr.hpp>
#include <caf/allowed_unsafe_message_type.hpp>

#include "actors/errand.hpp"
#include "actors/owned.hpp"
#include "core/base/limits.hpp"
#include "core/crypto/job.hpp"

namespace imago::actors {

// Says that nobody wants the result any more. Shared by who waits and who works.
class cancel_token {
 public:
  void cancel() noexcept { cancelled_.store(true, std::memory_order_release); }
  bool is_cancelled() const noexcept { return cancelled_.load(std::memory_order_acquire); }

 private:
  std::atomic<bool> cancelled_{false};
};

// Move-only. `reply_to` is weak: somebody else must hold the suspended actor.
struct crypto_task {
  crypto::job job;
  std::shared_ptr<cancel_token> token;  // may be null: not cancellable
  caf::actor_addr reply_to;
  std::uint64_t job_id = 0;  // the actor's own number, comes back in job_done
  std::chrono::steady_clock::time_point submitted_at = {};  // filled in by the pool
};

// The message, at normal priority.
struct job_done {
  std::uint64_t job_id = 0;
  owned<crypto::job_result> result;
};

struct crypto_counters {
  std::uint64_t done = 0;     // delivered
  std::uint64_t skipped = 0;  // cancelled before they began
  std::uint64_t late = 0;     // computed, but the actor was gone
  std::uint64_t shed = 0;     // refused by submit, or dropped by stop
  std::size_t waiting = 0;    // accepted, not begun
};

class crypto_executor {
 public:
  virtual ~crypto_executor() = default;
  // False if the queue is full or stopped: the task is dropped, wiped and counted as shed.
  virtual bool submit(crypto_task task) = 0;
  virtual crypto_counters counters() const = 0;
  // How long the last job that began had to wait, brief or long, whichever waited longer; 0 if none
  // waited behind it. Cheap.
  virtual duration backlog() const { return {}; }
};

// What computes: crypto::run with the engine's library, or a test's stand-in. Thread-safe.
using job_runner = std::function<crypto::job_result(crypto::job&&)>;
job_runner run_with(std::shared_ptr<const crypto::library> library);

// Counts, and does what both implementations do with one task.
class crypto_bench {
 public:
  explicit crypto_bench(job_runner run) : run_{std::move(run)} {}
  // `worker`: of the scheduler, if it is one that performs; else null.
  void perform(crypto_task task, caf::execution_unit* worker = nullptr);
  void count_shed(std::size_t count = 1) { shed_ += count; }
  crypto_counters counters(std::size_t waiting) const;

 private:
  job_runner run_;
  std::atomic<std::uint64_t> done_{0}, skipped_{0}, late_{0}, shed_{0};
};

// Fixed threads, a bounded queue, first come first served; and one more such queue for brief jobs.
class thread_crypto_pool final : public crypto_executor {
 public:
  thread_crypto_pool(std::size_t thread_count, job_runner run,
                     std::size_t queue_max = limits::crypto_queue_max);
  ~thread_crypto_pool() override;
  thread_crypto_pool(const thread_crypto_pool&) = delete;
  thread_crypto_pool& operator=(const thread_crypto_pool&) = delete;

  // From now on brief jobs (crypto::is_brief) are errands of that scheduler's threads. It must do
  // scheduler_policy's errands, and end before this object does.
  void lend_brief_jobs(caf::scheduler::abstract_coordinator& scheduler);

  bool submit(crypto_task task) override;
  crypto_counters counters() const override;
  duration backlog() const override;
  // Lets the jobs under way finish, drops the rest, joins. Call it before the actor system goes.
  void stop();

 private:
  struct task_queue {
    std::deque<crypto_task> tasks;
    std::atomic<duration::rep> last_wait{0};  // of the last task taken; 0: it was the only one
    crypto_task take_oldest();
  };
  void work();
  void do_brief_job(caf::execution_unit* worker);

  crypto_bench bench_;
  const std::size_t queue_max_;
  mutable std::mutex mutex_;
  std::condition_variable wakeup_;
  task_queue long_;
  task_queue brief_;  // an errand waits for each
  bool stopping_ = false;
  errand_ptr errand_;  // null: no scheduler's threads
  caf::scheduler::abstract_coordinator* scheduler_ = nullptr;
  std::vector<std::thread> threads_;
};

// No threads: holds tasks until it is told to run them. For worlds, tests and single-threaded use.
class inline_crypto_executor final : public crypto_executor {
 public:
  explicit inline_crypto_executor(job_runner run, std::size_t queue_max = limits::crypto_queue_max)
      : bench_{std::move(run)}, queue_max_{queue_max} {}

  bool submit(crypto_task task) override;
  crypto_counters counters() const override;

  // Performs the task at `index` of those waiting; false if there is none.
  bool step(std::size_t index = 0);
  // Performs until nothing waits; returns how many.
  std::size_t run_all();
  // Loses the task: its result never comes.
  bool drop(std::size_t index = 0);
  std::size_t waiting() const;

 private:
  std::optional<crypto_task> take(std::size_t index);

  crypto_bench bench_;
  const std::size_t queue_max_;
  mutable std::mutex mutex_;
  std::deque<crypto_task> queue_;
};

}  // namespace imago::actors

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(imago::actors::job_done)
