#include <doctest/doctest.h>

#include "core/config/connection.hpp"

namespace imago::config {
namespace {

std::string reason(protocol_id protocol, std::string_view text) {
  auto proposals = parse_proposals(protocol, text);
  if (proposals) return "accepted";
  return proposals.failure().where;
}

}  // namespace

TEST_CASE("proposals: keywords become transforms, and print again") {
  struct sample {
    protocol_id protocol;
    std::string written, printed;
  };
  const auto ike = protocol_id::ike, esp = protocol_id::esp;
  for (const auto& one : std::vector<sample>{
           {ike, "aes128gcm16-prfsha256-x25519", "aes128gcm16-prfsha256-x25519"},
           {ike, "AES128GCM16-PRFSHA256-X25519", "aes128gcm16-prfsha256-x25519"},
           {ike, "aes256-sha256-modp2048", "aes256-sha256-modp2048"},
           {ike, "aes-sha2_512-modp3072", "aes128-sha512-modp3072"},
           // An integrity keyword beside AEAD means the PRF.
           {ike, "aes256gcm128-sha384-ecp384", "aes256gcm16-prfsha384-ecp384"},
           {ike, "aes256gcm16-sha384-prfsha256-ecp384", "aes256gcm16-prfsha256-ecp384"},
           {ike, "aes192-sha256-prfsha512-modp4096", "aes192-sha256-prfsha512-modp4096"},
           {ike, "modp2048-sha256-aes128", "aes128-sha256-modp2048"},
           {ike, "aes128-aes256-sha256-sha512-ecp256-curve25519",
            "aes128-aes256-sha256-sha512-ecp256-x25519"},
           {ike, "aes128-aes128-sha256-sha256-ecp521", "aes128-sha256-ecp521"},
           {ike, "chacha20poly1305-aes192gcm16-prfsha512-ecp256",
            "chacha20poly1305-aes192gcm16-prfsha512-ecp256"},
           {esp, "aes128gcm16", "aes128gcm16"},
           {esp, "aes256-sha256", "aes256-sha256"},
           {esp, "aes128gcm16-sha256-modp2048", "aes128gcm16-modp2048"},
           {esp, "aes256gcm16-x25519-esn", "aes256gcm16-x25519-esn"},
           {esp, "aes128-sha512-noesn", "aes128-sha512"},
           {esp, "aes128-sha512-esn-noesn", "aes128-sha512-esn-noesn"},
           {esp, "aes128-sha512-noesn-esn", "aes128-sha512-noesn-esn"}}) {
    CAPTURE(one.written);
    auto proposals = parse_proposals(one.protocol, one.written);
    REQUIRE(proposals);
    REQUIRE(proposals->size() == 1);
    CHECK(text_of(proposals->front()) == one.printed);
    CHECK(proposals->front().protocol == one.protocol);
    CHECK(proposals->front().number == 1);
    // What is printed means the same.
    auto again = parse_proposals(one.protocol, one.printed);
    REQUIRE(again);
    CHECK(again->front() == proposals->front());
  }
}

TEST_CASE("proposals: the transforms are those of the registry") {
  auto proposals = parse_proposals(protocol_id::ike, "aes256-sha384-ecp384");
  REQUIRE(proposals);
  std::vector<wire::transform> wanted = {{transform_type::encryption, 12, 256, false},
                                         {transform_type::prf, 6, 0, false},
                                         {transform_type::integrity, 13, 0, false},
                                         {transform_type::key_exchange, 20, 0, false}};
  CHECK(proposals->front().transforms == wanted);
  proposals = parse_proposals(protocol_id::esp, "chacha20poly1305");
  REQUIRE(proposals);
  wanted = {{transform_type::encryption, 28, 0, false},  // RFC 7634 §4: no Key Length
            {transform_type::sequence_numbers, 0, 0, false}};
  CHECK(proposals->front().transforms == wanted);
}

TEST_CASE("proposals: what cannot be negotiated says what to write instead") {
  const auto ike = protocol_id::ike, esp = protocol_id::esp;
  CHECK(reason(ike, "aes128gcm16-x25519") == "no PRF in 'aes128gcm16-x25519'; add prfsha256");
  CHECK(reason(ike, "aes128-modp2048") ==
        "no integrity algorithm in 'aes128-modp2048'; add sha256");
  CHECK(reason(esp, "aes128") == "no integrity algorithm in 'aes128'; add sha256");
  CHECK(reason(ike, "aes128-sha256") == "no key exchange method in 'aes128-sha256'; add x25519");
  CHECK(reason(ike, "sha256-x25519") ==
        "no encryption algorithm in 'sha256-x25519'; add aes128gcm16");
  CHECK(reason(ike, "aes128-aes128gcm16-sha256-x25519") ==
        "AEAD and other ciphers are mixed in 'aes128-aes128gcm16-sha256-x25519'; split it in two "
        "proposals, by a comma");
  CHECK(reason(ike, "aes128-sha256-x25519-esn") ==
        "esn and noesn are for ESP, not IKE, in 'aes128-sha256-x25519-esn'");
  CHECK(reason(esp, "aes128gcm16-prfsha256") ==
        "a PRF is for IKE, not ESP, in 'aes128gcm16-prfsha256'");
  CHECK(reason(ike, "aes128-sha265-modp2048") ==
        "the algorithm 'sha265' is not known; did you mean 'sha256'?");
  CHECK(reason(ike, "frobnicate-sha256") == "the algorithm 'frobnicate' is not known");
  CHECK(reason(ike, "") == "there is no proposal; write 'default'");
  CHECK(reason(ike, "aes128--sha256") == "a keyword is missing in 'aes128--sha256'");
  CHECK(reason(ike, "aes128-") == "a keyword is missing in 'aes128-'");
  CHECK(reason(ike, "default-aes128") == "'default' stands alone; in 'default-aes128' it does not");
}

TEST_CASE("proposals: an algorithm that only others have is named as such") {
  for (auto text : {"3des-sha256-modp2048", "aes128-sha1-modp2048", "aes128-sha256-modp1024",
                    "aes128-sha256-x25519-ke1_mlkem768", "aes128ccm16-prfsha256-x25519"}) {
    CAPTURE(text);
    auto proposals = parse_proposals(protocol_id::ike, text);
    REQUIRE_FALSE(proposals);
    CHECK(proposals.failure().code == errc::not_supported);
  }
}

TEST_CASE("proposals: several are numbered from one, default may be among them") {
  auto proposals = parse_proposals(protocol_id::ike, "aes128-sha256-ecp256, default");
  REQUIRE(proposals);
  REQUIRE(proposals->size() == 1 + default_proposals(protocol_id::ike).size());
  for (std::size_t i = 0; i < proposals->size(); ++i) CHECK((*proposals)[i].number == i + 1);
}

TEST_CASE("proposals: the defaults round-trip, AEAD first, x25519 as the first guess") {
  for (auto protocol : {protocol_id::ike, protocol_id::esp}) {
    auto defaults = default_proposals(protocol);
    REQUIRE(defaults.size() == (protocol == protocol_id::ike ? 2 : 4));
    for (const auto& one : defaults) {
      auto again = parse_proposals(protocol, text_of(one));
      REQUIRE(again);
      CHECK(again->front().transforms == one.transforms);
    }
    CHECK(text_of(defaults[0]).starts_with("aes256gcm16-aes128gcm16-chacha20poly1305"));
  }
  auto ike = default_proposals(protocol_id::ike);
  for (const auto& transform : ike[0].transforms)
    if (transform.type == transform_type::key_exchange) {
      CHECK(transform.id == static_cast<std::uint16_t>(ke_method::curve25519));
      break;
    }
}

TEST_CASE("proposals: a peer's unknown transforms print by number") {
  wire::proposal proposal;
  proposal.transforms = {{transform_type::encryption, 7, 128, false},
                         {transform_type::key_exchange, 99, 0, false}};
  CHECK(text_of(proposal) == "ENCR(7)/128-KE(99)");
}

}  // namespace imago::config
