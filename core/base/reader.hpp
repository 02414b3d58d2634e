// Reads network-order fields from borrowed octets. The first failure sticks: later reads give
// zeros, so that a parser reads straight down and asks ok() once.
#pragma once

#include "core/base/bytes.hpp"
#include "core/base/result.hpp"

namespace imago {

class reader {
 public:
  explicit reader(bytes_view input) : rest_{input} {}

  std::uint8_t u8() { return static_cast<std::uint8_t>(number(1)); }
  std::uint16_t u16() { return static_cast<std::uint16_t>(number(2)); }
  std::uint32_t u32() { return static_cast<std::uint32_t>(number(4)); }
  std::uint64_t u64() { return number(8); }

  // The next `size` octets, borrowed from the input; empty on failure.
  bytes_view take(std::size_t size) {
    if (size > rest_.size()) {
      fail(errc::input_too_short);
      return {};
    }
    auto taken = rest_.first(size);
    rest_ = rest_.subspan(size);
    return taken;
  }
  bytes_view take_rest() { return take(rest_.size()); }

  std::size_t size_left() const { return rest_.size(); }
  bool at_end() const { return rest_.empty(); }
  bool ok() const { return !failed_; }
  errc code() const { return code_; }
  void fail(errc code) {
    if (!failed_) code_ = code;
    failed_ = true;
    rest_ = {};
  }

 private:
  std::uint64_t number(std::size_t size) {
    auto octets = take(size);
    std::uint64_t value = 0;
    for (auto octet : octets) value = value << 8 | octet;
    return value;
  }

  bytes_view rest_;  // a reader lives inside one call, so borrowing is safe
  bool failed_ = false;
  errc code_{};
};

}  // namespace imago
