// A payload chain, as it comes out of an SK payload. The first octet is the type of the first one.
#include "core/wire/message.hpp"
#include "tests/fuzz/require.hpp"

using namespace imago;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  auto first = static_cast<payload_type>(data[0]);
  auto list = wire::parse_payloads(first, {data + 1, size - 1});
  if (!list) return 0;
  IMAGO_REQUIRE(list->empty() == (first == payload_type::none));
  IMAGO_REQUIRE(list->empty() || wire::type_of(list->front()) == first);
  auto octets = wire::encode_payloads(*list);
  auto again = wire::parse_payloads(first, octets);
  IMAGO_REQUIRE(again);
  IMAGO_REQUIRE(*again == *list);
  IMAGO_REQUIRE(wire::encode_payloads(*again) == octets);
  for (const auto& one : *list)
    if (auto* selectors = std::get_if<wire::traffic_selector_payload>(&one))
      for (const auto& selector : selectors->selectors) {
        IMAGO_REQUIRE(selector.prefixes().size() <= 2 * 128 - 2);
        IMAGO_REQUIRE(!selector.text().empty());
      }
  return 0;
}
