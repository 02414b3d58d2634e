// PRF and prf+ (RFC 7296 §2.13), with HMAC-SHA2 (RFC 4868).
#pragma once

#include <initializer_list>

#include "core/base/iana.hpp"
#include "core/base/result.hpp"
#include "core/base/secret.hpp"
#include "core/crypto/library.hpp"

namespace imago::crypto {

// Preferred key size and output size in octets: the same for the HMAC PRFs. 0 if unsupported.
std::size_t prf_size(prf_algorithm prf);

// prf(key, part | part | ...). Errors: unsupported_algorithm, crypto_failed.
result<secret> prf(const library& library, prf_algorithm prf, bytes_view key,
                   std::initializer_list<bytes_view> parts);

// prf+(key, seed), `size` octets; at most 255 blocks (limit_exceeded).
result<secret> prf_plus(const library& library, prf_algorithm prf, bytes_view key, bytes_view seed,
                        std::size_t size);

}  // namespace imago::crypto
