// What goes out to one control client: a bounded queue between its actor, the journal's thread and
// the thread that writes to its socket.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include <sys/types.h>

#include "core/vici/message.hpp"

namespace imago::actors {

// Tells the I/O thread which clients want something. Thread-safe.
class control_waker {
 public:
  control_waker();
  ~control_waker();
  control_waker(const control_waker&) = delete;
  control_waker& operator=(const control_waker&) = delete;

  int fd() const { return event_; }  // readable when somebody called
  void call(std::uint64_t client);
  // Who called since; also makes the descriptor quiet.
  std::vector<std::uint64_t> take();

 private:
  int event_;
  std::mutex mutex_;
  std::vector<std::uint64_t> callers_;
};

class control_channel {
 public:
  control_channel(std::uint64_t client, std::shared_ptr<control_waker> waker)
      : client_{client}, waker_{std::move(waker)} {}

  // --- any thread ---
  // A response, or an event that belongs to one. Too much of it ends the client.
  void send(const vici::packet& packet);
  // While more is to come at once, the I/O thread is called for a good deal only, not for each.
  void hold_back();
  void let_go();
  // An event that the client can live without: dropped and counted when it does not read.
  void send_if_it_reads(const vici::packet& packet);
  // So much waits that a stream of events had better wait, too. Then, and only then, the actor gets
  // output_drained once there is room.
  bool should_wait();
  void request_taken();
  void request_answered();
  void end();  // the I/O thread closes the client
  std::size_t requests() const;
  // Fewer than limits::control_requests_max wait for an answer, and it is not frozen.
  bool takes_requests() const;
  // An impairment: frozen, nothing is read from it and nothing written to it.
  void freeze(bool is_frozen);
  std::uint64_t dropped_events() const;

  // --- the I/O thread ---
  enum class flushed { everything, not_everything, failed };
  flushed flush(int fd);
  // True once after should_wait() was, when there is room again.
  bool take_drained();

 private:
  void push(bytes octets);    // mutex_ is held
  bool must_call();           // the same
  ssize_t send_some(int fd);  // the same; not of nothing

  const std::uint64_t client_;
  const std::shared_ptr<control_waker> waker_;
  mutable std::mutex mutex_;
  std::deque<bytes> queue_;
  std::size_t size_ = 0;  // octets that wait
  std::size_t sent_of_front_ = 0;
  std::size_t requests_ = 0;  // taken but not answered
  std::uint64_t dropped_events_ = 0;
  bool is_waited_for_ = false;
  bool is_over_ = false;  // too much waited, or its actor ended
  bool is_frozen_ = false;
  bool is_called_ = false;  // the I/O thread knows already
  bool is_held_back_ = false;
};
using control_channel_ptr = std::shared_ptr<control_channel>;

}  // namespace imago::actors
