// Octets that nobody else may see: move-only, wiped on destruction, never printed, compared in
// constant time.
#pragma once

#include <cstddef>
#include <utility>

#include "core/base/bytes.hpp"

namespace imago {

// Overwrites memory in a way that the compiler may not leave out.
void wipe(void* memory, std::size_t size);
inline void wipe(bytes& octets) {
  wipe(octets.data(), octets.size());
  octets.clear();
}

// Same octets? The time depends on the sizes only.
bool equal_in_constant_time(bytes_view one, bytes_view other);

class secret {
 public:
  secret() = default;
  explicit secret(std::size_t size) : octets_(size) {}
  explicit secret(bytes&& octets) : octets_{std::move(octets)} {}
  explicit secret(bytes_view octets) : octets_(octets.begin(), octets.end()) {}
  secret(secret&& other) noexcept : octets_{std::exchange(other.octets_, {})} {}
  secret& operator=(secret&& other) noexcept {
    if (this != &other) {
      wipe(octets_);
      octets_ = std::exchange(other.octets_, {});
    }
    return *this;
  }
  secret(const secret&) = delete;
  secret& operator=(const secret&) = delete;
  ~secret() { wipe(octets_); }

  bool empty() const { return octets_.empty(); }
  std::size_t size() const { return octets_.size(); }
  bytes_view view() const { return octets_; }
  std::uint8_t* data() { return octets_.data(); }
  // A second copy, said aloud because every copy must be wiped too.
  secret clone() const { return secret{view()}; }

  friend bool operator==(const secret& one, const secret& other) {
    return equal_in_constant_time(one.octets_, other.octets_);
  }

 private:
  bytes octets_;
};

}  // namespace imago
