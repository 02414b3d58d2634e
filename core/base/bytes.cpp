#include "core/base/bytes.hpp"

namespace imago {

namespace {
constexpr char digits[] = "0123456789abcdef";
}

std::string to_hex(bytes_view view) {
  std::string text;
  text.reserve(view.size() * 2);
  for (auto octet : view) {
    text.push_back(digits[octet >> 4]);
    text.push_back(digits[octet & 15]);
  }
  return text;
}

std::string escaped(bytes_view view) {
  std::string text;
  text.reserve(view.size());
  for (auto octet : view) {
    if (octet >= 0x20 && octet < 0x7f && octet != '\\') {
      text.push_back(static_cast<char>(octet));
    } else {
      text += "\\x";
      text.push_back(digits[octet >> 4]);
      text.push_back(digits[octet & 15]);
    }
  }
  return text;
}

}  // namespace imago
