// Stateless cookies against floods of IKE_SA_INIT (RFC 7296 §2.6).
#pragma once

#include "core/base/address.hpp"
#include "core/base/random.hpp"
#include "core/base/secret.hpp"
#include "core/base/time.hpp"
#include "core/crypto/prf.hpp"

namespace imago::ikev2 {

// Cookie = version of the secret (1 octet) | first 16 octets of HMAC-SHA2-256(secret, Ni | address
// | SPIi). The secret changes every `secret_lifetime`; the previous one is still accepted until it
// is two lifetimes old. Not thread-safe.
class cookie_jar {
 public:
  cookie_jar(const crypto::library& library, random_source& random, duration secret_lifetime);
  bytes make(instant now, bytes_view initiator_nonce, const ip_address& from,
             std::uint64_t initiator_spi);
  bool check(instant now, bytes_view cookie, bytes_view initiator_nonce, const ip_address& from,
             std::uint64_t initiator_spi);

 private:
  void turn(instant now);
  const crypto::library& library_;
  random_source& random_;
  duration secret_lifetime_;
  instant secret_made_at_;
  std::uint8_t version_ = 0;
  secret current_, previous_;
};

}  // namespace imago::ikev2
