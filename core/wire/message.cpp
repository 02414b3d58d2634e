// Header and payload chain (RFC 7296 §3.1, §3.2):
//
//   | initiator's SPI (64 bits)                                               |
//   | responder's SPI (64 bits)                                               |
//   | next payload (8) | version: major, minor (4, 4) | exchange (8) | flags (8) |
//   | message ID (32 bits)                                                    |
//   | length of the whole message (32 bits)                                   |
//
//   each payload: | next payload (8) |C| RESERVED (7) | payload length (16) | body ... |
#include "core/wire/message.hpp"

#include "core/base/limits.hpp"
#include "core/base/reader.hpp"
#include "core/base/writer.hpp"
#include "core/wire/payload_list.hpp"

namespace imago::wire {
namespace {

constexpr std::uint8_t response_flag = 0x20;
constexpr std::uint8_t version_flag = 0x10;
constexpr std::uint8_t initiator_flag = 0x08;
constexpr std::uint8_t critical_bit = 0x80;
constexpr std::size_t payload_size_max = 0xffff;

// What the generic payload header says about a payload.
struct generic_header {
  payload_type type{};
  payload_type next{};
  bool critical = false;
};

template <class T>
constexpr bool is_sealed =
    std::is_same_v<T, encrypted_payload> || std::is_same_v<T, encrypted_fragment_payload>;

template <class T>
result<payload> parse_as(const generic_header& generic, payload_end end, bytes_view body) {
  T parsed;
  if constexpr (std::is_same_v<T, unknown_payload>) {
    parsed.type = generic.type;
    parsed.critical = generic.critical;
  } else if constexpr (is_sealed<T>) {
    parsed.first_inner = generic.next;
  } else if constexpr (requires { parsed.initiator; }) {
    parsed.initiator = end == payload_end::initiator;
  }
  reading_codec codec{body};
  fields(codec, parsed);
  codec.finish();
  if (codec.ok()) return payload{std::move(parsed)};
  auto code = codec.code();
  if (code == errc::input_too_short) code = errc::payload_too_short;
  return {code, text_of(generic.type)};
}

result<payload> parse_body(const generic_header& generic, bytes_view body) {
  switch (generic.type) {
#define X(type, structure, end) \
  case payload_type::type: return parse_as<structure>(generic, payload_end::end, body);
    IMAGO_PAYLOADS(X)
#undef X
    default: return parse_as<unknown_payload>(generic, payload_end::any, body);
  }
}

// The Next Payload of the last payload: nothing follows it but, sealed, the first one inside.
payload_type next_of_last(const payload& last) {
  if (auto* sealed = std::get_if<encrypted_payload>(&last)) return sealed->first_inner;
  if (auto* sealed = std::get_if<encrypted_fragment_payload>(&last)) return sealed->first_inner;
  return payload_type::none;
}

bool is_sealed_payload(const payload& one) {
  return std::holds_alternative<encrypted_payload>(one) ||
         std::holds_alternative<encrypted_fragment_payload>(one);
}

// False if a field cannot hold its value.
bool encode_payload(writer& out, const payload& one, payload_type next) {
  writing_codec codec;
  std::visit([&](const auto& value) { fields(codec, value); }, one);
  bool fits = codec.ok();
  auto body = codec.finish();
  if (!fits || body.size() + generic_header_size > payload_size_max) return false;
  auto* unknown = std::get_if<unknown_payload>(&one);
  out.u8(static_cast<std::uint8_t>(next));
  // Never set for payloads that RFC 7296 defines (§2.5).
  out.u8(unknown && unknown->critical ? critical_bit : 0);
  out.u16(static_cast<std::uint16_t>(body.size() + generic_header_size));
  out.put(body);
  return true;
}

}  // namespace

payload_type type_of(const payload& payload) {
  if (auto* unknown = std::get_if<unknown_payload>(&payload)) return unknown->type;
  return std::visit(
      [](const auto& value) {
        using value_type = std::remove_cvref_t<decltype(value)>;
        auto end = payload_end::any;
        if constexpr (requires { value.initiator; })
          end = value.initiator ? payload_end::initiator : payload_end::responder;
#define X(type, structure, of_end)                                         \
  if (std::is_same_v<value_type, structure> && end == payload_end::of_end) \
    return payload_type::type;
        IMAGO_PAYLOADS(X)
#undef X
        return payload_type::none;
      },
      payload);
}

result<header> parse_header(bytes_view datagram) {
  reader in{datagram};
  header parsed;
  parsed.initiator_spi = in.u64();
  parsed.responder_spi = in.u64();
  parsed.next_payload = static_cast<payload_type>(in.u8());
  parsed.version = in.u8();
  parsed.exchange = static_cast<exchange_type>(in.u8());
  auto flags = in.u8();
  parsed.from_initiator = flags & initiator_flag;
  parsed.is_response = flags & response_flag;
  parsed.higher_version = flags & version_flag;
  parsed.message_id = in.u32();
  parsed.length = in.u32();
  if (!in.ok()) return {in.code(), "IKE header"};
  if (parsed.length < header_size || parsed.length != datagram.size())
    return {errc::bad_length, "IKE header"};
  return parsed;
}

bytes encode_header(const header& header) {
  writer out;
  out.u64(header.initiator_spi);
  out.u64(header.responder_spi);
  out.u8(static_cast<std::uint8_t>(header.next_payload));
  out.u8(header.version);
  out.u8(static_cast<std::uint8_t>(header.exchange));
  out.u8(static_cast<std::uint8_t>((header.from_initiator ? initiator_flag : 0) |
                                   (header.is_response ? response_flag : 0) |
                                   (header.higher_version ? version_flag : 0)));
  out.u32(header.message_id);
  out.u32(header.length);
  return out.finish();
}

result<payloads> parse_payloads(payload_type first, bytes_view chain) {
  reader in{chain};
  payloads list;
  generic_header generic;
  for (auto type = first; type != payload_type::none; type = generic.next) {
    if (list.size() == limits::payload_count_max) return {errc::limit_exceeded, text_of(type)};
    generic.type = type;
    generic.next = static_cast<payload_type>(in.u8());
    generic.critical = in.u8() & critical_bit;
    std::size_t size = in.u16();
    if (!in.ok() || size < generic_header_size) return {errc::payload_too_short, text_of(type)};
    if (size - generic_header_size > in.size_left()) return {errc::payload_too_long, text_of(type)};
    auto one = parse_body(generic, in.take(size - generic_header_size));
    if (!one) return std::move(one).failure();
    list.push_back(*std::move(one));
    if (is_sealed_payload(list.back())) break;  // Next Payload is what is inside (§3.14)
  }
  if (!in.at_end())
    return {errc::trailing_octets, list.empty() ? "message" : text_of(type_of(list.back()))};
  return list;
}

result<message> parse_message(bytes_view datagram) {
  auto header = parse_header(datagram);
  if (!header) return header.failure();
  auto list = parse_payloads(header->next_payload, datagram.subspan(header_size));
  if (!list) return list.failure();
  return message{*header, *std::move(list)};
}

std::optional<bytes_view> find_nonce(bytes_view datagram) {
  auto header = parse_header(datagram);
  if (!header) return std::nullopt;
  reader in{datagram.subspan(header_size)};
  auto type = header->next_payload;
  for (std::size_t count = 0; count < limits::payload_count_max; ++count) {
    if (type == payload_type::none || type == payload_type::encrypted ||
        type == payload_type::encrypted_fragment)
      return std::nullopt;
    auto next = static_cast<payload_type>(in.u8());
    (void)in.u8();
    std::size_t size = in.u16();
    if (!in.ok() || size < generic_header_size || size - generic_header_size > in.size_left())
      return std::nullopt;
    auto body = in.take(size - generic_header_size);
    if (type == payload_type::nonce) {
      if (body.size() < nonce_size_min || body.size() > nonce_size_max) return std::nullopt;
      return body;
    }
    type = next;
  }
  return std::nullopt;
}

bytes encode_payloads(const payloads& payloads) {
  writer out;
  for (std::size_t i = 0; i < payloads.size(); ++i) {
    bool is_last = i + 1 == payloads.size();
    if (!is_last && is_sealed_payload(payloads[i])) return {};
    auto next = is_last ? next_of_last(payloads[i]) : type_of(payloads[i + 1]);
    if (!encode_payload(out, payloads[i], next)) return {};
  }
  return out.finish();
}

bytes encode_message(const header& header, const payloads& payloads) {
  auto chain = encode_payloads(payloads);
  if (chain.empty() && !payloads.empty()) return {};
  auto filled = header;
  filled.next_payload = payloads.empty() ? payload_type::none : type_of(payloads.front());
  filled.length = static_cast<std::uint32_t>(header_size + chain.size());
  auto octets = encode_header(filled);
  append(octets, chain);
  return octets;
}

bytes encode_encrypted_prefix(const header& header, payload_type first_inner, std::size_t body_size,
                              std::optional<fragment_position> fragment) {
  auto payload_size = generic_header_size + (fragment ? 4 : 0) + body_size;
  if (payload_size > payload_size_max) return {};
  auto filled = header;
  filled.next_payload = fragment ? payload_type::encrypted_fragment : payload_type::encrypted;
  filled.length = static_cast<std::uint32_t>(header_size + payload_size);
  writer out{encode_header(filled)};
  out.u8(static_cast<std::uint8_t>(first_inner));
  out.u8(0);
  out.u16(static_cast<std::uint16_t>(payload_size));
  if (fragment) {
    out.u16(fragment->number);
    out.u16(fragment->total);
  }
  return out.finish();
}

const notify_payload* find_notify(const payloads& list, notify_type type) {
  for (const auto& one : list)
    if (auto* found = std::get_if<notify_payload>(&one); found && found->type == type) return found;
  return nullptr;
}

const traffic_selector_payload* find_selectors(const payloads& list, bool initiator) {
  for (const auto& one : list)
    if (auto* found = std::get_if<traffic_selector_payload>(&one);
        found && found->initiator == initiator)
      return found;
  return nullptr;
}

const identification_payload* find_identification(const payloads& list, bool initiator) {
  for (const auto& one : list)
    if (auto* found = std::get_if<identification_payload>(&one);
        found && found->initiator == initiator)
      return found;
  return nullptr;
}

std::string describe(const header& header) {
  return text_of(header.exchange) + (header.is_response ? " response " : " request ") +
         std::to_string(header.message_id);
}

std::string describe(const payloads& payloads) {
  std::string text = "[ ";
  for (const auto& one : payloads) {
    text += text_of(type_of(one));
    if (auto* notify = std::get_if<notify_payload>(&one)) {
      auto name = text_of(notify->type);
      text += name.front() == '(' ? name : "(" + name + ")";
    } else if (auto* fragment = std::get_if<encrypted_fragment_payload>(&one)) {
      text += "(" + std::to_string(fragment->number) + "/" + std::to_string(fragment->total) + ")";
    } else if (auto* unknown = std::get_if<unknown_payload>(&one); unknown && unknown->critical) {
      text += "!";
    }
    text += " ";
  }
  return text + "]";
}

}  // namespace imago::wire
