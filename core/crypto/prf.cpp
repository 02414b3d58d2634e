#include "core/crypto/prf.hpp"

#include <algorithm>

#include "core/crypto/openssl.hpp"

namespace imago::crypto {

namespace {

// One HMAC with the key that `context` has, into `out` (whole output).
bool finish_hmac(EVP_MAC_CTX* context, std::span<const bytes_view> parts,
                 std::span<std::uint8_t> out) {
  for (auto part : parts)
    if (EVP_MAC_update(context, part.data(), part.size()) != 1) return false;
  std::size_t size = 0;
  return EVP_MAC_final(context, out.data(), &size, out.size()) == 1 && size == out.size();
}

}  // namespace

std::size_t prf_size(prf_algorithm prf) {
  switch (prf) {
    case prf_algorithm::hmac_sha2_256: return 32;
    case prf_algorithm::hmac_sha2_384: return 48;
    case prf_algorithm::hmac_sha2_512: return 64;
    default: return 0;
  }
}

result<secret> prf(const library& library, prf_algorithm prf, bytes_view key,
                   std::initializer_list<bytes_view> parts) {
  auto index = index_of(prf);
  if (index == no_index) return {errc::unsupported_algorithm, text_of(prf)};
  auto* context = keyed_hmac(library, index, key);
  secret out{prf_size(prf)};
  if (context == nullptr ||
      !finish_hmac(context, {parts.begin(), parts.size()}, {out.data(), out.size()}))
    return openssl_failure(errc::crypto_failed, text_of(prf));
  return out;
}

// T1 = prf(K, S | 0x01), Tn = prf(K, T(n-1) | S | n) (RFC 7296 §2.13).
result<secret> prf_plus(const library& library, prf_algorithm prf, bytes_view key, bytes_view seed,
                        std::size_t size) {
  auto index = index_of(prf);
  if (index == no_index) return {errc::unsupported_algorithm, text_of(prf)};
  auto block_size = prf_size(prf);
  if (size > 255 * block_size) return {errc::limit_exceeded, "prf+"};
  secret out{size};
  secret block{block_size};
  std::uint8_t number = 0;
  auto* context = keyed_hmac(library, index, key);
  if (context == nullptr) return openssl_failure(errc::crypto_failed, text_of(prf));
  for (std::size_t at = 0; at < size; at += block_size) {
    auto previous = ++number == 1 ? bytes_view{} : block.view();
    const bytes_view parts[] = {previous, seed, {&number, 1}};
    // Without a key: the same again, and the two blocks of its padding are not hashed anew.
    if ((number > 1 && EVP_MAC_init(context, nullptr, 0, nullptr) != 1) ||
        !finish_hmac(context, parts, {block.data(), block_size}))
      return openssl_failure(errc::crypto_failed, text_of(prf));
    auto take = std::min(block_size, size - at);
    std::copy_n(block.view().begin(), take, out.data() + at);
  }
  return out;
}

}  // namespace imago::crypto
