// A byte stream on the control socket: cut into segments, however it arrives; each segment parsed;
// what parses encodes to octets that parse and encode to the same ones.
#include <algorithm>

#include "core/vici/message.hpp"
#include "tests/fuzz/require.hpp"

using namespace imago;

namespace {

std::vector<bytes> segments_of(bytes_view stream, std::size_t step, bool& failed) {
  vici::segmenter segments;
  std::vector<bytes> list;
  while (!stream.empty()) {
    auto part = stream.first(std::min(step, stream.size()));
    stream = stream.subspan(part.size());
    if (!segments.add(part)) {
      failed = true;
      return list;
    }
    while (auto one = segments.next()) list.push_back(*std::move(one));
  }
  return list;
}

void check_packet(const bytes& segment) {
  auto packet = vici::parse_packet(segment);
  if (!packet) return;
  auto octets = vici::encode_packet(*packet);
  if (!octets) {
    // Ends that were missing are written, which may take a full segment over its size.
    IMAGO_REQUIRE(octets.failure().code == errc::limit_exceeded);
    IMAGO_REQUIRE(segment.size() + vici::section_depth_max + 1 > vici::segment_size_max);
    return;
  }
  auto again = vici::parse_packet(bytes_view{*octets}.subspan(4));
  IMAGO_REQUIRE(again);
  again->body = again->body.clone();
  auto octets_again = vici::encode_packet(*again);
  IMAGO_REQUIRE(octets_again);
  IMAGO_REQUIRE(*octets_again == *octets);
  for (const auto& one : packet->body.elements) {
    packet->body.number_or(one.name, 0);
    packet->body.boolean_or(one.name, false);
    packet->body.find_section(one.name);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  bytes_view stream{data, size};
  bool whole_failed = false;
  bool split_failed = false;
  auto whole = segments_of(stream, size, whole_failed);
  auto split = segments_of(stream, 1 + size % 7, split_failed);
  IMAGO_REQUIRE(whole_failed == split_failed);
  IMAGO_REQUIRE(whole_failed || whole == split);
  for (const auto& segment : split) check_packet(segment);
  check_packet(to_bytes(stream));
  return 0;
}
