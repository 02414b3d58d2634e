// Octets from the TUN device: parsed, matched to a policy, sealed, and opened at the other end to
// the same packet. The first octet picks algorithm, mode and family of the outer addresses.
#include <algorithm>

#include "kernel_if/user_esp/esp_processor.hpp"
#include "tests/fuzz/require.hpp"
#include "tests/kernel_if/esp_fixture.hpp"

using namespace imago;
using namespace imago::testing;

namespace {

traffic_selectors everything() {
  return {traffic_selector::everything(ip_family::v4), traffic_selector::everything(ip_family::v6)};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1 || size > limits::datagram_size_max) return 0;
  bool is_v6 = (data[0] & 0x20) != 0;
  one_way way{{at(is_v6 ? "2001:db8::1" : "192.0.2.1"), 4500},
              everything(),
              {at(is_v6 ? "2001:db8::2" : "192.0.2.2"), 4500},
              everything()};
  way.how.algorithms = suites[data[0] % std::size(suites)];
  way.how.mode = (data[0] & 0x10) != 0 ? data_plane::mode::transport : data_plane::mode::tunnel;
  IMAGO_REQUIRE(way.install());
  bytes inner{data + 1, data + size};
  auto packet = way.seal(inner);
  auto parsed = kernel_if::user_esp::parse_ip_packet(inner);
  if (!parsed) {
    IMAGO_REQUIRE(packet.empty());
    IMAGO_REQUIRE(way.a.processor.drops(drop_reason::malformed) == 1);
    return 0;
  }
  IMAGO_REQUIRE(parsed->size <= inner.size());
  IMAGO_REQUIRE(parsed->ip_header_size <= parsed->upper_layer_at);
  IMAGO_REQUIRE(parsed->upper_layer_at <= parsed->size);
  if (way.how.mode == data_plane::mode::transport) {
    IMAGO_REQUIRE(packet.empty() == parsed->is_fragment);
    return 0;
  }
  IMAGO_REQUIRE(!packet.empty());
  inner.resize(parsed->size);
  IMAGO_REQUIRE(way.open(packet) == inner);
  return 0;
}
