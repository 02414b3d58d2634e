#include <doctest/doctest.h>

#include "core/ikev2/authentication.hpp"
#include "tests/support/test_random.hpp"

using namespace imago;
using namespace imago::ikev2;

// Expected values from Python:
//   hmac.new(pattern(3, size), bytes([type, 0, 0, 0]) + data, hash).hexdigest()
TEST_CASE("authentication: the octets are message, nonce and the PRF over the identification") {
  crypto::library library;
  struct {
    prf_algorithm prf;
    wire::identification_payload id;
    const char* maced_id;
  } const rows[] = {
      {prf_algorithm::hmac_sha2_256,
       {true, id_type::fqdn, to_bytes("sun.example.org")},
       "e78063a6a9b577f3bf1326f4da72ac2639dc789c16a70b96e472e894967795a2"},
      {prf_algorithm::hmac_sha2_384,
       {false, id_type::ipv4_addr, {192, 0, 2, 1}},
       "a1cefec1f7a6f92889b0f754cae383326e19dea7ac94792948589feecef444f6a9ab42c90f29ddda4abc153b545"
       "8bf78"},
      {prf_algorithm::hmac_sha2_512,
       {true, id_type::key_id, {}},
       "db5b975db0e4c0580ac70eb855f5a25413580a839c06ac67d8d9886b502525ab4b4f741125f0d93c890ce05a0f3"
       "17d84031acf609ec187c13c1baf165dbaf248"},
  };
  auto message = pattern(1, 300);
  auto nonce = pattern(2, 32);
  for (const auto& row : rows) {
    CAPTURE(text_of(row.id.type));
    secret sk_p{pattern(3, crypto::prf_size(row.prf))};
    auto octets = signed_octets(library, row.prf, message, nonce, sk_p, row.id);
    REQUIRE(octets);
    CHECK(to_hex(*octets) == to_hex(message) + to_hex(nonce) + row.maced_id);
  }
}

TEST_CASE("authentication: it does not matter which payload the identification came in") {
  crypto::library library;
  secret sk_p{pattern(3, 32)};
  auto octets_of = [&](bool initiator) {
    auto octets = signed_octets(library, prf_algorithm::hmac_sha2_256, pattern(1, 40),
                                pattern(2, 16), sk_p, {initiator, id_type::fqdn, to_bytes("a")});
    REQUIRE(octets);
    return *octets;
  };
  CHECK(octets_of(true) == octets_of(false));
}

TEST_CASE("authentication: an unknown PRF is an error") {
  crypto::library library;
  auto octets = signed_octets(library, prf_algorithm::none, {}, {}, secret{pattern(3, 32)}, {});
  REQUIRE_FALSE(octets);
  CHECK(octets.failure().code == errc::unsupported_algorithm);
}
