#include "core/base/reader.hpp"
#include "core/vici/message.hpp"

namespace imago::vici {
namespace {

constexpr std::size_t length_size = 4;
// One whole segment that waits to be taken, and one that is still arriving.
constexpr std::size_t buffer_size_max = 2 * (length_size + segment_size_max);

std::size_t length_at(bytes_view octets) { return reader{octets}.u32(); }

}  // namespace

status segmenter::add(bytes_view octets) {
  if (buffer_.size() - start_ + octets.size() > buffer_size_max)
    return {errc::limit_exceeded, "vici stream"};
  buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(start_));
  start_ = 0;
  append(buffer_, octets);
  // Each length is looked at as soon as it is here: nothing of a segment too large is waited for.
  for (auto rest = bytes_view{buffer_}; rest.size() >= length_size;) {
    auto size = length_at(rest);
    if (size > segment_size_max) return {errc::limit_exceeded, "vici segment"};
    if (rest.size() - length_size < size) break;
    rest = rest.subspan(length_size + size);
  }
  return {};
}

std::optional<bytes> segmenter::next() {
  auto rest = bytes_view{buffer_}.subspan(start_);
  if (rest.size() < length_size) return std::nullopt;
  auto size = length_at(rest);
  if (rest.size() - length_size < size) return std::nullopt;
  start_ += length_size + size;
  return to_bytes(rest.subspan(length_size, size));
}

}  // namespace imago::vici
