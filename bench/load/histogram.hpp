// Latencies, counted in classes that are 3 % wide at most: log-linear, as HDR histograms are.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

namespace imago::bench {

class histogram {
 public:
  void record(std::uint64_t us) {
    ++counts_[class_of(us)];
    ++count_;
    sum_ += us;
    highest_ = std::max(highest_, us);
  }
  std::uint64_t count() const { return count_; }
  std::uint64_t highest() const { return highest_; }
  double mean() const {
    return count_ == 0 ? 0 : static_cast<double>(sum_) / static_cast<double>(count_);
  }
  // The value that the fraction `below` (0 to 1) does not exceed; 0 without values.
  std::uint64_t quantile(double below) const {
    if (count_ == 0) return 0;
    auto wanted = std::max<double>(1, below * static_cast<double>(count_));
    std::uint64_t seen = 0;
    for (std::size_t index = 0; index < counts_.size(); ++index) {
      seen += counts_[index];
      if (static_cast<double>(seen) >= wanted) return std::min(upper_end(index), highest_);
    }
    return highest_;
  }

 private:
  // Below 64 each value is a class; above, each power of two has 32.
  static std::size_t class_of(std::uint64_t value) {
    if (value < 64) return static_cast<std::size_t>(value);
    auto shift = static_cast<std::size_t>(std::bit_width(value)) - 6;
    return 32 * shift + static_cast<std::size_t>(value >> shift);
  }
  static std::uint64_t upper_end(std::size_t index) {
    if (index < 64) return index;
    auto shift = index / 32 - 1;
    return ((index - 32 * shift + 1) << shift) - 1;
  }
  std::array<std::uint64_t, 32 * 60> counts_{};
  std::uint64_t count_ = 0, sum_ = 0, highest_ = 0;
};

}  // namespace imago::bench
