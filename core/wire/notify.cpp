// Notify payload (RFC 7296 §3.10). After the generic payload header:
//
//   | protocol (8 bits) | SPI size (8 bits) | notify type (16 bits) |
//   | SPI ...                                                       |
//   | notification data ...                                         |
#include "core/wire/payload_list.hpp"

namespace imago::wire {
namespace {

// None, or that of a Child SA (§3.10). Peers that name an IKE SA by its SPI are let through.
bool is_spi_size(protocol_id protocol, std::size_t size) {
  return size == 0 || size == 4 || (size == 8 && protocol == protocol_id::ike);
}

}  // namespace

template <class codec>
void fields(codec& c, field_of<codec, notify_payload>& payload) {
  // Without an SPI the protocol is sent as zero and ignored on receipt (§3.10).
  auto protocol = payload.spi.empty() ? protocol_id::none : payload.protocol;
  c.number(protocol);
  auto spi_size = c.count_u8(payload.spi.size());
  c.require(is_spi_size(protocol, spi_size), errc::bad_length);
  c.number(payload.type);
  c.octets(payload.spi, spi_size);
  c.rest(payload.data);
  c.derive(payload.protocol, spi_size == 0 ? protocol_id::none : protocol);
}
IMAGO_WIRE_INSTANTIATE(notify_payload);

}  // namespace imago::wire
