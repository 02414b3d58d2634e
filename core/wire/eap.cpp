// EAP payload (RFC 7296 §3.16). After the generic payload header, one EAP message (RFC 3748 §4):
//
//   | code (8 bits) | identifier (8 bits) | length (16 bits) |
//   | type, data ...                                         |
#include "core/wire/payload_list.hpp"

namespace imago::wire {
namespace {

// The EAP length is four less than the payload's, so it is the size of the body (§3.16).
bool is_whole(const bytes& message) {
  return message.size() >= 4 &&
         std::size_t{message[2]} << 8 == (message.size() & ~std::size_t{255}) &&
         message[3] == (message.size() & 255);
}

}  // namespace

template <class codec>
void fields(codec& c, field_of<codec, eap_payload>& payload) {
  c.rest(payload.message);
  c.require(is_whole(payload.message), errc::bad_length);
}
IMAGO_WIRE_INSTANTIATE(eap_payload);

}  // namespace imago::wire
