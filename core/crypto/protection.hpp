// Seals and opens with a key: the encryption and integrity of SK payloads (RFC 7296 §3.14,
// RFC 5282, RFC 7634). One object per direction and key; not for use by two threads at once.
#pragma once

#include <memory>

#include "core/base/iana.hpp"
#include "core/base/result.hpp"
#include "core/base/secret.hpp"
#include "core/crypto/library.hpp"

namespace imago::crypto {

// What an encryption and integrity pair needs and adds, in octets. All zero if unsupported.
struct protection_sizes {
  std::size_t encryption_key = 0;  // salt included
  std::size_t salt = 0;            // 4 for AEAD, else 0
  std::size_t integrity_key = 0;   // 0 for AEAD
  std::size_t iv = 0;              // explicit IV on the wire: 8 (AEAD) or 16 (CBC)
  std::size_t block = 1;           // padding alignment: 16 for CBC, 1 for AEAD
  std::size_t icv = 0;
  bool is_aead = false;
};
// AES key sizes 128, 192, 256 for CBC, 128, 256 for GCM; ChaCha20-Poly1305: key_bits 0 or 256.
// AEAD with integrity other than none, or CBC without integrity: all zero.
protection_sizes sizes_of(encryption_algorithm encryption, std::uint16_t key_bits,
                          integrity_algorithm integrity);

class protection {
 public:
  // Errors: unsupported_algorithm, bad_key (sizes).
  static result<protection> create(const library& library, encryption_algorithm encryption,
                                   std::uint16_t key_bits, integrity_algorithm integrity,
                                   secret encryption_key, secret integrity_key);
  protection(protection&&) noexcept;
  protection& operator=(protection&&) noexcept;
  ~protection();

  const protection_sizes& sizes() const;

  // The octets that sealing appends to the associated data: IV | ciphertext | ICV. `plaintext` is
  // whole payloads; padding and Pad Length are added here. AEAD: the IV is a counter kept here
  // (counter_exhausted after 2^64 - 1); CBC: `random` gives it.
  result<bytes> seal(random_source& random, bytes_view associated, bytes_view plaintext);
  // How long seal's result will be for a plaintext of that size.
  std::size_t sealed_size(std::size_t plaintext_size) const;

  // `body` is IV | ciphertext | ICV. The plaintext, padding removed. Errors: input_too_short,
  // integrity_failed (before anything is decrypted), bad_padding.
  result<secret> open(bytes_view associated, bytes_view body);

 private:
  struct state;
  explicit protection(std::unique_ptr<state> state);
  std::unique_ptr<state> state_;
  friend struct protection_probe;  // tests reach the IV counter through it
};

}  // namespace imago::crypto
