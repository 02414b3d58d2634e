// Values of every payload type, for the tests that speak of all of them.
#pragma once

#include "core/wire/message.hpp"

namespace imago::wire {

inline bytes octets_of(std::size_t size, std::uint8_t first = 1) {
  bytes octets(size);
  for (auto& octet : octets) octet = first++;
  return octets;
}

inline transform transform_of(transform_type type, std::uint16_t id, std::uint16_t key_bits = 0) {
  return {type, id, key_bits, false};
}

inline security_association_payload sample_offer() {
  proposal aead{1, protocol_id::ike, {}, {}};
  aead.transforms = {transform_of(transform_type::encryption, 20, 256),
                     transform_of(transform_type::encryption, 20, 128),
                     transform_of(transform_type::prf, 5),
                     transform_of(transform_type::key_exchange, 31)};
  proposal unknown{2, protocol_id::ike, {}, {}};
  unknown.transforms = {{transform_type::encryption, 12, 256, true},
                        transform_of(static_cast<transform_type>(200), 65535)};
  return {{aead, unknown}};
}

inline security_association_payload sample_child_answer() {
  proposal esp{7, protocol_id::esp, octets_of(4, 0xc0), {}};
  esp.transforms = {transform_of(transform_type::encryption, 28),
                    transform_of(transform_type::sequence_numbers, 1)};
  return {{esp}};
}

inline traffic_selector sample_selector(const char* first, const char* last) {
  return {17, 500, 4500, *ip_address::parse(first), *ip_address::parse(last)};
}

// Several of each type that can stand anywhere in a chain.
inline payloads sample_payloads() {
  proposal rekey{1, protocol_id::ike, octets_of(8), {transform_of(transform_type::prf, 7)}};
  traffic_selector opaque{0, 65535, 0, ip_address::any(ip_family::v4),
                          ip_address::all_ones(ip_family::v4)};
  return {
      sample_offer(),
      sample_child_answer(),
      security_association_payload{{rekey}},
      key_exchange_payload{ke_method::curve25519, octets_of(32)},
      key_exchange_payload{static_cast<ke_method>(1024), {}},
      identification_payload{true, id_type::fqdn, to_bytes("moon.example")},
      identification_payload{false, id_type::ipv4_addr, octets_of(4)},
      identification_payload{true, id_type::ipv6_addr, octets_of(16)},
      identification_payload{false, static_cast<id_type>(201), {}},
      certificate_payload{certificate_encoding::x509_signature, octets_of(600)},
      certificate_payload{certificate_encoding::hash_and_url_x509, octets_of(40)},
      certificate_request_payload{certificate_encoding::x509_signature, octets_of(40)},
      certificate_request_payload{certificate_encoding::x509_signature, {}},
      certificate_request_payload{static_cast<certificate_encoding>(99), octets_of(3)},
      authentication_payload{auth_method::digital_signature, octets_of(256)},
      authentication_payload{auth_method::shared_key, octets_of(32)},
      nonce_payload{octets_of(16)},
      nonce_payload{octets_of(256)},
      notify_payload{protocol_id::none, {}, notify_type::initial_contact, {}},
      notify_payload{protocol_id::esp, octets_of(4), notify_type::rekey_sa, {}},
      notify_payload{protocol_id::ike, octets_of(8), static_cast<notify_type>(40000), octets_of(9)},
      notify_payload{protocol_id::none, {}, notify_type::cookie, octets_of(64)},
      delete_payload{protocol_id::ike, {}},
      delete_payload{protocol_id::esp, {0xc0ffee01, 2, 0xffffffff}},
      delete_payload{protocol_id::ah, {}},
      vendor_id_payload{to_bytes("a vendor")},
      vendor_id_payload{{}},
      traffic_selector_payload{true, {sample_selector("10.0.0.0", "10.0.0.255"), opaque}},
      traffic_selector_payload{false, {sample_selector("2001:db8::", "2001:db8::ffff")}},
      traffic_selector_payload{true, {}},
      configuration_payload{1, {{1, {}}, {3, {}}, {0x7fff, octets_of(5)}}},
      configuration_payload{2, {{1, octets_of(4)}, {8, octets_of(17)}}},
      configuration_payload{4, {}},
      eap_payload{{1, 7, 0, 5, 1}},
      eap_payload{{3, 7, 0, 4}},
      unknown_payload{static_cast<payload_type>(199), true, octets_of(12)},
      unknown_payload{static_cast<payload_type>(1), false, {}},
  };
}

// Those that end a message.
inline payloads sample_sealed() {
  return {
      encrypted_payload{payload_type::identification_initiator, octets_of(96)},
      encrypted_payload{payload_type::none, octets_of(28)},
      encrypted_fragment_payload{payload_type::identification_responder, 1, 3, octets_of(64)},
      encrypted_fragment_payload{payload_type::none, 128, 128, octets_of(1)},
  };
}

inline header sample_header() {
  header one;
  one.initiator_spi = 0x0102030405060708;
  one.responder_spi = 0xf1f2f3f4f5f6f7f8;
  one.exchange = exchange_type::ike_auth;
  one.from_initiator = true;
  one.message_id = 1;
  return one;
}

}  // namespace imago::wire
