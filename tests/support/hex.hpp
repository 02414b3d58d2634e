// Octets written as hexadecimal in tests; white space is ignored, anything else aborts.
#pragma once

#include <cstdlib>

#include "core/base/bytes.hpp"

namespace imago {

inline bytes from_hex(std::string_view text) {
  bytes octets;
  int half = -1;
  for (char c : text) {
    if (c == ' ' || c == '\n') continue;
    int digit = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
    if (digit < 0) std::abort();
    if (half < 0) {
      half = digit;
    } else {
      octets.push_back(static_cast<std::uint8_t>(half << 4 | digit));
      half = -1;
    }
  }
  if (half >= 0) std::abort();
  return octets;
}

}  // namespace imago
