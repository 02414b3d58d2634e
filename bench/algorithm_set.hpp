// What is measured: the algorithms of an IKE SA and how its ends prove who they are.
#pragma once

#include <array>
#include <string_view>

#include "core/base/iana.hpp"
#include "tests/support/certificates.hpp"

namespace imago::bench {

enum class proof : std::uint8_t { shared_key, ecdsa_p256, rsa_2048 };

struct algorithm_set {
  std::string_view name;
  std::string_view proposal;  // of IKE, as in a configuration
  ke_method method;
  bench::proof proof;
};

inline constexpr std::array algorithm_sets{
    algorithm_set{"x25519-aes128gcm16-psk", "aes128gcm16-prfsha256-x25519", ke_method::curve25519,
                  proof::shared_key},
    algorithm_set{"ecp256-aes128gcm16-psk", "aes128gcm16-prfsha256-ecp256", ke_method::ecp_256,
                  proof::shared_key},
    algorithm_set{"x25519-aes128gcm16-ecdsa-p256", "aes128gcm16-prfsha256-x25519",
                  ke_method::curve25519, proof::ecdsa_p256},
    algorithm_set{"x25519-aes128gcm16-rsa-2048", "aes128gcm16-prfsha256-x25519",
                  ke_method::curve25519, proof::rsa_2048},
};

// One authority, the responder, and a certificate for each client: a gateway meets each certificate
// for the first time. The clients share a key, since making one RSA key takes a tenth of a second.
struct credentials {
  testing::credential authority, responder;
  std::vector<testing::credential> clients;
};

}  // namespace imago::bench
