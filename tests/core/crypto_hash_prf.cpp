// Hashes, PRF and prf+ against published and independently computed answers.
#include <string>

#include <doctest/doctest.h>

#include "core/crypto/hash.hpp"
#include "core/crypto/prf.hpp"
#include "tests/core/crypto_vectors.hpp"
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

// NIST CAVP, "IKEv2 KDF" (SP 800-135), SHA-256, as in OpenSSL's evpkdf_ikev2.txt.
const char* const nist_nonces = "3651fef5c9c35e93c09a8b90a3f04d59";
const char* const nist_spis = "8e5c3ae507221684b1f201bb155c3acd";
const char* const nist_shared =
    "d084a30166a50fb7325c3960874a839449ef9741c2f4f947d0201dd8c1269273d79509f37e3ca3eb4fa2fe2a28254e"
    "289cd3f34dad4eb4df1a07685a4b8a94fa61e2491f7598b3ce65547ff133b3f63d1ac4175eaa695033f3cedb026a68"
    "73a36455172a8540b8a5d23a0143bed0390ee49b168269d75fffee9fb62be965993c";
const char* const nist_new_shared =
    "52f00ab174c25d5b7139ae5ff4e8e9eddee5992d2e36adf8a559ffd90dab1442e4fbe429d320c0f33552a17d1557fa"
    "41ea70e8fb916c4fa27ed52b5f8ebd8461afa78f1159159a64055ac5f6319e29c28eae58cbc6847770f32c3fed1d04"
    "750484f854790f95e9ec01bc5bc461f24966462e359511329305038e94deb6dd42c2";
const char* const nist_keys =
    "462b9dd525d4fd71169174272779e704baf62c6231779ae9efe8c58b21916b42010164af2111ebd762f6916ca9a6f0"
    "ee05c8b320e4ee27705521de2589adea1878f1a551738af7c88dc4f0bb0c096a3f7d1f1a670fc79f49f678d60d665b"
    "b3710c8657f03ba9f62b9a818d7a228968c506e237ae9502aa6db395c61ea6a3e79504f86b7368bfb5423df79e4880"
    "9bbccd49fd826d024f63d7c2a5566400a12e736aa034510428f5ea008fe2fc16886fa388274ea6c2b4fcfc6141bf04"
    "f8207ef8afc224ea1059cb220dc0b23ac0e4ccda495a4e131b1d56e223aba5a48e8ed1f5";
const char* const nist_child_keys =
    "23647677e7d403fa1e3006f19840aee18ad9fecc4215814c4131bdeba98433d8b0e31bfbbddf822abcce5e06486aa3"
    "88022b75e27e1e68aa5983028b65282c730c5d49ef7606770376cfdec41f7cc435d816029989bc353d3b67b9fd1168"
    "ddcb8978850da9b752aee6a30d0086d2c4d74ec0e03648a0dad334faf5fe88084e67b0f3e8fee8b5e1bd3850db540f"
    "1fb8cffe23c9e92cda209373f354880c246c753e2a0eca9cb73b9910a8531c4010e6768fa29f909e60af777fed6e73"
    "9c3cfda03467e915d6f03fce9c41f5f9d578f8912d66a75457e79ee1d5bcc2be5c2f9bae";

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

TEST_CASE("crypto: prf and prf+ give NIST's answers for the IKEv2 KDF") {
  crypto::library library;
  auto prf = prf_algorithm::hmac_sha2_256;
  auto nonces = from_hex(nist_nonces);
  auto shared = from_hex(nist_shared);
  auto new_shared = from_hex(nist_new_shared);
  auto skeyseed = *crypto::prf(library, prf, nonces, {shared});
  CHECK(to_hex(skeyseed.view()) ==
        "efaa7ab0eaa85a3d0be2100cd4b6fe00ff5025a9eafddb3ef518e9f0d3fe60e6");
  auto expected = from_hex(nist_keys);
  auto seed = joined(nonces, from_hex(nist_spis));
  auto keys = *crypto::prf_plus(library, prf, skeyseed.view(), seed, expected.size());
  CHECK(to_hex(keys.view()) == nist_keys);
  auto sk_d = keys.view().first(32);
  auto child = *crypto::prf_plus(library, prf, sk_d, nonces, from_hex(nist_child_keys).size());
  CHECK(to_hex(child.view()) == nist_child_keys);
  auto rekeyed = *crypto::prf(library, prf, sk_d, {new_shared, nonces});
  CHECK(to_hex(rekeyed.view()) ==
        "90722c42bd849e9b72d240fc254174270fa8295de6f0338dafc303a9ec104f12");
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
