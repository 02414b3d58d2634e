// Diffie-Hellman key exchange methods: X25519 (RFC 8031), ECP (RFC 5903), MODP (RFC 3526).
#pragma once

#include <memory>

#include "core/base/iana.hpp"
#include "core/base/result.hpp"
#include "core/base/secret.hpp"
#include "core/crypto/library.hpp"

struct evp_pkey_st;

namespace imago::crypto {

bool is_supported(ke_method method);

// An ephemeral key pair; used once. Move-only; the private part is wiped by OpenSSL.
class key_exchange {
 public:
  // Errors: unsupported_algorithm, crypto_failed.
  static result<key_exchange> generate(const library& library, ke_method method);
  // For published vectors: the pair of a given private value (big-endian; X25519: as is).
  static result<key_exchange> from_private(const library& library, ke_method method,
                                           bytes_view value);

  key_exchange(key_exchange&&) noexcept;
  key_exchange& operator=(key_exchange&&) noexcept;
  ~key_exchange();

  ke_method method() const { return method_; }
  // As in the KE payload: MODP padded to the modulus' size, ECP x | y without the point octet.
  const bytes& public_value() const { return public_value_; }
  // The shared secret g^ir as RFC 7296 §2.14 wants it (MODP padded; ECP the x coordinate).
  // Errors: bad_key (wrong size, point not on the curve, MODP value <= 1 or >= p-1 (RFC 6989),
  // all-zero X25519 result), crypto_failed.
  result<secret> derive(const library& library, bytes_view peer_public_value) const;

 private:
  key_exchange() = default;
  ke_method method_{};
  bytes public_value_;
  evp_pkey_st* pair_ = nullptr;
};

}  // namespace imago::crypto
