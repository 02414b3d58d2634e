// Whole messages: published shapes both ways, truncation, damage, chains that do not hold together.
#include <algorithm>
#include <memory>

#include <doctest/doctest.h>

#include "core/base/limits.hpp"
#include "tests/core/wire_samples.hpp"
#include "tests/support/hex.hpp"

using namespace imago;
using namespace imago::wire;

namespace {

// An IKE_SA_INIT request as many implementations send it, written by hand from RFC 7296 §3.
const char* const ike_sa_init_hex =
    "a1b2c3d4e5f60718 0000000000000000"  // SPIs
    "21 20 22 08 00000000 00000108"      // SA, 2.0, IKE_SA_INIT, I, message 0, 264 octets
    "22000054"                           // SA, then KE
    "02000024 01010003"                  //   proposal 1, IKE, 3 transforms
    "0300000c 01000014 800e0100"         //     ENCR AES_GCM_16 256
    "03000008 02000005"                  //     PRF HMAC_SHA2_256
    "00000008 0400001f"                  //     KE CURVE_25519
    "0000002c 02010004"                  //   proposal 2, IKE, 4 transforms
    "0300000c 0100000c 800e0080"         //     ENCR AES_CBC 128
    "03000008 02000005"                  //     PRF HMAC_SHA2_256
    "03000008 0300000c"                  //     INTEG HMAC_SHA2_256_128
    "00000008 0400001f"                  //     KE CURVE_25519
    "28000028 001f0000"                  // KE, then Nonce
    "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
    "29000024"  // Nonce, then N
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
    "2900001c 00004004"  // N(NAT_DETECTION_SOURCE_IP)
    "4f1be10f4a3f1f8e0b3e0b0a7d5c2a1900112233"
    "2900001c 00004005"  // N(NAT_DETECTION_DESTINATION_IP)
    "8899aabbccddeeff00112233445566778899aabb"
    "29000008 0000402e"            // N(IKEV2_FRAGMENTATION_SUPPORTED)
    "0000000c 0000402f 00020003";  // N(SIGNATURE_HASH_ALGORITHMS)

message ike_sa_init() {
  header head;
  head.initiator_spi = 0xa1b2c3d4e5f60718;
  head.next_payload = payload_type::security_association;
  head.exchange = exchange_type::ike_sa_init;
  head.from_initiator = true;
  head.length = 264;
  auto aes_gcm = transform_of(transform_type::encryption, 20, 256);
  auto aes_cbc = transform_of(transform_type::encryption, 12, 128);
  auto prf = transform_of(transform_type::prf, 5);
  auto integrity = transform_of(transform_type::integrity, 12);
  auto x25519 = transform_of(transform_type::key_exchange, 31);
  security_association_payload offer{
      {{1, protocol_id::ike, {}, {aes_gcm, prf, x25519}},
       {2, protocol_id::ike, {}, {aes_cbc, prf, integrity, x25519}}}};
  auto share = from_hex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
  auto source = from_hex("4f1be10f4a3f1f8e0b3e0b0a7d5c2a1900112233");
  auto destination = from_hex("8899aabbccddeeff00112233445566778899aabb");
  auto note = [](notify_type type, bytes data) {
    return notify_payload{protocol_id::none, {}, type, std::move(data)};
  };
  return {head,
          {offer, key_exchange_payload{ke_method::curve25519, share},
           nonce_payload{octets_of(32, 0)}, note(notify_type::nat_detection_source_ip, source),
           note(notify_type::nat_detection_destination_ip, destination),
           note(notify_type::ikev2_fragmentation_supported, {}),
           note(notify_type::signature_hash_algorithms, {0, 2, 0, 3})}};
}

bytes whole_message() {
  auto all = sample_payloads();
  all.push_back(sample_sealed().front());
  return encode_message(sample_header(), all);
}

// The same octets in a block of exactly their size, so that a sanitizer sees any read past them.
result<message> parse_exactly(bytes_view octets) {
  auto block = std::make_unique<std::uint8_t[]>(octets.size());
  std::copy(octets.begin(), octets.end(), block.get());
  return parse_message({block.get(), octets.size()});
}

}  // namespace

TEST_CASE("message: an IKE_SA_INIT request is read from its octets and written to the same ones") {
  auto octets = from_hex(ike_sa_init_hex);
  auto expected = ike_sa_init();
  auto parsed = parse_message(octets);
  REQUIRE(parsed);
  CHECK(parsed->header == expected.header);
  CHECK(parsed->payloads == expected.payloads);
  CHECK(to_hex(encode_message(expected.header, expected.payloads)) == to_hex(octets));
  CHECK(describe(parsed->header) + " " + describe(parsed->payloads) ==
        "IKE_SA_INIT request 0 [ SA KE Nonce N(NAT_DETECTION_SOURCE_IP) "
        "N(NAT_DETECTION_DESTINATION_IP) N(IKEV2_FRAGMENTATION_SUPPORTED) "
        "N(SIGNATURE_HASH_ALGORITHMS) ]");
}

TEST_CASE("message: an INFORMATIONAL response without payloads inside") {
  auto octets =
      from_hex("0102030405060708 f1f2f3f4f5f6f7f8 2e 20 25 20 00000007 00000024 00000008 01020304");
  auto parsed = parse_message(octets);
  REQUIRE(parsed);
  CHECK(parsed->header.is_response);
  CHECK(!parsed->header.from_initiator);
  CHECK(describe(parsed->header) == "INFORMATIONAL response 7");
  REQUIRE(parsed->payloads.size() == 1);
  CHECK(parsed->payloads[0] == payload{encrypted_payload{payload_type::none, {1, 2, 3, 4}}});
  CHECK(encode_message(parsed->header, parsed->payloads) == octets);
}

TEST_CASE("header: all flags, both ways; reserved flags are ignored") {
  for (unsigned flags = 0; flags < 256; ++flags) {
    auto octets = encode_header(sample_header());
    octets[19] = static_cast<std::uint8_t>(flags);
    octets[27] = header_size;
    auto parsed = parse_header(octets);
    REQUIRE(parsed);
    CHECK(parsed->from_initiator == ((flags & 0x08) != 0));
    CHECK(parsed->higher_version == ((flags & 0x10) != 0));
    CHECK(parsed->is_response == ((flags & 0x20) != 0));
    CHECK(encode_header(*parsed)[19] == (flags & 0x38));
  }
}

TEST_CASE("header: any version is shown to the caller") {
  auto octets = encode_message(sample_header(), {});
  octets[17] = 0x35;
  auto parsed = parse_header(octets);
  REQUIRE(parsed);
  CHECK(parsed->version == 0x35);
}

TEST_CASE("header: a length that is not the datagram's is refused") {
  auto octets = encode_message(sample_header(), {});
  REQUIRE(octets.size() == header_size);
  CHECK(parse_header(octets));
  octets.push_back(0);
  CHECK(parse_header(octets).failure().code == errc::bad_length);
  octets[27] = 27;
  CHECK(parse_header(octets).failure().code == errc::bad_length);
  octets.resize(27);
  CHECK(parse_header(octets).failure().code == errc::input_too_short);
  CHECK(parse_header({}).failure().code == errc::input_too_short);
}

TEST_CASE("message: cut at any length it is an error, whatever the length field says") {
  auto octets = whole_message();
  REQUIRE(octets.size() > 1000);
  REQUIRE(parse_exactly(octets));
  for (std::size_t size = 0; size < octets.size(); ++size) {
    auto cut = bytes(octets.begin(), octets.begin() + static_cast<std::ptrdiff_t>(size));
    REQUIRE(!parse_exactly(cut));
    if (size < header_size) continue;
    // With a header that fits, so that the payloads themselves are cut.
    cut[24] = cut[25] = 0;
    cut[26] = static_cast<std::uint8_t>(size >> 8);
    cut[27] = static_cast<std::uint8_t>(size);
    REQUIRE(!parse_exactly(cut));
  }
}

TEST_CASE("message: with any one octet changed it is refused or round-trips") {
  auto octets = whole_message();
  for (std::size_t at = 0; at < octets.size(); ++at)
    for (std::uint8_t change : {0x01, 0x80, 0xff}) {
      auto damaged = octets;
      damaged[at] ^= change;
      auto parsed = parse_exactly(damaged);
      if (!parsed) continue;
      auto again = parse_message(encode_message(parsed->header, parsed->payloads));
      REQUIRE(again);
      REQUIRE(again->payloads == parsed->payloads);
    }
}

TEST_CASE("chain: what is behind the last payload is an error") {
  auto nonce = encode_payloads({nonce_payload{octets_of(16)}});
  nonce.push_back(0);
  auto list = parse_payloads(payload_type::nonce, nonce);
  REQUIRE(!list);
  CHECK(list.failure().code == errc::trailing_octets);
  CHECK(list.failure().where == "Nonce");
  // SK ends the chain, so nothing can come after it (§3.14).
  auto sealed = encode_payloads({encrypted_payload{payload_type::nonce, octets_of(8)}});
  append(sealed, encode_payloads({nonce_payload{octets_of(16)}}));
  CHECK(parse_payloads(payload_type::encrypted, sealed).failure().code == errc::trailing_octets);
  CHECK(parse_payloads(payload_type::none, nonce).failure().code == errc::trailing_octets);
  auto empty = parse_payloads(payload_type::none, {});
  REQUIRE(empty);
  CHECK(empty->empty());
}

TEST_CASE("chain: payload lengths below the header or beyond the end are errors") {
  auto code_of = [](std::string_view hex) {
    return parse_payloads(payload_type::vendor_id, from_hex(hex)).failure().code;
  };
  CHECK(code_of("00000003") == errc::payload_too_short);
  CHECK(code_of("00000000") == errc::payload_too_short);
  CHECK(code_of("000000") == errc::payload_too_short);
  CHECK(code_of("") == errc::payload_too_short);
  CHECK(code_of("00000005") == errc::payload_too_long);
  CHECK(code_of("0000ffff") == errc::payload_too_long);
  CHECK(code_of("2b000004") == errc::payload_too_short);  // promises another
}

TEST_CASE("chain: no more payloads than the limit") {
  payloads many(limits::payload_count_max, vendor_id_payload{{1}});
  CHECK(parse_payloads(payload_type::vendor_id, encode_payloads(many)));
  many.push_back(vendor_id_payload{{1}});
  auto list = parse_payloads(payload_type::vendor_id, encode_payloads(many));
  REQUIRE(!list);
  CHECK(list.failure().code == errc::limit_exceeded);
}

TEST_CASE("encrypted prefix: with the body behind it, it is the message") {
  auto body = octets_of(64);
  auto octets =
      encode_encrypted_prefix(sample_header(), payload_type::identification_initiator, body.size());
  CHECK(octets.size() == header_size + generic_header_size);
  append(octets, body);
  auto parsed = parse_message(octets);
  REQUIRE(parsed);
  CHECK(parsed->payloads ==
        payloads{encrypted_payload{payload_type::identification_initiator, body}});
  CHECK(encode_message(parsed->header, parsed->payloads) == octets);
}

TEST_CASE("encrypted prefix: of a fragment") {
  auto body = octets_of(64);
  auto octets = encode_encrypted_prefix(sample_header(), payload_type::none, body.size(),
                                        fragment_position{2, 3});
  append(octets, body);
  auto parsed = parse_message(octets);
  REQUIRE(parsed);
  CHECK(parsed->payloads == payloads{encrypted_fragment_payload{payload_type::none, 2, 3, body}});
  CHECK(describe(parsed->payloads) == "[ SKF(2/3) ]");
  CHECK(encode_encrypted_prefix(sample_header(), payload_type::none, 65532).empty());
  CHECK(encode_encrypted_prefix(sample_header(), payload_type::none, 65528, fragment_position{})
            .empty());
}

TEST_CASE("find: the first payload of a kind, of an end, of a notify type") {
  auto all = sample_payloads();
  REQUIRE(find<nonce_payload>(all));
  CHECK(find<nonce_payload>(all)->data.size() == 16);
  CHECK(!find<encrypted_payload>(all));
  REQUIRE(find_notify(all, notify_type::rekey_sa));
  CHECK(find_notify(all, notify_type::rekey_sa)->protocol == protocol_id::esp);
  CHECK(!find_notify(all, notify_type::invalid_syntax));
  REQUIRE(find_selectors(all, false));
  CHECK(find_selectors(all, false)->selectors.front().family() == ip_family::v6);
  REQUIRE(find_identification(all, false));
  CHECK(find_identification(all, false)->type == id_type::ipv4_addr);
  CHECK(!find_identification({}, true));
}

TEST_CASE("message: the nonce is found without reading the rest, or not at all") {
  auto octets = from_hex(ike_sa_init_hex);
  auto found = find_nonce(octets);
  REQUIRE(found);
  CHECK(to_bytes(*found) == octets_of(32, 0));
  auto whole = encode_message(ike_sa_init().header, ike_sa_init().payloads);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    auto block = std::make_unique<std::uint8_t[]>(size);  // a sanitizer sees any read past it
    std::copy_n(whole.begin(), size, block.get());
    CHECK_FALSE(find_nonce({block.get(), size}));  // the header's length is no longer true
  }
  auto head = ike_sa_init().header;
  CHECK_FALSE(find_nonce(encode_message(head, {})));
  CHECK_FALSE(find_nonce(encode_message(head, {nonce_payload{octets_of(15, 0)}})));
  CHECK_FALSE(find_nonce(encode_message(head, {nonce_payload{octets_of(257, 0)}})));
  CHECK(find_nonce(encode_message(head, {nonce_payload{octets_of(256, 0)}})));
  CHECK_FALSE(find_nonce(encode_message(head, {sample_sealed().front()})));
}

TEST_CASE("describe: names by type, numbers for what has no name, nothing of the peer's octets") {
  payloads list{identification_payload{true, id_type::fqdn, to_bytes("secret.example")},
                notify_payload{protocol_id::none, {}, static_cast<notify_type>(40961), {}},
                delete_payload{protocol_id::esp, {1}}, traffic_selector_payload{false, {}},
                unknown_payload{static_cast<payload_type>(200), true, {}}};
  CHECK(describe(list) == "[ IDi N(40961) D TSr (200)! ]");
  CHECK(describe(payloads{}) == "[ ]");
}
