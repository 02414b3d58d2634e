// Entropy for tests that repeats: a fixed sequence, or one octet.
#pragma once

#include <algorithm>

#include "core/base/random.hpp"

namespace imago {

// The same octets in each run, without a short period (SplitMix64's sequence).
class repeatable_random final : public random_source {
 public:
  void fill(std::span<std::uint8_t> out) override {
    for (auto& octet : out) {
      state_ += 0x9e3779b97f4a7c15;
      auto mixed = (state_ ^ (state_ >> 30)) * 0xbf58476d1ce4e5b9;
      mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
      octet = static_cast<std::uint8_t>(mixed >> 56);
    }
  }

 private:
  std::uint64_t state_ = 0;
};

// Every octet the same.
class constant_random final : public random_source {
 public:
  explicit constant_random(std::uint8_t octet) : octet_{octet} {}
  void fill(std::span<std::uint8_t> out) override { std::fill(out.begin(), out.end(), octet_); }

 private:
  std::uint8_t octet_;
};

// The same octets as tests/support/make_ikev2_key_vectors.py: start, start + 7, start + 14, ...
inline bytes pattern(std::uint8_t start, std::size_t size) {
  bytes out(size);
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<std::uint8_t>(start + 7 * i);
  return out;
}

}  // namespace imago
