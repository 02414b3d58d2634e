// Key Exchange payload (RFC 7296 §3.4). After the generic payload header:
//
//   | key exchange method (16 bits) | RESERVED (16 bits) |
//   | key exchange data ...                              |
#include "core/wire/payload_list.hpp"

namespace imago::wire {

template <class codec>
void fields(codec& c, field_of<codec, key_exchange_payload>& payload) {
  c.number(payload.method);
  c.reserved(2);
  c.rest(payload.data);  // its size is the method's business (core/crypto)
}
IMAGO_WIRE_INSTANTIATE(key_exchange_payload);

}  // namespace imago::wire
