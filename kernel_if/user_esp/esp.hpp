// Seals and opens single ESP packets (RFC 4303 §2) with kept OpenSSL contexts.
#pragma once

#include <memory>

#include "core/base/random.hpp"
#include "core/data_plane/values.hpp"

struct evp_cipher_ctx_st;
struct evp_mac_ctx_st;

namespace imago::kernel_if::user_esp {

inline constexpr std::size_t esp_header_size = 8;  // SPI, sequence number

// The numbers of one SA that bind a packet to its place.
struct esp_numbers {
  data_plane::spi spi = 0;
  std::uint64_t sequence = 0;  // all 64 bits; without ESN the high half is zero
};

// Next header values (IANA protocol numbers) that ESP itself knows.
inline constexpr std::uint8_t next_header_ipv4 = 4;
inline constexpr std::uint8_t next_header_ipv6 = 41;
inline constexpr std::uint8_t next_header_dummy = 59;  // RFC 4303 §2.6

// The algorithms and keys of one SA, for one direction. Not thread-safe: contexts are kept.
class esp_transform {
 public:
  // `sa` must have passed check_parameters. Errors: crypto_failed.
  static result<esp_transform> make(const data_plane::sa_parameters& sa);

  // Writes the whole ESP packet over `out`. `random` gives the IVs of AES-CBC, which must be
  // unpredictable (RFC 3602 §3); those of AEAD are the sequence number, which never repeats under
  // a key (RFC 4106 §3.1). Errors: input_too_long, crypto_failed.
  status seal(const esp_numbers& numbers, std::uint8_t next_header, bytes_view payload,
              random_source& random, bytes& out);

  // Writes the payload over `out`, without trailer, and gives the next header. Errors:
  // input_too_short, bad_length, integrity_failed, bad_padding.
  result<std::uint8_t> open(const esp_numbers& numbers, bytes_view packet, bytes& out);

  // What a packet is longer than its payload, at most.
  std::size_t overhead_max() const;

 private:
  struct free_cipher {
    void operator()(evp_cipher_ctx_st* context) const;
  };
  struct free_mac {
    void operator()(evp_mac_ctx_st* context) const;
  };

  esp_transform() = default;
  std::size_t additional_data(const esp_numbers& numbers, std::uint8_t* out) const;
  bool mac(const esp_numbers& numbers, bytes_view packet, std::uint8_t* out) const;
  bool seal_aead(const esp_numbers& numbers, bytes& out);
  bool seal_cbc(const esp_numbers& numbers, random_source& random, bytes& out);
  bool open_aead(const esp_numbers& numbers, bytes_view packet, bytes& out);
  errc open_cbc(const esp_numbers& numbers, bytes_view packet, bytes& out, bool& opened);

  std::unique_ptr<evp_cipher_ctx_st, free_cipher> cipher_;
  std::unique_ptr<evp_mac_ctx_st, free_mac> mac_;  // null for AEAD
  secret salt_;                                    // AEAD: before the IV in the nonce
  bool uses_esn_ = false;
  std::size_t iv_size_ = 0;
  std::size_t alignment_ = 4;  // of payload and trailer together
  std::size_t icv_size_ = 0;
};

}  // namespace imago::kernel_if::user_esp
