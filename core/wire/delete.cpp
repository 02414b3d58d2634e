// Delete payload (RFC 7296 §3.11). After the generic payload header:
//
//   | protocol (8 bits) | SPI size (8 bits) | number of SPIs (16 bits) |
//   | SPIs ...                                                         |
#include "core/base/limits.hpp"
#include "core/wire/payload_list.hpp"

namespace imago::wire {

template <class codec>
void fields(codec& c, field_of<codec, delete_payload>& payload) {
  c.number(payload.protocol);
  c.require(payload.protocol == protocol_id::ike || payload.protocol == protocol_id::ah ||
                payload.protocol == protocol_id::esp,
            errc::bad_value);
  // The IKE SA's SPIs are in the message header (§3.11).
  std::size_t size = payload.protocol == protocol_id::ike ? 0 : 4;
  c.require(c.count_u8(size) == size, errc::bad_length);
  auto count = c.count_u16(size == 0 ? 0 : payload.spis.size());
  if (size == 0) return;
  c.list(payload.spis, count, limits::delete_spi_count_max,
         [&](auto& spi, bool) { c.number(spi); });
}
IMAGO_WIRE_INSTANTIATE(delete_payload);

}  // namespace imago::wire
