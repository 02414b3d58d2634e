// Encrypted payload SK (RFC 7296 §3.14) and Encrypted Fragment payload SKF (RFC 7383 §2.5), still
// sealed. Their Next Payload is the type of the first payload inside. After the generic payload
// header:
//
//   SK   | IV ... | ciphertext ... | ICV ...                       |
//   SKF  | fragment number (16 bits) | total fragments (16 bits)   |
//        | IV ... | ciphertext ... | ICV ...                       |
#include "core/base/limits.hpp"
#include "core/wire/payload_list.hpp"

namespace imago::wire {

template <class codec>
void fields(codec& c, field_of<codec, encrypted_payload>& payload) {
  c.rest(payload.body);
}
IMAGO_WIRE_INSTANTIATE(encrypted_payload);

template <class codec>
void fields(codec& c, field_of<codec, encrypted_fragment_payload>& payload) {
  c.number(payload.number);
  c.number(payload.total);
  c.rest(payload.body);
  // RFC 7383 §2.5: both count from one.
  c.require(payload.number >= 1 && payload.number <= payload.total, errc::bad_value);
  c.require(payload.total <= limits::fragment_count_max, errc::limit_exceeded);
}
IMAGO_WIRE_INSTANTIATE(encrypted_fragment_payload);

}  // namespace imago::wire
