// The AlgorithmIdentifiers of RFC 7427 appendix A and RFC 8420, and the DigestInfos of PKCS#1
// v1.5. Received ones are compared as octets with those we can make: nothing is parsed.
#pragma once

#include <optional>

#include "core/crypto/private_key.hpp"

namespace imago::crypto {

// As sent; empty: there is none for this combination (SHA-1 among them).
bytes identifier_of(key_kind kind, hash_algorithm hash, bool rsa_pss);

// Also knows RSASSA-PSS with hash parameters absent instead of NULL, and with the default
// trailer field written out, as some implementations send them.
std::optional<signature_scheme> scheme_of_identifier(bytes_view identifier);

// RFC 8017 §9.2: of SHA-1 and SHA-2. Size 0: unknown hash.
std::size_t digest_info_size(hash_algorithm hash);
bytes digest_info(hash_algorithm hash, bytes_view hashed);

}  // namespace imago::crypto
