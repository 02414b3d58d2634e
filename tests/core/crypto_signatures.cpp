// Private keys, schemes, AUTH signatures.
#include <algorithm>
#include <string>

#include <doctest/doctest.h>

#include "core/crypto/private_key.hpp"
#include "core/crypto/signature_identifiers.hpp"
#include "tests/support/certificates.hpp"
#include "tests/support/hex.hpp"

using namespace imago;
using crypto::key_kind;
using crypto::signature_scheme;
using testing::key_type;
using testing::test_key;

namespace {

constexpr auto digital = auth_method::digital_signature;
constexpr auto sha1 = hash_algorithm::sha1;
constexpr auto sha256 = hash_algorithm::sha2_256;
constexpr auto sha384 = hash_algorithm::sha2_384;
constexpr auto sha512 = hash_algorithm::sha2_512;
constexpr auto identity = hash_algorithm::identity;

const crypto::library& library() {
  static const crypto::library one;
  return one;
}

// One key of each type, made once.
const test_key& raw_key(key_type type) {
  static const test_key keys[] = {
      test_key::make(key_type::rsa_2048), test_key::make(key_type::ecdsa_p256),
      test_key::make(key_type::ecdsa_p384), test_key::make(key_type::ecdsa_p521),
      test_key::make(key_type::ed25519)};
  return keys[static_cast<int>(type)];
}

crypto::private_key_ptr load(std::string_view text, std::string_view passphrase = {}) {
  return *crypto::private_key::load(library(), to_bytes(text), to_bytes(passphrase));
}

crypto::private_key_ptr key_of(key_type type) {
  static const crypto::private_key_ptr keys[] = {
      load(raw_key(key_type::rsa_2048).pem()), load(raw_key(key_type::ecdsa_p256).pem()),
      load(raw_key(key_type::ecdsa_p384).pem()), load(raw_key(key_type::ecdsa_p521).pem()),
      load(raw_key(key_type::ed25519).pem())};
  return keys[static_cast<int>(type)];
}

constexpr key_type all_types[] = {key_type::rsa_2048, key_type::ecdsa_p256, key_type::ecdsa_p384,
                                  key_type::ecdsa_p521, key_type::ed25519};

errc load_code(std::string_view text) {
  return crypto::private_key::load(library(), to_bytes(text)).failure().code;
}

signature_scheme chosen(key_type type, const std::vector<hash_algorithm>& hashes,
                        bool pss = false) {
  return *crypto::choose_scheme(*key_of(type)->public_half(), hashes, pss);
}

errc verify_code(key_type type, auth_method method, bytes_view authentication_data,
                 bytes_view data) {
  return crypto::verify(library(), *key_of(type)->public_half(), method, authentication_data, data)
      .failure()
      .code;
}

bytes pkcs8_of_ed25519_seed(std::string_view seed) {
  auto der = from_hex("302e020100300506032b657004220420");
  append(der, from_hex(seed));
  return der;
}

}  // namespace

TEST_CASE("private key: PEM and DER of every kind load, and keep their key id") {
  const key_kind kinds[] = {key_kind::rsa, key_kind::ecdsa, key_kind::ecdsa, key_kind::ecdsa,
                            key_kind::ed25519};
  const int bits[] = {2048, 256, 384, 521, 256};
  for (int i = 0; i < 5; ++i) {
    auto type = all_types[i];
    auto key = key_of(type);
    CHECK(key->kind() == kinds[i]);
    if (type != key_type::ed25519) CHECK(key->public_half()->bits() == bits[i]);
    auto from_der = *crypto::private_key::load(library(), raw_key(type).der());
    CHECK(from_der->public_half()->key_id() == key->public_half()->key_id());
    CHECK(from_der->public_half()->info_hash() == key->public_half()->info_hash());
    CHECK(key->public_half()->key_id().size() == 20);
    CHECK(key->public_half()->key_id() != key->public_half()->info_hash());
  }
}

TEST_CASE("private key: an encrypted file needs the right passphrase") {
  auto text = raw_key(key_type::ecdsa_p256).pem("open sesame");
  auto key = load(text, "open sesame");
  CHECK(key->public_half()->key_id() == key_of(key_type::ecdsa_p256)->public_half()->key_id());
  auto without = crypto::private_key::load(library(), to_bytes(text));
  CHECK(without.failure().code == errc::bad_key);
  CHECK(without.failure().where.find("no passphrase") != std::string::npos);
  auto wrong = crypto::private_key::load(library(), to_bytes(text), to_bytes("sesame"));
  CHECK(wrong.failure().code == errc::bad_key);
  // A passphrase for a file that needs none does no harm.
  CHECK(load(raw_key(key_type::ecdsa_p256).pem(), "unused") != nullptr);
}

TEST_CASE("private key: a block of EC parameters before the key is skipped") {
  auto text = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" +
              raw_key(key_type::ecdsa_p256).pem();
  CHECK(load(text)->kind() == key_kind::ecdsa);
}

TEST_CASE("private key: what is no usable private key is refused") {
  CHECK(load_code("") == errc::bad_key);
  CHECK(load_code("rubbish") == errc::bad_key);
  CHECK(load_code(raw_key(key_type::rsa_2048).public_pem()) == errc::bad_key);
  auto cut = raw_key(key_type::rsa_2048).pem();
  CHECK(load_code(cut.substr(0, cut.size() / 2)) == errc::bad_key);
  auto der = raw_key(key_type::rsa_2048).der();
  for (std::size_t size = 0; size < der.size(); size += 97)
    CHECK(load_code(to_text(bytes_view{der}.first(size))) == errc::bad_key);
  // A key of X25519: well-formed, and not one that signs.
  auto x25519 = from_hex(
      "302e020100300506032b656e042204205dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88"
      "e0eb");
  auto other = crypto::private_key::load(library(), x25519);
  CHECK(other.failure().code == errc::bad_key);
  CHECK(other.failure().where.find("neither RSA") != std::string::npos);
}

TEST_CASE("signatures: the scheme follows the key when the peer announced no hashes") {
  CHECK(chosen(key_type::rsa_2048, {}) == signature_scheme{auth_method::rsa_signature, sha1});
  CHECK(chosen(key_type::rsa_2048, {}, true) == signature_scheme{auth_method::rsa_signature, sha1});
  CHECK(chosen(key_type::ecdsa_p256, {}) ==
        signature_scheme{auth_method::ecdsa_sha2_256_p256, sha256});
  CHECK(chosen(key_type::ecdsa_p384, {}) ==
        signature_scheme{auth_method::ecdsa_sha2_384_p384, sha384});
  CHECK(chosen(key_type::ecdsa_p521, {}) ==
        signature_scheme{auth_method::ecdsa_sha2_512_p521, sha512});
  auto none = crypto::choose_scheme(*key_of(key_type::ed25519)->public_half(), {}, false);
  CHECK(none.failure().code == errc::unsupported_algorithm);
}

TEST_CASE("signatures: the hash fits the key, else a stronger, else a weaker one is taken") {
  const std::vector<hash_algorithm> all{sha1, sha256, sha384, sha512, identity};
  CHECK(chosen(key_type::rsa_2048, all) == signature_scheme{digital, sha256});
  CHECK(chosen(key_type::rsa_2048, all, true) == signature_scheme{digital, sha256, true});
  CHECK(chosen(key_type::ecdsa_p256, all, true) == signature_scheme{digital, sha256});
  CHECK(chosen(key_type::ecdsa_p384, all) == signature_scheme{digital, sha384});
  CHECK(chosen(key_type::ecdsa_p521, all) == signature_scheme{digital, sha512});
  CHECK(chosen(key_type::ed25519, all) == signature_scheme{digital, identity});
  CHECK(chosen(key_type::ecdsa_p256, {sha512, sha384}) == signature_scheme{digital, sha384});
  CHECK(chosen(key_type::ecdsa_p384, {sha256, sha512}) == signature_scheme{digital, sha512});
  CHECK(chosen(key_type::ecdsa_p521, {sha256, sha384}) == signature_scheme{digital, sha384});
  for (auto type : all_types) {
    auto refused = crypto::choose_scheme(*key_of(type)->public_half(), {sha1}, true);
    CHECK(refused.failure().code == errc::unsupported_algorithm);
  }
}

TEST_CASE("signatures: every scheme's signature verifies and says its scheme") {
  auto data = to_bytes("the signed octets");
  std::vector<std::pair<key_type, signature_scheme>> schemes = {
      {key_type::rsa_2048, {auth_method::rsa_signature, sha1}},
      {key_type::rsa_2048, {auth_method::rsa_signature, sha256}},
      {key_type::rsa_2048, {auth_method::rsa_signature, sha384}},
      {key_type::rsa_2048, {auth_method::rsa_signature, sha512}},
      {key_type::ecdsa_p256, {auth_method::ecdsa_sha2_256_p256, sha256}},
      {key_type::ecdsa_p384, {auth_method::ecdsa_sha2_384_p384, sha384}},
      {key_type::ecdsa_p521, {auth_method::ecdsa_sha2_512_p521, sha512}},
      {key_type::ed25519, {digital, identity}},
  };
  for (auto hash : {sha256, sha384, sha512}) {
    schemes.push_back({key_type::rsa_2048, {digital, hash}});
    schemes.push_back({key_type::rsa_2048, {digital, hash, true}});
    for (auto type : {key_type::ecdsa_p256, key_type::ecdsa_p384, key_type::ecdsa_p521})
      schemes.push_back({type, {digital, hash}});
  }
  for (const auto& one : schemes) {
    auto type = one.first;
    const auto& scheme = one.second;
    CAPTURE(text_of(scheme));
    auto made = *crypto::sign(library(), *key_of(type), scheme, data);
    const auto& half = *key_of(type)->public_half();
    auto verified = crypto::verify(library(), half, scheme.method, made, data);
    REQUIRE(verified.has_value());
    CHECK(*verified == scheme);
    CHECK(verify_code(type, scheme.method, made, to_bytes("other octets")) == errc::bad_signature);
    auto changed = made;
    changed.back() ^= 1;
    CHECK(verify_code(type, scheme.method, changed, data) == errc::bad_signature);
    CHECK(verify_code(type, scheme.method, bytes_view{made}.first(made.size() - 1), data) ==
          errc::bad_signature);
    auto longer = made;
    longer.push_back(0);
    CHECK(verify_code(type, scheme.method, longer, data) == errc::bad_signature);
  }
}

TEST_CASE("signatures: raw ECDSA signatures have the sizes of RFC 4754") {
  auto size = [](key_type type, const signature_scheme& scheme) {
    return crypto::sign(library(), *key_of(type), scheme, to_bytes("data"))->size();
  };
  for (int i = 0; i < 8; ++i) {  // r and s often have leading zeros
    CHECK(size(key_type::ecdsa_p256, {auth_method::ecdsa_sha2_256_p256, sha256}) == 64);
    CHECK(size(key_type::ecdsa_p384, {auth_method::ecdsa_sha2_384_p384, sha384}) == 96);
    CHECK(size(key_type::ecdsa_p521, {auth_method::ecdsa_sha2_512_p521, sha512}) == 132);
  }
}

TEST_CASE("signatures: Ed25519 gives the third signature of RFC 8032") {
  auto key = *crypto::private_key::load(
      library(),
      pkcs8_of_ed25519_seed("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7"));
  auto made = *crypto::sign(library(), *key, {digital, identity}, from_hex("af82"));
  // Authentication Data: the length of the AlgorithmIdentifier, that, the signature (RFC 7427 §3).
  CHECK(to_hex(made) ==
        "07300506032b6570"
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a");
}

TEST_CASE("signatures: AlgorithmIdentifiers are those of RFC 7427 appendix A") {
  auto hex = [](key_kind kind, hash_algorithm hash, bool pss) {
    return to_hex(crypto::identifier_of(kind, hash, pss));
  };
  CHECK(hex(key_kind::rsa, sha256, false) == "300d06092a864886f70d01010b0500");
  CHECK(hex(key_kind::rsa, sha384, false) == "300d06092a864886f70d01010c0500");
  CHECK(hex(key_kind::rsa, sha512, false) == "300d06092a864886f70d01010d0500");
  CHECK(hex(key_kind::ecdsa, sha256, false) == "300a06082a8648ce3d040302");
  CHECK(hex(key_kind::ecdsa, sha384, false) == "300a06082a8648ce3d040303");
  CHECK(hex(key_kind::ecdsa, sha512, false) == "300a06082a8648ce3d040304");
  CHECK(hex(key_kind::rsa, sha256, true) ==
        "304106092a864886f70d01010a3034a00f300d06096086480165030402010500a11c301a06092a864886f70d"
        "010108300d06096086480165030402010500a203020120");
  CHECK(hex(key_kind::rsa, sha1, false).empty());
  CHECK(hex(key_kind::ed25519, sha256, false).empty());
}

TEST_CASE("signatures: RSASSA-PSS identifiers are known in their other spellings too") {
  // Without NULL; and with the default trailer field.
  for (auto text :
       {"303d06092a864886f70d01010a3030a00d300b0609608648016503040203a11a301806092a864886f70d0101"
        "08300b0609608648016503040203a203020140",
        "304606092a864886f70d01010a3039a00f300d06096086480165030402030500a11c301a06092a864886f70d"
        "010108300d06096086480165030402030500a203020140a303020101"}) {
    auto scheme = crypto::scheme_of_identifier(from_hex(text));
    REQUIRE(scheme.has_value());
    CHECK(*scheme == signature_scheme{digital, sha512, true});
  }
  // A salt of another length is another scheme.
  CHECK_FALSE(crypto::scheme_of_identifier(
                  from_hex("304606092a864886f70d01010a3039a00f300d06096086480165030402030500a11c"
                           "301a06092a864886f70d010108300d06096086480165030402030500a203020120a303"
                           "020101"))
                  .has_value());
}

TEST_CASE("signatures: Authentication Data that says nothing or the unknown is refused") {
  auto data = to_bytes("data");
  auto code = [&](std::string_view hex) {
    return verify_code(key_type::ecdsa_p256, digital, from_hex(hex), data);
  };
  CHECK(code("") == errc::bad_signature);
  CHECK(code("00") == errc::bad_signature);
  CHECK(code("ff3003") == errc::bad_signature);
  CHECK(code("0c300a06082a8648ce3d040302") == errc::bad_signature);  // no signature follows
  CHECK(code("0c300a06082a8648ce3d04030200") == errc::bad_signature);
  CHECK(code("0033") == errc::unsupported_algorithm);
  CHECK(code("0b300906072a8648ce3d040130") == errc::unsupported_algorithm);  // ECDSA with SHA-1
  CHECK(verify_code(key_type::rsa_2048, digital, from_hex("0f300d06092a864886f70d010105050033"),
                    data) == errc::unsupported_algorithm);  // RSA with SHA-1
  CHECK(code("0f300d06092a864886f70d01010b050033") == errc::bad_key);
  CHECK(verify_code(key_type::ed25519, digital, from_hex("0c300a06082a8648ce3d04030233"), data) ==
        errc::bad_key);
}

TEST_CASE("signatures: a method that does not fit the key is refused on both sides") {
  auto data = to_bytes("data");
  auto sign_code = [&](key_type type, const signature_scheme& scheme) {
    return crypto::sign(library(), *key_of(type), scheme, data).failure().code;
  };
  CHECK(sign_code(key_type::ecdsa_p256, {auth_method::rsa_signature, sha1}) == errc::bad_key);
  CHECK(sign_code(key_type::rsa_2048, {auth_method::ecdsa_sha2_256_p256, sha256}) == errc::bad_key);
  CHECK(sign_code(key_type::ecdsa_p384, {auth_method::ecdsa_sha2_256_p256, sha256}) ==
        errc::bad_key);
  CHECK(sign_code(key_type::ecdsa_p256, {auth_method::ecdsa_sha2_256_p256, sha512}) ==
        errc::bad_key);
  CHECK(sign_code(key_type::ecdsa_p256, {digital, sha256, true}) == errc::bad_key);
  CHECK(sign_code(key_type::ed25519, {digital, sha256}) == errc::bad_key);
  CHECK(sign_code(key_type::rsa_2048, {digital, identity}) == errc::bad_key);
  CHECK(sign_code(key_type::rsa_2048, {digital, sha1}) == errc::unsupported_algorithm);
  CHECK(sign_code(key_type::rsa_2048, {auth_method::shared_key, sha256}) ==
        errc::unsupported_algorithm);
  CHECK(verify_code(key_type::ecdsa_p256, auth_method::rsa_signature, bytes(256), data) ==
        errc::bad_key);
  CHECK(verify_code(key_type::ecdsa_p256, auth_method::ecdsa_sha2_384_p384, bytes(96), data) ==
        errc::bad_key);
  CHECK(verify_code(key_type::rsa_2048, auth_method::ecdsa_sha2_256_p256, bytes(64), data) ==
        errc::bad_key);
  CHECK(verify_code(key_type::rsa_2048, auth_method::shared_key, bytes(32), data) ==
        errc::unsupported_algorithm);
  CHECK(verify_code(key_type::rsa_2048, auth_method{77}, {}, data) == errc::unsupported_algorithm);
  // All zero: r = s = 0 is outside the group.
  CHECK(verify_code(key_type::ecdsa_p256, auth_method::ecdsa_sha2_256_p256, bytes(64), data) ==
        errc::bad_signature);
  CHECK(verify_code(key_type::rsa_2048, auth_method::rsa_signature, bytes(256), data) ==
        errc::bad_signature);
}

TEST_CASE("signatures: text for people names key, scheme and hash") {
  CHECK(text_of(chosen(key_type::rsa_2048, {})) == "RSA with SHA1");
  CHECK(text_of(chosen(key_type::rsa_2048, {sha256})) == "RSA with SHA2_256");
  CHECK(text_of(chosen(key_type::rsa_2048, {sha256}, true)) == "RSA-PSS with SHA2_256");
  CHECK(text_of(chosen(key_type::ecdsa_p384, {sha384})) == "ECDSA with SHA2_384");
  CHECK(text_of(chosen(key_type::ecdsa_p256, {})) == "ECDSA-256");
  CHECK(text_of(chosen(key_type::ed25519, {identity})) == "Ed25519");
}

TEST_CASE("shared key: AUTH is prf(prf(key, pad), octets), and needs a PRF that exists") {
  // Computed with Python's hmac module.
  auto made = *crypto::shared_key_authentication(library(), prf_algorithm::hmac_sha2_256,
                                                 to_bytes("a shared secret"),
                                                 to_bytes("the signed octets"));
  CHECK(to_hex(made.view()) == "e103bda494ac40cb2b1b1ab6eec1ecaffc02d7760e8d3dc84ac0524d002c6e07");
  CHECK(crypto::shared_key_authentication(library(), prf_algorithm::none, {}, {}).failure().code ==
        errc::unsupported_algorithm);
}
