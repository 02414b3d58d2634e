// AUTH signatures: which scheme, sign, verify (RFC 7296 §2.15 and §3.8, RFC 4754, RFC 7427).
#include <algorithm>
#include <array>

#include <openssl/ecdsa.h>
#include <openssl/err.h>

#include "core/base/reader.hpp"
#include "core/base/writer.hpp"
#include "core/crypto/hash.hpp"
#include "core/crypto/key_contexts.hpp"
#include "core/crypto/openssl.hpp"
#include "core/crypto/prf.hpp"
#include "core/crypto/signature_identifiers.hpp"

namespace imago::crypto {

namespace {

using owned_signature = owned<ECDSA_SIG, ECDSA_SIG_free>;

constexpr std::array<hash_algorithm, 3> hashes = {
    hash_algorithm::sha2_256, hash_algorithm::sha2_384, hash_algorithm::sha2_512};

// RFC 4754: the curve fixes method and hash.
struct fixed_scheme {
  auth_method method;
  hash_algorithm hash;
  int bits;
  std::size_t number_size;  // of r and of s
};
constexpr std::array<fixed_scheme, 3> fixed_schemes = {{
    {auth_method::ecdsa_sha2_256_p256, hash_algorithm::sha2_256, 256, 32},
    {auth_method::ecdsa_sha2_384_p384, hash_algorithm::sha2_384, 384, 48},
    {auth_method::ecdsa_sha2_512_p521, hash_algorithm::sha2_512, 521, 66},
}};

const fixed_scheme* fixed_scheme_of(auth_method method) {
  for (const auto& one : fixed_schemes)
    if (one.method == method) return &one;
  return nullptr;
}

// As strong as the key, of those in `hashes`.
std::size_t fitting_hash(const public_key& key) {
  auto bits = key.bits();
  if (key.kind() == key_kind::ecdsa) return bits <= 256 ? 0 : bits <= 384 ? 1 : 2;
  return bits <= 3072 ? 0 : bits <= 7680 ? 1 : 2;  // NIST SP 800-57 part 1, table 2
}

result<bytes> sign_hash(const library& library, const public_key& key, hash_algorithm algorithm,
                        bool rsa_pss, bytes_view data) {
  auto hashed = hash(library, algorithm, data);
  if (!hashed) return hashed.failure();
  auto hash_index = key.kind() == key_kind::rsa ? index_of(algorithm) : no_index;
  borrowed_key_context context{library, key, key_operation::sign, hash_index, rsa_pss};
  bytes signature(static_cast<std::size_t>(EVP_PKEY_get_size(key.handle())));
  auto size = signature.size();
  if (context.get() == nullptr ||
      EVP_PKEY_sign(context.get(), signature.data(), &size, hashed->data(), hashed->size()) <= 0)
    return openssl_failure(errc::crypto_failed, "signing");
  signature.resize(size);
  return signature;
}

status verify_hash(const library& library, const public_key& key, hash_algorithm algorithm,
                   bool rsa_pss, bytes_view signature, bytes_view data) {
  auto hashed = hash(library, algorithm, data);
  if (!hashed) return hashed.failure();
  auto hash_index = key.kind() == key_kind::rsa ? index_of(algorithm) : no_index;
  borrowed_key_context context{library, key, key_operation::verify, hash_index, rsa_pss};
  if (context.get() == nullptr) return openssl_failure(errc::crypto_failed, "verifying");
  if (EVP_PKEY_verify(context.get(), signature.data(), signature.size(), hashed->data(),
                      hashed->size()) != 1) {
    ERR_clear_error();
    return errc::bad_signature;
  }
  return {};
}

// RFC 8420: the message itself is signed.
result<bytes> sign_ed25519(const library& library, const public_key& key, bytes_view data) {
  owned_hash_context context{EVP_MD_CTX_new()};
  bytes signature(64);
  auto size = signature.size();
  if (!context ||
      EVP_DigestSignInit_ex(context.get(), nullptr, nullptr, library.context(), nullptr,
                            key.handle(), nullptr) != 1 ||
      EVP_DigestSign(context.get(), signature.data(), &size, data.data(), data.size()) != 1)
    return openssl_failure(errc::crypto_failed, "signing");
  return signature;
}

status verify_ed25519(const library& library, const public_key& key, bytes_view signature,
                      bytes_view data) {
  owned_hash_context context{EVP_MD_CTX_new()};
  if (!context || EVP_DigestVerifyInit_ex(context.get(), nullptr, nullptr, library.context(),
                                          nullptr, key.handle(), nullptr) != 1)
    return openssl_failure(errc::crypto_failed, "verifying");
  if (EVP_DigestVerify(context.get(), signature.data(), signature.size(), data.data(),
                       data.size()) != 1) {
    ERR_clear_error();
    return errc::bad_signature;
  }
  return {};
}

// Ecdsa-Sig-Value -> r | s, each of `number_size` octets (RFC 4754 §3).
result<bytes> raw_of(bytes_view der, std::size_t number_size) {
  const auto* at = der.data();
  owned_signature signature{d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size()))};
  bytes raw(2 * number_size);
  auto size = static_cast<int>(number_size);
  if (!signature || BN_bn2binpad(ECDSA_SIG_get0_r(signature.get()), raw.data(), size) < 0 ||
      BN_bn2binpad(ECDSA_SIG_get0_s(signature.get()), raw.data() + size, size) < 0)
    return openssl_failure(errc::crypto_failed, "signing");
  return raw;
}

// The reverse; empty if OpenSSL refuses.
bytes der_of(bytes_view raw) {
  auto half = raw.size() / 2;
  owned_bignum r{BN_bin2bn(raw.data(), static_cast<int>(half), nullptr)};
  owned_bignum s{BN_bin2bn(raw.data() + half, static_cast<int>(half), nullptr)};
  owned_signature signature{ECDSA_SIG_new()};
  if (!r || !s || !signature || ECDSA_SIG_set0(signature.get(), r.get(), s.get()) != 1) return {};
  (void)r.release();  // the signature owns them now
  (void)s.release();
  return encoded<const ECDSA_SIG>(signature.get(), i2d_ECDSA_SIG);
}

// Method 1 does not say its hash: the DigestInfo inside does, and must be exactly what we would
// have made, hence no lenient parsing (RFC 7296 §3.8).
result<signature_scheme> verify_rsa(const library& library, const public_key& key,
                                    bytes_view signature, bytes_view data) {
  borrowed_key_context context{library, key, key_operation::recover};
  bytes recovered(static_cast<std::size_t>(EVP_PKEY_get_size(key.handle())));
  auto size = recovered.size();
  if (context.get() == nullptr) return openssl_failure(errc::crypto_failed, "verifying");
  if (EVP_PKEY_verify_recover(context.get(), recovered.data(), &size, signature.data(),
                              signature.size()) <= 0) {
    ERR_clear_error();
    return errc::bad_signature;
  }
  recovered.resize(size);
  for (auto algorithm : {hash_algorithm::sha1, hashes[0], hashes[1], hashes[2]}) {
    if (recovered.size() != digest_info_size(algorithm)) continue;
    auto hashed = hash(library, algorithm, data);
    if (!hashed) return hashed.failure();
    if (recovered == digest_info(algorithm, *hashed))
      return signature_scheme{auth_method::rsa_signature, algorithm, false, key_kind::rsa};
  }
  return errc::bad_signature;
}

result<signature_scheme> verify_fixed(const library& library, const public_key& key,
                                      const fixed_scheme& fixed, bytes_view raw, bytes_view data) {
  if (raw.size() != 2 * fixed.number_size) return errc::bad_signature;
  auto der = der_of(raw);
  if (der.empty()) return openssl_failure(errc::crypto_failed, "verifying");
  auto checked = verify_hash(library, key, fixed.hash, false, der, data);
  if (!checked) return checked.failure();
  return signature_scheme{fixed.method, fixed.hash, false, key_kind::ecdsa};
}

// ASN.1 Length | AlgorithmIdentifier | signature (RFC 7427 §3).
result<signature_scheme> verify_digital(const library& library, const public_key& key,
                                        bytes_view authentication_data, bytes_view data) {
  reader in{authentication_data};
  auto identifier = in.take(in.u8());
  auto signature = in.take_rest();
  if (!in.ok() || signature.empty()) return {errc::bad_signature, "Authentication Data too short"};
  auto scheme = scheme_of_identifier(identifier);
  if (!scheme) return {errc::unsupported_algorithm, "AlgorithmIdentifier " + to_hex(identifier)};
  if (scheme->kind != key.kind()) return {errc::bad_key, text_of(*scheme)};
  auto checked = key.kind() == key_kind::ed25519
                     ? verify_ed25519(library, key, signature, data)
                     : verify_hash(library, key, scheme->hash, scheme->rsa_pss, signature, data);
  if (!checked) return checked.failure();
  return *scheme;
}

bool fits(const public_key& key, const signature_scheme& scheme) {
  if (scheme.rsa_pss && key.kind() != key_kind::rsa) return false;
  if (scheme.method == auth_method::rsa_signature)
    return key.kind() == key_kind::rsa && !scheme.rsa_pss;
  if (const auto* fixed = fixed_scheme_of(scheme.method))
    return key.kind() == key_kind::ecdsa && key.bits() == fixed->bits && scheme.hash == fixed->hash;
  return (scheme.hash == hash_algorithm::identity) == (key.kind() == key_kind::ed25519);
}

}  // namespace

std::string text_of(const signature_scheme& scheme) {
  if (scheme.method == auth_method::digital_signature) {
    if (scheme.hash == hash_algorithm::identity) return "Ed25519";
    std::string name = scheme.rsa_pss ? "RSA-PSS" : scheme.kind == key_kind::rsa ? "RSA" : "ECDSA";
    return name + " with " + text_of(scheme.hash);
  }
  if (scheme.method == auth_method::rsa_signature) return "RSA with " + text_of(scheme.hash);
  return text_of(scheme.method);
}

result<signature_scheme> choose_scheme(const public_key& key,
                                       const std::vector<hash_algorithm>& peer_hashes,
                                       bool prefer_pss) {
  auto knows = [&](hash_algorithm one) {
    return std::find(peer_hashes.begin(), peer_hashes.end(), one) != peer_hashes.end();
  };
  if (key.kind() == key_kind::ed25519) {
    // RFC 8420 §2: only for a peer that announced "Identity".
    if (!knows(hash_algorithm::identity)) return {errc::unsupported_algorithm, "Ed25519"};
    return signature_scheme{auth_method::digital_signature, hash_algorithm::identity, false,
                            key_kind::ed25519};
  }
  if (peer_hashes.empty()) {
    if (key.kind() == key_kind::rsa)
      return signature_scheme{auth_method::rsa_signature, hash_algorithm::sha1, false,
                              key_kind::rsa};
    for (const auto& fixed : fixed_schemes)
      if (fixed.bits == key.bits())
        return signature_scheme{fixed.method, fixed.hash, false, key_kind::ecdsa};
    return {errc::unsupported_algorithm, "ECDSA"};
  }
  // The hash that fits the key, else a stronger one, else the strongest weaker one.
  auto fitting = fitting_hash(key);
  std::vector<std::size_t> order;
  for (auto i = fitting; i < hashes.size(); ++i) order.push_back(i);
  for (auto i = fitting; i-- > 0;) order.push_back(i);
  for (auto i : order)
    if (knows(hashes[i]))
      return signature_scheme{auth_method::digital_signature, hashes[i],
                              prefer_pss && key.kind() == key_kind::rsa, key.kind()};
  return {errc::unsupported_algorithm, "no common hash for signatures"};
}

result<bytes> sign(const library& library, const private_key& key, const signature_scheme& scheme,
                   bytes_view data) {
  const auto& half = *key.public_half();
  const auto* fixed = fixed_scheme_of(scheme.method);
  if (scheme.method != auth_method::digital_signature && fixed == nullptr &&
      scheme.method != auth_method::rsa_signature)
    return {errc::unsupported_algorithm, text_of(scheme.method)};
  if (!fits(half, scheme)) return {errc::bad_key, text_of(scheme)};
  if (scheme.method != auth_method::digital_signature) {
    auto signature = sign_hash(library, half, scheme.hash, false, data);
    if (!signature || fixed == nullptr) return signature;
    return raw_of(*signature, fixed->number_size);
  }
  auto identifier = identifier_of(half.kind(), scheme.hash, scheme.rsa_pss);
  // RFC 7427 has no SHA-1 for us: identifier_of knows none.
  if (identifier.empty()) return {errc::unsupported_algorithm, text_of(scheme)};
  auto signature = half.kind() == key_kind::ed25519
                       ? sign_ed25519(library, half, data)
                       : sign_hash(library, half, scheme.hash, scheme.rsa_pss, data);
  if (!signature) return signature;
  writer out;
  out.u8(static_cast<std::uint8_t>(identifier.size()));
  out.put(identifier);
  out.put(*signature);
  return out.finish();
}

result<signature_scheme> verify(const library& library, const public_key& key, auth_method method,
                                bytes_view authentication_data, bytes_view data) {
  if (method == auth_method::digital_signature)
    return verify_digital(library, key, authentication_data, data);
  if (method == auth_method::rsa_signature) {
    if (key.kind() != key_kind::rsa) return {errc::bad_key, text_of(method)};
    return verify_rsa(library, key, authentication_data, data);
  }
  const auto* fixed = fixed_scheme_of(method);
  if (fixed == nullptr) return {errc::unsupported_algorithm, text_of(method)};
  if (key.kind() != key_kind::ecdsa || key.bits() != fixed->bits)
    return {errc::bad_key, text_of(method)};
  return verify_fixed(library, key, *fixed, authentication_data, data);
}

result<secret> shared_key_authentication(const library& library, prf_algorithm algorithm,
                                         bytes_view shared_key, bytes_view data) {
  static constexpr std::string_view pad = "Key Pad for IKEv2";  // RFC 7296 §2.15
  auto padded = prf(library, algorithm, shared_key,
                    {bytes_view{reinterpret_cast<const std::uint8_t*>(pad.data()), pad.size()}});
  if (!padded) return padded;
  return prf(library, algorithm, padded->view(), {data});
}

}  // namespace imago::crypto
