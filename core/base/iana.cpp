#include "core/base/iana.hpp"

namespace imago {

// clang-format off
#define IMAGO_IANA_CASE(name, number, text) case number: return text;
#define IMAGO_IANA_KNOWN(name, number, text) case number: return true;
#define IMAGO_IANA_TEXT(type, list)                                                     \
  std::string text_of(type value) {                                                     \
    switch (static_cast<unsigned>(value)) { list(IMAGO_IANA_CASE) default: break; }     \
    return "(" + std::to_string(static_cast<unsigned>(value)) + ")";                    \
  }                                                                                     \
  bool is_known(type value) {                                                           \
    switch (static_cast<unsigned>(value)) { list(IMAGO_IANA_KNOWN) default: return false; } \
  }
// clang-format on

IMAGO_IANA_TEXT(exchange_type, IMAGO_EXCHANGE_TYPES)
IMAGO_IANA_TEXT(payload_type, IMAGO_PAYLOAD_TYPES)
IMAGO_IANA_TEXT(transform_type, IMAGO_TRANSFORM_TYPES)
IMAGO_IANA_TEXT(protocol_id, IMAGO_PROTOCOL_IDS)
IMAGO_IANA_TEXT(encryption_algorithm, IMAGO_ENCRYPTION_ALGORITHMS)
IMAGO_IANA_TEXT(prf_algorithm, IMAGO_PRF_ALGORITHMS)
IMAGO_IANA_TEXT(integrity_algorithm, IMAGO_INTEGRITY_ALGORITHMS)
IMAGO_IANA_TEXT(ke_method, IMAGO_KE_METHODS)
IMAGO_IANA_TEXT(sequence_numbers, IMAGO_SEQUENCE_NUMBERS)
IMAGO_IANA_TEXT(id_type, IMAGO_ID_TYPES)
IMAGO_IANA_TEXT(auth_method, IMAGO_AUTH_METHODS)
IMAGO_IANA_TEXT(hash_algorithm, IMAGO_HASH_ALGORITHMS)
IMAGO_IANA_TEXT(certificate_encoding, IMAGO_CERTIFICATE_ENCODINGS)
IMAGO_IANA_TEXT(notify_type, IMAGO_NOTIFY_TYPES)

}  // namespace imago
