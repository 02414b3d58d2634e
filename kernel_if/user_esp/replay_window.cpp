#include "kernel_if/user_esp/replay_window.hpp"

#include <algorithm>

namespace imago::kernel_if::user_esp {

replay_window::replay_window(std::uint32_t size, bool uses_esn)
    : size_{size}, uses_esn_{uses_esn}, words_(size == 0 ? 0 : (size + 63) / 64 + 1) {}

std::optional<std::uint64_t> replay_window::infer(std::uint32_t low) const {
  if (!uses_esn_) return low;
  auto top_low = static_cast<std::uint32_t>(highest_);
  auto top_high = static_cast<std::uint32_t>(highest_ >> 32);
  // With no window the nearer of two readings is taken.
  std::uint32_t reach = size_ == 0 ? 0x80000000U : size_;
  std::uint32_t bottom_low = top_low - reach + 1;  // modulo 2^32, as in the appendix
  std::uint32_t high = top_high;
  if (top_low >= reach - 1) {  // case A: the window lies in one subspace
    if (low < bottom_low) {
      if (top_high == 0xffffffffU) return std::nullopt;
      ++high;
    }
  } else if (low >= bottom_low) {  // case B: it spans two
    if (top_high == 0) {
      // Nothing precedes the first subspace, and without a window this one is meant.
      if (size_ != 0) return std::nullopt;
    } else {
      --high;
    }
  }
  return std::uint64_t{high} << 32 | low;
}

bool replay_window::is_fresh(std::uint64_t sequence) const {
  if (size_ == 0) return true;
  if (sequence == 0) return false;  // the first packet has 1 (RFC 4303 §2.2)
  if (sequence > highest_) return true;
  if (highest_ - sequence >= size_) return false;
  auto word = words_[sequence / 64 % words_.size()];
  return (word >> sequence % 64 & 1) == 0;
}

bool replay_window::accept(std::uint64_t sequence) {
  bool is_highest = sequence > highest_;
  if (!words_.empty()) {
    if (is_highest) {
      auto entered = std::min<std::uint64_t>(sequence / 64 - highest_ / 64, words_.size());
      for (std::uint64_t i = 0; i < entered; ++i) words_[(sequence / 64 - i) % words_.size()] = 0;
    }
    words_[sequence / 64 % words_.size()] |= std::uint64_t{1} << sequence % 64;
  }
  if (is_highest) highest_ = sequence;
  return is_highest;
}

void replay_window::restart(std::uint64_t highest) {
  std::fill(words_.begin(), words_.end(), ~std::uint64_t{0});
  highest_ = highest;
  // Words beyond the top are cleared as they are entered; the rest of its own word is not.
  if (!words_.empty()) {
    auto seen =
        highest % 64 == 63 ? ~std::uint64_t{0} : (std::uint64_t{1} << (highest % 64 + 1)) - 1;
    words_[highest / 64 % words_.size()] = seen;
  }
}

}  // namespace imago::kernel_if::user_esp
