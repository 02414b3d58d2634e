#include "core/crypto/certificate.hpp"

#include <algorithm>
#include <deque>
#include <set>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "core/base/limits.hpp"
#include "core/crypto/openssl.hpp"

namespace imago::crypto {

namespace {

using owned_names = owned<GENERAL_NAMES, GENERAL_NAMES_free>;
using owned_verification = owned<X509_STORE_CTX, X509_STORE_CTX_free>;

void release_certificates(STACK_OF(X509) * stack) { sk_X509_free(stack); }
using owned_certificates = owned<STACK_OF(X509), release_certificates>;

constexpr std::size_t file_size_max = 1U << 20U;

// The DER of the first certificate of a PEM file; empty if there is none.
bytes der_of_pem(bytes_view data) {
  owned_bio source{BIO_new_mem_buf(data.data(), static_cast<int>(data.size()))};
  char* name = nullptr;
  char* header = nullptr;
  unsigned char* octets = nullptr;
  long size = 0;
  while (source && PEM_read_bio(source.get(), &name, &header, &octets, &size) == 1) {
    owned_octets name_owner{reinterpret_cast<unsigned char*>(name)};
    owned_octets header_owner{reinterpret_cast<unsigned char*>(header)};
    owned_octets owner{octets};
    std::string_view kind{name};
    if (kind == PEM_STRING_X509 || kind == PEM_STRING_X509_OLD) return {octets, octets + size};
  }
  ERR_clear_error();
  return {};
}

bytes lower_case(bytes_view text) {
  bytes out = to_bytes(text);
  for (auto& octet : out)
    if (octet >= 'A' && octet <= 'Z') octet = static_cast<std::uint8_t>(octet - 'A' + 'a');
  return out;
}

bytes_view view_of(const ASN1_STRING* text) {
  return {ASN1_STRING_get0_data(text), static_cast<std::size_t>(ASN1_STRING_length(text))};
}

wall_time time_of(const ASN1_TIME* time) {
  tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return {};
  using namespace std::chrono;
  auto day = sys_days{year{parts.tm_year + 1900} / (parts.tm_mon + 1) / parts.tm_mday};
  auto at = day + hours{parts.tm_hour} + minutes{parts.tm_min} + seconds{parts.tm_sec};
  return {duration_cast<seconds>(at.time_since_epoch()).count()};
}

bool is_same_name(const X509_NAME* name, bytes_view der) {
  const auto* at = der.data();
  owned_name other{d2i_X509_NAME(nullptr, &at, static_cast<long>(der.size()))};
  bool same = other && at == der.data() + der.size() && X509_NAME_cmp(name, other.get()) == 0;
  ERR_clear_error();
  return same;
}

// Why the chain does not verify, and at which certificate.
error untrusted(X509_STORE_CTX* verification) {
  int code = X509_STORE_CTX_get_error(verification);
  std::string where = X509_verify_cert_error_string(code);
  if (auto* at = X509_STORE_CTX_get_current_cert(verification)) {
    auto subject = encoded<const X509_NAME>(X509_get_subject_name(at), i2d_X509_NAME);
    where += ": '" + escaped(text_of_distinguished_name(subject)) + "'";
  }
  ERR_clear_error();
  return {errc::untrusted_certificate, where};
}

bool is_ca_certificate(X509* x509) { return (X509_get_extension_flags(x509) & EXFLAG_CA) != 0; }

}  // namespace

result<std::shared_ptr<const certificate>> certificate::load(const library& library,
                                                             bytes_view data) {
  if (data.size() > file_size_max) return {errc::bad_certificate, "too long"};
  bool is_der = !data.empty() && data[0] == 0x30;
  std::shared_ptr<certificate> made{new certificate};
  made->der_ = is_der ? to_bytes(data) : der_of_pem(data);
  if (made->der_.empty()) return {errc::bad_certificate, "no certificate in the file"};
  made->x509_ = X509_new_ex(library.context(), nullptr);
  const auto* at = static_cast<const unsigned char*>(made->der_.data());
  if (made->x509_ == nullptr ||
      d2i_X509(&made->x509_, &at, static_cast<long>(made->der_.size())) == nullptr)
    return openssl_failure(errc::bad_certificate, "X.509");
  if (at != made->der_.data() + made->der_.size())
    return {errc::bad_certificate, "octets after the certificate"};
  EVP_PKEY* key = X509_get0_pubkey(made->x509_);
  if (key == nullptr || !kind_of(key))
    return openssl_failure(errc::bad_certificate, "unsupported public key");
  EVP_PKEY_up_ref(key);
  made->key_ = std::make_shared<const public_key>(key);
  X509_check_purpose(made->x509_, -1, 0);  // reads the extensions, once and now
  owned_names names{static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(made->x509_, NID_subject_alt_name, nullptr, nullptr))};
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const auto* name = sk_GENERAL_NAME_value(names.get(), i);
    auto add = [&](id_type type, bytes value) {
      made->alternative_names_.push_back({type, std::move(value)});
    };
    if (name->type == GEN_DNS) add(id_type::fqdn, lower_case(view_of(name->d.dNSName)));
    if (name->type == GEN_EMAIL) add(id_type::rfc822_addr, lower_case(view_of(name->d.rfc822Name)));
    if (name->type != GEN_IPADD) continue;
    auto address = view_of(name->d.iPAddress);
    add(address.size() == 4 ? id_type::ipv4_addr : id_type::ipv6_addr, to_bytes(address));
  }
  ERR_clear_error();
  return std::shared_ptr<const certificate>{std::move(made)};
}

certificate::~certificate() { X509_free(x509_); }

bytes certificate::subject_der() const {
  return encoded<const X509_NAME>(X509_get_subject_name(x509_), i2d_X509_NAME);
}

bytes certificate::issuer_der() const {
  return encoded<const X509_NAME>(X509_get_issuer_name(x509_), i2d_X509_NAME);
}

std::string certificate::subject() const { return text_of_distinguished_name(subject_der()); }

std::string certificate::issuer() const { return text_of_distinguished_name(issuer_der()); }

std::string certificate::serial_hex() const {
  return to_hex(view_of(X509_get0_serialNumber(x509_)));
}

wall_time certificate::not_before() const { return time_of(X509_get0_notBefore(x509_)); }

wall_time certificate::not_after() const { return time_of(X509_get0_notAfter(x509_)); }

bool certificate::is_ca() const { return is_ca_certificate(x509_); }

bool certificate::contains_identity(id_type type, bytes_view data) const {
  if (type == id_type::der_asn1_dn) return is_same_name(X509_get_subject_name(x509_), data);
  if (type == id_type::key_id) {
    auto own = key_->key_id();
    return std::equal(own.begin(), own.end(), data.begin(), data.end());
  }
  bool is_text = type == id_type::fqdn || type == id_type::rfc822_addr;
  auto wanted = is_text ? lower_case(data) : to_bytes(data);
  return std::any_of(alternative_names_.begin(), alternative_names_.end(),
                     [&](const auto& name) { return name.type == type && name.data == wanted; });
}

namespace {
// Ordered by the octets themselves: no hash that a peer could make collide.
struct by_der {
  using is_transparent = void;
  static bool less(bytes_view one, bytes_view other) {
    return std::lexicographical_compare(one.begin(), one.end(), other.begin(), other.end());
  }
  bool operator()(const certificate_ptr& one, const certificate_ptr& other) const {
    return less(one->der(), other->der());
  }
  bool operator()(const certificate_ptr& one, bytes_view other) const {
    return less(one->der(), other);
  }
  bool operator()(bytes_view one, const certificate_ptr& other) const {
    return less(one, other->der());
  }
};
}  // namespace

struct certificate_cache::state {
  std::size_t count_max = 0;
  std::mutex mutex;
  std::set<certificate_ptr, by_der> all;
  std::deque<certificate_ptr> oldest_first;
};

certificate_cache::certificate_cache(std::size_t count_max) : state_{std::make_unique<state>()} {
  state_->count_max = count_max;
}

certificate_cache::~certificate_cache() = default;

result<certificate_ptr> certificate_cache::load(const library& library, bytes_view der) {
  {
    std::lock_guard lock{state_->mutex};
    auto at = state_->all.find(der);
    if (at != state_->all.end()) return *at;
  }
  // Parsed without the lock; two threads may do the same work once.
  auto loaded = certificate::load(library, der);
  if (!loaded || state_->count_max == 0) return loaded;
  std::lock_guard lock{state_->mutex};
  auto [at, is_new] = state_->all.insert(*loaded);
  auto kept = *at;
  if (!is_new) return kept;
  state_->oldest_first.push_back(kept);
  if (state_->oldest_first.size() > state_->count_max) {
    state_->all.erase(state_->oldest_first.front());
    state_->oldest_first.pop_front();
  }
  return kept;
}

trust_anchors::trust_anchors(std::vector<certificate_ptr> authorities)
    : authorities_{std::move(authorities)}, store_{X509_STORE_new()} {
  if (store_ == nullptr) std::abort();
  for (const auto& authority : authorities_) {
    X509_STORE_add_cert(store_, authority->handle());
    append(info_hashes_, authority->key()->info_hash());
  }
}

trust_anchors::~trust_anchors() { X509_STORE_free(store_); }

status validate_chain(const library& library, const trust_anchors& anchors,
                      const certificate& end_entity,
                      const std::vector<certificate_ptr>& intermediates, wall_time now) {
  if (intermediates.size() + 1 > limits::certificate_count_max)
    return {errc::limit_exceeded, "certificates in the chain"};
  owned_certificates untrusted_ones{sk_X509_new_null()};
  owned_verification verification{X509_STORE_CTX_new_ex(library.context(), nullptr)};
  if (!untrusted_ones || !verification) return openssl_failure(errc::crypto_failed, "chain");
  for (const auto& one : intermediates) sk_X509_push(untrusted_ones.get(), one->handle());
  auto* raw = verification.get();
  if (X509_STORE_CTX_init(raw, anchors.handle(), end_entity.handle(), untrusted_ones.get()) != 1)
    return openssl_failure(errc::crypto_failed, "chain");
  auto* parameters = X509_STORE_CTX_get0_param(raw);
  X509_VERIFY_PARAM_set_time(parameters, static_cast<time_t>(now.seconds));
  // Any configured authority is an anchor, also one that another CA has certified.
  X509_VERIFY_PARAM_set_flags(parameters, X509_V_FLAG_PARTIAL_CHAIN);
  X509_VERIFY_PARAM_set_depth(parameters, static_cast<int>(limits::certificate_count_max));
  X509_VERIFY_PARAM_set_auth_level(parameters, 2);  // 112 bits: no SHA-1, no RSA below 2048
  if (X509_verify_cert(raw) != 1) return untrusted(raw);
  // OpenSSL takes some certificates without basicConstraints for CAs; RFC 5280 §6.1.4 (k) does not.
  auto* chain = X509_STORE_CTX_get0_chain(raw);
  for (int i = 1; i < sk_X509_num(chain) - 1; ++i)
    if (!is_ca_certificate(sk_X509_value(chain, i)))
      return {errc::untrusted_certificate, "an intermediate is no CA"};
  // RFC 4945 §5.1.3.2: digitalSignature or nonRepudiation, where keyUsage is present.
  auto usage = X509_get_key_usage(end_entity.handle());
  if (usage != UINT32_MAX && (usage & (KU_DIGITAL_SIGNATURE | KU_NON_REPUDIATION)) == 0)
    return {errc::untrusted_certificate,
            "keyUsage without digitalSignature: '" + escaped(end_entity.subject()) + "'"};
  return {};
}

}  // namespace imago::crypto
