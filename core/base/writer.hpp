// Appends network-order fields to an octet string it owns.
#pragma once

#include <utility>

#include "core/base/bytes.hpp"

namespace imago {

class writer {
 public:
  writer() = default;
  explicit writer(bytes start) : out_{std::move(start)} {}

  void u8(std::uint8_t value) { out_.push_back(value); }
  void u16(std::uint16_t value) { number(value, 2); }
  void u32(std::uint32_t value) { number(value, 4); }
  void u64(std::uint64_t value) { number(value, 8); }
  void put(bytes_view octets) { append(out_, octets); }
  void zeros(std::size_t count) { out_.resize(out_.size() + count); }

  std::size_t size() const { return out_.size(); }
  // Overwrites a 16-bit field written before, such as a length. `at` must lie inside.
  void patch_u16(std::size_t at, std::uint16_t value) {
    out_[at] = static_cast<std::uint8_t>(value >> 8);
    out_[at + 1] = static_cast<std::uint8_t>(value);
  }
  void patch_u32(std::size_t at, std::uint32_t value) {
    patch_u16(at, static_cast<std::uint16_t>(value >> 16));
    patch_u16(at + 2, static_cast<std::uint16_t>(value));
  }
  const bytes& written() const { return out_; }
  bytes finish() { return std::move(out_); }

 private:
  void number(std::uint64_t value, int size) {
    for (int shift = (size - 1) * 8; shift >= 0; shift -= 8)
      out_.push_back(static_cast<std::uint8_t>(value >> shift));
  }
  bytes out_;
};

}  // namespace imago
