#include "actors/callbacks.hpp"

#include "core/base/limits.hpp"

namespace imago::actors {

callback_thread::callback_thread(executor chosen) : executor_{std::move(chosen)} {
  if (!executor_) thread_ = std::thread{[this] { run(); }};
}

void callback_thread::post(std::function<void()> what) {
  if (executor_) return executor_(std::move(what));
  {
    std::lock_guard guard{mutex_};
    queue_.push_back(std::move(what));
  }
  wakeup_.notify_one();
}

void callback_thread::post_event(std::function<void()> what) {
  if (!executor_) {
    std::lock_guard guard{mutex_};
    if (queue_.size() >= limits::callback_queue_max) {
      ++dropped_;
      return;
    }
  }
  post(std::move(what));
}

std::uint64_t callback_thread::dropped() const {
  std::lock_guard guard{mutex_};
  return dropped_;
}

void callback_thread::run() {
  std::unique_lock guard{mutex_};
  for (;;) {
    wakeup_.wait(guard, [this] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) return;
    auto what = std::move(queue_.front());
    queue_.pop_front();
    guard.unlock();
    what();
    what = nullptr;
    guard.lock();
  }
}

void callback_thread::stop() {
  {
    std::lock_guard guard{mutex_};
    stopping_ = true;
  }
  wakeup_.notify_one();
  if (thread_.joinable()) thread_.join();
}

}  // namespace imago::actors
