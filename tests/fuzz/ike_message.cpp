// A datagram as IKE: what parses encodes to octets that parse to the same values, and can be told.
#include "core/wire/message.hpp"
#include "tests/fuzz/require.hpp"

using namespace imago;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto parsed = wire::parse_message({data, size});
  auto nonce = wire::find_nonce({data, size});
  if (parsed) {
    const auto* same = wire::find<wire::nonce_payload>(parsed->payloads);
    IMAGO_REQUIRE((same != nullptr) == nonce.has_value());
    if (same) IMAGO_REQUIRE(to_bytes(*nonce) == same->data);
  }
  if (!parsed) {
    IMAGO_REQUIRE(!parsed.failure().where.empty());
    return 0;
  }
  auto octets = wire::encode_message(parsed->header, parsed->payloads);
  IMAGO_REQUIRE(octets.size() >= wire::header_size);
  auto again = wire::parse_message(octets);
  IMAGO_REQUIRE(again);
  IMAGO_REQUIRE(again->payloads == parsed->payloads);
  // The same header but for the length, which shrinks where selectors or attributes were skipped.
  again->header.length = parsed->header.length;
  IMAGO_REQUIRE(again->header == parsed->header);
  IMAGO_REQUIRE(wire::describe(again->payloads) == wire::describe(parsed->payloads));
  // What we write ourselves is exact.
  IMAGO_REQUIRE(wire::encode_payloads(again->payloads) == wire::encode_payloads(parsed->payloads));
  return 0;
}
