// Work for the crypto pool as plain values: a job owns its inputs, run() does it anywhere, the
// result owns its outputs. Dropping either wipes what is secret in it.
#pragma once

#include <variant>

#include "core/crypto/certificate.hpp"
#include "core/crypto/key_exchange.hpp"
#include "core/crypto/private_key.hpp"

namespace imago::crypto {

struct generate_key_exchange_job {
  ke_method method{};
};
// So many at once, for who needs them soon: one hop for all of them.
struct generate_key_exchanges_job {
  ke_method method{};
  std::size_t count = 1;
};
// Generates a key pair and derives against the peer's value: the responder's two steps in one hop.
struct respond_key_exchange_job {
  ke_method method{};
  bytes peer_public_value;
};
struct derive_shared_secret_job {
  std::shared_ptr<const key_exchange> own;
  bytes peer_public_value;
};
struct sign_job {
  private_key_ptr key;
  signature_scheme scheme;
  bytes data;
};
// Validates the peer's chain, its identity, and its AUTH signature, in this order.
struct verify_job {
  std::vector<bytes> certificates;                  // DER as received, end entity first
  std::vector<certificate_ptr> known_certificates;  // configured peers' certificates; may be empty
  trust_anchors_ptr anchors;
  id_type identity_type{};
  bytes identity;
  auth_method method{};
  bytes authentication_data;
  bytes data;  // the signed octets
  wall_time now;
  std::shared_ptr<certificate_cache> cache;  // may be null
};
using job = std::variant<generate_key_exchange_job, generate_key_exchanges_job,
                         respond_key_exchange_job, derive_shared_secret_job, sign_job, verify_job>;

struct key_exchange_generated {
  key_exchange own;
};
struct key_exchanges_generated {
  std::vector<key_exchange> own;
};
struct key_exchange_responded {
  bytes public_value;
  secret shared_secret;
};
struct shared_secret_derived {
  secret shared_secret;
};
struct signature_made {
  bytes authentication_data;
};
// Proof that a peer's AUTH verified. Only a verification can make one (rustls' lesson).
class verified {
 public:
  const certificate_ptr& end_entity() const { return end_entity_; }  // null for a shared key
  const std::string& method() const { return method_; }              // for people

 private:
  friend result<verified> verify_peer(const library&, verify_job&&);
  friend result<verified> verify_shared_key(const library&, prf_algorithm, bytes_view, bytes_view,
                                            bytes_view);
  verified() = default;
  certificate_ptr end_entity_;
  std::string method_;
};
using job_result =
    result<std::variant<key_exchange_generated, key_exchanges_generated, key_exchange_responded,
                        shared_secret_derived, signature_made, verified>>;

result<verified> verify_peer(const library& library, verify_job&& job);
// Compares in constant time. Errors: authentication_failed.
result<verified> verify_shared_key(const library& library, prf_algorithm prf, bytes_view shared_key,
                                   bytes_view data, bytes_view authentication_data);

// Thread-safe; takes from microseconds to some milliseconds.
job_result run(const library& library, job&& job);
std::string_view name_of(const job& job);  // "sign_job"
// Does it take less than about half a millisecond on a machine of today? Known from its kind and
// the size of its inputs: X25519 and P-256, signing without RSA, verifying short chains.
bool is_brief(const job& job);

}  // namespace imago::crypto
