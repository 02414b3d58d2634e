#include "actors/crypto_pool.hpp"

#include <algorithm>
#include <latch>

#include <caf/actor_cast.hpp>
#include <caf/actor_control_block.hpp>
#include <caf/make_message.hpp>
#include <caf/message_id.hpp>
#include <sys/resource.h>

namespace imago::actors {

job_runner run_with(std::shared_ptr<const crypto::library> library) {
  return [library = std::move(library)](crypto::job&& job) {
    return crypto::run(*library, std::move(job));
  };
}

void crypto_bench::perform(crypto_task task, caf::execution_unit* worker) {
  if (task.token && task.token->is_cancelled()) {
    ++skipped_;
    return;
  }
  auto result = [&]() -> crypto::job_result {
    try {
      return run_(std::move(task.job));
    } catch (const std::exception&) {  // out of memory, at worst: the actor must hear of it
      return errc::crypto_failed;
    }
  }();
  auto receiver = caf::actor_cast<caf::strong_actor_ptr>(task.reply_to);
  if (!receiver) {
    ++late_;
    return;  // result's destructor wipes what is secret
  }
  ++done_;
  receiver->enqueue(nullptr, caf::make_message_id(),
                    caf::make_message(job_done{task.job_id, own(std::move(result))}), worker);
}

crypto_counters crypto_bench::counters(std::size_t waiting) const {
  return {done_, skipped_, late_, shed_, waiting};
}

namespace {

// Milliseconds of computing must not delay a message: on Linux this is the calling thread's own.
// May fail: then it does not give way.
void give_way() { (void)!::setpriority(PRIO_PROCESS, 0, ::getpriority(PRIO_PROCESS, 0) + 5); }

}  // namespace

thread_crypto_pool::thread_crypto_pool(std::size_t thread_count, job_runner run,
                                       std::size_t queue_max)
    : bench_{std::move(run)}, queue_max_{queue_max} {
  thread_count = std::max<std::size_t>(thread_count, 1);
  std::latch started{static_cast<std::ptrdiff_t>(thread_count)};
  for (std::size_t index = 0; index < thread_count; ++index)
    threads_.emplace_back([this, &started] {
      give_way();
      started.count_down();
      work();
    });
  started.wait();  // a sandbox, later, need not allow it
}

thread_crypto_pool::~thread_crypto_pool() { stop(); }

void thread_crypto_pool::lend_brief_jobs(caf::scheduler::abstract_coordinator& scheduler) {
  std::lock_guard guard{mutex_};
  errand_ = caf::make_counted<errand>(
      errand_rank::soon, [this](caf::execution_unit* worker) { do_brief_job(worker); });
  scheduler_ = &scheduler;
}

bool thread_crypto_pool::submit(crypto_task task) {
  auto is_brief = crypto::is_brief(task.job);
  {
    std::lock_guard guard{mutex_};
    is_brief = is_brief && errand_;
    auto& queue = (is_brief ? brief_ : long_).tasks;
    if (stopping_ || queue.size() >= queue_max_) {
      bench_.count_shed();
      return false;
    }
    task.submitted_at = std::chrono::steady_clock::now();
    queue.push_back(std::move(task));
  }
  if (is_brief) {
    do_errand(*scheduler_, errand_);
  } else {
    wakeup_.notify_one();
  }
  return true;
}

crypto_counters thread_crypto_pool::counters() const {
  std::lock_guard guard{mutex_};
  return bench_.counters(long_.tasks.size() + brief_.tasks.size());
}

duration thread_crypto_pool::backlog() const {
  return duration{std::max(long_.last_wait.load(std::memory_order_relaxed),
                           brief_.last_wait.load(std::memory_order_relaxed))};
}

void thread_crypto_pool::stop() {
  std::deque<crypto_task> dropped, dropped_brief;
  {
    std::lock_guard guard{mutex_};
    stopping_ = true;
    dropped.swap(long_.tasks);
    dropped_brief.swap(brief_.tasks);
  }
  bench_.count_shed(dropped.size() + dropped_brief.size());
  wakeup_.notify_all();
  for (auto& thread : threads_) thread.join();
  threads_.clear();
}

void thread_crypto_pool::work() {
  for (;;) {
    std::unique_lock guard{mutex_};
    wakeup_.wait(guard, [this] { return stopping_ || !long_.tasks.empty(); });
    if (stopping_) return;
    auto task = long_.take_oldest();
    guard.unlock();
    bench_.perform(std::move(task));
  }
}

void thread_crypto_pool::do_brief_job(caf::execution_unit* worker) {
  std::unique_lock guard{mutex_};
  if (brief_.tasks.empty()) return;  // stopped meanwhile
  auto task = brief_.take_oldest();
  guard.unlock();
  bench_.perform(std::move(task), worker);
}

// The pool's lock is held.
crypto_task thread_crypto_pool::task_queue::take_oldest() {
  auto task = std::move(tasks.front());
  tasks.pop_front();
  auto waited = tasks.empty() ? std::chrono::steady_clock::duration{}
                              : std::chrono::steady_clock::now() - task.submitted_at;
  last_wait.store(std::chrono::duration_cast<duration>(waited).count(), std::memory_order_relaxed);
  return task;
}

bool inline_crypto_executor::submit(crypto_task task) {
  std::lock_guard guard{mutex_};
  if (queue_.size() >= queue_max_) {
    bench_.count_shed();
    return false;
  }
  queue_.push_back(std::move(task));
  return true;
}

crypto_counters inline_crypto_executor::counters() const { return bench_.counters(waiting()); }

std::optional<crypto_task> inline_crypto_executor::take(std::size_t index) {
  std::lock_guard guard{mutex_};
  if (index >= queue_.size()) return {};
  std::optional<crypto_task> task{std::move(queue_[index])};
  queue_.erase(queue_.begin() + static_cast<std::ptrdiff_t>(index));
  return task;
}

bool inline_crypto_executor::step(std::size_t index) {
  auto task = take(index);
  if (task) bench_.perform(std::move(*task));
  return task.has_value();
}

std::size_t inline_crypto_executor::run_all() {
  std::size_t count = 0;
  while (step()) ++count;
  return count;
}

bool inline_crypto_executor::drop(std::size_t index) { return take(index).has_value(); }

std::size_t inline_crypto_executor::waiting() const {
  std::lock_guard guard{mutex_};
  return queue_.size();
}

}  // namespace imago::actors
