// The FRONT DOOR: what becomes of IKE_SA_INIT requests between a port's reader thread and the
// demux. They wait here, bounded, until the demux asks for them, which it does when the scheduler
// has nothing else to do: what has begun is finished before anything new begins (decision 0015).
// And cookies: made by the reader's thread under load, checked by the demux's reception.
#pragma once

#include <array>
#include <atomic>
#include <deque>
#include <functional>
#include <mutex>

#include "actors/messages.hpp"
#include "core/ikev2/cookie.hpp"

namespace imago::actors {

// Thread-safe. One for each engine, alive as long as it is.
class front_door {
 public:
  // Who returns a cookie has shown that it can receive at its address: it goes first (§2.6).
  enum class line : std::uint8_t { returning, stranger };

  front_door(const crypto::library& library, random_source& random);

  // How the demux learns that somebody waits: called at most once until `taken` is called.
  // Before anybody comes; once only.
  void call_with(std::function<void()> call) { call_ = std::move(call); }

  // The newest is always taken in: of a line that is full, who has waited longest is dropped.
  void wait(line where, packet_ptr who);
  // At most `count` of those that wait, who returns a cookie first. In each line first come, first
  // served; if its first has waited too long already, newest first: those are worth an answer, the
  // others ask again.
  std::vector<packet_ptr> take(instant now, std::size_t count);
  // What take() gave is worked on: calls again if somebody waits.
  void taken();

  // Do new peers have to show a cookie? Said by the reception.
  void set_pressed(bool is_pressed) { is_pressed_.store(is_pressed, std::memory_order_relaxed); }
  bool is_pressed() const { return is_pressed_.load(std::memory_order_relaxed); }
  bytes make_cookie(instant now, bytes_view nonce, const ip_address& from, std::uint64_t spi);
  bool check_cookie(instant now, bytes_view cookie, bytes_view nonce, const ip_address& from,
                    std::uint64_t spi);

  // Do those wait for long who have returned a cookie? Then it would be in vain to ask more for
  // one.
  bool is_behind(instant now) const;
  std::size_t waiting_count() const;
  std::uint64_t dropped_count() const { return dropped_.load(std::memory_order_relaxed); }

 private:
  std::function<void()> call_;
  mutable std::mutex mutex_;
  std::array<std::deque<packet_ptr>, 2> lines_;
  bool is_called_ = false;
  std::atomic<std::uint64_t> dropped_{0};
  std::atomic<bool> is_pressed_{false};
  std::mutex cookie_mutex_;
  ikev2::cookie_jar cookies_;
};

}  // namespace imago::actors
