// Private and public keys for AUTH payloads, behind handles: a file now, a token later.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/iana.hpp"
#include "core/base/result.hpp"
#include "core/base/secret.hpp"
#include "core/crypto/library.hpp"

struct evp_pkey_st;

namespace imago::crypto {

enum class key_kind : std::uint8_t { rsa, ecdsa, ed25519 };

// Shared, immutable, thread-safe.
class public_key {
 public:
  // Takes over one reference. Precondition: kind_of(key) is something.
  explicit public_key(evp_pkey_st* key);
  ~public_key();
  public_key(const public_key&) = delete;
  public_key& operator=(const public_key&) = delete;

  key_kind kind() const { return kind_; }
  int bits() const;
  // SHA-1 of the SubjectPublicKey BIT STRING's content (RFC 5280 §4.2.1.2 method 1): swanctl's
  // key id; and SHA-1 of the whole SubjectPublicKeyInfo, as CERTREQ wants (RFC 7296 §3.7).
  bytes key_id() const;
  bytes info_hash() const;
  evp_pkey_st* handle() const { return key_; }

  // Contexts set up for this key, taken and given back; for the files of core/crypto only.
  struct kept_contexts;
  kept_contexts& kept() const { return *kept_; }

 private:
  evp_pkey_st* key_;
  key_kind kind_{};
  std::unique_ptr<kept_contexts> kept_;
};
using public_key_ptr = std::shared_ptr<const public_key>;

// RSA, ECDSA on P-256, P-384 or P-521, Ed25519; nothing: we have no use for this key.
std::optional<key_kind> kind_of(const evp_pkey_st* key);

class private_key {
 public:
  // PEM or DER; PKCS#8, PKCS#1 or SEC 1; `passphrase` for an encrypted one, empty: none.
  // Errors: bad_key with what is wrong in `where` (encrypted without passphrase, unknown kind).
  static result<std::shared_ptr<const private_key>> load(const library& library, bytes_view data,
                                                         bytes_view passphrase = {});
  // Takes over one reference. Precondition: kind_of(key) is something.
  private_key(const library& library, evp_pkey_st* key);
  ~private_key();
  private_key(const private_key&) = delete;
  private_key& operator=(const private_key&) = delete;

  key_kind kind() const { return public_->kind(); }
  const public_key_ptr& public_half() const { return public_; }
  evp_pkey_st* handle() const;

 private:
  public_key_ptr public_;
};
using private_key_ptr = std::shared_ptr<const private_key>;

// How to sign: the AUTH method and, for RFC 7427, hash and scheme.
struct signature_scheme {
  auth_method method = auth_method::digital_signature;
  hash_algorithm hash = hash_algorithm::sha2_256;  // identity for Ed25519 (RFC 8420)
  bool rsa_pss = false;                            // RSASSA-PSS instead of PKCS#1 v1.5
  key_kind kind = key_kind::rsa;                   // of the key it was chosen for; for people
  friend bool operator==(const signature_scheme& one, const signature_scheme& other) {
    return one.method == other.method && one.hash == other.hash && one.rsa_pss == other.rsa_pss;
  }
};
std::string text_of(const signature_scheme& scheme);  // "ECDSA with SHA2_256", "RSA-PSS with ..."

// The scheme this key uses for a peer that announced `peer_hashes` in SIGNATURE_HASH_ALGORITHMS;
// an empty list: none announced, so methods 1 (SHA-1 hash, RFC 7296 §3.8), 9, 10, 11 (RFC 4754).
// `prefer_pss` chooses PSS for RSA where RFC 7427 applies. The strongest hash that fits the key
// and both know is taken. Errors: unsupported_algorithm.
result<signature_scheme> choose_scheme(const public_key& key,
                                       const std::vector<hash_algorithm>& peer_hashes,
                                       bool prefer_pss);

// The Authentication Data of the AUTH payload over `data`: for method 14 the ASN.1 length octet,
// AlgorithmIdentifier, signature (RFC 7427 §3); 9 to 11: r | s (RFC 4754); 1: PKCS#1 v1.5.
result<bytes> sign(const library& library, const private_key& key, const signature_scheme& scheme,
                   bytes_view data);

// Checks Authentication Data. Errors: bad_signature, bad_key (the method does not fit the key),
// unsupported_algorithm (also SHA-1 with method 14). The scheme that was used.
result<signature_scheme> verify(const library& library, const public_key& key, auth_method method,
                                bytes_view authentication_data, bytes_view data);

// "Key Pad for IKEv2" (RFC 7296 §2.15): prf(prf(secret, pad), data). The inner one may be cached.
result<secret> shared_key_authentication(const library& library, prf_algorithm prf,
                                         bytes_view shared_key, bytes_view data);

}  // namespace imago::crypto
