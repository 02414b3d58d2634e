// Hashes. SHA-1 only where the RFC fixes it (NAT detection, CERTREQ), never for security.
#pragma once

#include "core/base/iana.hpp"
#include "core/base/result.hpp"
#include "core/crypto/library.hpp"

namespace imago::crypto {

// Errors: unsupported_algorithm (hash_algorithm::identity included), crypto_failed.
result<bytes> hash(const library& library, hash_algorithm algorithm, bytes_view data);

}  // namespace imago::crypto
