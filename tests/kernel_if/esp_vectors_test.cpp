// Published packets: draft-mcgrew-gcm-test-01 §4 (AES-GCM in ESP) and RFC 7634 appendix A.
#include <doctest/doctest.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "kernel_if/user_esp/esp.hpp"
#include "tests/kernel_if/esp_fixture.hpp"

using namespace imago;
using namespace imago::testing;
using kernel_if::user_esp::esp_transform;

namespace {

struct published {
  const char* name;
  encryption_algorithm encryption;
  const char* key;  // with the salt
  data_plane::spi spi;
  std::uint64_t sequence;
  bool uses_esn;
  const char* clear;  // payload and trailer
  const char* packet;
};

constexpr auto gcm = encryption_algorithm::aes_gcm_16;

// clang-format off
const published vectors[] = {
  {"gcm 1, ESN", gcm, "4c80cdefbb5d10da906ac73c3613a634 2e443b68", 0x4321, 0x8765432100000000, true,
   "45000048699a000080114db7c0a80102c0a801010a9bf15638d301000001000000000000045f736970045f7564700373"
   "69700963796265726369747902646b000021000101020201",
   "00004321000000004956ed7e3b244cfefecf537e729d5b07dc30df528dd22b768d1b98736696a6fd348509fa13ceac34"
   "cfa2436f14a3f3cf65925bf1f4a13c5d15b21e1884f5ff6247aeabb786b93bce61bc17d768fd9732459018148f6cbe72"
   "2fd04796562dfdb4"},
  {"gcm 2", gcm, "feffe9928665731c6d6a8f9467308308 cafebabe", 0xa5f8, 10, false,
   "4500003e698f000080114dccc0a80102c0a801010a980035002a2343b2d0010000010000000000000373697009637962"
   "65726369747902646b00000100010001",
   "0000a5f80000000afacedbaddecaf888deb22cd9b07c72c16e3a65beeb8df304a5a5897d33ae530f1ba76d5d114d2a5c"
   "3de81827c10e9a4f51330d0eec416642cfbb85a5b47e48a4ec3b9ba95d918bd183b70d3aa8bc6ee4c309e9d85a41ad4a"},
  {"gcm 3, 256 bits", gcm,
   "abbccddef00112233445566778899aababbccddef00112233445566778899aab 11223344",
   0x4a2cbfe3, 2, false,
   "4500003069a6400080062690c0a801029389155e0a9e008b2dc57ee0000000007002400020bf0000020405b401010402"
   "01020201",
   "4a2cbfe3000000020102030405060708ff425c9b724599df7a3bcd510194e00d6a78107f1b0b1cbf06efae9d65a5d763"
   "748a637985771d347f0545659f14e99def842d8eb335f4eecfdbf831824b4c4915956c96"},
  {"gcm 5, ESN", gcm,
   "3de09874b388e6491988d0c3607eae1f 57690e43", 0x42f67e3f, 0x1010101010101010, true,
   "4500003c99c300008001cb7c40679318010101010800085c020043006162636465666768696a6b6c6d6e6f7071727374"
   "75767761626364656667686901020201",
   "42f67e3f101010104e280000a2fca1a3fba2caa4853cf9f0f22cb10d86dd83b0fec75691cf1a04b00d1138ec9c357917"
   "65acbd8701ad79845bf9fe3fba487bc91755e6662b4c8d0d1f5e22739530320ae0d731cc978ecafaeae88f00e80d6e48"},
  {"gcm 7, 192 bits", gcm,
   "feffe9928665731c6d6a8f9467308308feffe9928665731c cafebabe", 0xa5f8, 10, false,
   "45000028a4ad4000400678800a01038f0a010612802306b8cb712602dd6bb03e501016d075680001",
   "0000a5f80000000afacedbaddecaf888a5b1f8066029aea40e598b8122de02420938b3ab33f828e687b8858b5bfbdbd0"
   "315b27452144cc7795457b9652037f5318027b5b4cd7a636"},
  {"gcm 9, 256 bits, ESN", gcm,
   "abbccddef00112233445566778899aababbccddef00112233445566778899aab 73616c74",
   0x17405e67, 0x156f3126dd0db99b, true,
   "45080028732c00004006e9f90a0106120a01038f06b88023dd6bafbecb71260250101f646d540001",
   "17405e67dd0db99b616e640169766563f2d69ecdbd5a0d5b8d5ef38bad4da58d1f278fde98ef67549d524a3018d9a57f"
   "f4d3a31ce673119e451626c2415771e3b7eebca614c89b35"},
  {"gcm 12, empty payload", gcm,
   "7d773d00c144c525ac619d18c84a3f47 d9664267", 0x335467ae, 0xffffffff, false,
   "01020201",
   "335467aeffffffff43457e9182443bc6437f866bcb3f699fe9b0822bac961c4504bef270"},
  {"chacha20-poly1305", encryption_algorithm::chacha20_poly1305,
   "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f a0a1a2a3", 0x01020304, 5, false,
   "45000054a6f200004001e778c6336405c000020508005b7a3a080000553bec100007362708090a0b0c0d0e0f10111213"
   "1415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363701020204",
   "0102030400000005101112131415161724039428b97f417e3c13753a4f05087b67c352e6a7fab1b982d466ef407ae5c6"
   "14ee8099d52844eb61aa95dfab4c02f72aa71e7c4c4f64c9befe2facc638e8f3cbec163fac469b502773f6fb94e664da"
   "9165b82829f641e076aaa8266b7fb0f7b11b369907e1ad43"},
};
// clang-format on

data_plane::sa_parameters sa_of(const published& one) {
  data_plane::sa_parameters sa;
  sa.encryption = one.encryption;
  auto key = from_hex(one.key);
  if (one.encryption == gcm) sa.key_bits = static_cast<std::uint16_t>((key.size() - 4) * 8);
  sa.encryption_key = secret{std::move(key)};
  sa.uses_esn = one.uses_esn;
  sa.id.direction = data_plane::direction::inbound;
  return sa;
}

}  // namespace

TEST_CASE("esp: the published packets of AES-GCM and ChaCha20-Poly1305 open") {
  for (const auto& one : vectors) {
    CAPTURE(one.name);
    auto transform = esp_transform::make(sa_of(one));
    REQUIRE(transform.has_value());
    auto clear = from_hex(one.clear);
    std::size_t padding = clear[clear.size() - 2];
    bytes payload{clear.begin(), clear.end() - 2 - static_cast<std::ptrdiff_t>(padding)};
    bytes out;
    for (int round = 0; round < 2; ++round) {  // the kept context does it again
      auto opened = transform->open({one.spi, one.sequence}, from_hex(one.packet), out);
      REQUIRE(opened.has_value());
      CHECK(*opened == clear.back());
      CHECK(to_hex(out) == to_hex(payload));
    }
  }
}

TEST_CASE("esp: a published packet with any bit changed, or another high half, does not open") {
  for (const auto& one : vectors) {
    CAPTURE(one.name);
    auto transform = esp_transform::make(sa_of(one));
    bytes out;
    auto packet = from_hex(one.packet);
    for (std::size_t i = kernel_if::user_esp::esp_header_size; i < packet.size(); ++i) {
      auto changed = packet;
      changed[i] ^= 1;
      auto opened = transform->open({one.spi, one.sequence}, changed, out);
      REQUIRE_FALSE(opened.has_value());
      CHECK(opened.failure().code == errc::integrity_failed);
      CHECK(out.empty());
    }
    if (one.uses_esn) {
      std::uint64_t next = std::uint64_t{1} << 32;
      CHECK_FALSE(transform->open({one.spi, one.sequence ^ next}, packet, out).has_value());
    }
    CHECK_FALSE(transform->open({one.spi + 1, one.sequence}, packet, out).has_value());
  }
}

TEST_CASE("esp: the ICV of AES-CBC covers the packet and, with ESN, the high half not sent") {
  struct hmac {
    suite algorithms;
    const EVP_MD* md;
    std::size_t size;
  };
  for (const auto& one : {hmac{suites[4], EVP_sha256(), 16}, hmac{suites[5], EVP_sha384(), 24},
                          hmac{suites[6], EVP_sha512(), 32}}) {
    for (bool uses_esn : {false, true}) {
      one_way way;
      way.how.algorithms = one.algorithms;
      way.how.uses_esn = uses_esn;
      REQUIRE(way.install());
      std::uint64_t sequence = 0x0000000700000009;
      if (!uses_esn) sequence &= 0xffffffff;
      REQUIRE(way.a.processor.set_sequence(way.outbound, sequence - 1).has_value());
      auto packet = way.seal(hello());
      REQUIRE(packet.size() > one.size);
      auto covered = bytes(packet.begin(), packet.end() - static_cast<std::ptrdiff_t>(one.size));
      if (uses_esn) append(covered, from_hex("00000007"));
      auto key = key_of(one.algorithms.integrity_key_size, 0x80);
      unsigned char icv[EVP_MAX_MD_SIZE];
      HMAC(one.md, key.data(), static_cast<int>(key.size()), covered.data(), covered.size(), icv,
           nullptr);
      CHECK(to_hex({icv, one.size}) == to_hex(bytes_view{packet}.last(one.size)));
    }
  }
}

TEST_CASE("esp: what AES-CBC seals is the payload, 1 2 3.., the pad length and the next header") {
  one_way way;
  way.how.algorithms = suites[4];
  REQUIRE(way.install());
  auto inner = hello();
  auto packet = way.seal(inner);
  auto* context = EVP_CIPHER_CTX_new();
  auto key = key_of(16, 0x10);
  bytes clear(packet.size() - 8 - 16 - 16);
  int count = 0;
  EVP_DecryptInit_ex(context, EVP_aes_128_cbc(), nullptr, key.data(), packet.data() + 8);
  EVP_CIPHER_CTX_set_padding(context, 0);
  EVP_DecryptUpdate(context, clear.data(), &count, packet.data() + 24,
                    static_cast<int>(clear.size()));
  EVP_CIPHER_CTX_free(context);
  auto expected = inner;
  std::uint8_t padding = 0;
  while ((expected.size() + 2) % 16 != 0) expected.push_back(++padding);
  expected.push_back(padding);
  expected.push_back(4);
  CHECK(to_hex(clear) == to_hex(expected));
}

TEST_CASE("esp: the IV of an AEAD is the sequence number, that of AES-CBC is random") {
  one_way way;
  REQUIRE(way.install());
  for (std::uint32_t i = 1; i <= 3; ++i) {
    auto packet = way.seal(hello());
    CHECK(to_hex(bytes_view{packet}.subspan(8, 8)) == "000000000000000" + std::to_string(i));
  }
  one_way cbc;
  cbc.how.algorithms = suites[4];
  REQUIRE(cbc.install());
  auto first = cbc.seal(hello());
  auto other = cbc.seal(hello());
  CHECK(to_hex(bytes_view{first}.subspan(8, 16)) != to_hex(bytes_view{other}.subspan(8, 16)));
}

namespace {

// An authentic AES-CBC-128 packet around any clear text, made without esp_transform.
bytes cbc_packet(data_plane::spi spi, std::uint32_t sequence, const bytes& clear) {
  writer out;
  out.u32(spi);
  out.u32(sequence);
  out.zeros(16);
  auto packet = out.finish();
  packet.resize(24 + clear.size() + 16);
  auto* context = EVP_CIPHER_CTX_new();
  auto key = key_of(16, 0x10);
  int count = 0;
  EVP_EncryptInit_ex(context, EVP_aes_128_cbc(), nullptr, key.data(), packet.data() + 8);
  EVP_CIPHER_CTX_set_padding(context, 0);
  EVP_EncryptUpdate(context, packet.data() + 24, &count, clear.data(),
                    static_cast<int>(clear.size()));
  EVP_CIPHER_CTX_free(context);
  unsigned char icv[EVP_MAX_MD_SIZE];
  auto integrity_key = key_of(32, 0x80);
  HMAC(EVP_sha256(), integrity_key.data(), 32, packet.data(), packet.size() - 16, icv, nullptr);
  std::copy(icv, icv + 16, packet.end() - 16);
  return packet;
}

}  // namespace

TEST_CASE("esp: an authentic packet with wrong padding is dropped and its number is used up") {
  one_way way;
  way.how.algorithms = suites[4];
  REQUIRE(way.install());
  auto clear = hello();  // 35 octets: 11 of padding and 2 of trailer make 48
  REQUIRE(clear.size() == 35);
  for (std::uint8_t i = 1; i <= 11; ++i) clear.push_back(i);
  clear.push_back(11);
  clear.push_back(4);
  CHECK(to_hex(way.open(cbc_packet(way.inbound.spi, 1, clear))) == to_hex(hello()));
  auto wrong = clear;
  wrong[40] ^= 1;
  CHECK(way.open(cbc_packet(way.inbound.spi, 2, wrong)).empty());
  wrong = clear;
  wrong[46] = 47;  // reaches over the beginning
  CHECK(way.open(cbc_packet(way.inbound.spi, 3, wrong)).empty());
  wrong[46] = 255;
  CHECK(way.open(cbc_packet(way.inbound.spi, 4, wrong)).empty());
  CHECK(way.dropped(drop_reason::bad_padding) == 3);
  CHECK(way.open(cbc_packet(way.inbound.spi, 2, clear)).empty());
  CHECK(way.dropped(drop_reason::replayed) == 1);
}
