// The octets that AUTH payloads sign (RFC 7296 §2.15).
#pragma once

#include "core/crypto/prf.hpp"
#include "core/wire/payloads.hpp"

namespace imago::ikev2 {

// RealMessage | NonceOfPeer | prf(SK_p, RestOfIDPayload). Initiator: its IKE_SA_INIT request, Nr,
// SK_pi, IDi; responder: its IKE_SA_INIT response, Ni, SK_pr, IDr.
result<bytes> signed_octets(const crypto::library& library, prf_algorithm prf,
                            bytes_view real_message, bytes_view nonce_of_peer, const secret& sk_p,
                            const wire::identification_payload& id);

}  // namespace imago::ikev2
