#include "core/ikev2/keys.hpp"

#include "core/base/reader.hpp"
#include "core/base/writer.hpp"

namespace imago::ikev2 {

namespace {

std::string with_key_bits(encryption_algorithm encryption, std::uint16_t key_bits) {
  auto text = text_of(encryption);
  return key_bits == 0 ? text : text + "-" + std::to_string(key_bits);
}

bytes joined(bytes_view one, bytes_view other) {
  bytes both;
  both.reserve(one.size() + other.size());
  append(both, one);
  append(both, other);
  return both;
}

// SK_d and the rest from SKEYSEED, with the new SA's PRF.
result<derived_ike_keys> expand(const crypto::library& library, const ike_algorithms& algorithms,
                                const secret& skeyseed, bytes_view initiator_nonce,
                                bytes_view responder_nonce, std::uint64_t initiator_spi,
                                std::uint64_t responder_spi) {
  auto sizes = crypto::sizes_of(algorithms.encryption, algorithms.key_bits, algorithms.integrity);
  if (sizes.encryption_key == 0) return {errc::unsupported_algorithm, text_of(algorithms)};
  auto prf_size = crypto::prf_size(algorithms.prf);

  writer seed;
  seed.put(initiator_nonce);
  seed.put(responder_nonce);
  seed.u64(initiator_spi);
  seed.u64(responder_spi);
  // RFC 7296 §2.14: {SK_d | SK_ai | SK_ar | SK_ei | SK_er | SK_pi | SK_pr}
  //                 = prf+(SKEYSEED, Ni | Nr | SPIi | SPIr)
  auto stream = crypto::prf_plus(library, algorithms.prf, skeyseed.view(), seed.written(),
                                 3 * prf_size + 2 * sizes.integrity_key + 2 * sizes.encryption_key);
  if (!stream) return std::move(stream).failure();

  reader rest{stream->view()};
  secret sk_d{rest.take(prf_size)};
  // No SK_a with an AEAD (RFC 5282 §7.1): integrity_key is 0 there. SK_e ends with the salt.
  secret sk_ai{rest.take(sizes.integrity_key)};
  secret sk_ar{rest.take(sizes.integrity_key)};
  secret sk_ei{rest.take(sizes.encryption_key)};
  secret sk_er{rest.take(sizes.encryption_key)};
  secret sk_pi{rest.take(prf_size)};
  secret sk_pr{rest.take(prf_size)};

  auto from_initiator =
      crypto::protection::create(library, algorithms.encryption, algorithms.key_bits,
                                 algorithms.integrity, std::move(sk_ei), std::move(sk_ai));
  if (!from_initiator) return std::move(from_initiator).failure();
  auto from_responder =
      crypto::protection::create(library, algorithms.encryption, algorithms.key_bits,
                                 algorithms.integrity, std::move(sk_er), std::move(sk_ar));
  if (!from_responder) return std::move(from_responder).failure();
  return derived_ike_keys{ike_keys{std::move(sk_d), std::move(sk_pi), std::move(sk_pr)},
                          *std::move(from_initiator), *std::move(from_responder)};
}

}  // namespace

std::string text_of(const ike_algorithms& algorithms) {
  auto text = with_key_bits(algorithms.encryption, algorithms.key_bits);
  if (algorithms.integrity != integrity_algorithm::none)
    text += "/" + text_of(algorithms.integrity);
  return text + "/" + text_of(algorithms.prf) + "/" + text_of(algorithms.key_exchange);
}

std::string text_of(const esp_algorithms& algorithms) {
  auto text = with_key_bits(algorithms.encryption, algorithms.key_bits);
  if (algorithms.integrity != integrity_algorithm::none)
    text += "/" + text_of(algorithms.integrity);
  if (algorithms.key_exchange != ke_method::none) text += "/" + text_of(algorithms.key_exchange);
  if (algorithms.esn) text += "/" + text_of(sequence_numbers::esn);
  return text;
}

result<derived_ike_keys> derive_ike_keys(const crypto::library& library,
                                         const ike_algorithms& algorithms,
                                         const secret& shared_secret, bytes_view initiator_nonce,
                                         bytes_view responder_nonce, std::uint64_t initiator_spi,
                                         std::uint64_t responder_spi) {
  // RFC 7296 §2.14: SKEYSEED = prf(Ni | Nr, g^ir); all of both nonces, since HMAC's key may have
  // any length.
  auto nonces = joined(initiator_nonce, responder_nonce);
  auto skeyseed = crypto::prf(library, algorithms.prf, nonces, {shared_secret.view()});
  if (!skeyseed) return std::move(skeyseed).failure();
  return expand(library, algorithms, *skeyseed, initiator_nonce, responder_nonce, initiator_spi,
                responder_spi);
}

result<derived_ike_keys> derive_rekeyed_ike_keys(
    const crypto::library& library, prf_algorithm old_prf, const secret& old_sk_d,
    const ike_algorithms& algorithms, const secret& shared_secret, bytes_view initiator_nonce,
    bytes_view responder_nonce, std::uint64_t initiator_spi, std::uint64_t responder_spi) {
  // RFC 7296 §2.18: SKEYSEED = prf(SK_d (old), g^ir (new) | Ni | Nr), with the old SA's PRF since
  // the exchange belongs to the old SA; nonces and SPIs are those of the rekeying exchange.
  auto skeyseed = crypto::prf(library, old_prf, old_sk_d.view(),
                              {shared_secret.view(), initiator_nonce, responder_nonce});
  if (!skeyseed) return std::move(skeyseed).failure();
  return expand(library, algorithms, *skeyseed, initiator_nonce, responder_nonce, initiator_spi,
                responder_spi);
}

result<child_keys> derive_child_keys(const crypto::library& library, prf_algorithm prf,
                                     const secret& sk_d, const esp_algorithms& algorithms,
                                     const secret& shared_secret, bytes_view initiator_nonce,
                                     bytes_view responder_nonce) {
  auto sizes = crypto::sizes_of(algorithms.encryption, algorithms.key_bits, algorithms.integrity);
  if (sizes.encryption_key == 0) return {errc::unsupported_algorithm, text_of(algorithms)};

  // RFC 7296 §2.17: KEYMAT = prf+(SK_d, Ni | Nr), or with a new exchange
  // prf+(SK_d, g^ir (new) | Ni | Nr). Reserved first, so that no reallocation leaves a copy.
  bytes octets;
  octets.reserve(shared_secret.size() + initiator_nonce.size() + responder_nonce.size());
  append(octets, shared_secret.view());
  append(octets, initiator_nonce);
  append(octets, responder_nonce);
  secret seed{std::move(octets)};
  auto keymat = crypto::prf_plus(library, prf, sk_d.view(), seed.view(),
                                 2 * (sizes.encryption_key + sizes.integrity_key));
  if (!keymat) return std::move(keymat).failure();

  // RFC 7296 §2.17: all keys of the SA from initiator to responder come first, and of one SA the
  // encryption key (salt included) before the integrity key.
  reader rest{keymat->view()};
  child_keys keys;
  keys.initiator_encryption = secret{rest.take(sizes.encryption_key)};
  keys.initiator_integrity = secret{rest.take(sizes.integrity_key)};
  keys.responder_encryption = secret{rest.take(sizes.encryption_key)};
  keys.responder_integrity = secret{rest.take(sizes.integrity_key)};
  return keys;
}

}  // namespace imago::ikev2
