// What a protection holds; apart so that a test can set the IV counter near its end.
#pragma once

#include "core/crypto/protection.hpp"

namespace imago::crypto {

// Keys only, no cipher contexts: those are kept per thread, an idle SA is small.
struct protection::state {
  const library* owner = nullptr;
  protection_sizes sizes;
  std::size_t cipher_index = 0;
  std::size_t hash_index = 0;
  secret encryption_key;
  secret integrity_key;
  std::uint64_t next_iv = 0;
  bool ivs_are_exhausted = false;

  bytes_view key() const;
  bytes_view salt() const;
  bool compute_icv(bytes_view associated, bytes_view body, std::span<std::uint8_t> out) const;
  // Encrypts `text` in place.
  bool seal_aead(bytes_view associated, std::span<std::uint8_t> iv, std::span<std::uint8_t> text,
                 std::span<std::uint8_t> icv);
  bool run_cbc(bool encrypt, bytes_view iv, bytes_view from, std::span<std::uint8_t> to) const;
  status open_aead(bytes_view associated, bytes_view iv, bytes_view ciphertext, bytes_view icv,
                   secret& plaintext) const;
  status open_cbc(bytes_view associated, bytes_view body, bytes_view ciphertext, bytes_view icv,
                  secret& plaintext) const;
};

}  // namespace imago::crypto
