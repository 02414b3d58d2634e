// The time of a world: it stands still until the world passes it.
#pragma once

#include "actors/clock.hpp"

namespace imago::world {

class virtual_clock final : public actors::clock {
 public:
  // At the start the wall clock shows `wall` (2026-11-20 00:00:00 UTC), and `now` is not zero,
  // because a zero instant means nothing.
  explicit virtual_clock(wall_time wall = {1'795'132'800})
      : wall_at_start_{std::chrono::seconds{wall.seconds}} {}

  instant now() const override { return now_; }
  wall_time wall() const override {
    return {std::chrono::duration_cast<std::chrono::seconds>(wall_since_1970()).count()};
  }
  duration wall_since_1970() const override {
    return wall_at_start_ + (now_.since_start - start) + wall_step_;
  }

  // Never backwards.
  void set(instant at) { now_ = std::max(now_, at); }
  void pass(duration by) { now_ = now_ + by; }
  // Somebody sets the wall clock; `now` does not notice.
  void step_wall(duration by) { wall_step_ += by; }

 private:
  static constexpr duration start = std::chrono::seconds{1};
  duration wall_at_start_;
  duration wall_step_{};
  instant now_{start};
};

}  // namespace imago::world
