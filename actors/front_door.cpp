#include "actors/front_door.hpp"

#include "core/base/limits.hpp"

namespace imago::actors {

namespace {

constexpr auto cookie_secret_lifetime = std::chrono::seconds{60};
// Who waits longer has a queue before it that does not end (RFC 8289 §3).
constexpr auto patience = std::chrono::milliseconds{10};
// More than a moment in which the machine had something else to do.
constexpr auto standing = std::chrono::milliseconds{100};

}  // namespace

front_door::front_door(const crypto::library& library, random_source& random)
    : cookies_{library, random, cookie_secret_lifetime} {}

void front_door::wait(line where, packet_ptr who) {
  packet_ptr dropped;  // freed without the lock
  bool calls = false;
  {
    std::lock_guard guard{mutex_};
    auto& line = lines_[static_cast<std::size_t>(where)];
    if (line.size() >= limits::new_peers_waiting_max) {
      dropped = std::move(line.front());
      line.pop_front();
    }
    line.push_back(std::move(who));
    calls = !std::exchange(is_called_, true);
  }
  if (dropped) dropped_.fetch_add(1, std::memory_order_relaxed);
  if (calls && call_) call_();
}

std::vector<packet_ptr> front_door::take(instant now, std::size_t count) {
  std::vector<packet_ptr> list;
  std::lock_guard guard{mutex_};
  for (auto& line : lines_) {
    while (list.size() < count && !line.empty()) {
      bool is_late = now - line.front()->received_at > patience;
      list.push_back(std::move(is_late ? line.back() : line.front()));
      is_late ? line.pop_back() : line.pop_front();
    }
  }
  return list;
}

void front_door::taken() {
  {
    std::lock_guard guard{mutex_};
    is_called_ = !lines_[0].empty() || !lines_[1].empty();
    if (!is_called_) return;
  }
  if (call_) call_();
}

bytes front_door::make_cookie(instant now, bytes_view nonce, const ip_address& from,
                              std::uint64_t spi) {
  std::lock_guard guard{cookie_mutex_};
  return cookies_.make(now, nonce, from, spi);
}

bool front_door::check_cookie(instant now, bytes_view cookie, bytes_view nonce,
                              const ip_address& from, std::uint64_t spi) {
  std::lock_guard guard{cookie_mutex_};
  return cookies_.check(now, cookie, nonce, from, spi);
}

bool front_door::is_behind(instant now) const {
  std::lock_guard guard{mutex_};
  const auto& returning = lines_[static_cast<std::size_t>(line::returning)];
  return !returning.empty() && now - returning.front()->received_at > standing;
}

std::size_t front_door::waiting_count() const {
  std::lock_guard guard{mutex_};
  return lines_[0].size() + lines_[1].size();
}

}  // namespace imago::actors
