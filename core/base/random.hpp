// Entropy is injected.
#pragma once

#include "core/base/bytes.hpp"

namespace imago {

class random_source {
 public:
  virtual ~random_source() = default;
  // Fills all of it with cryptographically strong octets. Thread-safe. Aborts rather than fail.
  virtual void fill(std::span<std::uint8_t> out) = 0;

  bytes octets(std::size_t size) {
    bytes out(size);
    fill(out);
    return out;
  }
  std::uint64_t number() {
    std::uint64_t value = 0;
    fill({reinterpret_cast<std::uint8_t*>(&value), sizeof value});
    return value;
  }
};

}  // namespace imago
