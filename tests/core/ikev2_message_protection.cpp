#include <algorithm>
#include <set>

#include <doctest/doctest.h>

#include "core/base/limits.hpp"
#include "core/base/writer.hpp"
#include "core/ikev2/message_protection.hpp"
#include "tests/support/test_random.hpp"

using namespace imago;
using namespace imago::ikev2;

namespace {

struct suite {
  const char* name;
  encryption_algorithm encryption;
  std::uint16_t key_bits;
  integrity_algorithm integrity;
};

const suite suites[] = {
    {"GCM-128", encryption_algorithm::aes_gcm_16, 128, integrity_algorithm::none},
    {"GCM-256", encryption_algorithm::aes_gcm_16, 256, integrity_algorithm::none},
    {"ChaCha20", encryption_algorithm::chacha20_poly1305, 0, integrity_algorithm::none},
    {"CBC-128", encryption_algorithm::aes_cbc, 128, integrity_algorithm::hmac_sha2_256_128},
    {"CBC-256", encryption_algorithm::aes_cbc, 256, integrity_algorithm::hmac_sha2_512_256},
};
const suite& gcm = suites[0];
const suite& cbc = suites[3];

const crypto::library& the_library() {
  static crypto::library library;
  return library;
}

crypto::protection protection_of(const suite& suite, std::uint8_t key = 1) {
  auto sizes = crypto::sizes_of(suite.encryption, suite.key_bits, suite.integrity);
  auto made = crypto::protection::create(
      the_library(), suite.encryption, suite.key_bits, suite.integrity,
      secret{pattern(key, sizes.encryption_key)},
      secret{pattern(static_cast<std::uint8_t>(key + 1), sizes.integrity_key)});
  REQUIRE(made);
  return *std::move(made);
}

wire::header header_of(std::uint32_t message_id = 1) {
  wire::header header;
  header.initiator_spi = 0x1111111111111111;
  header.responder_spi = 0x2222222222222222;
  header.exchange = exchange_type::ike_auth;
  header.from_initiator = true;
  header.message_id = message_id;
  return header;
}

wire::payload notify_of(std::size_t data_size) {
  wire::notify_payload notify;
  notify.type = notify_type::initial_contact;
  notify.data = pattern(3, data_size);
  return notify;
}

std::vector<bytes> seal(crypto::protection& protection, const wire::payloads& payloads,
                        std::size_t datagram_size_max = 0) {
  repeatable_random random;
  auto sealed = seal_message(protection, random, header_of(), payloads, datagram_size_max);
  REQUIRE(sealed);
  return *std::move(sealed);
}

// A fragment as open_message gives it.
opened piece(std::uint16_t number, std::uint16_t total, bytes octets,
             payload_type first_inner = payload_type::none) {
  return {number == 1 && first_inner == payload_type::none ? payload_type::notify : first_inner,
          secret{std::move(octets)}, number, total};
}

bool is_incomplete(const result<std::optional<fragment_assembler::whole>>& added) {
  return added && !added->has_value();
}

}  // namespace

TEST_CASE("seal: what is sealed opens to the same payloads") {
  const wire::payloads lists[] = {
      {},
      {notify_of(0)},
      {wire::nonce_payload{pattern(1, 32)}, notify_of(7),
       wire::delete_payload{protocol_id::ike, {}}},
  };
  for (const auto& suite : suites)
    for (const auto& payloads : lists) {
      CAPTURE(suite.name);
      auto sender = protection_of(suite);
      auto receiver = protection_of(suite);
      auto datagrams = seal(sender, payloads);
      REQUIRE(datagrams.size() == 1);
      auto header = wire::parse_header(datagrams[0]);
      REQUIRE(header);
      CHECK(header->next_payload == payload_type::encrypted);
      CHECK(header->exchange == exchange_type::ike_auth);
      auto opened = open_message(receiver, datagrams[0]);
      REQUIRE(opened);
      CHECK(opened->number == 1);
      CHECK(opened->total == 1);
      CHECK(opened->first_inner ==
            (payloads.empty() ? payload_type::none : wire::type_of(payloads.front())));
      auto parsed = wire::parse_payloads(opened->first_inner, opened->plaintext.view());
      REQUIRE(parsed);
      CHECK(*parsed == payloads);
    }
}

TEST_CASE("seal: a message is fragmented only where it does not fit, by the octet") {
  for (const auto& suite : suites)
    for (std::size_t data_size = 100; data_size < 140; ++data_size) {
      CAPTURE(suite.name);
      CAPTURE(data_size);
      auto protection = protection_of(suite);
      auto whole = seal(protection, {notify_of(data_size)});
      REQUIRE(whole.size() == 1);
      auto size = whole[0].size();
      CHECK(seal(protection, {notify_of(data_size)}, size).size() == 1);
      auto fragments = seal(protection, {notify_of(data_size)}, size - 1);
      CHECK(fragments.size() == 2);
      for (const auto& one : fragments) CHECK(one.size() <= size - 1);
    }
}

TEST_CASE("seal: fragments fill the datagram as far as blocks allow and open to the message") {
  for (const auto& suite : suites) {
    CAPTURE(suite.name);
    auto sender = protection_of(suite);
    auto receiver = protection_of(suite);
    const wire::payloads payloads{wire::nonce_payload{pattern(1, 200)}, notify_of(1000)};
    for (std::size_t size_max : {128, 129, 143, 144, 145, 200, 256, 576, 1000, 1200}) {
      CAPTURE(size_max);
      auto datagrams = seal(sender, payloads, size_max);
      REQUIRE(datagrams.size() > 1);
      fragment_assembler assembler;
      std::set<bytes> ivs;
      std::optional<fragment_assembler::whole> whole;
      for (std::size_t i = 0; i < datagrams.size(); ++i) {
        const auto& datagram = datagrams[i];
        CHECK(datagram.size() <= size_max);
        if (i + 1 < datagrams.size()) CHECK(datagram.size() + sender.sizes().block > size_max);
        auto header = wire::parse_header(datagram);
        REQUIRE(header);
        CHECK(header->next_payload == payload_type::encrypted_fragment);
        CHECK(header->message_id == 1);
        // RFC 7383 §2.5: zero in all but the first.
        CHECK(datagram[wire::header_size] ==
              static_cast<std::uint8_t>(i == 0 ? payload_type::nonce : payload_type::none));
        ivs.insert(bytes(datagram.begin() + 36,
                         datagram.begin() + 36 + static_cast<int>(sender.sizes().iv)));
        auto opened = open_message(receiver, datagram);
        REQUIRE(opened);
        CHECK(opened->number == i + 1);
        CHECK(opened->total == datagrams.size());
        CHECK_FALSE(whole.has_value());
        auto added = assembler.add(*std::move(opened));
        REQUIRE(added);
        whole = *std::move(added);
      }
      if (sender.sizes().is_aead) CHECK(ivs.size() == datagrams.size());
      REQUIRE(whole.has_value());
      CHECK(whole->first_inner == payload_type::nonce);
      CHECK(to_bytes(whole->plaintext.view()) == wire::encode_payloads(payloads));
      CHECK_FALSE(assembler.is_collecting());
    }
  }
}

TEST_CASE("seal: what would need too many fragments is refused") {
  auto protection = protection_of(gcm);
  repeatable_random random;
  auto code_for = [&](std::size_t data_size, std::size_t size_max) {
    auto sealed = seal_message(protection, random, header_of(), {notify_of(data_size)}, size_max);
    REQUIRE_FALSE(sealed);
    return sealed.failure().code;
  };
  // 36 fixed octets, 8 IV, 16 ICV, 1 Pad Length: 100 octets of datagram carry 39 of plaintext.
  const std::size_t fits = limits::fragment_count_max * 39 - 8;
  CHECK(seal(protection, {notify_of(fits)}, 100).size() == limits::fragment_count_max);
  CHECK(code_for(fits + 1, 100) == errc::limit_exceeded);
  CHECK(seal(protection, {notify_of(0)}, 62).size() == 8);  // one octet each
  CHECK(code_for(0, 61) == errc::limit_exceeded);
  CHECK(code_for(0, 1) == errc::limit_exceeded);
}

TEST_CASE("seal: what no datagram and no payload can hold is refused") {
  auto protection = protection_of(cbc);
  repeatable_random random;
  const wire::payloads two{notify_of(40000), notify_of(40000)};
  auto whole = seal_message(protection, random, header_of(), two, 0);
  REQUIRE_FALSE(whole);
  CHECK(whole.failure().code == errc::limit_exceeded);
  auto fragments = seal_message(protection, random, header_of(), two, 1280);
  REQUIRE_FALSE(fragments);
  CHECK(fragments.failure().code == errc::limit_exceeded);
  auto payload = seal_message(protection, random, header_of(), {notify_of(70000)}, 1280);
  REQUIRE_FALSE(payload);
  CHECK(payload.failure().code == errc::limit_exceeded);
}

TEST_CASE("open: a change of any octet is noticed, in whole messages and fragments") {
  for (const auto& suite : suites)
    for (std::size_t size_max : {0, 120}) {
      CAPTURE(suite.name);
      CAPTURE(size_max);
      auto sender = protection_of(suite);
      auto receiver = protection_of(suite);
      auto datagram = seal(sender, {notify_of(100)}, size_max).front();
      for (std::size_t i = 0; i < datagram.size(); ++i)
        for (std::uint8_t bit : {0x01, 0x80}) {
          CAPTURE(i);
          auto changed = datagram;
          changed[i] ^= bit;
          auto opened = open_message(receiver, changed);
          CHECK_FALSE(opened);
        }
      CHECK(open_message(receiver, datagram));
    }
}

TEST_CASE("open: every truncation and every addition is refused") {
  for (std::size_t size_max : {0, 120}) {
    auto protection = protection_of(gcm);
    auto datagram = seal(protection, {notify_of(100)}, size_max).front();
    for (std::size_t size = 0; size < datagram.size(); ++size) {
      CAPTURE(size);
      auto cut = bytes_view{datagram}.first(size);
      CHECK_FALSE(open_message(protection, cut));
      // Also where the header's length goes along.
      if (size < wire::header_size) continue;
      writer fixed{to_bytes(cut)};
      fixed.patch_u32(24, static_cast<std::uint32_t>(size));
      CHECK_FALSE(open_message(protection, fixed.finish()));
    }
    datagram.push_back(0);
    CHECK_FALSE(open_message(protection, datagram));
    writer longer{datagram};
    longer.patch_u32(24, static_cast<std::uint32_t>(datagram.size()));
    auto opened = open_message(protection, longer.finish());
    REQUIRE_FALSE(opened);
    CHECK(opened.failure().code == errc::trailing_octets);
  }
}

TEST_CASE("open: another key is refused by the integrity check") {
  for (const auto& suite : suites)
    for (std::size_t size_max : {0, 120}) {
      CAPTURE(suite.name);
      auto sender = protection_of(suite, 1);
      auto receiver = protection_of(suite, 5);
      for (const auto& datagram : seal(sender, {notify_of(100)}, size_max)) {
        auto opened = open_message(receiver, datagram);
        REQUIRE_FALSE(opened);
        CHECK(opened.failure().code == errc::integrity_failed);
      }
    }
}

TEST_CASE("open: unprotected payloads before SK are passed over") {
  auto protection = protection_of(gcm);
  repeatable_random random;
  const bytes plaintext = wire::encode_payloads({notify_of(5)});
  auto body_size = protection.sealed_size(plaintext.size());
  auto header = header_of();
  header.next_payload = payload_type::vendor_id;
  header.length = static_cast<std::uint32_t>(wire::header_size + 10 + 4 + body_size);
  writer prefix{wire::encode_header(header)};
  prefix.u8(static_cast<std::uint8_t>(payload_type::encrypted));
  prefix.u8(0);
  prefix.u16(10);
  prefix.zeros(6);
  prefix.u8(static_cast<std::uint8_t>(payload_type::notify));
  prefix.u8(0);
  prefix.u16(static_cast<std::uint16_t>(4 + body_size));
  auto body = protection.seal(random, prefix.written(), plaintext);
  REQUIRE(body);
  prefix.put(*body);
  auto opened = open_message(protection, prefix.finish());
  REQUIRE(opened);
  CHECK(opened->first_inner == payload_type::notify);
  CHECK(to_bytes(opened->plaintext.view()) == plaintext);
}

TEST_CASE("open: a chain that does not lead to SK is told from one that is broken") {
  auto protection = protection_of(gcm);
  struct {
    const char* what;
    payload_type first;
    bytes chain;
    errc code;
  } const rows[] = {
      {"nothing at all", payload_type::none, {}, errc::missing_payload},
      {"a nonce alone", payload_type::nonce, {0, 0, 0, 6, 1, 2}, errc::missing_payload},
      {"announced but absent", payload_type::encrypted, {}, errc::payload_too_short},
      {"half a generic header", payload_type::encrypted, {41, 0, 0}, errc::payload_too_short},
      {"a length below 4", payload_type::encrypted, {41, 0, 0, 3}, errc::payload_too_short},
      {"a length beyond the end", payload_type::encrypted, {41, 0, 0, 5}, errc::payload_too_long},
      {"octets behind SK", payload_type::encrypted, {41, 0, 0, 4, 9}, errc::trailing_octets},
      {"SK without a body", payload_type::encrypted, {41, 0, 0, 4}, errc::input_too_short},
      {"SKF without its numbers",
       payload_type::encrypted_fragment,
       {41, 0, 0, 6, 0, 1},
       errc::payload_too_short},
      {"fragment 0 of 1",
       payload_type::encrypted_fragment,
       {41, 0, 0, 8, 0, 0, 0, 1},
       errc::bad_value},
      {"fragment 0 of 0",
       payload_type::encrypted_fragment,
       {41, 0, 0, 8, 0, 0, 0, 0},
       errc::bad_value},
      {"fragment 3 of 2",
       payload_type::encrypted_fragment,
       {41, 0, 0, 8, 0, 3, 0, 2},
       errc::bad_value},
      {"SKF without a body",
       payload_type::encrypted_fragment,
       {41, 0, 0, 8, 0, 1, 0, 2},
       errc::input_too_short},
  };
  for (const auto& row : rows) {
    CAPTURE(row.what);
    auto header = header_of();
    header.next_payload = row.first;
    header.length = static_cast<std::uint32_t>(wire::header_size + row.chain.size());
    auto datagram = wire::encode_header(header);
    append(datagram, row.chain);
    auto opened = open_message(protection, datagram);
    REQUIRE_FALSE(opened);
    CHECK(name_of(opened.failure().code) == name_of(row.code));
  }
}

TEST_CASE("open: a chain without end is given up") {
  auto protection = protection_of(gcm);
  auto header = header_of();
  header.next_payload = payload_type::nonce;
  header.length = static_cast<std::uint32_t>(wire::header_size + 4 * 1000);
  auto datagram = wire::encode_header(header);
  for (int i = 0; i < 1000; ++i) append(datagram, bytes{40, 0, 0, 4});
  auto opened = open_message(protection, datagram);
  REQUIRE_FALSE(opened);
  CHECK(opened.failure().code == errc::limit_exceeded);
}

TEST_CASE("assembler: fragments may come in any order and more than once") {
  std::vector<std::uint16_t> order{1, 2, 3, 4};
  do {
    fragment_assembler assembler;
    for (std::size_t i = 0; i < order.size(); ++i) {
      auto number = order[i];
      auto octet = static_cast<std::uint8_t>(number);
      auto added = assembler.add(piece(number, 4, {octet, octet}));
      REQUIRE(added);
      if (i + 1 < order.size()) {
        CHECK_FALSE(added->has_value());
        // A double changes nothing, whatever is in it.
        CHECK(is_incomplete(assembler.add(piece(number, 4, {0xff, 0xff, 0xff}))));
        CHECK(assembler.is_collecting());
        continue;
      }
      REQUIRE(added->has_value());
      CHECK((*added)->first_inner == payload_type::notify);
      CHECK(to_bytes((*added)->plaintext.view()) == bytes{1, 1, 2, 2, 3, 3, 4, 4});
      CHECK_FALSE(assembler.is_collecting());
    }
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_CASE("assembler: a larger total restarts, a smaller one is dropped") {
  fragment_assembler assembler;
  CHECK(is_incomplete(assembler.add(piece(1, 2, {1}, payload_type::nonce))));
  CHECK(is_incomplete(assembler.add(piece(1, 3, {11}, payload_type::identification_initiator))));
  CHECK(is_incomplete(assembler.add(piece(2, 2, {2}))));  // would have completed the first attempt
  CHECK(is_incomplete(assembler.add(piece(2, 3, {12}))));
  auto added = assembler.add(piece(3, 3, {13}));
  REQUIRE(added);
  REQUIRE(added->has_value());
  CHECK((*added)->first_inner == payload_type::identification_initiator);
  CHECK(to_bytes((*added)->plaintext.view()) == bytes{11, 12, 13});
}

TEST_CASE("assembler: a message in one piece passes through and ends a collection") {
  fragment_assembler assembler;
  CHECK(is_incomplete(assembler.add(piece(1, 2, {1}))));
  auto added = assembler.add(piece(1, 1, {7, 8, 9}, payload_type::delete_));
  REQUIRE(added);
  REQUIRE(added->has_value());
  CHECK((*added)->first_inner == payload_type::delete_);
  CHECK(to_bytes((*added)->plaintext.view()) == bytes{7, 8, 9});
  CHECK_FALSE(assembler.is_collecting());
  CHECK(is_incomplete(assembler.add(piece(2, 2, {2}))));
}

TEST_CASE("assembler: numbers that cannot be are refused and disturb nothing") {
  fragment_assembler assembler;
  CHECK(is_incomplete(assembler.add(piece(1, 2, {1}))));
  struct {
    std::uint16_t number, total;
    errc code;
  } const rows[] = {
      {0, 2, errc::bad_value},
      {3, 2, errc::bad_value},
      {0, 0, errc::bad_value},
      {1, 129, errc::limit_exceeded},
      {65535, 65535, errc::limit_exceeded},
  };
  for (const auto& row : rows) {
    CAPTURE(row.number);
    auto added = assembler.add(piece(row.number, row.total, {9}));
    REQUIRE_FALSE(added);
    CHECK(added.failure().code == row.code);
  }
  auto added = assembler.add(piece(2, 2, {2}));
  REQUIRE(added);
  CHECK(added->has_value());
}

TEST_CASE("assembler: as many fragments as allowed make a message") {
  fragment_assembler assembler;
  constexpr auto total = static_cast<std::uint16_t>(limits::fragment_count_max);
  for (std::uint16_t number = 1; number < total; ++number)
    CHECK(is_incomplete(assembler.add(piece(number, total, {1}))));
  auto added = assembler.add(piece(total, total, {1}));
  REQUIRE(added);
  REQUIRE(added->has_value());
  CHECK((*added)->plaintext.size() == limits::fragment_count_max);
}

TEST_CASE("assembler: more octets than one message may have end the collection") {
  fragment_assembler assembler;
  CHECK(is_incomplete(assembler.add(piece(1, 3, bytes(limits::reassembled_size_max - 10)))));
  CHECK(is_incomplete(assembler.add(piece(2, 3, bytes(10)))));
  auto added = assembler.add(piece(3, 3, bytes(1)));
  REQUIRE_FALSE(added);
  CHECK(added.failure().code == errc::limit_exceeded);
  CHECK_FALSE(assembler.is_collecting());
  // The next message begins afresh.
  CHECK(is_incomplete(assembler.add(piece(1, 2, {1}))));
  auto next = assembler.add(piece(2, 2, {2}));
  REQUIRE(next);
  CHECK(next->has_value());
}

TEST_CASE("assembler: doubles do not count as octets of the message") {
  fragment_assembler assembler;
  for (int i = 0; i < 100; ++i)
    CHECK(is_incomplete(assembler.add(piece(1, 2, bytes(limits::reassembled_size_max / 2)))));
  auto added = assembler.add(piece(2, 2, {2}));
  REQUIRE(added);
  CHECK(added->has_value());
}

TEST_CASE("assembler: cleared, it has forgotten what came") {
  fragment_assembler assembler;
  CHECK(is_incomplete(assembler.add(piece(1, 2, {1}))));
  assembler.clear();
  CHECK_FALSE(assembler.is_collecting());
  CHECK(is_incomplete(assembler.add(piece(2, 2, {2}))));
}
