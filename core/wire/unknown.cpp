// A payload of a type not known here: its octets as they are. Whether it may be skipped is said by
// the critical bit (RFC 7296 §2.5) and decided at admission.
#include "core/wire/payload_list.hpp"

namespace imago::wire {

template <class codec>
void fields(codec& c, field_of<codec, unknown_payload>& payload) {
  c.rest(payload.body);
}
IMAGO_WIRE_INSTANTIATE(unknown_payload);

}  // namespace imago::wire
