#include "tests/support/certificates.hpp"

#include <atomic>
#include <cstdlib>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "core/crypto/certificate.hpp"

namespace imago::testing {

namespace {

void require(bool fact) {
  if (!fact) std::abort();
}

std::string text_of(BIO* out) {
  char* data = nullptr;
  auto size = BIO_get_mem_data(out, &data);
  std::string text(data, static_cast<std::size_t>(size));
  BIO_free_all(out);
  return text;
}

void set_name(X509* made, const std::string& subject) {
  auto der = *crypto::parse_distinguished_name(subject);
  const unsigned char* at = der.data();
  X509_NAME* name = d2i_X509_NAME(nullptr, &at, static_cast<long>(der.size()));
  require(name != nullptr && X509_set_subject_name(made, name) == 1);
  X509_NAME_free(name);
}

void add_extension(X509* made, X509V3_CTX* context, int nid, const std::string& value) {
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, context, nid, value.c_str());
  require(extension != nullptr && X509_add_ext(made, extension, -1) == 1);
  X509_EXTENSION_free(extension);
}

std::string alternative_names(const certificate_options& options) {
  std::string text;
  auto add = [&](const char* kind, const std::vector<std::string>& list) {
    for (const auto& one : list) text += (text.empty() ? "" : ",") + std::string{kind} + one;
  };
  add("DNS:", options.dns_names);
  add("email:", options.mail_addresses);
  add("IP:", options.ip_addresses);
  return text;
}

X509* parse(const bytes& der) {
  const unsigned char* at = der.data();
  X509* parsed = d2i_X509(nullptr, &at, static_cast<long>(der.size()));
  require(parsed != nullptr);
  return parsed;
}

}  // namespace

test_key test_key::make(key_type type) {
  EVP_PKEY* made = nullptr;
  switch (type) {
    case key_type::rsa_2048: made = EVP_RSA_gen(2048); break;
    case key_type::ecdsa_p256: made = EVP_EC_gen("P-256"); break;
    case key_type::ecdsa_p384: made = EVP_EC_gen("P-384"); break;
    case key_type::ecdsa_p521: made = EVP_EC_gen("P-521"); break;
    case key_type::ed25519: made = EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"); break;
  }
  require(made != nullptr);
  test_key key;
  key.key_ = {made, EVP_PKEY_free};
  return key;
}

std::string test_key::pem(std::string_view passphrase) const {
  BIO* out = BIO_new(BIO_s_mem());
  const EVP_CIPHER* cipher = passphrase.empty() ? nullptr : EVP_aes_256_cbc();
  require(PEM_write_bio_PKCS8PrivateKey(out, key_.get(), cipher, passphrase.data(),
                                        static_cast<int>(passphrase.size()), nullptr,
                                        nullptr) == 1);
  return text_of(out);
}

std::string test_key::public_pem() const {
  BIO* out = BIO_new(BIO_s_mem());
  require(PEM_write_bio_PUBKEY(out, key_.get()) == 1);
  return text_of(out);
}

bytes test_key::der() const {
  unsigned char* octets = nullptr;
  int size = i2d_PrivateKey(key_.get(), &octets);
  require(size > 0);
  bytes out(octets, octets + size);
  OPENSSL_free(octets);
  return out;
}

std::string credential::certificate_pem() const {
  BIO* out = BIO_new(BIO_s_mem());
  X509* parsed = parse(certificate);
  require(PEM_write_bio_X509(out, parsed) == 1);
  X509_free(parsed);
  return text_of(out);
}

credential make_certificate(const certificate_options& options, const test_key& key,
                            const credential* issuer) {
  static std::atomic<long> serials{0x1000};
  X509* made = X509_new();
  X509* signer = issuer == nullptr ? nullptr : parse(issuer->certificate);
  require(made != nullptr && X509_set_version(made, X509_VERSION_3) == 1);
  ASN1_INTEGER_set(X509_get_serialNumber(made), ++serials);
  set_name(made, options.subject);
  X509_set_issuer_name(made, X509_get_subject_name(signer == nullptr ? made : signer));
  ASN1_TIME_set(X509_getm_notBefore(made), static_cast<time_t>(options.not_before.seconds));
  ASN1_TIME_set(X509_getm_notAfter(made), static_cast<time_t>(options.not_after.seconds));
  require(X509_set_pubkey(made, key.handle()) == 1);
  X509V3_CTX context;
  X509V3_set_ctx(&context, signer == nullptr ? made : signer, made, nullptr, nullptr, 0);
  if (options.with_basic_constraints) {
    std::string constraints = options.is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE";
    if (options.path_length) constraints += ",pathlen:" + std::to_string(*options.path_length);
    add_extension(made, &context, NID_basic_constraints, constraints);
  }
  if (!options.key_usage.empty())
    add_extension(made, &context, NID_key_usage, "critical," + options.key_usage);
  auto names = alternative_names(options);
  if (!names.empty()) add_extension(made, &context, NID_subject_alt_name, names);
  const auto& signing_key = issuer == nullptr ? key : issuer->key;
  bool has_own_hash = EVP_PKEY_is_a(signing_key.handle(), "ED25519") == 1;
  require(X509_sign(made, signing_key.handle(), has_own_hash ? nullptr : EVP_sha256()) > 0);
  unsigned char* octets = nullptr;
  int size = i2d_X509(made, &octets);
  require(size > 0);
  credential done{key, bytes(octets, octets + size)};
  OPENSSL_free(octets);
  X509_free(made);
  X509_free(signer);
  return done;
}

credential make_authority(const std::string& subject, key_type type,
                          std::optional<int> path_length) {
  certificate_options options;
  options.subject = subject;
  options.is_ca = true;
  options.path_length = path_length;
  options.key_usage = "keyCertSign,cRLSign";
  return make_certificate(options, test_key::make(type), nullptr);
}

credential make_end_entity(const credential& issuer, const certificate_options& options,
                           key_type type) {
  return make_certificate(options, test_key::make(type), &issuer);
}

}  // namespace imago::testing
