// vici's encoding: packets and nested messages, bytes to values and back. strongSwan's wire format,
// so that swanctl works unchanged (reference: vici README). No sockets here.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/base/bytes.hpp"
#include "core/base/result.hpp"

namespace imago::vici {

inline constexpr std::size_t segment_size_max = 512 * 1024;
inline constexpr std::size_t section_depth_max = 16;

enum class packet_type : std::uint8_t {
  command_request = 0,
  command_response = 1,
  command_unknown = 2,
  event_register = 3,
  event_unregister = 4,
  event_confirm = 5,
  event_unknown = 6,
  event = 7,
};

struct message;
// Values are octets, usually text.
struct element {
  std::string name;
  std::variant<std::string, std::vector<std::string>, std::unique_ptr<message>> content;
};
// Keys in order. Move-only.
struct message {
  std::vector<element> elements;

  message& add(std::string name, std::string value);
  message& add_list(std::string name, std::vector<std::string> items);
  message& add_section(std::string name, message section);

  // Dotted paths: "section.key". nullptr / default when absent or of another kind.
  const std::string* find(std::string_view path) const;
  const std::vector<std::string>* find_list(std::string_view path) const;
  const message* find_section(std::string_view path) const;
  std::string value_or(std::string_view path, std::string_view fallback) const;
  std::int64_t number_or(std::string_view path,
                         std::int64_t fallback) const;  // strtol base 0 rules
  bool boolean_or(std::string_view path, bool fallback) const;
  message clone() const;
};

struct packet {
  packet_type type{};
  std::string name;  // only for 0, 3, 4, 7
  message body;
};

// The octets after the 4-octet length. Errors: bad_value (unknown type, non-printable name),
// bad_syntax (unbalanced), input_too_short, limit_exceeded (depth). Missing section or list ends
// at the end of the data are accepted, as charon does.
result<packet> parse_packet(bytes_view segment);
// With the length in front. Errors: limit_exceeded (over segment_size_max, a name over 255, a value
// over 65535 octets).
result<bytes> encode_packet(const packet& packet);

// Cuts a byte stream into segments. Bounded by segment_size_max. Keys come in such a stream: what
// has been handed out, and what is given up, is wiped here.
class segmenter {
 public:
  segmenter() = default;
  ~segmenter();
  segmenter(segmenter&& other) noexcept
      : buffer_{std::exchange(other.buffer_, {})}, start_{std::exchange(other.start_, 0)} {}
  segmenter(const segmenter&) = delete;
  segmenter& operator=(const segmenter&) = delete;

  // Adds received octets. Errors: limit_exceeded: close the connection.
  status add(bytes_view octets);
  // The next whole segment, without its length. The caller wipes it.
  std::optional<bytes> next();
  bool has_partial() const { return start_ != buffer_.size(); }

 private:
  void make_room(std::size_t size);

  bytes buffer_;
  std::size_t start_ = 0;  // of what has not been handed out yet
};

}  // namespace imago::vici
