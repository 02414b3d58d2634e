// Every payload, both directions, and the rules that received ones must obey.
#include <doctest/doctest.h>

#include "core/base/limits.hpp"
#include "core/wire/payload_list.hpp"
#include "tests/core/wire_samples.hpp"
#include "tests/support/hex.hpp"

using namespace imago;
using namespace imago::wire;

namespace {

bytes generic(payload_type next, const bytes& body) {
  writer out;
  out.u8(static_cast<std::uint8_t>(next));
  out.u8(0);
  out.u16(static_cast<std::uint16_t>(body.size() + generic_header_size));
  out.put(body);
  return out.finish();
}

result<payloads> parse_alone(payload_type type, std::string_view hex) {
  return parse_payloads(type, generic(payload_type::none, from_hex(hex)));
}

template <class T>
T parsed(payload_type type, std::string_view hex) {
  auto list = parse_alone(type, hex);
  REQUIRE(list);
  REQUIRE(list->size() == 1);
  return std::get<T>(list->front());
}

errc refusal(payload_type type, std::string_view hex) {
  auto list = parse_alone(type, hex);
  REQUIRE(!list);
  CHECK(list.failure().where == text_of(type));
  return list.failure().code;
}

// The body a payload is encoded to.
std::string body_of(const payload& one) {
  return to_hex(encode_payloads({one})).substr(2 * generic_header_size);
}

std::string repeated(std::string_view text, std::size_t count) {
  std::string all;
  while (count-- > 0) all += text;
  return all;
}

constexpr auto sa = payload_type::security_association;
constexpr auto tsi = payload_type::traffic_selector_initiator;
constexpr auto cp = payload_type::configuration;

}  // namespace

TEST_CASE("payloads: each encodes to octets that parse to the same value") {
  auto all = sample_payloads();
  for (const auto& one : sample_sealed()) all.push_back(one);
  for (const auto& one : all) {
    CAPTURE(text_of(type_of(one)));
    auto octets = encode_payloads({one});
    auto list = parse_payloads(type_of(one), octets);
    REQUIRE(list);
    REQUIRE(list->size() == 1);
    CHECK(list->front() == one);
    CHECK(encode_payloads(*list) == octets);
  }
}

TEST_CASE("payloads: the samples cover every known type and an unknown one") {
  auto all = sample_payloads();
  for (const auto& one : sample_sealed()) all.push_back(one);
  for (unsigned number = 1; number < 256; ++number) {
    auto type = static_cast<payload_type>(number);
    if (!is_known(type)) continue;
    bool is_sampled = false;
    for (const auto& one : all) is_sampled |= type_of(one) == type;
    CHECK_MESSAGE(is_sampled, text_of(type));
    // A known type has a line in payload_list.hpp, so it never parses as an unknown one.
    auto list = parse_payloads(type, generic(payload_type::none, octets_of(16)));
    if (list) CHECK(!std::holds_alternative<unknown_payload>(list->front()));
  }
}

TEST_CASE("payloads: a whole chain of them round-trips") {
  auto all = sample_payloads();
  for (const auto& last : sample_sealed()) {
    auto chain = all;
    chain.push_back(last);
    auto octets = encode_payloads(chain);
    REQUIRE(!octets.empty());
    auto list = parse_payloads(type_of(chain.front()), octets);
    REQUIRE(list);
    CHECK(*list == chain);
  }
}

TEST_CASE("payloads: reserved bits and the critical bit of known payloads are ignored") {
  auto list = parse_payloads(payload_type::key_exchange, from_hex("00ff000a 001fffff 0102"));
  REQUIRE(list);
  CHECK(list->front() == payload{key_exchange_payload{ke_method::curve25519, {1, 2}}});
  // And sent as zero.
  CHECK(to_hex(encode_payloads(*list)) == "0000000a001f00000102");
}

TEST_CASE("payloads: an unknown one keeps its critical bit") {
  auto list = parse_payloads(static_cast<payload_type>(250), from_hex("fb800005aa 00000004"));
  REQUIRE(list);
  CHECK(*list == payloads{unknown_payload{static_cast<payload_type>(250), true, {0xaa}},
                          unknown_payload{static_cast<payload_type>(251), false, {}}});
}

TEST_CASE("security_association: an offer has the octets of the RFC's picture") {
  CHECK(body_of(sample_child_answer()) ==
        "0000001c07030402c0c1c2c3"
        "030000080100001c"
        "0000000805000001");
  auto body = body_of(sample_offer());
  CHECK(body.substr(0, 40) == "02000030010100040300000c01000014800e0100");
}

TEST_CASE("security_association: a transform with an attribute we do not know is marked") {
  auto with = [](std::string_view attributes) {
    auto size = from_hex(attributes).size();
    writer out;
    out.put(from_hex("0000"));
    out.u16(static_cast<std::uint16_t>(16 + size));
    out.put(from_hex("01010001"));
    out.put(from_hex("0000"));
    out.u16(static_cast<std::uint16_t>(8 + size));
    out.put(from_hex("0100000c"));
    out.put(from_hex(attributes));
    return parsed<security_association_payload>(sa, to_hex(out.written()))
        .proposals[0]
        .transforms[0];
  };
  CHECK(with("800e0100") == transform{transform_type::encryption, 12, 256, false});
  CHECK(with("800f0001").has_unknown_attribute);
  CHECK(with("000f0003010203").has_unknown_attribute);
  CHECK(with("000e00020100").has_unknown_attribute);      // Key Length in the long format
  CHECK(with("800e0100800e0080").has_unknown_attribute);  // twice
  CHECK(with("800e0000").has_unknown_attribute);          // no length at all
  CHECK(with("800e0100800f0001").key_bits == 256);
}

TEST_CASE("security_association: last-substructure marks are believed less than lengths") {
  // Two proposals, both marked last; two transforms, the last marked "more".
  auto two = parsed<security_association_payload>(
      sa, "00000010010100010000000802000005 00000010020100010300000802000005");
  CHECK(two.proposals.size() == 2);
  CHECK(refusal(sa, "01000010010100010000000802000005") == errc::bad_value);
  CHECK(refusal(sa, "00000010010100010200000802000005") == errc::bad_value);
}

TEST_CASE("security_association: counts, numbers, sizes and lengths are checked") {
  CHECK(refusal(sa, "") == errc::bad_value);                                  // no proposal
  CHECK(refusal(sa, "0000000801010000") == errc::bad_value);                  // no transform
  CHECK(refusal(sa, "00000010000100010000000802000005") == errc::bad_value);  // number 0
  CHECK(refusal(sa, "02000010020100010000000802000005 00000010030100010000000802000005") ==
        errc::bad_value);  // an offer that begins with 2
  CHECK(refusal(sa, "02000010010100010000000802000005 00000010030100010000000802000005") ==
        errc::bad_value);                                                      // 1, 3
  CHECK(refusal(sa, "00000010010100020000000802000005") == errc::bad_length);  // one too few
  CHECK(refusal(sa, "0000001801010001030000080200000500000008 02000006") == errc::bad_length);
  CHECK(refusal(sa, "00000010010300010000000802000005") == errc::bad_length);  // ESP, no SPI
  CHECK(refusal(sa, "000000140101040111111111 0000000802000005") == errc::bad_length);
  CHECK(refusal(sa, "00000007010100010000000802000005") == errc::bad_length);
  CHECK(refusal(sa, "00000011010100010000000802000005") == errc::bad_length);
  CHECK(refusal(sa, "00000010010100010000000702000005") == errc::bad_length);
  CHECK(refusal(sa, "00000010010100010000000902000005") == errc::bad_length);
  CHECK(refusal(sa, "000000") == errc::payload_too_short);
}

TEST_CASE("security_association: more proposals or attributes than the limit are refused") {
  std::string body;
  for (std::size_t i = 1; i <= limits::proposal_count_max + 1; ++i) {
    auto number = static_cast<std::uint8_t>(i);
    body += "02000010" + to_hex(bytes{number}) + "0100010000000802000005";
  }
  CHECK(refusal(sa, body) == errc::limit_exceeded);
  body.resize(limits::proposal_count_max * 32);
  CHECK(parsed<security_association_payload>(sa, body).proposals.size() ==
        limits::proposal_count_max);
  CHECK(refusal(sa, "00000054 01010001 0000004c 0100000c" + repeated("800f0001", 17)) ==
        errc::limit_exceeded);
}

TEST_CASE("identification: an address has an address's size") {
  CHECK(
      parsed<identification_payload>(payload_type::identification_responder, "01aabbcc0a000001") ==
      identification_payload{false, id_type::ipv4_addr, {10, 0, 0, 1}});
  CHECK(refusal(payload_type::identification_initiator, "010000000a0000") == errc::bad_length);
  CHECK(refusal(payload_type::identification_initiator, "050000000a000001") == errc::bad_length);
  CHECK(refusal(payload_type::identification_initiator, "0200") == errc::payload_too_short);
}

TEST_CASE("certificate_request: the hashes are whole") {
  CHECK(refusal(payload_type::certificate_request, "040102") == errc::bad_length);
  CHECK(refusal(payload_type::certificate_request, "") == errc::payload_too_short);
  CHECK(refusal(payload_type::certificate, "") == errc::payload_too_short);
}

TEST_CASE("nonce: 16 to 256 octets") {
  CHECK(refusal(payload_type::nonce, repeated("aa", 15)) == errc::bad_length);
  CHECK(refusal(payload_type::nonce, repeated("aa", 257)) == errc::bad_length);
  CHECK(parsed<nonce_payload>(payload_type::nonce, repeated("aa", 256)).data.size() == 256);
}

TEST_CASE("notify: the SPI size is checked and a protocol without SPI is ignored") {
  auto one = parsed<notify_payload>(payload_type::notify, "01004000");
  CHECK(one == notify_payload{protocol_id::none, {}, notify_type::initial_contact, {}});
  CHECK(!one.is_error());
  CHECK(body_of(notify_payload{protocol_id::ike, {}, notify_type::cookie, {9}}) == "0000400609");
  auto rekey = parsed<notify_payload>(payload_type::notify, "03044009 01020304");
  CHECK(rekey.protocol == protocol_id::esp);
  CHECK(rekey.spi == bytes{1, 2, 3, 4});
  CHECK(refusal(payload_type::notify, "0305400901020304ff") == errc::bad_length);
  CHECK(refusal(payload_type::notify, "030840090102030401020304") == errc::bad_length);
  CHECK(refusal(payload_type::notify, "03044009010203") == errc::payload_too_short);
  CHECK(refusal(payload_type::notify, "000040") == errc::payload_too_short);
}

TEST_CASE("delete: the SPI size follows from the protocol") {
  CHECK(parsed<delete_payload>(payload_type::delete_, "01000000").spis.empty());
  CHECK(parsed<delete_payload>(payload_type::delete_, "03040002 00000001 00000002").spis ==
        std::vector<std::uint32_t>{1, 2});
  CHECK(refusal(payload_type::delete_, "010800010102030405060708") == errc::bad_length);
  CHECK(refusal(payload_type::delete_, "03080001 0102030405060708") == errc::bad_length);
  CHECK(refusal(payload_type::delete_, "03000000") == errc::bad_length);
  CHECK(refusal(payload_type::delete_, "00000000") == errc::bad_value);
  CHECK(refusal(payload_type::delete_, "03040002 00000001") == errc::payload_too_short);
  CHECK(refusal(payload_type::delete_, "03040001 00000001 00000002") == errc::trailing_octets);
  CHECK(refusal(payload_type::delete_, "0304ffff" + repeated("00000001", 2000)) ==
        errc::limit_exceeded);
}

TEST_CASE("traffic_selector: an unknown type is skipped, a wrong length is not") {
  auto two = parsed<traffic_selector_payload>(
      tsi, "02000000 0a060008 deadbeef 07110010 01f41194 0a000000 0a0000ff");
  REQUIRE(two.selectors.size() == 1);
  CHECK(two.initiator);
  auto expected = sample_selector("10.0.0.0", "10.0.0.255");
  CHECK(two.selectors[0] == expected);
  CHECK(refusal(tsi, "01000000 0711000f 01f41194 0a000000 0a0000") == errc::bad_length);
  CHECK(refusal(tsi, "01000000 07110011 01f41194 0a000000 0a0000ff 00") == errc::bad_length);
  CHECK(refusal(tsi, "01000000 08110010 01f41194 0a000000 0a0000ff") == errc::bad_length);
  CHECK(refusal(tsi, "01000000 07110010 0000ffff 0a000001 0a000000") == errc::bad_value);
  CHECK(refusal(tsi, "02000000 07110010 0000ffff 0a000000 0a000001") == errc::payload_too_short);
  CHECK(refusal(tsi, "00000000 07110010 0000ffff 0a000000 0a000001") == errc::trailing_octets);
  CHECK(refusal(tsi, "01000000 0a060003") == errc::bad_length);
}

TEST_CASE("configuration: attributes carry their length; the reserved bit is ignored") {
  CHECK(parsed<configuration_payload>(cp, "02000000 80010004 0a000001 00030000") ==
        configuration_payload{2, {{1, {10, 0, 0, 1}}, {3, {}}}});
  CHECK(refusal(cp, "02000000 00010005 0a000001") == errc::payload_too_short);
  CHECK(refusal(cp, "02000000 000100") == errc::payload_too_short);
  CHECK(refusal(cp, "02000000" + repeated("00010000", 65)) == errc::limit_exceeded);
}

TEST_CASE("eap: the message's own length is the body's size") {
  CHECK(parsed<eap_payload>(payload_type::eap, "0107000501").message.size() == 5);
  CHECK(refusal(payload_type::eap, "0107000601") == errc::bad_length);
  CHECK(refusal(payload_type::eap, "010700") == errc::bad_length);
  auto large = octets_of(0x1234);
  large[2] = 0x12;
  large[3] = 0x34;
  CHECK(parsed<eap_payload>(payload_type::eap, to_hex(large)).message == large);
}

TEST_CASE("encrypted_fragment: numbers count from one to the total") {
  constexpr auto skf = payload_type::encrypted_fragment;
  CHECK(parsed<encrypted_fragment_payload>(skf, "00020003aa").number == 2);
  CHECK(refusal(skf, "00000003aa") == errc::bad_value);
  CHECK(refusal(skf, "00040003aa") == errc::bad_value);
  CHECK(refusal(skf, "00000000aa") == errc::bad_value);
  CHECK(refusal(skf, "000100ffaa") == errc::limit_exceeded);
  CHECK(refusal(skf, "000100") == errc::payload_too_short);
}

TEST_CASE("payloads: what does not fit its field is not encoded") {
  CHECK(encode_payloads({vendor_id_payload{bytes(65532)}}).empty());
  CHECK(encode_payloads({vendor_id_payload{bytes(65531)}}).size() == 65535);
  CHECK(encode_payloads({traffic_selector_payload{true, traffic_selectors(256)}}).empty());
  CHECK(encode_payloads({notify_payload{protocol_id::esp, bytes(256), notify_type::cookie, {}}})
            .empty());
  CHECK(encode_payloads({configuration_payload{1, {{1, bytes(65536)}}}}).empty());
  proposal many{1, protocol_id::ike, {}, std::vector<transform>(256)};
  CHECK(encode_payloads({security_association_payload{{many}}}).empty());
  CHECK(encode_payloads({encrypted_payload{}, nonce_payload{bytes(16)}}).empty());
}
