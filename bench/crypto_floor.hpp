// The floor: the OpenSSL calls that a responder cannot do without in one IKE_SA_INIT and IKE_AUTH
// with a Child SA, called directly with kept contexts, and nothing else.
//
// In it: a key pair and a shared secret; all PRFs (SKEYSEED, SK_*, both AUTH payloads, KEYMAT);
// opening the IKE_AUTH request and sealing the response; with certificates the signature, the
// verification of the peer's, parsing its certificate and verifying that. Not in it: random octets
// of SPIs and nonces, the hashes of NAT detection.
#pragma once

#include <memory>

#include "bench/algorithm_set.hpp"

namespace imago::bench {

class crypto_floor {
 public:
  // `made` may be null for a shared key; else it is borrowed, and has a client.
  crypto_floor(const algorithm_set& measured, const credentials* made);
  ~crypto_floor();
  crypto_floor(const crypto_floor&) = delete;
  crypto_floor& operator=(const crypto_floor&) = delete;

  // Microseconds of this thread's CPU time for one handshake, the mean of `rounds`.
  double measure(std::size_t rounds);

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace imago::bench
