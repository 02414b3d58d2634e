// Key exchange methods: published vectors, agreement, and what a peer may not send.
#include <string>

#include <doctest/doctest.h>

#include "core/crypto/key_exchange.hpp"
#include "tests/core/crypto_vectors.hpp"
#include "tests/support/hex.hpp"

using namespace imago;
using crypto::key_exchange;

namespace {

constexpr ke_method all_methods[] = {
    ke_method::modp_2048, ke_method::modp_3072, ke_method::modp_4096, ke_method::ecp_256,
    ke_method::ecp_384,   ke_method::ecp_521,   ke_method::curve25519};

struct ecp_vector {
  ke_method method;
  const char *i, *gi, *r, *gr, *shared;
};

// RFC 5903 §8.1 to §8.3.
const ecp_vector rfc5903[] = {
    {ke_method::ecp_256, "C88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433",
     "dad0b65394221cf9b051e1feca5787d098dfe637fc90b9ef945d0c3772581180"
     "5271a0461cdb8252d61f1c456fa3e59ab1f45b33accf5f58389e0577b8990bb3",
     "C6EF9C5D78AE012A011164ACB397CE2088685D8F06BF9BE0B283AB46476BEE53",
     "d12dfb5289c8d4f81208b70270398c342296970a0bccb74c736fc7554494bf63"
     "56fbf3ca366cc23e8157854c13c58d6aac23f046ada30f8353e74f33039872ab",
     "d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de"},
    {ke_method::ecp_384,
     "099F3C7034D4A2C699884D73A375A67F7624EF7C6B3C0F160647B67414DCE655E35B538041E649EE3FAEF896783A"
     "B194",
     "667842d7d180ac2cde6f74f37551f55755c7645c20ef73e31634fe72b4c55ee6de3ac808acb4bdb4c88732aee95f"
     "41aa9482ed1fc0eeb9cafc4984625ccfc23f65032149e0e144ada024181535a0f38eeb9fcff3c2c947dae69b4c63"
     "4573a81c",
     "41CB0779B4BDB85D47846725FBEC3C9430FAB46CC8DC5060855CC9BDA0AA2942E0308312916B8ED2960E4BD55A74"
     "48FC",
     "e558dbef53eecde3d3fccfc1aea08a89a987475d12fd950d83cfa41732bc509d0d1ac43a0336def96fda41d0774a"
     "3571dcfbec7aacf3196472169e838430367f66eebe3c6e70c416dd5f0c68759dd1fff83fa40142209dff5eaad96d"
     "b9e6386c",
     "11187331c279962d93d604243fd592cb9d0a926f422e47187521287e7156c5c4d603135569b9e9d09cf5d4a270f5"
     "9746"},
    {ke_method::ecp_521,
     "0037ade9319a89f4dabdb3ef411aaccca5123c61acab57b5393dce47608172a095aa85a30fe1c2952c6771d937ba"
     "9777f5957b2639bab072462f68c27a57382d4a52",
     "0015417e84dbf28c0ad3c278713349dc7df153c897a1891bd98bab4357c9ecbee1e3bf42e00b8e380aeae57c2d10"
     "7564941885942af5a7f4601723c4195d176ced3e"
     "017cae20b6641d2eeb695786d8c946146239d099e18e1d5a514c739d7cb4a10ad8a788015ac405d7799dc75e7b7d"
     "5b6cf2261a6a7f1507438bf01beb6ca3926f9582",
     "0145ba99a847af43793fdd0e872e7cdfa16be30fdc780f97bccc3f078380201e9c677d600b343757a3bdbf2a3163"
     "e4c2f869cca7458aa4a4effc311f5cb151685eb9",
     "00d0b3975ac4b799f5bea16d5e13e9af971d5e9b984c9f39728b5e5739735a219b97c356436adc6e95bb0352f6be"
     "64a6c2912d4ef2d0433ced2b6171640012d9460f"
     "015c68226383956e3bd066e797b623c27ce0eac2f551a10c2c724d9852077b87220b6536c5c408a1d2aebb8e86d6"
     "78ae49cb57091f4732296579ab44fcd17f0fc56a",
     "01144c7d79ae6956bc8edb8e7c787c4521cb086fa64407f97894e5e6b2d79b04d1427e73ca4baa240a3478685981"
     "0c06b3c715a3a8cc3151f2bee417996d19f3ddea"},
};

errc derive_code(const crypto::library& library, ke_method method, bytes_view peer) {
  auto own = *key_exchange::generate(library, method);
  return own.derive(library, peer).failure().code;
}

bytes shifted(bytes number, int by) {
  for (auto i = number.size(); i-- > 0;) {
    int sum = number[i] + by;
    number[i] = static_cast<std::uint8_t>(sum);
    if (sum >= 0 && sum <= 255) break;
    by = sum < 0 ? -1 : 1;
  }
  return number;
}

}  // namespace

TEST_CASE("crypto: X25519 follows RFC 7748") {
  crypto::library library;
  // §5.2, first vector: scalar and u coordinate.
  auto first = *key_exchange::from_private(
      library, ke_method::curve25519,
      from_hex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"));
  auto product = *first.derive(
      library, from_hex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c"));
  CHECK(to_hex(product.view()) ==
        "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
  // §6.1: Bob with Alice's public key.
  auto bob = *key_exchange::from_private(
      library, ke_method::curve25519,
      from_hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"));
  CHECK(to_hex(bob.public_value()) ==
        "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
  auto shared = *bob.derive(
      library, from_hex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"));
  CHECK(to_hex(shared.view()) ==
        "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
}

TEST_CASE("crypto: the ECP groups follow RFC 5903") {
  crypto::library library;
  for (const auto& one : rfc5903) {
    auto i = *key_exchange::from_private(library, one.method, from_hex(one.i));
    auto r = *key_exchange::from_private(library, one.method, from_hex(one.r));
    CHECK(to_hex(i.public_value()) == one.gi);
    CHECK(to_hex(r.public_value()) == one.gr);
    CHECK(to_hex(i.derive(library, r.public_value())->view()) == one.shared);
    CHECK(to_hex(r.derive(library, i.public_value())->view()) == one.shared);
  }
}

TEST_CASE("crypto: the MODP groups agree with Python's integers") {
  crypto::library library;
  for (const auto& one : modp_vectors) {
    auto x = *key_exchange::from_private(library, one.method, from_hex(one.x));
    auto y = *key_exchange::from_private(library, one.method, from_hex(one.y));
    CHECK(to_hex(x.public_value()) == one.public_x);
    CHECK(to_hex(y.public_value()) == one.public_y);
    CHECK(to_hex(x.derive(library, y.public_value())->view()) == one.shared);
    CHECK(to_hex(y.derive(library, x.public_value())->view()) == one.shared);
  }
}

TEST_CASE("crypto: both sides of every method agree, and no two pairs are the same") {
  crypto::library library;
  for (auto method : all_methods) {
    CAPTURE(text_of(method));
    CHECK(crypto::is_supported(method));
    auto one = *key_exchange::generate(library, method);
    auto other = *key_exchange::generate(library, method);
    CHECK(one.method() == method);
    CHECK(one.public_value().size() == other.public_value().size());
    CHECK(one.public_value() != other.public_value());
    auto shared = *one.derive(library, other.public_value());
    CHECK(shared == *other.derive(library, one.public_value()));
    CHECK_FALSE(shared.empty());
    // A moved pair is the same pair.
    auto moved = std::move(one);
    CHECK(shared == *moved.derive(library, other.public_value()));
    other = std::move(moved);
    CHECK(other.derive(library, other.public_value()).has_value());
  }
}

TEST_CASE("crypto: public values have the sizes of the KE payload") {
  crypto::library library;
  const std::size_t sizes[] = {256, 384, 512, 64, 96, 132, 32};
  const std::size_t shared_sizes[] = {256, 384, 512, 32, 48, 66, 32};
  for (std::size_t i = 0; i < std::size(all_methods); ++i) {
    auto own = *key_exchange::generate(library, all_methods[i]);
    CHECK(own.public_value().size() == sizes[i]);
    CHECK(own.derive(library, own.public_value())->size() == shared_sizes[i]);
  }
}

TEST_CASE("crypto: a MODP value outside 2..p-2 is refused (RFC 6989)") {
  crypto::library library;
  for (const auto& one : modp_vectors) {
    auto prime = from_hex(one.prime);
    bytes zero(prime.size());
    CHECK(derive_code(library, one.method, zero) == errc::bad_key);
    CHECK(derive_code(library, one.method, shifted(zero, 1)) == errc::bad_key);
    CHECK(derive_code(library, one.method, shifted(prime, -1)) == errc::bad_key);
    CHECK(derive_code(library, one.method, prime) == errc::bad_key);
    CHECK(derive_code(library, one.method, shifted(prime, 1)) == errc::bad_key);
    CHECK(derive_code(library, one.method, bytes(prime.size(), 0xff)) == errc::bad_key);
    auto own = *key_exchange::generate(library, one.method);
    CHECK(own.derive(library, shifted(zero, 2)).has_value());
    CHECK(own.derive(library, shifted(prime, -2)).has_value());
  }
}

TEST_CASE("crypto: a MODP shared secret keeps its leading zeros (RFC 7296 2.14)") {
  crypto::library library;
  auto one = *key_exchange::from_private(library, ke_method::modp_2048, bytes{5});
  bytes two(256);
  two[255] = 2;
  bytes thirty_two(256);
  thirty_two[255] = 32;
  CHECK(one.public_value() == thirty_two);
  CHECK(to_bytes(one.derive(library, two)->view()) == thirty_two);
}

TEST_CASE("crypto: a point that is not on the curve is refused") {
  crypto::library library;
  for (auto method : {ke_method::ecp_256, ke_method::ecp_384, ke_method::ecp_521}) {
    auto peer = (*key_exchange::generate(library, method)).public_value();
    CHECK(derive_code(library, method, shifted(peer, 1)) == errc::bad_key);
    CHECK(derive_code(library, method, bytes(peer.size())) == errc::bad_key);
    CHECK(derive_code(library, method, bytes(peer.size(), 0xff)) == errc::bad_key);
  }
}

TEST_CASE("crypto: an X25519 value of small order is refused") {
  crypto::library library;
  bytes zero(32);
  bytes one(32);
  one[0] = 1;
  // Of order 8 (RFC 7748 §6.1, the list of the Curve25519 page).
  auto eight = from_hex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800");
  CHECK(derive_code(library, ke_method::curve25519, zero) == errc::bad_key);
  CHECK(derive_code(library, ke_method::curve25519, one) == errc::bad_key);
  CHECK(derive_code(library, ke_method::curve25519, eight) == errc::bad_key);
}

TEST_CASE("crypto: a public value of another size is refused") {
  crypto::library library;
  for (auto method : all_methods) {
    auto peer = (*key_exchange::generate(library, method)).public_value();
    CHECK(derive_code(library, method, {}) == errc::bad_key);
    CHECK(derive_code(library, method, bytes_view{peer}.first(peer.size() - 1)) == errc::bad_key);
    peer.push_back(0);
    CHECK(derive_code(library, method, peer) == errc::bad_key);
  }
}

TEST_CASE("crypto: methods and private values that do not exist are refused") {
  crypto::library library;
  for (auto method : {ke_method::none, ke_method{2}, ke_method{35}}) {
    CHECK_FALSE(crypto::is_supported(method));
    CHECK(key_exchange::generate(library, method).failure().code == errc::unsupported_algorithm);
    CHECK(key_exchange::from_private(library, method, bytes{1}).failure().code ==
          errc::unsupported_algorithm);
  }
  for (auto method : all_methods)
    CHECK(key_exchange::from_private(library, method, bytes(7)).failure().code == errc::bad_key);
}
