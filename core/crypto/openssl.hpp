// For the files of core/crypto only: OpenSSL objects as owned values, what one library fetched,
// and the contexts that each thread keeps.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "core/base/iana.hpp"
#include "core/base/result.hpp"
#include "core/crypto/library.hpp"

namespace imago::crypto {

template <auto release>
struct releaser {
  template <class T>
  void operator()(T* object) const {
    release(object);
  }
};
template <class T, auto release>
using owned = std::unique_ptr<T, releaser<release>>;

inline void release_octets(void* octets) { OPENSSL_free(octets); }

using owned_octets = owned<unsigned char, release_octets>;
using owned_bio = owned<BIO, BIO_free_all>;
using owned_bignum = owned<BIGNUM, BN_clear_free>;
using owned_key = owned<EVP_PKEY, EVP_PKEY_free>;
using owned_key_context = owned<EVP_PKEY_CTX, EVP_PKEY_CTX_free>;
using owned_hash = owned<EVP_MD, EVP_MD_free>;
using owned_hash_context = owned<EVP_MD_CTX, EVP_MD_CTX_free>;
using owned_mac = owned<EVP_MAC, EVP_MAC_free>;
using owned_mac_context = owned<EVP_MAC_CTX, EVP_MAC_CTX_free>;
using owned_cipher = owned<EVP_CIPHER, EVP_CIPHER_free>;
using owned_cipher_context = owned<EVP_CIPHER_CTX, EVP_CIPHER_CTX_free>;
using owned_x509 = owned<X509, X509_free>;
using owned_name = owned<X509_NAME, X509_NAME_free>;

// Indices of what is fetched; no_index where the algorithm is not ours.
inline constexpr std::size_t no_index = 255;
inline constexpr std::size_t hash_count = 4;
inline constexpr std::size_t cipher_count = 6;
inline constexpr std::size_t ke_method_count = 7;
std::size_t index_of(hash_algorithm algorithm);
std::size_t index_of(prf_algorithm prf);              // the index of its hash
std::size_t index_of(integrity_algorithm integrity);  // the index of its hash
std::size_t index_of(encryption_algorithm encryption, std::uint16_t key_bits);
std::size_t index_of(ke_method method);
const char* hash_name(std::size_t index);
const char* group_name(ke_method method);
bool is_modp(ke_method method);
bool is_ecp(ke_method method);

// Contexts that one thread keeps for one library: set up once, then re-keyed. What the last use
// left in them is overwritten by the next and cleansed when the thread or the library ends.
struct thread_contexts {
  owned_hash_context hash;
  std::array<owned_mac_context, hash_count> hmac;
  std::array<owned_cipher_context, cipher_count> ciphers;
  std::array<owned_key_context, ke_method_count> generators;
};

// Shared by a thread and a library. Whichever ends first frees the contexts, so that none outlives
// the library context that it was fetched from.
struct context_slot {
  std::mutex mutex;  // for the two ends only: the owning thread uses `contexts` without it
  std::unique_ptr<thread_contexts> contexts;
  bool library_ended = false;
};

struct library::algorithms {
  std::uint64_t serial = 0;  // never reused, unlike an address
  std::array<owned_hash, hash_count> hashes;
  owned_mac hmac;
  std::array<owned_cipher, cipher_count> ciphers;
  // Domain parameters only; a peer's encoded key is set on a copy (fromdata costs more than twice).
  std::array<owned_key, ke_method_count> templates;
  std::array<owned_bignum, ke_method_count> moduli;  // MODP: p - 1, the first value too large

  mutable std::mutex mutex;  // guards slots
  mutable std::vector<std::weak_ptr<context_slot>> slots;
};

// The calling thread's contexts for that library.
thread_contexts& contexts_of(const library& library);

// Each gives the thread's own, ready to be used; null if OpenSSL refuses.
EVP_MD_CTX* hash_context(const library& library);
// HMAC with a key set; an empty key is a key.
EVP_MAC_CTX* keyed_hmac(const library& library, std::size_t hash_index, bytes_view key);
EVP_CIPHER_CTX* cipher_context(const library& library, std::size_t cipher_index);

// Empties this thread's OpenSSL error queue into an error: code, and the last reason in `where`.
error openssl_failure(errc code, std::string_view what);

// The octets that an i2d function gives.
template <class T, class Encode>
bytes encoded(T* object, Encode encode) {
  unsigned char* octets = nullptr;
  int size = encode(object, &octets);
  owned_octets owner{octets};
  return size > 0 ? bytes{octets, octets + size} : bytes{};
}

}  // namespace imago::crypto
