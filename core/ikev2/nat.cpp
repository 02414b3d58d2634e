#include "core/ikev2/nat.hpp"

#include "core/base/writer.hpp"

namespace imago::ikev2 {

bytes nat_detection_hash(const crypto::library& library, std::uint64_t initiator_spi,
                         std::uint64_t responder_spi, const endpoint& at) {
  // RFC 7296 §2.23: SPIs, address and port in network order, in the order of the header.
  writer data;
  data.u64(initiator_spi);
  data.u64(responder_spi);
  data.put(at.address.octets());
  data.u16(at.port);
  auto hash = crypto::hash(library, hash_algorithm::sha1, data.written());
  return hash ? *std::move(hash) : bytes{};
}

}  // namespace imago::ikev2
