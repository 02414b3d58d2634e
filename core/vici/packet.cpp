// vici packets (vici README, "Protocol"):
//
//   segment   | length (32 bits, of what follows) | packet |
//   packet    | type (8) | name, in 0, 3, 4 and 7 | elements, in 0, 1 and 7 ... |
//   element   | 1 | name |                    section start
//             | 2 |                           section end
//             | 3 | name | value |            key and value
//             | 4 | name |                    list start
//             | 5 | value |                   list item
//             | 6 |                           list end
//   name      | length (8) | printable ASCII ...
//   value     | length (16) | any octets ...
#include "core/base/reader.hpp"
#include "core/base/writer.hpp"
#include "core/vici/message.hpp"

namespace imago::vici {
namespace {

enum class element_type : std::uint8_t {
  section_start = 1,
  section_end = 2,
  key_value = 3,
  list_start = 4,
  list_item = 5,
  list_end = 6,
};

constexpr std::size_t length_size = 4;

bool has_name(packet_type type) {
  return type == packet_type::command_request || type == packet_type::event_register ||
         type == packet_type::event_unregister || type == packet_type::event;
}

bool has_body(packet_type type) {
  return type == packet_type::command_request || type == packet_type::command_response ||
         type == packet_type::event;
}

std::string parse_name(reader& in) {
  auto octets = in.take(in.u8());
  for (auto octet : octets)
    if (octet < 0x20 || octet > 0x7e) {
      in.fail(errc::bad_value);
      return {};
    }
  return to_text(octets);
}

std::string parse_value(reader& in) { return to_text(in.take(in.u16())); }

// A flat loop with the open sections on a stack, so that depth costs no call stack.
class body_parser {
 public:
  explicit body_parser(message& root) : open_{&root} {}

  void parse_element(reader& in) {
    auto type = static_cast<element_type>(in.u8());
    bool in_list = list_ != nullptr;
    bool is_of_list = type == element_type::list_item || type == element_type::list_end;
    if (in_list != is_of_list) return in.fail(errc::bad_syntax);
    switch (type) {
      case element_type::section_start: return start_section(in);
      case element_type::section_end:
        if (open_.size() == 1) return in.fail(errc::bad_syntax);
        return open_.pop_back();
      case element_type::key_value: {
        auto name = parse_name(in);
        open_.back()->add(std::move(name), parse_value(in));
        return;
      }
      case element_type::list_start:
        open_.back()->add_list(parse_name(in), {});
        list_ = std::get_if<std::vector<std::string>>(&open_.back()->elements.back().content);
        return;
      case element_type::list_item: return list_->push_back(parse_value(in));
      case element_type::list_end: list_ = nullptr; return;
    }
    in.fail(errc::bad_syntax);
  }

 private:
  void start_section(reader& in) {
    if (open_.size() > section_depth_max) return in.fail(errc::limit_exceeded);
    open_.back()->add_section(parse_name(in), {});
    open_.push_back(
        std::get<std::unique_ptr<message>>(open_.back()->elements.back().content).get());
  }

  std::vector<message*> open_;  // the root first; each lives in the one before
  std::vector<std::string>* list_ = nullptr;
};

class encoder {
 public:
  void u8(std::uint8_t value) { out_.u8(value); }
  void name(const std::string& text) {
    fits(text.size(), 0xff);
    out_.u8(static_cast<std::uint8_t>(text.size()));
    put(text);
  }
  void value(const std::string& text) {
    fits(text.size(), 0xffff);
    out_.u16(static_cast<std::uint16_t>(text.size()));
    put(text);
  }
  void body(const message& section, std::size_t depth) {
    fits(depth, section_depth_max);
    if (is_over_) return;
    for (const auto& one : section.elements) {
      if (auto* text = std::get_if<std::string>(&one.content)) {
        mark(element_type::key_value);
        name(one.name);
        value(*text);
      } else if (auto* items = std::get_if<std::vector<std::string>>(&one.content)) {
        mark(element_type::list_start);
        name(one.name);
        for (const auto& item : *items) {
          mark(element_type::list_item);
          value(item);
        }
        mark(element_type::list_end);
      } else {
        mark(element_type::section_start);
        name(one.name);
        body(*std::get<std::unique_ptr<message>>(one.content), depth + 1);
        mark(element_type::section_end);
      }
    }
  }
  result<bytes> finish() {
    fits(out_.size() - length_size, segment_size_max);
    if (is_over_) return {errc::limit_exceeded, "vici packet"};
    out_.patch_u32(0, static_cast<std::uint32_t>(out_.size() - length_size));
    return out_.finish();
  }

 private:
  void mark(element_type type) { out_.u8(static_cast<std::uint8_t>(type)); }
  void put(const std::string& text) {
    out_.put({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
  }
  void fits(std::size_t value, std::size_t value_max) { is_over_ = is_over_ || value > value_max; }

  writer out_{bytes(length_size)};
  bool is_over_ = false;
};

}  // namespace

result<packet> parse_packet(bytes_view segment) {
  reader in{segment};
  packet parsed;
  auto type = in.u8();
  if (type > static_cast<std::uint8_t>(packet_type::event))
    return {errc::bad_value, "vici packet type"};
  parsed.type = static_cast<packet_type>(type);
  if (in.ok() && has_name(parsed.type)) parsed.name = parse_name(in);
  if (in.ok() && has_body(parsed.type)) {
    body_parser body{parsed.body};
    while (in.ok() && !in.at_end()) body.parse_element(in);
  }
  if (!in.ok()) return {in.code(), "vici packet"};
  return parsed;
}

result<bytes> encode_packet(const packet& packet) {
  encoder out;
  out.u8(static_cast<std::uint8_t>(packet.type));
  if (has_name(packet.type)) out.name(packet.name);
  if (has_body(packet.type)) out.body(packet.body, 0);
  return out.finish();
}

}  // namespace imago::vici
