// Where an embedder's callbacks run: its own executor, or a thread of the engine's.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace imago::actors {

class callback_thread {
 public:
  using executor = std::function<void(std::function<void()>)>;
  // With an executor nothing of our own runs.
  explicit callback_thread(executor chosen);
  ~callback_thread() { stop(); }
  callback_thread(const callback_thread&) = delete;
  callback_thread& operator=(const callback_thread&) = delete;

  // A completion is never dropped; its number is bounded by the commands asked for.
  void post(std::function<void()> what);
  // Dropped and counted when limits::callback_queue_max wait.
  void post_event(std::function<void()> what);
  // Runs what waits, then ends the thread. Not from inside a callback.
  void stop();
  std::uint64_t dropped() const;

 private:
  void run();
  executor executor_;
  mutable std::mutex mutex_;
  std::condition_variable wakeup_;
  std::deque<std::function<void()>> queue_;
  std::uint64_t dropped_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace imago::actors
