#include "actors/crypto_pool.hpp"

#include <algorithm>

#include <caf/actor_cast.hpp>
#include <caf/actor_control_block.hpp>
#include <caf/make_message.hpp>
#include <caf/message_id.hpp>

namespace imago::actors {

job_runner run_with(std::shared_ptr<const crypto::library> library) {
  return [library = std::move(library)](crypto::job&& job) {
    return crypto::run(*library, std::move(job));
  };
}

void crypto_bench::perform(crypto_task task) {
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
                    caf::make_message(job_done{task.job_id, own(std::move(result))}), nullptr);
}

crypto_counters crypto_bench::counters(std::size_t waiting) const {
  return {done_, skipped_, late_, shed_, waiting};
}

thread_crypto_pool::thread_crypto_pool(std::size_t thread_count, job_runner run,
                                       std::size_t queue_max)
    : bench_{std::move(run)}, queue_max_{queue_max} {
  threads_.reserve(std::max<std::size_t>(thread_count, 1));
  while (threads_.size() < threads_.capacity()) threads_.emplace_back([this] { work(); });
}

bool thread_crypto_pool::submit(crypto_task task) {
  {
    std::lock_guard guard{mutex_};
    if (stopping_ || queue_.size() >= queue_max_) {
      bench_.count_shed();
      return false;
    }
    task.submitted_at = std::chrono::steady_clock::now();
    queue_.push_back(std::move(task));
  }
  wakeup_.notify_one();
  return true;
}

crypto_counters thread_crypto_pool::counters() const {
  std::lock_guard guard{mutex_};
  return bench_.counters(queue_.size());
}

duration thread_crypto_pool::backlog() const {
  return duration{last_wait_.load(std::memory_order_relaxed)};
}

void thread_crypto_pool::stop() {
  std::deque<crypto_task> dropped;
  {
    std::lock_guard guard{mutex_};
    stopping_ = true;
    dropped.swap(queue_);
  }
  bench_.count_shed(dropped.size());
  wakeup_.notify_all();
  for (auto& thread : threads_) thread.join();
  threads_.clear();
}

void thread_crypto_pool::work() {
  for (;;) {
    std::unique_lock guard{mutex_};
    wakeup_.wait(guard, [this] { return stopping_ || !queue_.empty(); });
    if (stopping_) return;
    auto task = std::move(queue_.front());
    queue_.pop_front();
    auto waited = queue_.empty() ? std::chrono::steady_clock::duration{}
                                 : std::chrono::steady_clock::now() - task.submitted_at;
    last_wait_.store(std::chrono::duration_cast<duration>(waited).count(),
                     std::memory_order_relaxed);
    guard.unlock();
    bench_.perform(std::move(task));
  }
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
