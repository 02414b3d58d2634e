#include "core/crypto/hash.hpp"

#include "core/crypto/openssl.hpp"

namespace imago::crypto {

result<bytes> hash(const library& library, hash_algorithm algorithm, bytes_view data) {
  auto index = index_of(algorithm);
  if (index == no_index) return {errc::unsupported_algorithm, text_of(algorithm)};
  const auto& fetched = library.fetched().hashes[index];
  auto* context = hash_context(library);
  bytes out(EVP_MAX_MD_SIZE);
  unsigned size = 0;
  if (!fetched || context == nullptr || EVP_DigestInit_ex2(context, fetched.get(), nullptr) != 1 ||
      EVP_DigestUpdate(context, data.data(), data.size()) != 1 ||
      EVP_DigestFinal_ex(context, out.data(), &size) != 1)
    return openssl_failure(errc::crypto_failed, text_of(algorithm));
  out.resize(size);
  return out;
}

}  // namespace imago::crypto
