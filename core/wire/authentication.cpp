// Authentication payload (RFC 7296 §3.8). After the generic payload header:
//
//   | auth method (8 bits) | RESERVED (24 bits) |
//   | authentication data ...                   |
#include "core/wire/payload_list.hpp"

namespace imago::wire {

template <class codec>
void fields(codec& c, field_of<codec, authentication_payload>& payload) {
  c.number(payload.method);
  c.reserved(3);
  c.rest(payload.data);
}
IMAGO_WIRE_INSTANTIATE(authentication_payload);

}  // namespace imago::wire
