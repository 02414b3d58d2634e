#include "core/ikev2/authentication.hpp"

#include "core/base/writer.hpp"

namespace imago::ikev2 {

result<bytes> signed_octets(const crypto::library& library, prf_algorithm prf,
                            bytes_view real_message, bytes_view nonce_of_peer, const secret& sk_p,
                            const wire::identification_payload& id) {
  // RFC 7296 §2.15: RestOfIDPayload = IDType | RESERVED | IDData, so without the generic header.
  const std::uint8_t fixed[] = {static_cast<std::uint8_t>(id.type), 0, 0, 0};
  auto maced_id = crypto::prf(library, prf, sk_p.view(), {fixed, id.data});
  if (!maced_id) return std::move(maced_id).failure();
  bytes octets;
  octets.reserve(real_message.size() + nonce_of_peer.size() + maced_id->size());
  append(octets, real_message);
  append(octets, nonce_of_peer);
  append(octets, maced_id->view());
  return octets;
}

}  // namespace imago::ikev2
