// Makes keys and certificates on the spot, for tests. A key of each type is cheap except RSA: make
// those once a test file.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/bytes.hpp"
#include "core/base/time.hpp"

struct evp_pkey_st;

namespace imago::testing {

enum class key_type { rsa_2048, ecdsa_p256, ecdsa_p384, ecdsa_p521, ed25519 };

// A private key, shared. Test failure to make one aborts.
class test_key {
 public:
  static test_key make(key_type type);
  evp_pkey_st* handle() const { return key_.get(); }
  std::string pem(std::string_view passphrase = {}) const;  // PKCS#8
  std::string public_pem() const;                           // SubjectPublicKeyInfo
  bytes der() const;                                        // traditional (PKCS#1, SEC 1)

 private:
  std::shared_ptr<evp_pkey_st> key_;
};

// The time at which everything made here is valid unless said otherwise.
inline constexpr wall_time test_now{1'800'000'000};

struct certificate_options {
  std::string subject = "C=CH, O=Imago, CN=somebody";
  std::vector<std::string> dns_names;
  std::vector<std::string> mail_addresses;
  std::vector<std::string> ip_addresses;
  bool is_ca = false;
  bool with_basic_constraints = true;
  std::optional<int> path_length;
  std::string key_usage;  // OpenSSL's words: "digitalSignature", "keyCertSign,cRLSign"; empty: none
  wall_time not_before{test_now.seconds - 86'400};
  wall_time not_after{test_now.seconds + 86'400 * 30};
};

// A certificate with its private key.
struct credential {
  test_key key;
  bytes certificate;  // DER
  std::string certificate_pem() const;
};

// Signed by itself.
credential make_authority(const std::string& subject, key_type type = key_type::ecdsa_p256,
                          std::optional<int> path_length = std::nullopt);
// `key` may be shared by several; with no issuer it is self-signed.
credential make_certificate(const certificate_options& options, const test_key& key,
                            const credential* issuer);
credential make_end_entity(const credential& issuer, const certificate_options& options,
                           key_type type = key_type::ecdsa_p256);

}  // namespace imago::testing
