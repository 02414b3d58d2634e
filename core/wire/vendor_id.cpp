// Vendor ID payload (RFC 7296 §3.12). After the generic payload header:
//
//   | vendor ID ... |
#include "core/wire/payload_list.hpp"

namespace imago::wire {

template <class codec>
void fields(codec& c, field_of<codec, vendor_id_payload>& payload) {
  c.rest(payload.data);
}
IMAGO_WIRE_INSTANTIATE(vendor_id_payload);

}  // namespace imago::wire
