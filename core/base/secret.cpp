#include "core/base/secret.hpp"

#include <cstring>

namespace imago {

void wipe(void* memory, std::size_t size) {
  if (size != 0) explicit_bzero(memory, size);
}

bool equal_in_constant_time(bytes_view one, bytes_view other) {
  if (one.size() != other.size()) return false;
  unsigned difference = 0;
  for (std::size_t i = 0; i < one.size(); ++i) difference |= one[i] ^ other[i];
  return difference == 0;
}

}  // namespace imago
