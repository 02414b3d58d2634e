#include "core/crypto/key_exchange.hpp"

#include <utility>

#include <openssl/dh.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/param_build.h>

#include "core/crypto/openssl.hpp"

namespace imago::crypto {

namespace {

using owned_builder = owned<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free>;
using owned_parameters = owned<OSSL_PARAM, OSSL_PARAM_free>;
using owned_group = owned<EC_GROUP, EC_GROUP_free>;
using owned_point = owned<EC_POINT, EC_POINT_clear_free>;
using owned_bn_context = owned<BN_CTX, BN_CTX_free>;

constexpr std::size_t public_size(ke_method method) {
  switch (method) {
    case ke_method::modp_2048: return 256;
    case ke_method::modp_3072: return 384;
    case ke_method::modp_4096: return 512;
    case ke_method::ecp_256: return 64;
    case ke_method::ecp_384: return 96;
    case ke_method::ecp_521: return 132;
    case ke_method::curve25519: return 32;
    default: return 0;
  }
}

// One generator per method, library and thread, kept (setting one up costs as much as a key).
EVP_PKEY_CTX* generator(const library& library, ke_method method) {
  auto& kept = contexts_of(library).generators[index_of(method)];
  if (!kept) {
    const char* type = is_modp(method) ? "DH" : is_ecp(method) ? "EC" : "X25519";
    owned_key_context fresh{EVP_PKEY_CTX_new_from_name(library.context(), type, nullptr)};
    if (!fresh || EVP_PKEY_keygen_init(fresh.get()) <= 0) return nullptr;
    if (method != ke_method::curve25519 &&
        EVP_PKEY_CTX_set_group_name(fresh.get(), group_name(method)) <= 0)
      return nullptr;
    kept = std::move(fresh);
  }
  return kept.get();
}

// The public value as it stands in the KE payload; empty if OpenSSL refuses.
bytes public_value_of(const EVP_PKEY* pair, ke_method method) {
  bytes value(public_size(method));
  if (method == ke_method::curve25519) {
    std::size_t size = value.size();
    if (EVP_PKEY_get_raw_public_key(pair, value.data(), &size) != 1) return {};
    return value;
  }
  if (is_modp(method)) {
    BIGNUM* number = nullptr;
    if (EVP_PKEY_get_bn_param(pair, OSSL_PKEY_PARAM_PUB_KEY, &number) != 1) return {};
    owned_bignum owner{number};
    // RFC 7296 §3.4: prepended with zeros to the length of the modulus.
    if (BN_bn2binpad(number, value.data(), static_cast<int>(value.size())) < 0) return {};
    return value;
  }
  // RFC 5903 §7: x | y, without the octet that says "uncompressed".
  bytes point(value.size() + 1);
  std::size_t size = 0;
  if (EVP_PKEY_get_octet_string_param(pair, OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size(),
                                      &size) != 1 ||
      size != point.size() || point[0] != 4)
    return {};
  return {point.begin() + 1, point.end()};
}

// 1 < y < p - 1 (RFC 6989 §2.1). The groups are safe primes, so that no more need be checked.
bool is_in_range(const library& library, ke_method method, bytes_view value) {
  owned_bignum number{BN_bin2bn(value.data(), static_cast<int>(value.size()), nullptr)};
  const auto& limit = library.fetched().moduli[index_of(method)];
  return number && limit && BN_cmp(number.get(), BN_value_one()) > 0 &&
         BN_cmp(number.get(), limit.get()) < 0;
}

// The peer's key, checked: right size, MODP in range, ECP on the curve (OpenSSL checks that while
// decoding; RFC 6989 §2.3). Null if it is none.
owned_key peer_key(const library& library, ke_method method, bytes_view value) {
  if (value.size() != public_size(method)) return nullptr;
  if (method == ke_method::curve25519)
    return owned_key{EVP_PKEY_new_raw_public_key_ex(library.context(), "X25519", nullptr,
                                                    value.data(), value.size())};
  if (is_modp(method) && !is_in_range(library, method, value)) return nullptr;
  const auto& parameters = library.fetched().templates[index_of(method)];
  owned_key key{EVP_PKEY_new()};
  if (!parameters || !key || EVP_PKEY_copy_parameters(key.get(), parameters.get()) != 1)
    return nullptr;
  bytes encoded_value;
  if (is_ecp(method)) encoded_value.push_back(4);
  append(encoded_value, value);
  if (EVP_PKEY_set1_encoded_public_key(key.get(), encoded_value.data(), encoded_value.size()) != 1)
    return nullptr;
  return key;
}

// The pair as OpenSSL parameters; `pub` is a BIGNUM for MODP, a point's octets for ECP.
owned_key pair_of(const library& library, ke_method method, const BIGNUM* private_number,
                  const BIGNUM* public_number, bytes_view public_point) {
  owned_builder builder{OSSL_PARAM_BLD_new()};
  if (!builder ||
      OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, group_name(method),
                                      0) != 1 ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_PRIV_KEY, private_number) != 1)
    return nullptr;
  int pushed = public_number != nullptr
                   ? OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, public_number)
                   : OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY,
                                                      public_point.data(), public_point.size());
  owned_parameters parameters{pushed == 1 ? OSSL_PARAM_BLD_to_param(builder.get()) : nullptr};
  owned_key_context maker{
      EVP_PKEY_CTX_new_from_name(library.context(), is_modp(method) ? "DH" : "EC", nullptr)};
  EVP_PKEY* key = nullptr;
  if (!parameters || !maker || EVP_PKEY_fromdata_init(maker.get()) <= 0 ||
      EVP_PKEY_fromdata(maker.get(), &key, EVP_PKEY_KEYPAIR, parameters.get()) <= 0)
    return nullptr;
  return owned_key{key};
}

owned_key modp_pair(const library& library, ke_method method, const BIGNUM* private_number) {
  const auto& limit = library.fetched().moduli[index_of(method)];
  owned_bn_context scratch{BN_CTX_secure_new_ex(library.context())};
  owned_bignum modulus{limit ? BN_dup(limit.get()) : nullptr};
  owned_bignum base{BN_new()};
  owned_bignum power{BN_new()};
  if (!scratch || !modulus || !base || !power || BN_add_word(modulus.get(), 1) != 1 ||
      BN_set_word(base.get(), 2) != 1 ||  // the generator of every group of RFC 3526
      BN_mod_exp(power.get(), base.get(), private_number, modulus.get(), scratch.get()) != 1)
    return nullptr;
  return pair_of(library, method, private_number, power.get(), {});
}

owned_key ecp_pair(const library& library, ke_method method, const BIGNUM* private_number) {
  owned_group group{EC_GROUP_new_by_curve_name_ex(library.context(), nullptr,
                                                  EC_curve_nist2nid(group_name(method)))};
  owned_point point{group ? EC_POINT_new(group.get()) : nullptr};
  bytes octets(public_size(method) + 1);
  if (!point ||
      EC_POINT_mul(group.get(), point.get(), private_number, nullptr, nullptr, nullptr) != 1 ||
      EC_POINT_point2oct(group.get(), point.get(), POINT_CONVERSION_UNCOMPRESSED, octets.data(),
                         octets.size(), nullptr) != octets.size())
    return nullptr;
  return pair_of(library, method, private_number, nullptr, octets);
}

}  // namespace

bool is_supported(ke_method method) { return public_size(method) != 0; }

result<key_exchange> key_exchange::generate(const library& library, ke_method method) {
  if (!is_supported(method)) return {errc::unsupported_algorithm, text_of(method)};
  auto* maker = generator(library, method);
  key_exchange made;
  made.method_ = method;
  if (maker == nullptr || EVP_PKEY_generate(maker, &made.pair_) <= 0)
    return openssl_failure(errc::crypto_failed, text_of(method));
  made.public_value_ = public_value_of(made.pair_, method);
  if (made.public_value_.empty()) return openssl_failure(errc::crypto_failed, text_of(method));
  return made;
}

result<key_exchange> key_exchange::from_private(const library& library, ke_method method,
                                                bytes_view value) {
  if (!is_supported(method)) return {errc::unsupported_algorithm, text_of(method)};
  owned_key pair;
  if (method == ke_method::curve25519) {
    pair.reset(EVP_PKEY_new_raw_private_key_ex(library.context(), "X25519", nullptr, value.data(),
                                               value.size()));
  } else {
    owned_bignum number{BN_bin2bn(value.data(), static_cast<int>(value.size()), nullptr)};
    if (number && !BN_is_zero(number.get()))
      pair = is_modp(method) ? modp_pair(library, method, number.get())
                             : ecp_pair(library, method, number.get());
  }
  if (!pair) return openssl_failure(errc::bad_key, text_of(method));
  key_exchange made;
  made.method_ = method;
  made.pair_ = pair.release();
  made.public_value_ = public_value_of(made.pair_, method);
  if (made.public_value_.empty()) return openssl_failure(errc::bad_key, text_of(method));
  return made;
}

key_exchange::key_exchange(key_exchange&& other) noexcept
    : method_{other.method_},
      public_value_{std::move(other.public_value_)},
      pair_{std::exchange(other.pair_, nullptr)} {}

key_exchange& key_exchange::operator=(key_exchange&& other) noexcept {
  std::swap(method_, other.method_);
  std::swap(public_value_, other.public_value_);
  std::swap(pair_, other.pair_);
  return *this;
}

key_exchange::~key_exchange() { EVP_PKEY_free(pair_); }

result<secret> key_exchange::derive(const library& library, bytes_view peer_public_value) const {
  auto peer = peer_key(library, method_, peer_public_value);
  if (!peer) return openssl_failure(errc::bad_key, "public value for " + text_of(method_));
  owned_key_context context{EVP_PKEY_CTX_new_from_pkey(library.context(), pair_, nullptr)};
  // peer_key has validated it: a second validation would cost as much as the derivation.
  if (!context || EVP_PKEY_derive_init(context.get()) <= 0 ||
      (is_modp(method_) && EVP_PKEY_CTX_set_dh_pad(context.get(), 1) <= 0) ||
      EVP_PKEY_derive_set_peer_ex(context.get(), peer.get(), 0) <= 0)
    return openssl_failure(errc::crypto_failed, text_of(method_));
  auto size = is_ecp(method_) ? public_size(method_) / 2 : public_size(method_);
  secret shared{size};
  if (EVP_PKEY_derive(context.get(), shared.data(), &size) <= 0) {
    // OpenSSL refuses to give an all-zero X25519 result (RFC 8031 §3): the peer chose it.
    auto code = method_ == ke_method::curve25519 ? errc::bad_key : errc::crypto_failed;
    return openssl_failure(code, text_of(method_));
  }
  if (size != shared.size()) return {errc::crypto_failed, text_of(method_)};
  return shared;
}

}  // namespace imago::crypto
