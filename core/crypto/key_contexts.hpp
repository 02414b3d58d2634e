// Contexts of public key operations, kept with their key: setting one up costs some microseconds,
// and they die with the key. For the files of core/crypto only.
#pragma once

#include "core/crypto/openssl.hpp"
#include "core/crypto/private_key.hpp"

namespace imago::crypto {

enum class key_operation : std::uint8_t { sign, verify, recover };

// What a context was set up for.
struct key_purpose {
  OSSL_LIB_CTX* context = nullptr;
  key_operation operation{};
  std::size_t hash_index = no_index;  // RSA only
  bool rsa_pss = false;
  friend bool operator==(const key_purpose&, const key_purpose&) = default;
};

struct public_key::kept_contexts {
  // As many as threads use one key at once.
  static constexpr std::size_t count_max = 8;
  struct entry {
    key_purpose purpose;
    owned_key_context context;
  };
  std::mutex mutex;  // held for a vector's push or pop
  std::vector<entry> free;
};

// A kept context or a new one, for one operation; given back when this ends. Null inside if
// OpenSSL refuses.
class borrowed_key_context {
 public:
  borrowed_key_context(const library& library, const public_key& key, key_operation operation,
                       std::size_t hash_index = no_index, bool rsa_pss = false);
  ~borrowed_key_context();
  borrowed_key_context(const borrowed_key_context&) = delete;
  borrowed_key_context& operator=(const borrowed_key_context&) = delete;
  EVP_PKEY_CTX* get() const { return context_.get(); }

 private:
  const public_key& key_;
  key_purpose purpose_;
  owned_key_context context_;
};

}  // namespace imago::crypto
