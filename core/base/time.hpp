// Time is injected: nothing in core reads a clock.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>

namespace imago {

using duration = std::chrono::nanoseconds;

// An instant of the engine's monotonic clock (virtual in a world). Its zero means nothing.
struct instant {
  duration since_start{};

  friend auto operator<=>(const instant&, const instant&) = default;
  friend instant operator+(instant at, duration by) { return {at.since_start + by}; }
  friend duration operator-(instant to, instant from) { return to.since_start - from.since_start; }
};

// A wall-clock time in seconds since 1970-01-01 UTC; for certificates and logs only.
struct wall_time {
  std::int64_t seconds = 0;
  friend auto operator<=>(const wall_time&, const wall_time&) = default;
};

}  // namespace imago
