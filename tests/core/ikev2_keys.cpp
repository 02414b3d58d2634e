#include <doctest/doctest.h>

#include "core/ikev2/keys.hpp"
#include "tests/core/ikev2_kdf_vectors.hpp"
#include "tests/core/ikev2_key_vectors.hpp"
#include "tests/support/hex.hpp"
#include "tests/support/test_random.hpp"

using namespace imago;
using namespace imago::ikev2;

namespace {

constexpr std::uint64_t initiator_spi = 0x0102030405060708;
constexpr std::uint64_t responder_spi = 0xf1f2f3f4f5f6f7f8;

ike_algorithms algorithms_of(const ike_key_vector& known) {
  return {known.encryption, known.key_bits, known.integrity, known.prf, ke_method::ecp_256};
}

result<derived_ike_keys> derive(const crypto::library& library, const ike_key_vector& known) {
  secret shared{pattern(1, known.shared_secret_size)};
  auto initiator_nonce = pattern(2, known.initiator_nonce_size);
  auto responder_nonce = pattern(3, known.responder_nonce_size);
  if (known.old_prf == prf_algorithm::none)
    return derive_ike_keys(library, algorithms_of(known), shared, initiator_nonce, responder_nonce,
                           initiator_spi, responder_spi);
  secret old_sk_d{pattern(4, crypto::prf_size(known.old_prf))};
  return derive_rekeyed_ike_keys(library, known.old_prf, old_sk_d, algorithms_of(known), shared,
                                 initiator_nonce, responder_nonce, initiator_spi, responder_spi);
}

// Does `derived` hold exactly these keys? Asked through what it seals, since it does not tell.
bool has_keys(const crypto::library& library, const ike_key_vector& known,
              crypto::protection& derived, const char* encryption_key, const char* integrity_key) {
  auto expected =
      crypto::protection::create(library, known.encryption, known.key_bits, known.integrity,
                                 secret{from_hex(encryption_key)}, secret{from_hex(integrity_key)});
  REQUIRE(expected);
  repeatable_random random;
  auto associated = pattern(9, 32);
  auto plaintext = pattern(8, 100);
  auto sealed = derived.seal(random, associated, plaintext);
  REQUIRE(sealed);
  auto opened = expected->open(associated, *sealed);
  return opened && to_bytes(opened->view()) == plaintext;
}

}  // namespace

TEST_CASE("keys: IKE SA keys are those computed independently") {
  crypto::library library;
  for (const auto& known : ike_key_vectors) {
    CAPTURE(text_of(algorithms_of(known)));
    CAPTURE(text_of(known.old_prf));
    auto derived = derive(library, known);
    REQUIRE(derived);
    CHECK(to_hex(derived->keys.sk_d.view()) == known.sk_d);
    CHECK(to_hex(derived->keys.sk_pi.view()) == known.sk_pi);
    CHECK(to_hex(derived->keys.sk_pr.view()) == known.sk_pr);
    auto& from_initiator = derived->initiator_to_responder;
    auto& from_responder = derived->responder_to_initiator;
    CHECK(has_keys(library, known, from_initiator, known.sk_ei, known.sk_ai));
    CHECK(has_keys(library, known, from_responder, known.sk_er, known.sk_ar));
    CHECK_FALSE(has_keys(library, known, from_initiator, known.sk_er, known.sk_ar));
    CHECK_FALSE(has_keys(library, known, from_responder, known.sk_ei, known.sk_ai));
  }
}

TEST_CASE("keys: Child SA keys are those computed independently, with PFS and without") {
  crypto::library library;
  for (const auto& known : child_key_vectors) {
    esp_algorithms algorithms{known.encryption, known.key_bits, known.integrity, ke_method::none,
                              false};
    CAPTURE(text_of(algorithms));
    auto keys = derive_child_keys(
        library, known.prf, secret{pattern(5, crypto::prf_size(known.prf))}, algorithms,
        secret{pattern(1, known.shared_secret_size)}, pattern(2, known.initiator_nonce_size),
        pattern(3, known.responder_nonce_size));
    REQUIRE(keys);
    CHECK(to_hex(keys->initiator_encryption.view()) == known.initiator_encryption);
    CHECK(to_hex(keys->initiator_integrity.view()) == known.initiator_integrity);
    CHECK(to_hex(keys->responder_encryption.view()) == known.responder_encryption);
    CHECK(to_hex(keys->responder_integrity.view()) == known.responder_integrity);
  }
}

TEST_CASE("keys: IKE and Child SA keys are cut from the published KEYMAT") {
  crypto::library library;
  for (const auto& known : ikev2_kdf_vectors) {
    INFO(known.source);
    auto initiator_nonce = from_hex(known.initiator_nonce);
    auto responder_nonce = from_hex(known.responder_nonce);
    const std::size_t size = crypto::prf_size(known.prf), key = 20;  // a 128 bit key, its salt
    // Hexadecimal: two characters an octet.
    auto part = [](const char* keymat, std::size_t from, std::size_t count) {
      return std::string{keymat + 2 * from, 2 * count};
    };
    ike_algorithms algorithms{encryption_algorithm::aes_gcm_16, 128, integrity_algorithm::none,
                              known.prf, ke_method::modp_2048};
    auto derived =
        derive_ike_keys(library, algorithms, secret{from_hex(known.shared_secret)}, initiator_nonce,
                        responder_nonce, known.initiator_spi, known.responder_spi);
    REQUIRE(derived);
    const auto& keys = derived->keys;
    CHECK(to_hex(keys.sk_d.view()) == part(known.keymat, 0, size));
    CHECK(to_hex(keys.sk_pi.view()) == part(known.keymat, size + 2 * key, size));
    CHECK(to_hex(keys.sk_pr.view()) == part(known.keymat, 2 * size + 2 * key, size));
    esp_algorithms esp{encryption_algorithm::aes_gcm_16, 128, integrity_algorithm::none,
                       ke_method::none, false};
    for (bool with_ke : {false, true}) {
      const auto* keymat = with_ke ? known.child_keymat_with_ke : known.child_keymat;
      secret shared;
      if (with_ke) shared = secret{from_hex(known.new_shared_secret)};
      auto child = derive_child_keys(library, known.prf, keys.sk_d, esp, shared, initiator_nonce,
                                     responder_nonce);
      REQUIRE(child);
      CHECK(to_hex(child->initiator_encryption.view()) == part(keymat, 0, key));
      CHECK(to_hex(child->responder_encryption.view()) == part(keymat, key, key));
    }
  }
}

TEST_CASE("keys: nonces and SPIs all count") {
  crypto::library library;
  ike_algorithms algorithms{encryption_algorithm::aes_gcm_16, 128, integrity_algorithm::none,
                            prf_algorithm::hmac_sha2_256, ke_method::curve25519};
  secret shared{pattern(1, 32)};
  auto sk_d = [&](std::uint8_t initiator_nonce, std::uint8_t responder_nonce, std::uint64_t spi_i,
                  std::uint64_t spi_r) {
    auto derived = derive_ike_keys(library, algorithms, shared, pattern(initiator_nonce, 16),
                                   pattern(responder_nonce, 16), spi_i, spi_r);
    REQUIRE(derived);
    return to_hex(derived->keys.sk_d.view());
  };
  const auto one = sk_d(2, 3, 4, 5);
  CHECK(sk_d(2, 3, 4, 5) == one);
  CHECK(sk_d(3, 2, 4, 5) != one);
  CHECK(sk_d(2, 4, 4, 5) != one);
  CHECK(sk_d(2, 3, 5, 5) != one);
  CHECK(sk_d(2, 3, 4, 6) != one);
}

TEST_CASE("keys: what cannot be used is refused, not derived") {
  crypto::library library;
  auto nonce = pattern(2, 16);
  secret shared{pattern(1, 32)};
  secret sk_d{pattern(5, 32)};
  const ike_algorithms bad[] = {
      {encryption_algorithm::none, 0, integrity_algorithm::none, prf_algorithm::hmac_sha2_256,
       ke_method::ecp_256},
      {encryption_algorithm::aes_gcm_16, 128, integrity_algorithm::hmac_sha2_256_128,
       prf_algorithm::hmac_sha2_256, ke_method::ecp_256},
      {encryption_algorithm::aes_cbc, 128, integrity_algorithm::none, prf_algorithm::hmac_sha2_256,
       ke_method::ecp_256},
      {encryption_algorithm::aes_cbc, 100, integrity_algorithm::hmac_sha2_256_128,
       prf_algorithm::hmac_sha2_256, ke_method::ecp_256},
      {encryption_algorithm::aes_gcm_16, 128, integrity_algorithm::none, prf_algorithm::none,
       ke_method::ecp_256},
  };
  for (const auto& algorithms : bad) {
    CAPTURE(text_of(algorithms));
    auto derived = derive_ike_keys(library, algorithms, shared, nonce, nonce, 1, 2);
    REQUIRE_FALSE(derived);
    CHECK(derived.failure().code == errc::unsupported_algorithm);
  }
  esp_algorithms child{encryption_algorithm::aes_cbc, 128, integrity_algorithm::none,
                       ke_method::none, false};
  auto keys =
      derive_child_keys(library, prf_algorithm::hmac_sha2_256, sk_d, child, shared, nonce, nonce);
  REQUIRE_FALSE(keys);
  CHECK(keys.failure().code == errc::unsupported_algorithm);
}

TEST_CASE("keys: algorithms print as the registry names them") {
  CHECK(text_of(ike_algorithms{encryption_algorithm::aes_gcm_16, 128, integrity_algorithm::none,
                               prf_algorithm::hmac_sha2_256, ke_method::ecp_256}) ==
        "AES_GCM_16-128/PRF_HMAC_SHA2_256/ECP_256");
  CHECK(text_of(ike_algorithms{encryption_algorithm::aes_cbc, 256,
                               integrity_algorithm::hmac_sha2_512_256, prf_algorithm::hmac_sha2_512,
                               ke_method::modp_4096}) ==
        "AES_CBC-256/HMAC_SHA2_512_256/PRF_HMAC_SHA2_512/MODP_4096");
  CHECK(text_of(esp_algorithms{encryption_algorithm::chacha20_poly1305, 0,
                               integrity_algorithm::none, ke_method::none, false}) ==
        "CHACHA20_POLY1305");
  CHECK(text_of(esp_algorithms{encryption_algorithm::aes_cbc, 128,
                               integrity_algorithm::hmac_sha2_256_128, ke_method::curve25519,
                               true}) == "AES_CBC-128/HMAC_SHA2_256_128/CURVE_25519/ESN");
}
