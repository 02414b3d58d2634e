// An IKE message: header and payload chain, bytes to values and back (RFC 7296 §3.1, §3.2).
#pragma once

#include "core/base/result.hpp"
#include "core/wire/payloads.hpp"

namespace imago::wire {

inline constexpr std::size_t header_size = 28;
inline constexpr std::size_t generic_header_size = 4;

struct header {
  std::uint64_t initiator_spi = 0;
  std::uint64_t responder_spi = 0;
  payload_type next_payload{};
  std::uint8_t version = 0x20;  // major << 4 | minor
  exchange_type exchange{};
  bool from_initiator = false;  // I flag: sent by the original initiator of the IKE SA
  bool is_response = false;     // R flag
  bool higher_version = false;  // V flag
  std::uint32_t message_id = 0;
  std::uint32_t length = 0;  // of the whole message; encode_message fills it in
  friend bool operator==(const header&, const header&) = default;
};

// O(1). Errors: input_too_short; bad_length (length field < 28 or not the datagram's size);
// never bad_version: the caller must answer INVALID_MAJOR_VERSION, so it gets to see the header.
result<header> parse_header(bytes_view datagram);
bytes encode_header(const header& header);  // 28 octets, length as given

struct message {
  wire::header header;
  wire::payloads payloads;
};

// The payload chain that begins with `first`. An SK or SKF payload ends it (it must be last).
// Unknown payloads become unknown_payload, critical or not: admission decides (§2.5).
// Errors carry the payload's name in `where`: payload_too_short, payload_too_long, bad_length,
// bad_value, trailing_octets, limit_exceeded (more than payload_count_max).
result<payloads> parse_payloads(payload_type first, bytes_view chain);
result<message> parse_message(bytes_view datagram);
// The data of the first Nonce payload of an unprotected message; the other payloads are stepped
// over, not looked into. For who answers without keeping anything (§2.6). Nothing: there is none,
// it has not 16 to 256 octets (§3.9), or the chain is broken before it.
std::optional<bytes_view> find_nonce(bytes_view datagram);

// The chain's octets; its first type is type_of(payloads.front()) or none. Empty if it cannot be
// said: a payload over 65535 octets, a count over its field, a sealed payload that is not the last.
bytes encode_payloads(const payloads& payloads);
// Header and payloads; next_payload and length are filled in. Empty as above. An SK or SKF payload
// must hold its sealed body already: to seal one, see encode_encrypted_prefix.
bytes encode_message(const header& header, const payloads& payloads);

// For sealing: the message up to and including the SK (or SKF) payload's fixed part, with all
// lengths as they will be once `body_size` octets of IV + ciphertext + ICV are appended. This is
// the associated data of AEAD ciphers (RFC 5282 §5.1). `fragment` present: SKF. Empty if the
// payload would be over 65535 octets.
struct fragment_position {
  std::uint16_t number = 1;
  std::uint16_t total = 1;
};
bytes encode_encrypted_prefix(const header& header, payload_type first_inner, std::size_t body_size,
                              std::optional<fragment_position> fragment = {});

// First payload of a kind in a list; nullptr if there is none.
template <class T>
const T* find(const payloads& list) {
  for (const auto& one : list)
    if (auto* found = std::get_if<T>(&one)) return found;
  return nullptr;
}
const notify_payload* find_notify(const payloads& list, notify_type type);
const traffic_selector_payload* find_selectors(const payloads& list, bool initiator);
const identification_payload* find_identification(const payloads& list, bool initiator);

// One line for logs: "IKE_AUTH request 1 [ IDi CERT N(INITIAL_CONTACT) AUTH SA TSi TSr ]".
// Peer-chosen octets are not shown.
std::string describe(const header& header);
std::string describe(const payloads& payloads);

}  // namespace imago::wire
