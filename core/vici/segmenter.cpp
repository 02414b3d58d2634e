#include <algorithm>

#include "core/base/reader.hpp"
#include "core/base/secret.hpp"
#include "core/vici/message.hpp"

namespace imago::vici {
namespace {

constexpr std::size_t length_size = 4;
// One whole segment that waits to be taken, and one that is still arriving.
constexpr std::size_t buffer_size_max = 2 * (length_size + segment_size_max);

std::size_t length_at(bytes_view octets) { return reader{octets}.u32(); }

}  // namespace

segmenter::~segmenter() { wipe(buffer_); }

// What is left to hand out moves to the front, by hand: a vector that grows or moves its elements
// leaves the old octets where they were.
void segmenter::make_room(std::size_t size) {
  auto rest = bytes_view{buffer_}.subspan(start_);
  auto needed = rest.size() + size;
  if (needed > buffer_.capacity()) {
    bytes larger;
    larger.reserve(std::max(needed, 2 * buffer_.capacity()));
    append(larger, rest);
    wipe(buffer_);
    buffer_ = std::move(larger);
  } else if (start_ != 0) {
    std::copy(rest.begin(), rest.end(), buffer_.begin());
    wipe(buffer_.data() + rest.size(), start_);
    buffer_.resize(rest.size());
  }
  start_ = 0;
}

status segmenter::add(bytes_view octets) {
  if (buffer_.size() - start_ + octets.size() > buffer_size_max)
    return {errc::limit_exceeded, "vici stream"};
  make_room(octets.size());
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
  auto segment = to_bytes(rest.subspan(length_size, size));
  wipe(buffer_.data() + start_, length_size + size);
  start_ += length_size + size;
  return segment;
}

}  // namespace imago::vici
