// Configuration payload (RFC 7296 §3.15). After the generic payload header:
//
//              | CFG type (8 bits) | RESERVED (24 bits)        |
//   attribute  |R| type (15 bits) | length (16 bits) | value ... |
#include "core/base/limits.hpp"
#include "core/wire/payload_list.hpp"

namespace imago::wire {

template <class codec>
void fields(codec& c, field_of<codec, configuration_payload>& payload) {
  c.number(payload.type);
  c.reserved(3);
  c.list_to_end(payload.attributes, limits::configuration_attribute_count_max,
                [&](auto& attribute, bool) {
                  auto type = static_cast<std::uint16_t>(attribute.type & 0x7fff);
                  c.number(type);
                  // The R bit is reserved: ignored on receipt (§3.15.1).
                  c.derive(attribute.type, static_cast<std::uint16_t>(type & 0x7fff));
                  auto size = c.count_u16(attribute.value.size());
                  c.octets(attribute.value, size);
                });
}
IMAGO_WIRE_INSTANTIATE(configuration_payload);

}  // namespace imago::wire
