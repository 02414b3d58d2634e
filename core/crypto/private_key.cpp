#include "core/crypto/private_key.hpp"

#include <algorithm>
#include <cstdlib>

#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>

#include "core/crypto/key_contexts.hpp"
#include "core/crypto/openssl.hpp"

namespace imago::crypto {

namespace {

using owned_decoder = owned<OSSL_DECODER_CTX, OSSL_DECODER_CTX_free>;
using owned_public_info = owned<X509_PUBKEY, X509_PUBKEY_free>;

// Called where the file is encrypted and no passphrase was given: takes note and gives none, so
// that OpenSSL does not ask at the terminal.
int note_passphrase_wanted(char*, int, int, void* wanted) {
  *static_cast<bool*>(wanted) = true;
  return -1;
}

// A PEM file may have blocks before the key, such as EC PARAMETERS, which the decoder would stop
// at. DER is given back as it is.
bytes_view from_private_block(bytes_view data) {
  std::string_view text{reinterpret_cast<const char*>(data.data()), data.size()};
  constexpr std::string_view begin = "-----BEGIN ";
  for (auto at = text.find(begin); at != text.npos; at = text.find(begin, at + 1)) {
    auto line = text.substr(at, text.find('\n', at) - at);
    if (line.find("PRIVATE KEY-----") != line.npos) return data.subspan(at);
  }
  return data;
}

bytes sha1_of(bytes_view data) {
  bytes out(SHA_DIGEST_LENGTH);
  SHA1(data.data(), data.size(), out.data());
  return out;
}

owned_key_context new_context(const public_key& key, const key_purpose& purpose,
                              const library& library) {
  owned_key_context context{EVP_PKEY_CTX_new_from_pkey(library.context(), key.handle(), nullptr)};
  if (!context) return nullptr;
  auto* raw = context.get();
  int ready = purpose.operation == key_operation::sign     ? EVP_PKEY_sign_init(raw)
              : purpose.operation == key_operation::verify ? EVP_PKEY_verify_init(raw)
                                                           : EVP_PKEY_verify_recover_init(raw);
  if (ready <= 0) return nullptr;
  if (key.kind() != key_kind::rsa) return context;
  int padding = purpose.rsa_pss ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING;
  if (EVP_PKEY_CTX_set_rsa_padding(raw, padding) <= 0) return nullptr;
  if (purpose.hash_index == no_index) return context;
  const auto* hash = library.fetched().hashes[purpose.hash_index].get();
  if (hash == nullptr || EVP_PKEY_CTX_set_signature_md(raw, hash) <= 0) return nullptr;
  // RFC 7427 §4: the salt is as long as the hash, MGF1 uses the same hash.
  if (purpose.rsa_pss && (EVP_PKEY_CTX_set_rsa_pss_saltlen(raw, RSA_PSS_SALTLEN_DIGEST) <= 0 ||
                          EVP_PKEY_CTX_set_rsa_mgf1_md(raw, hash) <= 0))
    return nullptr;
  return context;
}

}  // namespace

borrowed_key_context::borrowed_key_context(const library& library, const public_key& key,
                                           key_operation operation, std::size_t hash_index,
                                           bool rsa_pss)
    : key_{key}, purpose_{library.context(), operation, hash_index, rsa_pss} {
  auto& kept = key.kept();
  {
    std::lock_guard lock{kept.mutex};
    auto at = std::find_if(kept.free.begin(), kept.free.end(),
                           [&](const auto& one) { return one.purpose == purpose_; });
    if (at != kept.free.end()) {
      context_ = std::move(at->context);
      kept.free.erase(at);
      return;
    }
  }
  context_ = new_context(key, purpose_, library);
}

borrowed_key_context::~borrowed_key_context() {
  if (!context_) return;
  auto& kept = key_.kept();
  std::lock_guard lock{kept.mutex};
  if (kept.free.size() < public_key::kept_contexts::count_max)
    kept.free.push_back({purpose_, std::move(context_)});
}

std::optional<key_kind> kind_of(const evp_pkey_st* key) {
  if (EVP_PKEY_is_a(key, "RSA")) return key_kind::rsa;
  if (EVP_PKEY_is_a(key, "ED25519")) return key_kind::ed25519;
  if (!EVP_PKEY_is_a(key, "EC")) return std::nullopt;
  char name[64] = {};
  std::size_t size = 0;
  if (EVP_PKEY_get_group_name(key, name, sizeof name, &size) != 1) return std::nullopt;
  std::string_view group{name, size};
  for (auto known : {"prime256v1", "secp384r1", "secp521r1", "P-256", "P-384", "P-521"})
    if (group == known) return key_kind::ecdsa;
  return std::nullopt;
}

public_key::public_key(evp_pkey_st* key) : key_{key}, kept_{std::make_unique<kept_contexts>()} {
  auto kind = key == nullptr ? std::nullopt : kind_of(key);
  if (!kind) std::abort();
  kind_ = *kind;
}

public_key::~public_key() {
  kept_.reset();
  EVP_PKEY_free(key_);
}

int public_key::bits() const { return EVP_PKEY_get_bits(key_); }

bytes public_key::key_id() const {
  X509_PUBKEY* made = nullptr;
  if (X509_PUBKEY_set(&made, key_) != 1) return {};
  owned_public_info info{made};
  const unsigned char* octets = nullptr;
  int size = 0;
  if (X509_PUBKEY_get0_param(nullptr, &octets, &size, nullptr, made) != 1) return {};
  return sha1_of({octets, static_cast<std::size_t>(size)});
}

bytes public_key::info_hash() const { return sha1_of(encoded(key_, i2d_PUBKEY)); }

result<std::shared_ptr<const private_key>> private_key::load(const library& library,
                                                             bytes_view data,
                                                             bytes_view passphrase) {
  EVP_PKEY* key = nullptr;
  bool passphrase_wanted = false;
  owned_decoder decoder{OSSL_DECODER_CTX_new_for_pkey(
      &key, nullptr, nullptr, nullptr, EVP_PKEY_KEYPAIR, library.context(), nullptr)};
  if (!decoder) return openssl_failure(errc::crypto_failed, "private key");
  if (passphrase.empty()) {
    OSSL_DECODER_CTX_set_pem_password_cb(decoder.get(), note_passphrase_wanted, &passphrase_wanted);
  } else {
    OSSL_DECODER_CTX_set_passphrase(decoder.get(), passphrase.data(), passphrase.size());
  }
  auto block = from_private_block(data);
  const auto* at = block.data();
  auto size_left = block.size();
  OSSL_DECODER_from_data(decoder.get(), &at, &size_left);
  owned_key owner{key};
  if (key == nullptr) {
    if (passphrase_wanted) {
      ERR_clear_error();
      return {errc::bad_key, "private key (encrypted, and there is no passphrase)"};
    }
    return openssl_failure(errc::bad_key, "private key");
  }
  ERR_clear_error();
  if (!kind_of(key))
    return {errc::bad_key,
            "private key (neither RSA, ECDSA on P-256, P-384 "
            "or P-521, nor Ed25519)"};
  return std::make_shared<const private_key>(library, owner.release());
}

private_key::private_key(const library&, evp_pkey_st* key)
    : public_{std::make_shared<const public_key>(key)} {}

private_key::~private_key() = default;

evp_pkey_st* private_key::handle() const { return public_->handle(); }

}  // namespace imago::crypto
