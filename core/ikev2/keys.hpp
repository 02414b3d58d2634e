// The keys of an IKE SA and of its Child SAs (RFC 7296 §2.14, §2.17, §2.18).
#pragma once

#include "core/crypto/prf.hpp"
#include "core/crypto/protection.hpp"
#include "core/data_plane/values.hpp"
#include "core/wire/payloads.hpp"

namespace imago::ikev2 {

// One chosen proposal, as algorithms.
struct ike_algorithms {
  encryption_algorithm encryption{};
  std::uint16_t key_bits = 0;
  integrity_algorithm integrity = integrity_algorithm::none;
  prf_algorithm prf{};
  ke_method key_exchange{};
  friend bool operator==(const ike_algorithms&, const ike_algorithms&) = default;
};
struct esp_algorithms {
  encryption_algorithm encryption{};
  std::uint16_t key_bits = 0;
  integrity_algorithm integrity = integrity_algorithm::none;
  ke_method key_exchange = ke_method::none;  // none: no PFS
  bool esn = false;
  friend bool operator==(const esp_algorithms&, const esp_algorithms&) = default;
};
std::string text_of(
    const ike_algorithms& algorithms);  // "AES_GCM_16-128/PRF_HMAC_SHA2_256/ECP_256"
std::string text_of(const esp_algorithms& algorithms);

// SK_d and SK_p*, shared by snapshots; SK_e* and SK_a* live in the two protections of the ike_sa.
struct ike_keys {
  secret sk_d, sk_pi, sk_pr;
};
struct derived_ike_keys {
  ike_keys keys;
  crypto::protection initiator_to_responder;
  crypto::protection responder_to_initiator;
};

// First keys: SKEYSEED = prf(Ni | Nr, g^ir). Errors: unsupported_algorithm, crypto_failed.
result<derived_ike_keys> derive_ike_keys(const crypto::library& library,
                                         const ike_algorithms& algorithms,
                                         const secret& shared_secret, bytes_view initiator_nonce,
                                         bytes_view responder_nonce, std::uint64_t initiator_spi,
                                         std::uint64_t responder_spi);
// Rekeying an IKE SA: SKEYSEED = prf(SK_d (old), g^ir (new) | Ni | Nr), with the old PRF (§2.18).
result<derived_ike_keys> derive_rekeyed_ike_keys(
    const crypto::library& library, prf_algorithm old_prf, const secret& old_sk_d,
    const ike_algorithms& algorithms, const secret& shared_secret, bytes_view initiator_nonce,
    bytes_view responder_nonce, std::uint64_t initiator_spi, std::uint64_t responder_spi);

// KEYMAT = prf+(SK_d, [g^ir |] Ni | Nr), cut for one ESP SA pair (§2.17): initiator-to-responder
// first, encryption before integrity. `shared_secret` empty: no PFS.
struct child_keys {
  secret initiator_encryption,
      initiator_integrity;  // of the SA that carries initiator -> responder
  secret responder_encryption, responder_integrity;
};
result<child_keys> derive_child_keys(const crypto::library& library, prf_algorithm prf,
                                     const secret& sk_d, const esp_algorithms& algorithms,
                                     const secret& shared_secret, bytes_view initiator_nonce,
                                     bytes_view responder_nonce);

}  // namespace imago::ikev2
