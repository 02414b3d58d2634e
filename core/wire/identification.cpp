// Identification payloads IDi and IDr (RFC 7296 §3.5). After the generic payload header:
//
//   | ID type (8 bits) | RESERVED (24 bits) |
//   | identification data ...               |
#include "core/wire/payload_list.hpp"

namespace imago::wire {
namespace {

bool is_data_size(id_type type, std::size_t size) {
  if (type == id_type::ipv4_addr) return size == 4;
  if (type == id_type::ipv6_addr) return size == 16;
  return true;
}

}  // namespace

template <class codec>
void fields(codec& c, field_of<codec, identification_payload>& payload) {
  c.number(payload.type);
  c.reserved(3);
  c.rest(payload.data);
  c.require(is_data_size(payload.type, payload.data.size()), errc::bad_length);
}
IMAGO_WIRE_INSTANTIATE(identification_payload);

}  // namespace imago::wire
