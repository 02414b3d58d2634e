#include <map>

#include <doctest/doctest.h>

#include "core/ikev2/proposals.hpp"

using namespace imago;
using namespace imago::ikev2;

namespace {

using wire::proposal;
using wire::transform;
using proposals = std::vector<proposal>;

template <class Id>
transform of(transform_type type, Id id, std::uint16_t key_bits = 0) {
  return {type, static_cast<std::uint16_t>(id), key_bits, false};
}

// The words of the tables below.
const std::map<std::string, transform, std::less<>> words = {
    {"gcm128", of(transform_type::encryption, encryption_algorithm::aes_gcm_16, 128)},
    {"gcm256", of(transform_type::encryption, encryption_algorithm::aes_gcm_16, 256)},
    {"gcm", of(transform_type::encryption, encryption_algorithm::aes_gcm_16)},
    {"cbc128", of(transform_type::encryption, encryption_algorithm::aes_cbc, 128)},
    {"cbc256", of(transform_type::encryption, encryption_algorithm::aes_cbc, 256)},
    {"chacha", of(transform_type::encryption, encryption_algorithm::chacha20_poly1305)},
    {"enc99", of(transform_type::encryption, 99, 128)},
    {"prf256", of(transform_type::prf, prf_algorithm::hmac_sha2_256)},
    {"prf512", of(transform_type::prf, prf_algorithm::hmac_sha2_512)},
    {"prf99", of(transform_type::prf, 99)},
    {"sha256", of(transform_type::integrity, integrity_algorithm::hmac_sha2_256_128)},
    {"sha512", of(transform_type::integrity, integrity_algorithm::hmac_sha2_512_256)},
    {"nointeg", of(transform_type::integrity, integrity_algorithm::none)},
    {"ecp256", of(transform_type::key_exchange, ke_method::ecp_256)},
    {"x25519", of(transform_type::key_exchange, ke_method::curve25519)},
    {"nodh", of(transform_type::key_exchange, ke_method::none)},
    {"esn", of(transform_type::sequence_numbers, sequence_numbers::esn)},
    {"noesn", of(transform_type::sequence_numbers, sequence_numbers::no_esn)},
    {"seq7", of(transform_type::sequence_numbers, 7)},
    {"addke", of(static_cast<transform_type>(6), 35)},
    // With an attribute that nobody knows.
    {"gcm128!", {transform_type::encryption, 20, 128, true}},
    {"ecp256!", {transform_type::key_exchange, 19, 0, true}},
    {"noesn!", {transform_type::sequence_numbers, 0, 0, true}},
};

// "gcm128 prf256 ecp256 | cbc128 ...": proposals of words, numbered from 1.
proposals parse(std::string_view text, protocol_id protocol, const bytes& spi = {}) {
  proposals list;
  proposal one{1, protocol, spi, {}};
  while (!text.empty()) {
    auto blank = text.find(' ');
    auto word = text.substr(0, blank);
    text = blank == std::string_view::npos ? "" : text.substr(blank + 1);
    if (word == "|") {
      list.push_back(one);
      one.transforms.clear();
      ++one.number;
    } else {
      auto found = words.find(word);
      REQUIRE(found != words.end());
      one.transforms.push_back(found->second);
    }
  }
  list.push_back(one);
  return list;
}

std::string text_of_proposal(const proposal& one) {
  std::string text = std::to_string(one.number) + ":";
  for (const auto& transform : one.transforms)
    for (const auto& [word, known] : words)
      if (known == transform) text += " " + word;
  return text;
}

const bytes esp_spi{0xc0, 0xff, 0xee, 0x01};

struct row {
  const char* what;
  const char *ours, *peers;
  const char* answer;      // "number: words"; null: none fits
  const char* algorithms;  // text_of
};

const row ike_rows[] = {
    {"the same", "gcm128 prf256 ecp256", "gcm128 prf256 ecp256", "1: gcm128 prf256 ecp256",
     "AES_GCM_16-128/PRF_HMAC_SHA2_256/ECP_256"},
    {"our transform order counts", "gcm256 gcm128 prf512 prf256 x25519 ecp256",
     "gcm128 gcm256 prf256 prf512 ecp256 x25519", "1: gcm256 prf512 x25519",
     "AES_GCM_16-256/PRF_HMAC_SHA2_512/CURVE_25519"},
    {"our proposal order counts", "cbc128 sha256 prf256 ecp256 | gcm128 prf256 ecp256",
     "gcm128 prf256 ecp256 | cbc128 sha256 prf256 ecp256", "2: cbc128 sha256 prf256 ecp256",
     "AES_CBC-128/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/ECP_256"},
    {"the first of the peer's that fits", "gcm128 prf256 ecp256",
     "cbc128 sha256 prf256 ecp256 | gcm128 prf256 ecp256 | gcm128 prf256 x25519 ecp256",
     "2: gcm128 prf256 ecp256", "AES_GCM_16-128/PRF_HMAC_SHA2_256/ECP_256"},
    {"integrity none beside an AEAD", "gcm128 prf256 ecp256", "gcm128 nointeg prf256 ecp256",
     "1: gcm128 nointeg prf256 ecp256", "AES_GCM_16-128/PRF_HMAC_SHA2_256/ECP_256"},
    {"integrity none on our side only", "gcm128 nointeg prf256 ecp256", "gcm128 prf256 ecp256",
     "1: gcm128 prf256 ecp256", "AES_GCM_16-128/PRF_HMAC_SHA2_256/ECP_256"},
    {"an AEAD with integrity", "gcm128 sha256 prf256 ecp256", "gcm128 sha256 prf256 ecp256",
     nullptr, nullptr},
    {"an AEAD with integrity from the peer", "gcm128 prf256 ecp256", "gcm128 sha256 prf256 ecp256",
     nullptr, nullptr},
    {"CBC without integrity", "cbc128 prf256 ecp256", "cbc128 prf256 ecp256", nullptr, nullptr},
    {"CBC with integrity none", "cbc128 nointeg prf256 ecp256", "cbc128 nointeg prf256 ecp256",
     nullptr, nullptr},
    {"CBC passed over for an AEAD with none", "cbc128 gcm128 nointeg prf256 ecp256",
     "gcm128 cbc128 nointeg prf256 ecp256", "1: gcm128 nointeg prf256 ecp256",
     "AES_GCM_16-128/PRF_HMAC_SHA2_256/ECP_256"},
    {"another key length", "gcm128 prf256 ecp256", "gcm256 prf256 ecp256", nullptr, nullptr},
    {"a missing key length", "gcm128 prf256 ecp256", "gcm prf256 ecp256", nullptr, nullptr},
    {"a missing key length on both sides", "gcm prf256 ecp256", "gcm prf256 ecp256", nullptr,
     nullptr},
    {"no common encryption", "gcm128 prf256 ecp256", "chacha prf256 ecp256", nullptr, nullptr},
    {"no common PRF", "gcm128 prf256 ecp256", "gcm128 prf512 ecp256", nullptr, nullptr},
    {"no PRF from the peer", "gcm128 prf256 ecp256", "gcm128 ecp256", nullptr, nullptr},
    {"no KE from the peer", "gcm128 prf256 ecp256", "gcm128 prf256", nullptr, nullptr},
    {"KE none is nothing for IKE", "gcm128 prf256 nodh", "gcm128 prf256 nodh", nullptr, nullptr},
    {"what nobody can do", "enc99 prf99 ecp256", "enc99 prf99 ecp256", nullptr, nullptr},
    {"a PRF that nobody can do", "gcm128 prf99 prf256 ecp256", "gcm128 prf99 prf256 ecp256",
     "1: gcm128 prf256 ecp256", "AES_GCM_16-128/PRF_HMAC_SHA2_256/ECP_256"},
    {"an unknown attribute", "gcm128 prf256 ecp256", "gcm128! prf256 ecp256", nullptr, nullptr},
    {"an unknown attribute passed over", "gcm128 chacha prf256 ecp256",
     "gcm128! chacha prf256 ecp256! ecp256", "1: chacha prf256 ecp256",
     "CHACHA20_POLY1305/PRF_HMAC_SHA2_256/ECP_256"},
    {"an unknown transform type", "gcm128 prf256 ecp256",
     "gcm128 prf256 ecp256 addke | gcm128 prf256 ecp256", "2: gcm128 prf256 ecp256",
     "AES_GCM_16-128/PRF_HMAC_SHA2_256/ECP_256"},
    {"ESN has no place in IKE", "gcm128 prf256 ecp256", "gcm128 prf256 ecp256 noesn", nullptr,
     nullptr},
    {"an empty proposal", "gcm128 prf256 ecp256", "", nullptr, nullptr},
};

const row esp_rows[] = {
    {"without PFS", "gcm128 noesn", "gcm128 noesn", "1: gcm128 noesn", "AES_GCM_16-128"},
    {"ESN missing on our side", "gcm128", "gcm128 noesn", "1: gcm128 noesn", "AES_GCM_16-128"},
    {"ESN missing on the peer's side", "gcm128 noesn", "gcm128", "1: gcm128", "AES_GCM_16-128"},
    {"ESN in our order", "gcm128 esn noesn", "gcm128 noesn esn", "1: gcm128 esn",
     "AES_GCM_16-128/ESN"},
    {"ESN wanted by the peer only", "gcm128", "gcm128 esn", nullptr, nullptr},
    {"ESN wanted by us only", "gcm128 esn", "gcm128", nullptr, nullptr},
    {"ESN with an unknown attribute", "gcm128", "gcm128 noesn!", nullptr, nullptr},
    {"sequence numbers of an unknown kind", "gcm128 seq7", "gcm128 seq7", nullptr, nullptr},
    {"PFS on both sides", "gcm128 ecp256 x25519 noesn", "gcm128 x25519 ecp256 noesn",
     "1: gcm128 ecp256 noesn", "AES_GCM_16-128/ECP_256"},
    {"PFS wanted by the peer only", "gcm128 noesn", "gcm128 ecp256 noesn", nullptr, nullptr},
    {"PFS wanted by us only", "gcm128 ecp256 noesn", "gcm128 noesn", nullptr, nullptr},
    {"PFS optional for the peer", "gcm128 noesn", "gcm128 ecp256 nodh noesn",
     "1: gcm128 nodh noesn", "AES_GCM_16-128"},
    {"PFS optional for us", "gcm128 ecp256 nodh noesn", "gcm128 noesn", "1: gcm128 noesn",
     "AES_GCM_16-128"},
    {"CBC with integrity", "cbc256 sha512 sha256 noesn", "cbc256 sha256 noesn",
     "1: cbc256 sha256 noesn", "AES_CBC-256/HMAC_SHA2_256_128"},
    {"integrity missing from the peer", "cbc256 sha256 noesn", "cbc256 noesn", nullptr, nullptr},
    {"a PRF has no place in ESP", "gcm128 noesn", "gcm128 prf256 noesn", nullptr, nullptr},
};

// Inside IKE_AUTH: KE lists are not looked at (RFC 7296 §1.2).
const row ike_auth_rows[] = {
    {"PFS configured on our side", "gcm128 ecp256", "gcm128 noesn", "1: gcm128 noesn",
     "AES_GCM_16-128"},
    {"PFS listed by the peer", "gcm128", "gcm128 ecp256 noesn", "1: gcm128 noesn",
     "AES_GCM_16-128"},
    {"PFS on both sides, of different kinds", "gcm128 x25519", "gcm128 ecp256 noesn",
     "1: gcm128 noesn", "AES_GCM_16-128"},
    {"none is answered as asked", "gcm128 x25519", "gcm128 nodh noesn", "1: gcm128 nodh noesn",
     "AES_GCM_16-128"},
};

void check_row(const row& row, protocol_id protocol, bool wants_key_exchange) {
  CAPTURE(row.what);
  auto spi = protocol == protocol_id::esp ? esp_spi : bytes{};
  auto ours = parse(row.ours, protocol);
  auto peers = parse(row.peers, protocol, spi);
  auto chosen = choose_proposal(ours, peers, protocol, wants_key_exchange);
  REQUIRE(chosen.has_value() == (row.answer != nullptr));
  if (!chosen) {
    CHECK(chosen.failure().code == errc::no_proposal_chosen);
    return;
  }
  CHECK(text_of_proposal(chosen->answer) == row.answer);
  CHECK(chosen->answer.spi == spi);
  CHECK(chosen->answer.protocol == protocol);
  CHECK((protocol == protocol_id::ike ? text_of(chosen->ike) : text_of(chosen->esp)) ==
        row.algorithms);
  // The peer, as the initiator that offered these, takes the answer for what we mean by it.
  auto checked = check_answer(peers, {chosen->answer}, protocol, wants_key_exchange);
  REQUIRE(checked);
  CHECK(checked->ike == chosen->ike);
  CHECK(checked->esp == chosen->esp);
}

}  // namespace

TEST_CASE("proposals: IKE proposals are chosen in our order and only whole") {
  for (const auto& row : ike_rows) check_row(row, protocol_id::ike, true);
}

TEST_CASE("proposals: ESP proposals know what a missing list means") {
  for (const auto& row : esp_rows) check_row(row, protocol_id::esp, true);
}

TEST_CASE("proposals: in IKE_AUTH the KE lists of ESP proposals do not count") {
  for (const auto& row : ike_auth_rows) check_row(row, protocol_id::esp, false);
}

TEST_CASE("proposals: the preferred KE method wins where it is acceptable") {
  auto ours = parse("gcm128 prf256 ecp256 x25519", protocol_id::ike);
  auto method_for = [&](std::string_view peers, ke_method preferred) {
    auto chosen =
        choose_proposal(ours, parse(peers, protocol_id::ike), protocol_id::ike, true, preferred);
    REQUIRE(chosen);
    return chosen->ike.key_exchange;
  };
  const char* both = "gcm128 prf256 ecp256 x25519";
  CHECK(method_for(both, ke_method::none) == ke_method::ecp_256);
  CHECK(method_for(both, ke_method::curve25519) == ke_method::curve25519);
  CHECK(method_for(both, ke_method::modp_2048) == ke_method::ecp_256);
  CHECK(method_for("gcm128 prf256 ecp256", ke_method::curve25519) == ke_method::ecp_256);
  // Also where it is in a later one of the peer's proposals.
  CHECK(method_for("gcm128 prf256 ecp256 | gcm128 prf256 x25519", ke_method::curve25519) ==
        ke_method::curve25519);
}

TEST_CASE("proposals: a preferred KE method does not turn our order of proposals around") {
  auto ours = parse("gcm256 prf512 ecp256 | gcm128 prf256 x25519", protocol_id::ike);
  auto chosen = choose_proposal(ours, ours, protocol_id::ike, true, ke_method::curve25519);
  REQUIRE(chosen);
  CHECK(chosen->ike.key_exchange == ke_method::ecp_256);
}

TEST_CASE("proposals: only proposals of the protocol and with a usable SPI count") {
  auto ours = parse("gcm128 noesn", protocol_id::esp);
  auto fits = [&](protocol_id protocol, const bytes& spi) {
    return choose_proposal(ours, parse("gcm128 noesn", protocol, spi), protocol_id::esp, true)
        .has_value();
  };
  CHECK(fits(protocol_id::esp, esp_spi));
  CHECK_FALSE(fits(protocol_id::ah, esp_spi));
  CHECK_FALSE(fits(protocol_id::ike, esp_spi));
  CHECK_FALSE(fits(protocol_id::esp, {}));
  CHECK_FALSE(fits(protocol_id::esp, {1, 2, 3}));
  CHECK_FALSE(fits(protocol_id::esp, {0, 0, 0, 255}));  // reserved
  CHECK(fits(protocol_id::esp, {0, 0, 1, 0}));

  auto ike = parse("gcm128 prf256 ecp256", protocol_id::ike);
  auto ike_fits = [&](const bytes& spi) {
    return choose_proposal(ike, parse("gcm128 prf256 ecp256", protocol_id::ike, spi),
                           protocol_id::ike, true)
        .has_value();
  };
  CHECK(ike_fits({}));
  CHECK(ike_fits({0, 0, 0, 0, 0, 0, 0, 1}));
  CHECK_FALSE(ike_fits(bytes(8, 0)));
  CHECK_FALSE(ike_fits(bytes(4, 1)));
}

TEST_CASE("proposals: an answer that was not offered is refused") {
  auto offered =
      parse("gcm256 gcm128 prf256 ecp256 x25519 | cbc128 sha256 prf256 ecp256", protocol_id::ike);
  auto check = [&](std::string_view text, std::uint8_t number) {
    auto answer = parse(text, protocol_id::ike);
    answer.front().number = number;
    auto checked = check_answer(offered, answer, protocol_id::ike, true);
    if (!checked) CHECK(checked.failure().code == errc::no_proposal_chosen);
    return checked.has_value();
  };
  CHECK(check("gcm128 prf256 x25519", 1));
  CHECK(check("cbc128 sha256 prf256 ecp256", 2));
  CHECK_FALSE(check("gcm128 prf256 x25519", 2));         // another proposal's number
  CHECK_FALSE(check("gcm128 prf256 x25519", 3));         // nobody's number
  CHECK_FALSE(check("gcm128 prf512 x25519", 1));         // not in the list
  CHECK_FALSE(check("gcm128 gcm256 prf256 x25519", 1));  // two of one type
  CHECK_FALSE(check("gcm128 prf256 x25519 x25519", 1));  // the same twice
  CHECK_FALSE(check("gcm128 prf256", 1));                // a type missing
  CHECK_FALSE(check("gcm128 sha256 prf256 ecp256", 1));  // a type too many
  CHECK_FALSE(check("gcm128! prf256 x25519", 1));        // an unknown attribute
  CHECK_FALSE(check("cbc128 prf256 ecp256", 2));         // the integrity missing
  CHECK_FALSE(check("gcm128 prf256 x25519 | gcm256 prf256 x25519", 1));  // two proposals
  CHECK_FALSE(check_answer(offered, {}, protocol_id::ike, true));
}

TEST_CASE("proposals: what is offered is numbered, has the SPI, and ESN in every ESP proposal") {
  auto ours = parse("gcm128 ecp256 | chacha x25519 esn", protocol_id::esp);
  auto sent = offer(ours, esp_spi);
  REQUIRE(sent.size() == 2);
  CHECK(text_of_proposal(sent[0]) == "1: gcm128 ecp256 noesn");
  CHECK(text_of_proposal(sent[1]) == "2: chacha x25519 esn");
  CHECK(sent[0].spi == esp_spi);
  CHECK(sent[1].spi == esp_spi);

  auto without = offer(ours, esp_spi, false);
  REQUIRE(without.size() == 2);
  CHECK(text_of_proposal(without[0]) == "1: gcm128 noesn");
  CHECK(text_of_proposal(without[1]) == "2: chacha esn");

  auto ike = offer(parse("gcm128 prf256 ecp256", protocol_id::ike), {});
  REQUIRE(ike.size() == 1);
  CHECK(text_of_proposal(ike[0]) == "1: gcm128 prf256 ecp256");
  CHECK(ike[0].spi.empty());
}

TEST_CASE("proposals: the KE methods are listed once, in order, without none") {
  CHECK(ke_methods(
            parse("gcm128 x25519 nodh ecp256 | cbc128 sha256 ecp256 x25519", protocol_id::esp)) ==
        std::vector<ke_method>{ke_method::curve25519, ke_method::ecp_256});
  CHECK(ke_methods(parse("gcm128 nodh", protocol_id::esp)).empty());
  CHECK(ke_methods({}).empty());
}
