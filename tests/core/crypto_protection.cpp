// SK protection: published vectors, and what must not open.
#include <limits>
#include <string>

#include <doctest/doctest.h>

#include "core/crypto/prf.hpp"
#include "core/crypto/protection_state.hpp"
#include "tests/support/hex.hpp"
#include "tests/support/test_random.hpp"

namespace imago::crypto {
struct protection_probe {
  static void set_next_iv(protection& of, std::uint64_t value) { of.state_->next_iv = value; }
};
}  // namespace imago::crypto

using namespace imago;
using crypto::protection;

namespace {

struct suite {
  encryption_algorithm encryption;
  std::uint16_t key_bits;
  integrity_algorithm integrity;
};

constexpr suite all_suites[] = {
    {encryption_algorithm::aes_gcm_16, 128, integrity_algorithm::none},
    {encryption_algorithm::aes_gcm_16, 256, integrity_algorithm::none},
    {encryption_algorithm::chacha20_poly1305, 0, integrity_algorithm::none},
    {encryption_algorithm::chacha20_poly1305, 256, integrity_algorithm::none},
    {encryption_algorithm::aes_cbc, 128, integrity_algorithm::hmac_sha2_256_128},
    {encryption_algorithm::aes_cbc, 192, integrity_algorithm::hmac_sha2_384_192},
    {encryption_algorithm::aes_cbc, 256, integrity_algorithm::hmac_sha2_512_256},
};

bytes key_of(std::size_t size, std::uint8_t start) {
  bytes key(size);
  for (auto& octet : key) octet = start++;
  return key;
}

protection make(const crypto::library& library, const suite& of, std::uint8_t start = 1) {
  auto sizes = crypto::sizes_of(of.encryption, of.key_bits, of.integrity);
  return *protection::create(library, of.encryption, of.key_bits, of.integrity,
                             secret{key_of(sizes.encryption_key, start)},
                             secret{key_of(sizes.integrity_key, start)});
}

protection make_aead(const crypto::library& library, encryption_algorithm encryption,
                     std::uint16_t key_bits, std::string_view key_and_salt) {
  return *protection::create(library, encryption, key_bits, integrity_algorithm::none,
                             secret{from_hex(key_and_salt)}, {});
}

// IV, a published ciphertext, and the ICV that makes it acceptable.
bytes cbc_body(const crypto::library& library, const bytes& integrity_key, bytes_view associated,
               std::string_view iv_and_ciphertext) {
  auto body = from_hex(iv_and_ciphertext);
  auto icv = *crypto::prf(library, prf_algorithm::hmac_sha2_256, integrity_key, {associated, body});
  append(body, icv.view().first(16));
  return body;
}

}  // namespace

TEST_CASE("protection: sizes are those of the RFCs") {
  auto gcm = crypto::sizes_of(encryption_algorithm::aes_gcm_16, 256, integrity_algorithm::none);
  CHECK(gcm.encryption_key == 36);
  CHECK(gcm.salt == 4);
  CHECK(gcm.integrity_key == 0);
  CHECK(gcm.iv == 8);
  CHECK(gcm.block == 1);
  CHECK(gcm.icv == 16);
  CHECK(gcm.is_aead);
  auto cbc =
      crypto::sizes_of(encryption_algorithm::aes_cbc, 192, integrity_algorithm::hmac_sha2_384_192);
  CHECK(cbc.encryption_key == 24);
  CHECK(cbc.salt == 0);
  CHECK(cbc.integrity_key == 48);
  CHECK(cbc.iv == 16);
  CHECK(cbc.block == 16);
  CHECK(cbc.icv == 24);
  CHECK_FALSE(cbc.is_aead);
}

TEST_CASE("protection: combinations that do not exist have no sizes and are not made") {
  crypto::library library;
  const suite wrong[] = {
      {encryption_algorithm::aes_gcm_16, 192, integrity_algorithm::none},
      {encryption_algorithm::aes_gcm_16, 0, integrity_algorithm::none},
      {encryption_algorithm::aes_gcm_16, 128, integrity_algorithm::hmac_sha2_256_128},
      {encryption_algorithm::chacha20_poly1305, 128, integrity_algorithm::none},
      {encryption_algorithm::chacha20_poly1305, 0, integrity_algorithm::hmac_sha2_256_128},
      {encryption_algorithm::aes_cbc, 128, integrity_algorithm::none},
      {encryption_algorithm::aes_cbc, 512, integrity_algorithm::hmac_sha2_256_128},
      {encryption_algorithm::aes_cbc, 128, integrity_algorithm{2}},
      {encryption_algorithm::none, 0, integrity_algorithm::hmac_sha2_256_128},
      {encryption_algorithm{3}, 192, integrity_algorithm::hmac_sha2_256_128},
  };
  for (const auto& one : wrong) {
    auto sizes = crypto::sizes_of(one.encryption, one.key_bits, one.integrity);
    CHECK(sizes.encryption_key == 0);
    CHECK(sizes.iv == 0);
    CHECK(sizes.icv == 0);
    auto made = protection::create(library, one.encryption, one.key_bits, one.integrity, {}, {});
    CHECK(made.failure().code == errc::unsupported_algorithm);
  }
}

TEST_CASE("protection: keys of the wrong size are refused") {
  crypto::library library;
  for (const auto& one : all_suites) {
    auto sizes = crypto::sizes_of(one.encryption, one.key_bits, one.integrity);
    auto code = [&](std::size_t encryption_size, std::size_t integrity_size) {
      auto made = protection::create(library, one.encryption, one.key_bits, one.integrity,
                                     secret{encryption_size}, secret{integrity_size});
      return made.failure().code;
    };
    CHECK(code(sizes.encryption_key - 1, sizes.integrity_key) == errc::bad_key);
    CHECK(code(sizes.encryption_key + 1, sizes.integrity_key) == errc::bad_key);
    CHECK(code(sizes.encryption_key, sizes.integrity_key + 1) == errc::bad_key);
  }
}

TEST_CASE("protection: ChaCha20-Poly1305 makes the message of RFC 7634 appendix B") {
  crypto::library library;
  auto sender =
      make_aead(library, encryption_algorithm::chacha20_poly1305, 0,
                "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3");
  crypto::protection_probe::set_next_iv(sender, 0x1011121314151617);
  auto associated = from_hex("c0c1c2c3c4c5c6c7d0d1d2d3d4d5d6d72e202500000000090000004529000029");
  auto plaintext = from_hex("0000000c000040010000000a");
  auto sealed = *sender.seal(library, associated, plaintext);
  CHECK(to_hex(sealed) ==
        "1011121314151617610394701f8d017f7c129248896b71bfe25236efd7cdc67066906315b2");
  CHECK(to_bytes(sender.open(associated, sealed)->view()) == plaintext);
}

TEST_CASE("protection: AES-GCM agrees with McGrew and Viega's test cases 4 and 16") {
  crypto::library library;
  auto associated = from_hex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
  auto plaintext = from_hex(
      "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6"
      "b525b16aedf5aa0de657ba637b39");
  struct gcm_case {
    std::uint16_t key_bits;
    const char *key, *ciphertext, *tag;
  };
  const gcm_case cases[] = {
      {128, "feffe9928665731c6d6a8f9467308308",
       "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac"
       "84aa051ba30b396a0aac973d58e091",
       "5bc94fbc3221a5db94fae95ae7121a47"},
      {256, "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
       "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056"
       "828838c5f61e6393ba7a0abcc9f662",
       "76fc6ece0f4e1768cddf8853bb2d551b"}};
  for (const auto& one : cases) {
    auto sa = make_aead(library, encryption_algorithm::aes_gcm_16, one.key_bits,
                        std::string{one.key} + "cafebabe");
    auto body = from_hex(std::string{"facedbaddecaf888"} + one.ciphertext + one.tag);
    // The last octet of the published plaintext, 0x39, reads as a Pad Length here.
    auto opened = *sa.open(associated, body);
    CHECK(to_bytes(opened.view()) == bytes{plaintext.begin(), plaintext.begin() + 2});
    crypto::protection_probe::set_next_iv(sa, 0xfacedbaddecaf888);
    auto sealed = *sa.seal(library, associated, bytes_view{plaintext}.first(59));
    CHECK(to_hex(bytes_view{sealed}.first(8 + 59)) ==
          "facedbaddecaf888" + std::string{one.ciphertext}.substr(0, 2 * 59));
  }
}

TEST_CASE("protection: AES-CBC agrees with RFC 3602") {
  crypto::library library;
  auto integrity_key = key_of(32, 9);
  auto associated = to_bytes("header");
  auto make_cbc = [&](std::string_view key) {
    return *protection::create(library, encryption_algorithm::aes_cbc, 128,
                               integrity_algorithm::hmac_sha2_256_128, secret{from_hex(key)},
                               secret{bytes{integrity_key}});
  };
  // Case 3: 48 octets of text, whose last, ')', reads as a Pad Length of 41.
  auto third = make_cbc("6c3ea0477630ce21a2ce334aa746c2cd");
  auto opened = *third.open(
      associated,
      cbc_body(
          library, integrity_key, associated,
          "c782dc4c098c66cbd9cd27d825682c81"
          "d0a02b3836451753d493665d33f0e8862dea54cdb293abc7506939276772f8d5021c19216bad525c8579"
          "695d83ba2684"));
  CHECK(to_text(opened.view()) == "This i");
  // Case 1: its last octet, 'g', cannot be the Pad Length of one block.
  auto first = make_cbc("06a9214036b8a15b512e03d534120006");
  auto failed = first.open(associated, cbc_body(library, integrity_key, associated,
                                                "3dafba429d9eb430b422da802c9fac41"
                                                "e353779c1079aeb82708942dbe77181a"));
  CHECK(failed.failure().code == errc::bad_padding);
  // Case 2, sealed: the IV is what `random` gives, and the first block is the published one.
  auto second = make_cbc("c286696d887c9aa0611bbb3e2025a45a");
  constant_random zeros{0};
  auto sealed = *second.seal(zeros, associated, key_of(31, 0));
  CHECK(to_hex(bytes_view{sealed}.first(16)) == std::string(32, '0'));
  auto empty = *second.open(associated, cbc_body(library, integrity_key, associated,
                                                 "562e17996d093d28ddb3ba695a2e6f58"
                                                 "d296cd94c2cccf8a3a863028b5e1dc0a"
                                                 "7586602d253cfff91b8266bea6d61ab1"));
  CHECK(empty.empty());  // 0x1f, all of it padding
}

TEST_CASE("protection: what is sealed opens, at every size around the block") {
  crypto::library library;
  for (const auto& one : all_suites) {
    auto sender = make(library, one);
    auto receiver = make(library, one);
    for (std::size_t size = 0; size <= 50; ++size) {
      auto plaintext = key_of(size, 77);
      auto sealed = *sender.seal(library, to_bytes("associated"), plaintext);
      CHECK(sealed.size() == sender.sealed_size(size));
      auto opened = receiver.open(to_bytes("associated"), sealed);
      REQUIRE(opened.has_value());
      CHECK(to_bytes(opened->view()) == plaintext);
    }
    auto sealed = *sender.seal(library, {}, to_bytes("no associated data"));
    CHECK(to_text(receiver.open({}, sealed)->view()) == "no associated data");
  }
}

TEST_CASE("protection: one changed bit anywhere fails the integrity check") {
  crypto::library library;
  for (const auto& one : all_suites) {
    auto sa = make(library, one);
    auto associated = to_bytes("associated");
    auto sealed = *sa.seal(library, associated, to_bytes("some payloads"));
    for (std::size_t i = 0; i < sealed.size(); ++i) {
      auto changed = sealed;
      changed[i] ^= 0x40;
      CHECK(sa.open(associated, changed).failure().code == errc::integrity_failed);
    }
    for (std::size_t i = 0; i < associated.size(); ++i) {
      auto changed = associated;
      changed[i] ^= 1;
      CHECK(sa.open(changed, sealed).failure().code == errc::integrity_failed);
    }
    CHECK(make(library, one, 2).open(associated, sealed).failure().code == errc::integrity_failed);
    CHECK(sa.open(associated, sealed).has_value());
  }
}

TEST_CASE("protection: a body too short for IV, one block and ICV is refused") {
  crypto::library library;
  for (const auto& one : all_suites) {
    auto sa = make(library, one);
    auto smallest = sa.sizes().iv + sa.sizes().block + sa.sizes().icv;
    for (std::size_t size = 0; size < smallest; ++size)
      CHECK(sa.open({}, bytes(size)).failure().code == errc::input_too_short);
    CHECK(sa.open({}, bytes(smallest)).failure().code == errc::integrity_failed);
  }
}

TEST_CASE("protection: CBC ciphertext that is no whole blocks is refused after its ICV") {
  crypto::library library;
  auto integrity_key = key_of(32, 1);
  auto sa = make(library, all_suites[4]);
  auto body = cbc_body(library, integrity_key, {}, std::string(2 * (16 + 17), '1'));
  CHECK(sa.open({}, body).failure().code == errc::bad_length);
  body.back() ^= 1;
  CHECK(sa.open({}, body).failure().code == errc::integrity_failed);
}

TEST_CASE("protection: an AEAD's IVs count up and never repeat") {
  crypto::library library;
  auto sa = make(library, all_suites[0]);
  auto first = *sa.seal(library, {}, {});
  auto second = *sa.seal(library, {}, {});
  CHECK(to_hex(bytes_view{first}.first(8)) == "0000000000000000");
  CHECK(to_hex(bytes_view{second}.first(8)) == "0000000000000001");
  crypto::protection_probe::set_next_iv(sa, std::numeric_limits<std::uint64_t>::max());
  auto last = *sa.seal(library, {}, {});
  CHECK(to_hex(bytes_view{last}.first(8)) == "ffffffffffffffff");
  CHECK(sa.seal(library, {}, {}).failure().code == errc::counter_exhausted);
  CHECK(sa.seal(library, {}, {}).failure().code == errc::counter_exhausted);
  CHECK(sa.open({}, last).has_value());
}

TEST_CASE("protection: two SAs of different kinds may alternate on one thread") {
  crypto::library library;
  auto one = make(library, all_suites[4], 1);
  auto other = make(library, all_suites[4], 100);
  auto third = make(library, all_suites[0], 50);
  for (int i = 0; i < 3; ++i) {
    auto a = *one.seal(library, {}, to_bytes("one"));
    auto b = *other.seal(library, {}, to_bytes("other"));
    auto c = *third.seal(library, {}, to_bytes("third"));
    CHECK(to_text(one.open({}, a)->view()) == "one");
    CHECK(to_text(other.open({}, b)->view()) == "other");
    CHECK(to_text(third.open({}, c)->view()) == "third");
    CHECK(a != *one.seal(library, {}, to_bytes("one")));
  }
  auto moved = std::move(one);
  one = std::move(other);
  CHECK(moved.open({}, *moved.seal(library, {}, {})).has_value());
}
