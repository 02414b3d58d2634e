#include "bench/crypto_floor.hpp"

#include <cstdio>
#include <cstdlib>
#include <ctime>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

namespace imago::bench {

namespace {

template <auto release>
struct releaser {
  template <class T>
  void operator()(T* object) const {
    release(object);
  }
};
template <class T, auto release>
using owned = std::unique_ptr<T, releaser<release>>;
using owned_key = owned<EVP_PKEY, EVP_PKEY_free>;
using owned_key_context = owned<EVP_PKEY_CTX, EVP_PKEY_CTX_free>;
using owned_cipher_context = owned<EVP_CIPHER_CTX, EVP_CIPHER_CTX_free>;

void require(bool fact, const char* what) {
  if (fact) return;
  std::fprintf(stderr, "bench: OpenSSL refuses: %s\n", what);
  std::abort();
}

double thread_cpu_us() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

constexpr std::size_t prf_size = 32;
constexpr std::size_t gcm_key_size = 16;
constexpr std::size_t salted_key_size = gcm_key_size + 4;
constexpr std::size_t nonce_size = 32;

// One key with a context set up to sign or to verify hashes.
struct signer {
  owned_key_context context;
  bytes signature;

  signer(EVP_PKEY* key, const EVP_MD* hash, bool verifies)
      : context{EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr)} {
    auto begun = verifies ? EVP_PKEY_verify_init(context.get()) : EVP_PKEY_sign_init(context.get());
    require(begun > 0, "signature context");
    if (EVP_PKEY_is_a(key, "RSA") == 1)
      require(EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_PADDING) > 0, "padding");
    require(EVP_PKEY_CTX_set_signature_md(context.get(), hash) > 0, "signature hash");
    signature.resize(512);
  }
  bytes sign(bytes_view hashed) {
    std::size_t size = signature.size();
    require(EVP_PKEY_sign(context.get(), signature.data(), &size, hashed.data(), hashed.size()) > 0,
            "sign");
    return {signature.begin(), signature.begin() + static_cast<std::ptrdiff_t>(size)};
  }
  void verify(bytes_view signed_by, bytes_view hashed) {
    require(EVP_PKEY_verify(context.get(), signed_by.data(), signed_by.size(), hashed.data(),
                            hashed.size()) > 0,
            "verify");
  }
};

}  // namespace

struct crypto_floor::state {
  ke_method method;
  bool has_signatures;
  std::size_t message_size;  // of IKE_AUTH: 1 KB with certificates
  owned_key_context generator;
  owned_key group;  // domain parameters, for the peer's encoded key
  owned<EVP_MAC, EVP_MAC_free> hmac{EVP_MAC_fetch(nullptr, "HMAC", nullptr)};
  owned<EVP_MAC_CTX, EVP_MAC_CTX_free> prf_context{EVP_MAC_CTX_new(hmac.get())};
  owned<EVP_CIPHER, EVP_CIPHER_free> gcm{EVP_CIPHER_fetch(nullptr, "AES-128-GCM", nullptr)};
  owned_cipher_context opening{EVP_CIPHER_CTX_new()}, sealing{EVP_CIPHER_CTX_new()};
  owned<EVP_MD, EVP_MD_free> sha256{EVP_MD_fetch(nullptr, "SHA2-256", nullptr)};
  std::unique_ptr<signer> own, authority;
  const credentials* made = nullptr;
  std::size_t next_client = 0;
  bytes peer_public, peer_signature, certificate_signature;
  bytes request, tag, message;

  state(const algorithm_set& measured, const credentials* made)
      : method{measured.method},
        has_signatures{measured.proof != proof::shared_key},
        message_size{has_signatures ? 1000U : 300U},
        generator{EVP_PKEY_CTX_new_from_name(
            nullptr, measured.method == ke_method::ecp_256 ? "EC" : "X25519", nullptr)},
        message(message_size, 0x5a) {
    OSSL_PARAM chosen[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, const_cast<char*>("SHA2-256"), 0),
        OSSL_PARAM_construct_end()};
    require(EVP_MAC_CTX_set_params(prf_context.get(), chosen) == 1, "HMAC");
    require(EVP_PKEY_keygen_init(generator.get()) > 0, "keygen");
    if (method == ke_method::ecp_256) {
      require(EVP_PKEY_CTX_set_group_name(generator.get(), "P-256") > 0, "group");
      group = generate();
    }
    auto far = generate();
    peer_public = public_value_of(far.get());
    if (has_signatures) prepare_signatures(*made);
    prepare_request();
  }

  void prepare_signatures(const credentials& given) {
    made = &given;
    auto signed_by = [&](const testing::credential& one) {
      return signer{one.key.handle(), sha256.get(), false}.sign(hashed(message));
    };
    const auto& client = given.clients.front();
    peer_signature = signed_by(client);
    certificate_signature = signed_by(given.authority);
    own = std::make_unique<signer>(given.responder.key.handle(), sha256.get(), false);
    authority = std::make_unique<signer>(given.authority.key.handle(), sha256.get(), true);
  }

  // The peer's request is sealed each time anew in measure's keys; here only its size is set, so
  // that opening has octets to work on: the tag is computed with the key of all zeros.
  void prepare_request() {
    bytes key(gcm_key_size, 0);
    request.resize(message_size);
    tag.resize(16);
    start(sealing.get(), key, true);
    crypt(sealing.get(), message, request, true, tag);
  }

  owned_key generate() const {
    EVP_PKEY* pair = nullptr;
    require(EVP_PKEY_generate(generator.get(), &pair) > 0, "key pair");
    return owned_key{pair};
  }

  bytes public_value_of(const EVP_PKEY* pair) const {
    bytes value(method == ke_method::ecp_256 ? 65 : 32);
    std::size_t size = value.size();
    auto given = method == ke_method::ecp_256
                     ? EVP_PKEY_get_octet_string_param(pair, OSSL_PKEY_PARAM_PUB_KEY, value.data(),
                                                       value.size(), &size)
                     : EVP_PKEY_get_raw_public_key(pair, value.data(), &size);
    require(given == 1, "public value");
    return value;
  }

  bytes hashed(bytes_view data) const {
    bytes out(32);
    unsigned size = 0;
    require(EVP_Digest(data.data(), data.size(), out.data(), &size, sha256.get(), nullptr) == 1,
            "hash");
    return out;
  }

  bytes exchange_keys() const {
    auto pair = generate();
    auto value = public_value_of(pair.get());
    owned_key far;
    if (method == ke_method::ecp_256) {
      far.reset(EVP_PKEY_new());
      require(EVP_PKEY_copy_parameters(far.get(), group.get()) == 1 &&
                  EVP_PKEY_set1_encoded_public_key(far.get(), peer_public.data(),
                                                   peer_public.size()) == 1,
              "peer's key");
    } else {
      far.reset(EVP_PKEY_new_raw_public_key_ex(nullptr, "X25519", nullptr, peer_public.data(),
                                               peer_public.size()));
    }
    owned_key_context context{EVP_PKEY_CTX_new_from_pkey(nullptr, pair.get(), nullptr)};
    bytes shared(32);
    std::size_t size = shared.size();
    // Not validated twice: decoding the point has done it.
    require(EVP_PKEY_derive_init(context.get()) > 0 &&
                EVP_PKEY_derive_set_peer_ex(context.get(), far.get(), 0) > 0 &&
                EVP_PKEY_derive(context.get(), shared.data(), &size) > 0,
            "derive");
    return shared;
  }

  bytes prf(bytes_view key, bytes_view data) const {
    bytes out(prf_size);
    std::size_t size = 0;
    require(EVP_MAC_init(prf_context.get(), key.data(), key.size(), nullptr) == 1 &&
                EVP_MAC_update(prf_context.get(), data.data(), data.size()) == 1 &&
                EVP_MAC_final(prf_context.get(), out.data(), &size, out.size()) == 1,
            "prf");
    return out;
  }

  // T1 | T2 | ... (RFC 7296 §2.13)
  bytes prf_plus(bytes_view key, bytes_view seed, std::size_t wanted) const {
    bytes out, block;
    for (std::uint8_t number = 1; out.size() < wanted; ++number) {
      append(block, seed);
      block.push_back(number);
      block = prf(key, block);
      append(out, block);
    }
    return out;
  }

  void start(EVP_CIPHER_CTX* context, bytes_view key, bool seals) const {
    bytes nonce(12);
    require(EVP_CipherInit_ex2(context, gcm.get(), key.data(), nonce.data(), seals ? 1 : 0,
                               nullptr) == 1,
            "GCM");
  }

  void crypt(EVP_CIPHER_CTX* context, const bytes& from, bytes& to, bool seals, bytes& icv) const {
    int size = 0;
    const std::uint8_t header[32] = {};
    require(EVP_CipherUpdate(context, nullptr, &size, header, sizeof header) == 1 &&
                EVP_CipherUpdate(context, to.data(), &size, from.data(),
                                 static_cast<int>(from.size())) == 1,
            "GCM");
    if (seals) {
      require(EVP_CipherFinal_ex(context, to.data(), &size) == 1 &&
                  EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, icv.data()) == 1,
              "seal");
    } else {
      require(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, 16, icv.data()) == 1 &&
                  EVP_CipherFinal_ex(context, to.data(), &size) == 1,
              "open");
    }
  }

  // A certificate never seen before: parsed, and its key used once.
  void verify_new_peer() {
    const auto& der = made->clients[next_client++ % made->clients.size()].certificate;
    const auto* at = der.data();
    owned<X509, X509_free> parsed{d2i_X509(nullptr, &at, static_cast<long>(der.size()))};
    require(parsed != nullptr, "certificate");
    signer{X509_get0_pubkey(parsed.get()), sha256.get(), true}.verify(peer_signature,
                                                                      hashed(message));
  }

  void handshake() {
    auto shared = exchange_keys();
    bytes nonces(2 * nonce_size, 1);
    auto seed = prf(nonces, shared);
    // SK_d, SK_ei, SK_er, SK_pi, SK_pr; an AEAD has no SK_a.
    auto keys = prf_plus(seed, nonces, 3 * prf_size + 2 * salted_key_size);
    bytes zero_key(gcm_key_size, 0), out(message_size), icv(16);
    start(opening.get(), zero_key, false);
    crypt(opening.get(), request, out, false, tag);
    auto sk_d = bytes_view{keys}.first(prf_size);
    // prf(SK_p, ID) of both ends, then both AUTH payloads over some 300 octets.
    auto signed_octets = bytes_view{message}.first(300);
    for (int end = 0; end < 2; ++end) (void)prf(sk_d, nonces);
    if (has_signatures) {
      verify_new_peer();
      authority->verify(certificate_signature, hashed(message));
      (void)own->sign(hashed(message));
    } else {
      for (int end = 0; end < 2; ++end) (void)prf(sk_d, signed_octets);
    }
    (void)prf_plus(sk_d, nonces, 2 * salted_key_size);  // KEYMAT
    start(sealing.get(), bytes_view{keys}.subspan(prf_size, gcm_key_size), true);
    crypt(sealing.get(), message, out, true, icv);
  }
};

crypto_floor::crypto_floor(const algorithm_set& measured, const credentials* made)
    : state_{std::make_unique<state>(measured, made)} {}
crypto_floor::~crypto_floor() = default;

double crypto_floor::measure(std::size_t rounds) {
  for (int warm = 0; warm < 10; ++warm) state_->handshake();
  auto begun = thread_cpu_us();
  for (std::size_t round = 0; round < rounds; ++round) state_->handshake();
  return (thread_cpu_us() - begun) / static_cast<double>(rounds);
}

}  // namespace imago::bench
