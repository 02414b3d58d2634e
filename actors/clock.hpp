// Where time comes from: the system, or a world's virtual clock. Thread-safe.
#pragma once

#include "core/base/time.hpp"

namespace imago::actors {

class clock {
 public:
  virtual ~clock() = default;
  virtual instant now() const = 0;     // monotonic
  virtual wall_time wall() const = 0;  // UTC; may jump
  // The same wall clock, as finely as it is known; for the journal.
  virtual duration wall_since_1970() const { return std::chrono::seconds{wall().seconds}; }
};

class system_clock_source final : public clock {
 public:
  instant now() const override {
    return {
        std::chrono::duration_cast<duration>(std::chrono::steady_clock::now().time_since_epoch())};
  }
  wall_time wall() const override {
    return {std::chrono::duration_cast<std::chrono::seconds>(wall_since_1970()).count()};
  }
  duration wall_since_1970() const override {
    return std::chrono::duration_cast<duration>(
        std::chrono::system_clock::now().time_since_epoch());
  }
};

}  // namespace imago::actors
