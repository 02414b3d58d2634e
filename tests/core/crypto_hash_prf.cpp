// Hashes, PRF and prf+ against published and independently computed answers.
#include <string>

#include <doctest/doctest.h>

#include "core/base/writer.hpp"
#include "core/crypto/hash.hpp"
#include "core/crypto/prf.hpp"
#include "tests/core/crypto_vectors.hpp"
#include "tests/core/ikev2_kdf_vectors.hpp"
#include "tests/support/hex.hpp"

using namespace imago;

namespace {

std::string hash_hex(hash_algorithm algorithm, std::string_view text) {
  crypto::library library;
  return to_hex(*crypto::hash(library, algorithm, to_bytes(text)));
}

struct hmac_vector {
  const char *key, *data, *sha256, *sha384, *sha512;
};

// RFC 4231 §4.2, 4.3, 4.4 and 4.7 (a key longer than the block).
const hmac_vector rfc4231[] = {
    {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265",
     "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
     "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa"
     "9cb6",
     "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702038b274eaea3"
     "f4e4be9d914eeb61f1702e696c203a126854"},
    {"4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
     "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
     "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab2"
     "1649",
     "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0"
     "e6fdcaeab1a34d4a6b4b636e070a38bce737"},
    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
     "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"
     "dddddddd",
     "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
     "88062608d3e6ad8a0aa2ace014c8a86f0aa635d947ac9febe83ef4e55966144b2a5ab39dc13814b94e3ab6e101a3"
     "4f27",
     "fa73b0089d56a284efb0f0756c890be9b1b5dbdd8ee81a3655f83e33b2279d39bf3e848279a722c806b485a47e67"
     "c807b946a337bee8942674278859e13292fb"},
};

bytes joined(const bytes& one, const bytes& other) {
  bytes out = one;
  append(out, other);
  return out;
}

}  // namespace

TEST_CASE("crypto: hashes give the published values of \"abc\"") {
  CHECK(hash_hex(hash_algorithm::sha1, "abc") == "a9993e364706816aba3e25717850c26c9cd0d89d");
  CHECK(hash_hex(hash_algorithm::sha2_256, "abc") ==
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(hash_hex(hash_algorithm::sha2_384, "abc") ==
        "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca13"
        "4c825a7");
  CHECK(hash_hex(hash_algorithm::sha2_512, "abc") ==
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a"
        "3feebbd454d4423643ce80e2a9ac94fa54ca49f");
  CHECK(hash_hex(hash_algorithm::sha1, "") == "da39a3ee5e6b4b0d3255bfef95601890afd80709");
}

TEST_CASE("crypto: identity and unknown numbers are no hashes") {
  crypto::library library;
  auto code = [&](hash_algorithm algorithm) {
    return crypto::hash(library, algorithm, {}).failure().code;
  };
  CHECK(code(hash_algorithm::identity) == errc::unsupported_algorithm);
  CHECK(code(hash_algorithm{77}) == errc::unsupported_algorithm);
}

TEST_CASE("crypto: prf follows RFC 4231, also when the data comes in parts") {
  crypto::library library;
  for (const auto& one : rfc4231) {
    auto key = from_hex(one.key);
    auto data = from_hex(one.data);
    bytes_view view{data};
    auto of = [&](prf_algorithm prf) {
      auto whole = *crypto::prf(library, prf, key, {data});
      auto parts = *crypto::prf(library, prf, key, {view.first(3), {}, view.subspan(3)});
      CHECK(whole == parts);
      return to_hex(whole.view());
    };
    CHECK(of(prf_algorithm::hmac_sha2_256) == one.sha256);
    CHECK(of(prf_algorithm::hmac_sha2_384) == one.sha384);
    CHECK(of(prf_algorithm::hmac_sha2_512) == one.sha512);
  }
}

TEST_CASE("crypto: prf and prf+ give the published answers of the IKEv2 KDF") {
  crypto::library library;
  for (const auto& known : ikev2_kdf_vectors) {
    INFO(known.source);
    auto nonces = joined(from_hex(known.initiator_nonce), from_hex(known.responder_nonce));
    auto new_shared = from_hex(known.new_shared_secret);
    auto skeyseed = *crypto::prf(library, known.prf, nonces, {from_hex(known.shared_secret)});
    CHECK(to_hex(skeyseed.view()) == known.skeyseed);
    auto stretched = [&](bytes_view key, const bytes& seed, const char* expected) {
      auto size = std::string_view{expected}.size() / 2;
      return to_hex(crypto::prf_plus(library, known.prf, key, seed, size)->view());
    };
    writer spis;
    spis.u64(known.initiator_spi);
    spis.u64(known.responder_spi);
    CHECK(stretched(skeyseed.view(), joined(nonces, spis.finish()), known.keymat) == known.keymat);
    auto sk_d = from_hex(known.keymat);
    sk_d.resize(crypto::prf_size(known.prf));
    CHECK(stretched(sk_d, nonces, known.child_keymat) == known.child_keymat);
    CHECK(stretched(sk_d, joined(new_shared, nonces), known.child_keymat_with_ke) ==
          known.child_keymat_with_ke);
    auto rekeyed = *crypto::prf(library, known.prf, sk_d, {new_shared, nonces});
    CHECK(to_hex(rekeyed.view()) == known.rekeyed_skeyseed);
  }
}

TEST_CASE("crypto: prf+ agrees with Python's hmac for all PRFs and odd sizes") {
  crypto::library library;
  for (const auto& one : prf_plus_vectors) {
    bytes key(one.key_size);
    for (std::size_t i = 0; i < key.size(); ++i) key[i] = static_cast<std::uint8_t>(i);
    auto size = std::string_view{one.output}.size() / 2;
    auto made = *crypto::prf_plus(library, one.prf, key, to_bytes("seed"), size);
    CHECK(to_hex(made.view()) == one.output);
  }
}

TEST_CASE("crypto: an empty key is a key, not the one used before") {
  crypto::library library;
  auto prf = prf_algorithm::hmac_sha2_256;
  auto data = to_bytes("data");
  auto fresh = *crypto::prf(library, prf, {}, {data});
  auto keyed = *crypto::prf(library, prf, to_bytes("key"), {data});
  auto again = *crypto::prf(library, prf, {}, {data});
  CHECK(fresh == again);
  CHECK_FALSE(fresh == keyed);
}

TEST_CASE("crypto: prf+ gives at most 255 blocks, and nothing for size 0") {
  crypto::library library;
  auto prf = prf_algorithm::hmac_sha2_256;
  CHECK(crypto::prf_plus(library, prf, to_bytes("k"), {}, 0)->empty());
  CHECK(crypto::prf_plus(library, prf, to_bytes("k"), {}, 255 * 32)->size() == 255 * 32);
  auto failed = crypto::prf_plus(library, prf, to_bytes("k"), {}, 255 * 32 + 1);
  CHECK(failed.failure().code == errc::limit_exceeded);
}

TEST_CASE("crypto: an unknown PRF has no size and is refused") {
  crypto::library library;
  for (auto prf : {prf_algorithm::none, prf_algorithm{2}}) {
    CHECK(crypto::prf_size(prf) == 0);
    CHECK(crypto::prf(library, prf, {}, {}).failure().code == errc::unsupported_algorithm);
    CHECK(crypto::prf_plus(library, prf, {}, {}, 1).failure().code == errc::unsupported_algorithm);
  }
  CHECK(crypto::prf_size(prf_algorithm::hmac_sha2_256) == 32);
  CHECK(crypto::prf_size(prf_algorithm::hmac_sha2_384) == 48);
  CHECK(crypto::prf_size(prf_algorithm::hmac_sha2_512) == 64);
}
