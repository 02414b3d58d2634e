// Nonce payload (RFC 7296 §3.9). After the generic payload header:
//
//   | nonce data, 16 to 256 octets ... |
#include "core/wire/payload_list.hpp"

namespace imago::wire {

template <class codec>
void fields(codec& c, field_of<codec, nonce_payload>& payload) {
  c.rest(payload.data);
  c.require(payload.data.size() >= nonce_size_min && payload.data.size() <= nonce_size_max,
            errc::bad_length);
}
IMAGO_WIRE_INSTANTIATE(nonce_payload);

}  // namespace imago::wire
