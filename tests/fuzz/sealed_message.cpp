// Opening what is sealed, with known keys. The first octet of the input chooses what the rest is:
//   bits 0-1  0: a datagram as it is; 1: the same, its header's length made right;
//             2: octet for the fragment size, first inner payload type, payload chain, which are
//             sealed here, so that a fuzzer gets past the integrity check; 3: fragments
//   bits 2-3  the algorithms
#include <algorithm>

#include "core/base/limits.hpp"
#include "core/base/reader.hpp"
#include "core/base/writer.hpp"
#include "core/ikev2/message_protection.hpp"
#include "tests/fuzz/require.hpp"

using namespace imago;
using namespace imago::ikev2;

namespace {

struct zero_random final : random_source {
  void fill(std::span<std::uint8_t> out) override { std::fill(out.begin(), out.end(), 0); }
};

crypto::protection protection_of(unsigned index) {
  static const crypto::library library;
  struct suite {
    encryption_algorithm encryption;
    std::uint16_t key_bits;
    integrity_algorithm integrity;
  };
  static const suite suites[] = {
      {encryption_algorithm::aes_gcm_16, 128, integrity_algorithm::none},
      {encryption_algorithm::chacha20_poly1305, 0, integrity_algorithm::none},
      {encryption_algorithm::aes_cbc, 128, integrity_algorithm::hmac_sha2_256_128},
      {encryption_algorithm::aes_cbc, 256, integrity_algorithm::hmac_sha2_512_256},
  };
  const auto& one = suites[index];
  auto sizes = crypto::sizes_of(one.encryption, one.key_bits, one.integrity);
  auto made = crypto::protection::create(library, one.encryption, one.key_bits, one.integrity,
                                         secret{bytes(sizes.encryption_key, 0x42)},
                                         secret{bytes(sizes.integrity_key, 0x24)});
  IMAGO_REQUIRE(made);
  return *std::move(made);
}

// What came out of a datagram goes the way of a real one: into the parser.
void parse(payload_type first_inner, bytes_view plaintext) {
  auto parsed = wire::parse_payloads(first_inner, plaintext);
  if (!parsed) IMAGO_REQUIRE(!parsed.failure().where.empty());
}

void open(crypto::protection& protection, bytes_view datagram) {
  auto opened = open_message(protection, datagram);
  if (!opened) return;
  IMAGO_REQUIRE(opened->number >= 1 && opened->number <= opened->total);
  parse(opened->first_inner, opened->plaintext.view());
}

// Seals payloads in fragments, opens these last to first, and wants the same chain back.
void seal_and_reassemble(crypto::protection& protection, const wire::header& header,
                         const wire::payloads& payloads, std::size_t datagram_size_max) {
  zero_random random;
  auto chain = wire::encode_payloads(payloads);
  auto datagrams = seal_message(protection, random, header, payloads, datagram_size_max);
  if (!datagrams) {
    IMAGO_REQUIRE(datagrams.failure().code == errc::limit_exceeded);
    return;
  }
  fragment_assembler assembler;
  for (auto datagram = datagrams->rbegin(); datagram != datagrams->rend(); ++datagram) {
    IMAGO_REQUIRE(datagram_size_max == 0 || datagram->size() <= datagram_size_max);
    auto opened = open_message(protection, *datagram);
    IMAGO_REQUIRE(opened);
    auto added = assembler.add(*std::move(opened));
    IMAGO_REQUIRE(added);
    IMAGO_REQUIRE(added->has_value() == (datagram + 1 == datagrams->rend()));
    if (!added->has_value()) continue;
    IMAGO_REQUIRE(to_bytes((*added)->plaintext.view()) == chain);
    if (!payloads.empty()) IMAGO_REQUIRE((*added)->first_inner == wire::type_of(payloads.front()));
  }
}

void seal_and_open(crypto::protection& protection, reader input) {
  std::size_t fragment_octet = input.u8();
  auto first_inner = static_cast<payload_type>(input.u8());
  auto plaintext = input.take_rest();
  if (!input.ok() || plaintext.size() > 60000) return;
  wire::header header;
  header.initiator_spi = 1;
  header.responder_spi = 2;
  header.exchange = exchange_type::informational;
  zero_random random;
  auto datagram =
      wire::encode_encrypted_prefix(header, first_inner, protection.sealed_size(plaintext.size()));
  auto body = protection.seal(random, datagram, plaintext);
  IMAGO_REQUIRE(body);
  append(datagram, *body);
  auto opened = open_message(protection, datagram);
  IMAGO_REQUIRE(opened);
  IMAGO_REQUIRE(opened->first_inner == first_inner);
  IMAGO_REQUIRE(to_bytes(opened->plaintext.view()) == to_bytes(plaintext));
  auto parsed = wire::parse_payloads(first_inner, plaintext);
  if (parsed)
    seal_and_reassemble(protection, header, *parsed,
                        fragment_octet == 0 ? 0 : 60 + 4 * fragment_octet);
}

// Records of number, total (an octet each) and a size (in units of 256 octets) for the assembler.
void assemble(reader input) {
  fragment_assembler assembler;
  while (input.size_left() >= 3) {
    opened piece;
    piece.number = input.u8();
    piece.total = input.u8();
    piece.first_inner = payload_type::notify;
    piece.plaintext = secret{static_cast<std::size_t>(input.u8()) * 256};
    auto total = piece.total;
    auto added = assembler.add(std::move(piece));
    if (!added || !added->has_value()) continue;
    IMAGO_REQUIRE(!assembler.is_collecting());
    IMAGO_REQUIRE(total >= 1 && total <= limits::fragment_count_max);
    IMAGO_REQUIRE((*added)->plaintext.size() <= limits::reassembled_size_max);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  reader input{{data + 1, size - 1}};
  auto protection = protection_of(data[0] >> 2 & 3);
  switch (data[0] & 3) {
    case 0: open(protection, input.take_rest()); break;
    case 1: {
      writer datagram{to_bytes(input.take_rest())};
      if (datagram.size() < wire::header_size) return 0;
      datagram.patch_u32(24, static_cast<std::uint32_t>(datagram.size()));
      open(protection, datagram.written());
      break;
    }
    case 2: seal_and_open(protection, input); break;
    default: assemble(input);
  }
  return 0;
}
