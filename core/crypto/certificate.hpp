// X.509 certificates (RFC 5280): reading, chains, identities. OpenSSL parses and validates.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/base/iana.hpp"
#include "core/base/result.hpp"
#include "core/base/time.hpp"
#include "core/crypto/private_key.hpp"

struct x509_st;
struct x509_store_st;

namespace imago::crypto {

// Shared, immutable.
class certificate {
 public:
  // PEM or DER. Errors: bad_certificate.
  static result<std::shared_ptr<const certificate>> load(const library& library, bytes_view data);
  ~certificate();
  certificate(const certificate&) = delete;
  certificate& operator=(const certificate&) = delete;

  const bytes& der() const { return der_; }
  bytes subject_der() const;
  bytes issuer_der() const;
  std::string subject() const;  // "C=CH, O=strongSwan, CN=moon": swanctl's order and form
  std::string issuer() const;
  std::string serial_hex() const;
  wall_time not_before() const;
  wall_time not_after() const;
  bool is_ca() const;  // basicConstraints
  const public_key_ptr& key() const { return key_; }
  // Does it contain this identity: subject DN (compared as names), or a subjectAltName of the
  // type (FQDN and RFC822 without regard to case, IP), or KEY_ID = the key id. RFC 4945 §3.1.
  bool contains_identity(id_type type, bytes_view data) const;
  x509_st* handle() const { return x509_; }

 private:
  certificate() = default;
  struct alternative_name {
    id_type type;
    bytes data;
  };
  x509_st* x509_ = nullptr;
  bytes der_;
  public_key_ptr key_;
  std::vector<alternative_name> alternative_names_;  // FQDN and RFC822 in lower case
};
using certificate_ptr = std::shared_ptr<const certificate>;

// Parses certificates once: later loads of the same octets give the same object. Thread-safe,
// bounded (the oldest goes).
class certificate_cache {
 public:
  explicit certificate_cache(std::size_t count_max = 4096);
  ~certificate_cache();
  result<certificate_ptr> load(const library& library, bytes_view der);

 private:
  struct state;
  std::unique_ptr<state> state_;
};

// CA certificates to trust; immutable once built, shared by verifications.
class trust_anchors {
 public:
  explicit trust_anchors(std::vector<certificate_ptr> authorities);
  ~trust_anchors();
  trust_anchors(const trust_anchors&) = delete;
  trust_anchors& operator=(const trust_anchors&) = delete;
  const std::vector<certificate_ptr>& authorities() const { return authorities_; }
  const bytes& info_hashes() const { return info_hashes_; }  // concatenated, for CERTREQ
  x509_store_st* handle() const { return store_; }

 private:
  std::vector<certificate_ptr> authorities_;
  x509_store_st* store_ = nullptr;
  bytes info_hashes_;
};
using trust_anchors_ptr = std::shared_ptr<const trust_anchors>;

// Does the chain end_entity, intermediates lead to an anchor, at that time: signatures, validity,
// CA constraints, path length, name constraints, key usage (digitalSignature where present).
// Self-signed end entities pass only if they are anchors themselves.
// Errors: untrusted_certificate with OpenSSL's reason and the subject in `where`.
status validate_chain(const library& library, const trust_anchors& anchors,
                      const certificate& end_entity,
                      const std::vector<certificate_ptr>& intermediates, wall_time now);

// Text <-> DER of distinguished names: "C=CH, O=strongSwan, CN=moon" (or '/'-separated).
// Errors: bad_syntax, bad_value (unknown attribute type).
result<bytes> parse_distinguished_name(std::string_view text);
std::string text_of_distinguished_name(bytes_view der);  // "(malformed)" where it is

}  // namespace imago::crypto
