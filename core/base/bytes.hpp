// Octet strings. `bytes` owns; `bytes_view` borrows for the length of a call and is never a member.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace imago {

using bytes = std::vector<std::uint8_t>;
using bytes_view = std::span<const std::uint8_t>;

inline bytes to_bytes(std::string_view text) { return {text.begin(), text.end()}; }
inline bytes to_bytes(bytes_view view) { return {view.begin(), view.end()}; }
inline std::string to_text(bytes_view view) { return {view.begin(), view.end()}; }

inline void append(bytes& to, bytes_view from) { to.insert(to.end(), from.begin(), from.end()); }

// Lower-case hexadecimal, no separators.
std::string to_hex(bytes_view view);

// Printable ASCII as it is; everything else, and the backslash, as \xNN. For bytes that a peer
// chose.
std::string escaped(bytes_view view);
inline std::string escaped(std::string_view text) {
  return escaped(bytes_view{reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}

}  // namespace imago
