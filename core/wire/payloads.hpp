// The payloads of RFC 7296 §3 and RFC 7383 as values. Each one's layout, both directions, is in
// the file named after it: core/wire/<payload>.cpp.
#pragma once

#include <optional>
#include <variant>
#include <vector>

#include "core/base/bytes.hpp"
#include "core/base/iana.hpp"
#include "core/base/traffic_selector.hpp"

namespace imago::wire {

// --- Security Association (§3.3) ---
struct transform {
  transform_type type{};
  std::uint16_t id = 0;
  std::uint16_t key_bits = 0;  // Key Length attribute (type 14); 0: absent
  // Such a transform is never chosen (§3.3.6). Encoded as an attribute for private use.
  bool has_unknown_attribute = false;
  friend bool operator==(const transform&, const transform&) = default;
};
struct proposal {
  std::uint8_t number = 1;
  protocol_id protocol{};
  bytes spi;  // 0, 4 or 8 octets
  std::vector<transform> transforms;
  friend bool operator==(const proposal&, const proposal&) = default;
};
struct security_association_payload {
  std::vector<proposal> proposals;
  friend bool operator==(const security_association_payload&,
                         const security_association_payload&) = default;
};

// --- Key Exchange (§3.4) ---
struct key_exchange_payload {
  ke_method method{};
  bytes data;
  friend bool operator==(const key_exchange_payload&, const key_exchange_payload&) = default;
};

// --- Identification (§3.5); `initiator` tells IDi from IDr ---
struct identification_payload {
  bool initiator = true;
  id_type type{};
  bytes data;
  friend bool operator==(const identification_payload&, const identification_payload&) = default;
};

// --- Certificate (§3.6), Certificate Request (§3.7) ---
struct certificate_payload {
  certificate_encoding encoding = certificate_encoding::x509_signature;
  bytes data;
  friend bool operator==(const certificate_payload&, const certificate_payload&) = default;
};
struct certificate_request_payload {
  certificate_encoding encoding = certificate_encoding::x509_signature;
  bytes authorities;  // SHA-1 hashes of CA public keys, 20 octets each, concatenated
  friend bool operator==(const certificate_request_payload&,
                         const certificate_request_payload&) = default;
};

// --- Authentication (§3.8), Nonce (§3.9) ---
struct authentication_payload {
  auth_method method{};
  bytes data;
  friend bool operator==(const authentication_payload&, const authentication_payload&) = default;
};
inline constexpr std::size_t nonce_size_min = 16, nonce_size_max = 256;
struct nonce_payload {
  bytes data;  // 16 to 256 octets
  friend bool operator==(const nonce_payload&, const nonce_payload&) = default;
};

// --- Notify (§3.10), Delete (§3.11), Vendor ID (§3.12) ---
struct notify_payload {
  protocol_id protocol = protocol_id::none;
  bytes spi;
  notify_type type{};
  bytes data;
  bool is_error() const { return static_cast<std::uint16_t>(type) < 16384; }
  friend bool operator==(const notify_payload&, const notify_payload&) = default;
};
struct delete_payload {
  protocol_id protocol{};
  std::vector<std::uint32_t> spis;  // empty for IKE
  friend bool operator==(const delete_payload&, const delete_payload&) = default;
};
struct vendor_id_payload {
  bytes data;
  friend bool operator==(const vendor_id_payload&, const vendor_id_payload&) = default;
};

// --- Traffic Selector (§3.13); `initiator` tells TSi from TSr ---
struct traffic_selector_payload {
  bool initiator = true;
  traffic_selectors selectors;  // those of an unknown TS type are skipped
  friend bool operator==(const traffic_selector_payload&,
                         const traffic_selector_payload&) = default;
};

// --- Configuration (§3.15), EAP (§3.16) ---
struct configuration_attribute {
  std::uint16_t type = 0;  // 15 bits
  bytes value;
  friend bool operator==(const configuration_attribute&, const configuration_attribute&) = default;
};
struct configuration_payload {
  std::uint8_t type = 1;  // 1 CFG_REQUEST, 2 CFG_REPLY, 3 CFG_SET, 4 CFG_ACK
  std::vector<configuration_attribute> attributes;
  friend bool operator==(const configuration_payload&, const configuration_payload&) = default;
};
struct eap_payload {
  bytes message;
  friend bool operator==(const eap_payload&, const eap_payload&) = default;
};

// --- Encrypted (§3.14) and Encrypted Fragment (RFC 7383 §2.5), still sealed ---
struct encrypted_payload {
  payload_type first_inner{};
  bytes body;  // IV, ciphertext, ICV
  friend bool operator==(const encrypted_payload&, const encrypted_payload&) = default;
};
struct encrypted_fragment_payload {
  payload_type first_inner{};  // none in all but the first fragment
  std::uint16_t number = 1;    // 1..total
  std::uint16_t total = 1;
  bytes body;
  friend bool operator==(const encrypted_fragment_payload&,
                         const encrypted_fragment_payload&) = default;
};

// A payload of a type not known here. If `critical`, the message is to be refused (§2.5).
struct unknown_payload {
  payload_type type{};
  bool critical = false;
  bytes body;
  friend bool operator==(const unknown_payload&, const unknown_payload&) = default;
};

using payload =
    std::variant<security_association_payload, key_exchange_payload, identification_payload,
                 certificate_payload, certificate_request_payload, authentication_payload,
                 nonce_payload, notify_payload, delete_payload, vendor_id_payload,
                 traffic_selector_payload, configuration_payload, eap_payload, encrypted_payload,
                 encrypted_fragment_payload, unknown_payload>;
using payloads = std::vector<payload>;

payload_type type_of(const payload& payload);

}  // namespace imago::wire
