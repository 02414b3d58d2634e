#include "core/crypto/protection.hpp"

#include <algorithm>
#include <limits>

#include <openssl/err.h>

#include "core/crypto/openssl.hpp"
#include "core/crypto/protection_state.hpp"

namespace imago::crypto {

namespace {

constexpr std::size_t nonce_size = 12;

// RFC 5282 §4, RFC 7634 §3: the nonce is salt | IV.
std::array<std::uint8_t, nonce_size> nonce_of(bytes_view salt, bytes_view iv) {
  std::array<std::uint8_t, nonce_size> nonce{};
  std::copy(salt.begin(), salt.end(), nonce.begin());
  std::copy(iv.begin(), iv.end(), nonce.begin() + static_cast<std::ptrdiff_t>(salt.size()));
  return nonce;
}

int as_int(std::size_t size) { return static_cast<int>(size); }

}  // namespace

protection_sizes sizes_of(encryption_algorithm encryption, std::uint16_t key_bits,
                          integrity_algorithm integrity) {
  protection_sizes sizes;
  if (index_of(encryption, key_bits) == no_index) return {};
  if (encryption == encryption_algorithm::aes_cbc) {
    auto hash_index = index_of(integrity);
    if (hash_index == no_index) return {};
    sizes.encryption_key = key_bits / 8U;
    sizes.iv = 16;
    sizes.block = 16;
    // RFC 4868 §2.6: the key is as long as the hash, the ICV half of it.
    sizes.integrity_key = hash_index == 1 ? 32 : hash_index == 2 ? 48 : 64;
    sizes.icv = sizes.integrity_key / 2;
    return sizes;
  }
  if (integrity != integrity_algorithm::none) return {};
  sizes.salt = 4;
  sizes.encryption_key = sizes.salt + (key_bits == 0 ? 32U : key_bits / 8U);
  sizes.iv = 8;
  sizes.icv = 16;
  sizes.is_aead = true;
  return sizes;
}

protection::protection(std::unique_ptr<state> state) : state_{std::move(state)} {}
protection::protection(protection&&) noexcept = default;
protection& protection::operator=(protection&&) noexcept = default;
protection::~protection() = default;

const protection_sizes& protection::sizes() const { return state_->sizes; }

result<protection> protection::create(const library& library, encryption_algorithm encryption,
                                      std::uint16_t key_bits, integrity_algorithm integrity,
                                      secret encryption_key, secret integrity_key) {
  auto sizes = sizes_of(encryption, key_bits, integrity);
  if (sizes.encryption_key == 0)
    return {errc::unsupported_algorithm, text_of(encryption) + " with " + text_of(integrity)};
  if (encryption_key.size() != sizes.encryption_key || integrity_key.size() != sizes.integrity_key)
    return {errc::bad_key, text_of(encryption)};
  auto made = std::make_unique<state>();
  made->owner = &library;
  made->sizes = sizes;
  made->cipher_index = index_of(encryption, key_bits);
  made->hash_index = index_of(integrity);
  made->encryption_key = std::move(encryption_key);
  made->integrity_key = std::move(integrity_key);
  return protection{std::move(made)};
}

std::size_t protection::sealed_size(std::size_t plaintext_size) const {
  const auto& sizes = state_->sizes;
  // Pad Length is one octet; it ends the last block (RFC 7296 §3.14).
  auto padded = (plaintext_size + 1 + sizes.block - 1) / sizes.block * sizes.block;
  return sizes.iv + padded + sizes.icv;
}

bytes_view protection::state::key() const {
  return encryption_key.view().first(sizes.encryption_key - sizes.salt);
}

bytes_view protection::state::salt() const {
  return encryption_key.view().subspan(sizes.encryption_key - sizes.salt);
}

// Over associated | IV | ciphertext (RFC 7296 §3.14), truncated by the comparison.
bool protection::state::compute_icv(bytes_view associated, bytes_view body,
                                    std::span<std::uint8_t> out) const {
  auto* context = keyed_hmac(*owner, hash_index, integrity_key.view());
  std::size_t size = 0;
  return context != nullptr && EVP_MAC_update(context, associated.data(), associated.size()) == 1 &&
         EVP_MAC_update(context, body.data(), body.size()) == 1 &&
         EVP_MAC_final(context, out.data(), &size, out.size()) == 1;
}

bool protection::state::seal_aead(bytes_view associated, std::span<std::uint8_t> iv,
                                  std::span<std::uint8_t> text, std::span<std::uint8_t> icv) {
  for (int i = 0; i < 8; ++i)
    iv[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(next_iv >> (56 - 8 * i));
  auto nonce = nonce_of(salt(), iv);
  auto* context = cipher_context(*owner, cipher_index);
  int size = 0;
  return context != nullptr &&
         EVP_EncryptInit_ex2(context, nullptr, key().data(), nonce.data(), nullptr) == 1 &&
         EVP_EncryptUpdate(context, nullptr, &size, associated.data(), as_int(associated.size())) ==
             1 &&
         EVP_EncryptUpdate(context, text.data(), &size, text.data(), as_int(text.size())) == 1 &&
         EVP_EncryptFinal_ex(context, text.data() + size, &size) == 1 &&
         EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, as_int(icv.size()), icv.data()) == 1;
}

bool protection::state::run_cbc(bool encrypt, bytes_view iv, bytes_view from,
                                std::span<std::uint8_t> to) const {
  auto* context = cipher_context(*owner, cipher_index);
  int size = 0;
  // The context is kept and may come from the other direction: say the direction each time.
  return context != nullptr &&
         EVP_CipherInit_ex2(context, nullptr, key().data(), iv.data(), encrypt ? 1 : 0, nullptr) ==
             1 &&
         EVP_CIPHER_CTX_set_padding(context, 0) == 1 &&
         EVP_CipherUpdate(context, to.data(), &size, from.data(), as_int(from.size())) == 1 &&
         size == as_int(to.size());
}

result<bytes> protection::seal(random_source& random, bytes_view associated, bytes_view plaintext) {
  auto& my = *state_;
  const auto& sizes = my.sizes;
  // An IV may never repeat under one key (RFC 5282 §3.1).
  if (sizes.is_aead && my.ivs_are_exhausted) return {errc::counter_exhausted, "IV"};
  bytes out(sealed_size(plaintext.size()));
  if (out.size() > std::numeric_limits<int>::max()) return {errc::input_too_long, "plaintext"};
  std::span<std::uint8_t> whole{out};
  auto iv = whole.first(sizes.iv);
  auto text = whole.subspan(sizes.iv, out.size() - sizes.iv - sizes.icv);
  auto icv = whole.last(sizes.icv);
  std::copy(plaintext.begin(), plaintext.end(), text.begin());
  text.back() = static_cast<std::uint8_t>(text.size() - plaintext.size() - 1);
  if (sizes.is_aead) {
    bool sealed = my.seal_aead(associated, iv, text, icv);
    my.ivs_are_exhausted = my.next_iv == std::numeric_limits<std::uint64_t>::max();
    ++my.next_iv;
    if (sealed) return out;
  } else {
    random.fill(iv);
    std::array<std::uint8_t, EVP_MAX_MD_SIZE> mac{};
    if (my.run_cbc(true, iv, text, text) &&
        my.compute_icv(associated, whole.first(out.size() - sizes.icv), mac)) {
      std::copy_n(mac.begin(), sizes.icv, icv.begin());
      return out;
    }
  }
  wipe(out);
  return openssl_failure(errc::crypto_failed, "sealing");
}

status protection::state::open_aead(bytes_view associated, bytes_view iv, bytes_view ciphertext,
                                    bytes_view icv, secret& plaintext) const {
  auto nonce = nonce_of(salt(), iv);
  auto* context = cipher_context(*owner, cipher_index);
  int size = 0;
  if (context == nullptr ||
      EVP_DecryptInit_ex2(context, nullptr, key().data(), nonce.data(), nullptr) != 1 ||
      EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, as_int(icv.size()),
                          const_cast<std::uint8_t*>(icv.data())) != 1 ||
      EVP_DecryptUpdate(context, nullptr, &size, associated.data(), as_int(associated.size())) !=
          1 ||
      EVP_DecryptUpdate(context, plaintext.data(), &size, ciphertext.data(),
                        as_int(ciphertext.size())) != 1)
    return openssl_failure(errc::crypto_failed, "opening");
  if (EVP_DecryptFinal_ex(context, plaintext.data() + size, &size) != 1) {
    ERR_clear_error();
    return errc::integrity_failed;
  }
  return {};
}

status protection::state::open_cbc(bytes_view associated, bytes_view body, bytes_view ciphertext,
                                   bytes_view icv, secret& plaintext) const {
  std::array<std::uint8_t, EVP_MAX_MD_SIZE> mac{};
  if (!compute_icv(associated, body.first(body.size() - icv.size()), mac))
    return openssl_failure(errc::crypto_failed, "opening");
  if (!equal_in_constant_time(bytes_view{mac}.first(icv.size()), icv))
    return errc::integrity_failed;
  if (ciphertext.size() % sizes.block != 0) return {errc::bad_length, "ciphertext"};
  if (!run_cbc(false, body.first(sizes.iv), ciphertext, {plaintext.data(), plaintext.size()}))
    return openssl_failure(errc::crypto_failed, "opening");
  return {};
}

result<secret> protection::open(bytes_view associated, bytes_view body) {
  const auto& my = *state_;
  const auto& sizes = my.sizes;
  if (body.size() < sizes.iv + sizes.block + sizes.icv) return {errc::input_too_short, "SK"};
  if (body.size() > std::numeric_limits<int>::max() ||
      associated.size() > std::numeric_limits<int>::max())
    return {errc::input_too_long, "SK"};
  auto ciphertext = body.subspan(sizes.iv, body.size() - sizes.iv - sizes.icv);
  auto icv = body.last(sizes.icv);
  secret padded{ciphertext.size()};
  auto opened = sizes.is_aead
                    ? my.open_aead(associated, body.first(sizes.iv), ciphertext, icv, padded)
                    : my.open_cbc(associated, body, ciphertext, icv, padded);
  if (!opened) return opened.failure();
  // Any padding octets are accepted, any Pad Length that fits (RFC 7296 §3.14).
  std::size_t pad_length = padded.view().back();
  if (pad_length + 1 > padded.size()) return errc::bad_padding;
  return secret{padded.view().first(padded.size() - pad_length - 1)};
}

}  // namespace imago::crypto
