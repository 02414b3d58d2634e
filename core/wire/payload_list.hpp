// Which payload type is which struct: the one list that the parser, the encoder and type_of use.
// To add a payload: its file, its line here (and its struct in payloads.hpp), its test.
#pragma once

#include "core/wire/codec.hpp"
#include "core/wire/payloads.hpp"

namespace imago::wire {

// Payload type, struct, and which end it speaks of where one struct serves two types.
#define IMAGO_PAYLOADS(X)                                            \
  X(security_association, security_association_payload, any)         \
  X(key_exchange, key_exchange_payload, any)                         \
  X(identification_initiator, identification_payload, initiator)     \
  X(identification_responder, identification_payload, responder)     \
  X(certificate, certificate_payload, any)                           \
  X(certificate_request, certificate_request_payload, any)           \
  X(authentication, authentication_payload, any)                     \
  X(nonce, nonce_payload, any)                                       \
  X(notify, notify_payload, any)                                     \
  X(delete_, delete_payload, any)                                    \
  X(vendor_id, vendor_id_payload, any)                               \
  X(traffic_selector_initiator, traffic_selector_payload, initiator) \
  X(traffic_selector_responder, traffic_selector_payload, responder) \
  X(encrypted, encrypted_payload, any)                               \
  X(configuration, configuration_payload, any)                       \
  X(eap, eap_payload, any)                                           \
  X(encrypted_fragment, encrypted_fragment_payload, any)

enum class payload_end : std::uint8_t { any, initiator, responder };

// Each is defined and instantiated in the payload's own file.
#define X(type, structure, end) \
  template <class codec>        \
  void fields(codec& c, field_of<codec, structure>& payload);
IMAGO_PAYLOADS(X)
#undef X
template <class codec>
void fields(codec& c, field_of<codec, unknown_payload>& payload);

}  // namespace imago::wire
