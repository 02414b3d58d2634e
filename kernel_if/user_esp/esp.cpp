#include "kernel_if/user_esp/esp.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "kernel_if/checks.hpp"

namespace imago::kernel_if::user_esp {

namespace {

constexpr std::size_t salt_size = 4;
constexpr std::size_t nonce_size = 12;
constexpr std::size_t trailer_size_min = 2;      // pad length, next header
constexpr std::size_t payload_size_max = 65535;  // an IP packet

const char* cipher_name(const data_plane::sa_parameters& sa) {
  switch (sa.encryption) {
    case encryption_algorithm::chacha20_poly1305: return "ChaCha20-Poly1305";
    case encryption_algorithm::aes_gcm_16:
      return sa.key_bits == 128   ? "AES-128-GCM"
             : sa.key_bits == 192 ? "AES-192-GCM"
                                  : "AES-256-GCM";
    default:
      return sa.key_bits == 128   ? "AES-128-CBC"
             : sa.key_bits == 192 ? "AES-192-CBC"
                                  : "AES-256-CBC";
  }
}

const char* digest_name(integrity_algorithm algorithm) {
  switch (algorithm) {
    case integrity_algorithm::hmac_sha2_384_192: return "SHA2-384";
    case integrity_algorithm::hmac_sha2_512_256: return "SHA2-512";
    default: return "SHA2-256";
  }
}

std::size_t truncated_size(integrity_algorithm algorithm) {  // RFC 4868 §2.6
  switch (algorithm) {
    case integrity_algorithm::hmac_sha2_384_192: return 24;
    case integrity_algorithm::hmac_sha2_512_256: return 32;
    default: return 16;
  }
}

void put_u32(std::uint8_t* to, std::uint32_t value) {
  for (int i = 0; i < 4; ++i) to[i] = static_cast<std::uint8_t>(value >> (24 - 8 * i));
}

void put_u64(std::uint8_t* to, std::uint64_t value) {
  put_u32(to, static_cast<std::uint32_t>(value >> 32));
  put_u32(to + 4, static_cast<std::uint32_t>(value));
}

evp_mac_ctx_st* make_mac(const data_plane::sa_parameters& sa) {
  EVP_MAC* hmac = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
  EVP_MAC_CTX* context = hmac ? EVP_MAC_CTX_new(hmac) : nullptr;
  EVP_MAC_free(hmac);
  OSSL_PARAM choice[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
                                       const_cast<char*>(digest_name(sa.integrity)), 0),
      OSSL_PARAM_construct_end()};
  auto key = sa.integrity_key.view();
  if (context && EVP_MAC_init(context, key.data(), key.size(), choice) == 1) return context;
  EVP_MAC_CTX_free(context);
  return nullptr;
}

}  // namespace

void esp_transform::free_cipher::operator()(evp_cipher_ctx_st* context) const {
  EVP_CIPHER_CTX_free(context);
}
void esp_transform::free_mac::operator()(evp_mac_ctx_st* context) const {
  EVP_MAC_CTX_free(context);
}

result<esp_transform> esp_transform::make(const data_plane::sa_parameters& sa) {
  esp_transform made;
  made.uses_esn_ = sa.uses_esn;
  auto key = sa.encryption_key.view();
  if (is_aead(sa.encryption)) {
    made.salt_ = secret{key.last(salt_size)};
    key = key.first(key.size() - salt_size);
    made.iv_size_ = 8;
    made.icv_size_ = 16;
  } else {
    made.iv_size_ = 16;
    made.alignment_ = 16;
    made.icv_size_ = truncated_size(sa.integrity);
    made.mac_.reset(make_mac(sa));
    if (!made.mac_) return {errc::crypto_failed, text_of(sa.integrity)};
  }
  made.cipher_.reset(EVP_CIPHER_CTX_new());
  EVP_CIPHER* cipher = EVP_CIPHER_fetch(nullptr, cipher_name(sa), nullptr);
  int encrypts = sa.id.direction == data_plane::direction::outbound ? 1 : 0;
  bool ok =
      made.cipher_ && cipher &&
      EVP_CipherInit_ex2(made.cipher_.get(), cipher, key.data(), nullptr, encrypts, nullptr) == 1 &&
      EVP_CIPHER_CTX_set_padding(made.cipher_.get(), 0) == 1;
  EVP_CIPHER_free(cipher);
  if (!ok) return {errc::crypto_failed, text_of(sa.encryption)};
  return made;
}

std::size_t esp_transform::overhead_max() const {
  return esp_header_size + iv_size_ + alignment_ - 1 + trailer_size_min + icv_size_;
}

// RFC 4106 §5, RFC 7634 §2.1: SPI and sequence number, the latter with all its 64 bits for ESN.
std::size_t esp_transform::additional_data(const esp_numbers& numbers, std::uint8_t* out) const {
  put_u32(out, numbers.spi);
  if (uses_esn_) {
    put_u64(out + 4, numbers.sequence);
    return 12;
  }
  put_u32(out + 4, static_cast<std::uint32_t>(numbers.sequence));
  return 8;
}

// The ICV over the packet as sent and, for ESN, the high half that is not sent (RFC 4303 §2.8).
bool esp_transform::mac(const esp_numbers& numbers, bytes_view packet, std::uint8_t* out) const {
  std::array<std::uint8_t, EVP_MAX_MD_SIZE> whole;
  std::uint8_t high[4];
  put_u32(high, static_cast<std::uint32_t>(numbers.sequence >> 32));
  std::size_t size = 0;
  auto* context = mac_.get();
  bool ok = EVP_MAC_init(context, nullptr, 0, nullptr) == 1 &&
            EVP_MAC_update(context, packet.data(), packet.size()) == 1 &&
            (!uses_esn_ || EVP_MAC_update(context, high, sizeof high) == 1) &&
            EVP_MAC_final(context, whole.data(), &size, whole.size()) == 1 && size >= icv_size_;
  if (ok) std::memcpy(out, whole.data(), icv_size_);
  return ok;
}

status esp_transform::seal(const esp_numbers& numbers, std::uint8_t next_header, bytes_view payload,
                           random_source& random, bytes& out) {
  if (payload.size() > payload_size_max) return errc::input_too_long;
  std::size_t unpadded = payload.size() + trailer_size_min;
  std::size_t padding = (alignment_ - unpadded % alignment_) % alignment_;
  std::size_t clear_at = esp_header_size + iv_size_;
  out.resize(clear_at + unpadded + padding + icv_size_);
  put_u32(out.data(), numbers.spi);
  put_u32(out.data() + 4, static_cast<std::uint32_t>(numbers.sequence));
  auto* at = std::copy(payload.begin(), payload.end(), out.data() + clear_at);
  for (std::size_t i = 1; i <= padding; ++i) *at++ = static_cast<std::uint8_t>(i);  // §2.4
  *at++ = static_cast<std::uint8_t>(padding);
  *at = next_header;
  bool ok = mac_ ? seal_cbc(numbers, random, out) : seal_aead(numbers, out);
  if (ok) return {};
  wipe(out);  // the plaintext stands there
  return errc::crypto_failed;
}

bool esp_transform::seal_aead(const esp_numbers& numbers, bytes& out) {
  std::uint8_t nonce[nonce_size];
  std::memcpy(nonce, salt_.view().data(), salt_size);
  put_u64(nonce + salt_size, numbers.sequence);
  put_u64(out.data() + esp_header_size, numbers.sequence);
  std::uint8_t extra[12];
  auto extra_size = static_cast<int>(additional_data(numbers, extra));
  auto* clear = out.data() + esp_header_size + iv_size_;
  auto size = static_cast<int>(out.size() - esp_header_size - iv_size_ - icv_size_);
  auto* context = cipher_.get();
  int count = 0;
  return EVP_EncryptInit_ex2(context, nullptr, nullptr, nonce, nullptr) == 1 &&
         EVP_EncryptUpdate(context, nullptr, &count, extra, extra_size) == 1 &&
         EVP_EncryptUpdate(context, clear, &count, clear, size) == 1 && count == size &&
         EVP_EncryptFinal_ex(context, clear + size, &count) == 1 &&
         EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, static_cast<int>(icv_size_),
                             clear + size) == 1;
}

bool esp_transform::seal_cbc(const esp_numbers& numbers, random_source& random, bytes& out) {
  auto* iv = out.data() + esp_header_size;
  random.fill({iv, iv_size_});
  auto* clear = iv + iv_size_;
  auto size = static_cast<int>(out.size() - esp_header_size - iv_size_ - icv_size_);
  int count = 0;
  return EVP_EncryptInit_ex2(cipher_.get(), nullptr, nullptr, iv, nullptr) == 1 &&
         EVP_EncryptUpdate(cipher_.get(), clear, &count, clear, size) == 1 && count == size &&
         mac(numbers, bytes_view{out}.first(out.size() - icv_size_), clear + size);
}

result<std::uint8_t> esp_transform::open(const esp_numbers& numbers, bytes_view packet,
                                         bytes& out) {
  std::size_t around = esp_header_size + iv_size_ + icv_size_;
  if (packet.size() < around + alignment_) return errc::input_too_short;
  std::size_t size = packet.size() - around;
  if (size % alignment_ != 0) return errc::bad_length;
  out.resize(size);
  bool opened = false;
  if (mac_) {
    auto code = open_cbc(numbers, packet, out, opened);
    if (!opened) {
      wipe(out);
      return code;
    }
  } else if (!open_aead(numbers, packet, out)) {
    wipe(out);  // unauthenticated plaintext goes nowhere
    return errc::integrity_failed;
  }
  auto next_header = out[size - 1];
  std::size_t padding = out[size - 2];
  if (padding + trailer_size_min > size) return errc::bad_padding;
  auto payload_size = size - trailer_size_min - padding;
  for (std::size_t i = 0; i < padding; ++i)  // RFC 4303 §2.4: SHOULD inspect
    if (out[payload_size + i] != i + 1) return errc::bad_padding;
  out.resize(payload_size);
  return next_header;
}

bool esp_transform::open_aead(const esp_numbers& numbers, bytes_view packet, bytes& out) {
  std::uint8_t nonce[nonce_size];
  std::memcpy(nonce, salt_.view().data(), salt_size);
  std::memcpy(nonce + salt_size, packet.data() + esp_header_size, iv_size_);
  std::uint8_t extra[12];
  auto extra_size = static_cast<int>(additional_data(numbers, extra));
  auto size = static_cast<int>(out.size());
  const auto* sealed = packet.data() + esp_header_size + iv_size_;
  auto* icv = const_cast<std::uint8_t*>(sealed + size);  // OpenSSL only reads it
  auto* context = cipher_.get();
  int count = 0;
  return EVP_DecryptInit_ex2(context, nullptr, nullptr, nonce, nullptr) == 1 &&
         EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, static_cast<int>(icv_size_), icv) ==
             1 &&
         EVP_DecryptUpdate(context, nullptr, &count, extra, extra_size) == 1 &&
         EVP_DecryptUpdate(context, out.data(), &count, sealed, size) == 1 && count == size &&
         EVP_DecryptFinal_ex(context, out.data() + size, &count) == 1;
}

errc esp_transform::open_cbc(const esp_numbers& numbers, bytes_view packet, bytes& out,
                             bool& opened) {
  std::array<std::uint8_t, EVP_MAX_MD_SIZE> expected;
  auto authentic = packet.first(packet.size() - icv_size_);
  if (!mac(numbers, authentic, expected.data())) return errc::crypto_failed;
  if (!equal_in_constant_time({expected.data(), icv_size_}, packet.last(icv_size_)))
    return errc::integrity_failed;
  const auto* iv = packet.data() + esp_header_size;
  auto size = static_cast<int>(out.size());
  int count = 0;
  opened = EVP_DecryptInit_ex2(cipher_.get(), nullptr, nullptr, iv, nullptr) == 1 &&
           EVP_DecryptUpdate(cipher_.get(), out.data(), &count, iv + iv_size_, size) == 1 &&
           count == size;
  return errc::crypto_failed;
}

}  // namespace imago::kernel_if::user_esp
