#include "core/crypto/library.hpp"

#include <algorithm>
#include <atomic>
#include <cstdlib>

#include <openssl/err.h>
#include <openssl/rand.h>

#include "core/crypto/openssl.hpp"

namespace imago::crypto {

namespace {

constexpr std::array<const char*, hash_count> hash_names = {"SHA1", "SHA2-256", "SHA2-384",
                                                            "SHA2-512"};
constexpr std::array<const char*, cipher_count> cipher_names = {
    "AES-128-CBC", "AES-192-CBC", "AES-256-CBC", "AES-128-GCM", "AES-256-GCM", "ChaCha20-Poly1305"};
constexpr std::array<ke_method, ke_method_count> ke_methods = {
    ke_method::modp_2048, ke_method::modp_3072, ke_method::modp_4096, ke_method::ecp_256,
    ke_method::ecp_384,   ke_method::ecp_521,   ke_method::curve25519};

owned_key make_template(OSSL_LIB_CTX* context, ke_method method) {
  owned_key_context maker{
      EVP_PKEY_CTX_new_from_name(context, is_modp(method) ? "DH" : "EC", nullptr)};
  EVP_PKEY* key = nullptr;
  if (!maker || EVP_PKEY_paramgen_init(maker.get()) <= 0 ||
      EVP_PKEY_CTX_set_group_name(maker.get(), group_name(method)) <= 0 ||
      EVP_PKEY_paramgen(maker.get(), &key) <= 0)
    return nullptr;
  return owned_key{key};
}

owned_bignum modulus_minus_one(const EVP_PKEY* key) {
  BIGNUM* p = nullptr;
  if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_FFC_P, &p) != 1) return nullptr;
  owned_bignum modulus{p};
  if (BN_sub_word(p, 1) != 1) return nullptr;
  return modulus;
}

// The slots of this thread, one per library it has used. When the thread ends, so do its contexts.
class thread_slots {
 public:
  struct entry {
    std::uint64_t serial;
    std::shared_ptr<context_slot> slot;
  };
  ~thread_slots() {
    for (auto& [serial, slot] : entries_) {
      std::lock_guard lock{slot->mutex};
      slot->contexts.reset();
    }
  }
  context_slot* find(std::uint64_t serial) {
    for (auto& [known, slot] : entries_)
      if (known == serial) return slot.get();
    return nullptr;
  }
  void add(std::uint64_t serial, std::shared_ptr<context_slot> slot) {
    std::erase_if(entries_, [](const entry& one) {
      std::lock_guard lock{one.slot->mutex};
      return one.slot->library_ended;
    });
    entries_.push_back({serial, std::move(slot)});
  }

 private:
  std::vector<entry> entries_;
};

}  // namespace

std::size_t index_of(hash_algorithm algorithm) {
  switch (algorithm) {
    case hash_algorithm::sha1: return 0;
    case hash_algorithm::sha2_256: return 1;
    case hash_algorithm::sha2_384: return 2;
    case hash_algorithm::sha2_512: return 3;
    default: return no_index;
  }
}

std::size_t index_of(prf_algorithm prf) {
  switch (prf) {
    case prf_algorithm::hmac_sha2_256: return 1;
    case prf_algorithm::hmac_sha2_384: return 2;
    case prf_algorithm::hmac_sha2_512: return 3;
    default: return no_index;
  }
}

std::size_t index_of(integrity_algorithm integrity) {
  switch (integrity) {
    case integrity_algorithm::hmac_sha2_256_128: return 1;
    case integrity_algorithm::hmac_sha2_384_192: return 2;
    case integrity_algorithm::hmac_sha2_512_256: return 3;
    default: return no_index;
  }
}

std::size_t index_of(encryption_algorithm encryption, std::uint16_t key_bits) {
  switch (encryption) {
    case encryption_algorithm::aes_cbc:
      return key_bits == 128 ? 0 : key_bits == 192 ? 1 : key_bits == 256 ? 2 : no_index;
    case encryption_algorithm::aes_gcm_16:
      return key_bits == 128 ? 3 : key_bits == 256 ? 4 : no_index;
    case encryption_algorithm::chacha20_poly1305:
      return key_bits == 0 || key_bits == 256 ? 5 : no_index;
    default: return no_index;
  }
}

std::size_t index_of(ke_method method) {
  auto at = std::find(ke_methods.begin(), ke_methods.end(), method);
  return at == ke_methods.end() ? no_index : static_cast<std::size_t>(at - ke_methods.begin());
}

const char* hash_name(std::size_t index) { return hash_names[index]; }

const char* group_name(ke_method method) {
  switch (method) {
    case ke_method::modp_2048: return "modp_2048";
    case ke_method::modp_3072: return "modp_3072";
    case ke_method::modp_4096: return "modp_4096";
    case ke_method::ecp_256: return "P-256";
    case ke_method::ecp_384: return "P-384";
    case ke_method::ecp_521: return "P-521";
    default: return "";
  }
}

bool is_modp(ke_method method) {
  return method == ke_method::modp_2048 || method == ke_method::modp_3072 ||
         method == ke_method::modp_4096;
}

bool is_ecp(ke_method method) {
  return method == ke_method::ecp_256 || method == ke_method::ecp_384 ||
         method == ke_method::ecp_521;
}

library::library() : library{nullptr} {}

library::library(ossl_lib_ctx_st* context)
    : context_{context}, algorithms_{std::make_unique<algorithms>()} {
  static std::atomic<std::uint64_t> serials{0};
  auto& all = *algorithms_;
  all.serial = ++serials;
  for (std::size_t i = 0; i < hash_count; ++i)
    all.hashes[i].reset(EVP_MD_fetch(context, hash_names[i], nullptr));
  all.hmac.reset(EVP_MAC_fetch(context, "HMAC", nullptr));
  for (std::size_t i = 0; i < cipher_count; ++i)
    all.ciphers[i].reset(EVP_CIPHER_fetch(context, cipher_names[i], nullptr));
  for (std::size_t i = 0; i < ke_method_count; ++i) {
    if (ke_methods[i] == ke_method::curve25519) continue;
    all.templates[i] = make_template(context, ke_methods[i]);
    if (is_modp(ke_methods[i]) && all.templates[i])
      all.moduli[i] = modulus_minus_one(all.templates[i].get());
  }
  // What a provider lacks stays null and is refused where it is used.
  ERR_clear_error();
}

library::~library() {
  std::lock_guard lock{algorithms_->mutex};
  for (auto& weak : algorithms_->slots) {
    auto slot = weak.lock();
    if (!slot) continue;
    std::lock_guard slot_lock{slot->mutex};
    slot->contexts.reset();
    slot->library_ended = true;
  }
}

void library::fill(std::span<std::uint8_t> out) {
  if (!out.empty() && RAND_bytes_ex(context_, out.data(), out.size(), 0) != 1) std::abort();
}

thread_contexts& contexts_of(const library& library) {
  thread_local thread_slots mine;
  const auto& all = library.fetched();
  if (auto* slot = mine.find(all.serial)) return *slot->contexts;
  auto slot = std::make_shared<context_slot>();
  slot->contexts = std::make_unique<thread_contexts>();
  mine.add(all.serial, slot);
  std::lock_guard lock{all.mutex};
  std::erase_if(all.slots, [](const auto& weak) { return weak.expired(); });
  all.slots.push_back(slot);
  return *slot->contexts;
}

EVP_MD_CTX* hash_context(const library& library) {
  auto& context = contexts_of(library).hash;
  if (!context) context.reset(EVP_MD_CTX_new());
  return context.get();
}

EVP_MAC_CTX* keyed_hmac(const library& library, std::size_t hash_index, bytes_view key) {
  auto& context = contexts_of(library).hmac[hash_index];
  if (!context) {
    if (!library.fetched().hmac) return nullptr;
    owned_mac_context fresh{EVP_MAC_CTX_new(library.fetched().hmac.get())};
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
                                         const_cast<char*>(hash_names[hash_index]), 0),
        OSSL_PARAM_construct_end()};
    if (!fresh || EVP_MAC_CTX_set_params(fresh.get(), parameters) != 1) return nullptr;
    context = std::move(fresh);
  }
  // A null key would mean the previous one; an empty one must not.
  static constexpr std::uint8_t nothing = 0;
  const auto* octets = key.empty() ? &nothing : key.data();
  return EVP_MAC_init(context.get(), octets, key.size(), nullptr) == 1 ? context.get() : nullptr;
}

EVP_CIPHER_CTX* cipher_context(const library& library, std::size_t cipher_index) {
  auto& context = contexts_of(library).ciphers[cipher_index];
  if (!context) {
    const auto& cipher = library.fetched().ciphers[cipher_index];
    owned_cipher_context fresh{EVP_CIPHER_CTX_new()};
    if (!cipher || !fresh ||
        EVP_CipherInit_ex2(fresh.get(), cipher.get(), nullptr, nullptr, 1, nullptr) != 1)
      return nullptr;
    context = std::move(fresh);
  }
  return context.get();
}

error openssl_failure(errc code, std::string_view what) {
  std::string where{what};
  const char* reason = ERR_reason_error_string(ERR_peek_last_error());
  if (reason != nullptr) where += std::string{" ("} + reason + ")";
  ERR_clear_error();
  return {code, where};
}

}  // namespace imago::crypto
