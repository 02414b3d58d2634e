// ESP packets at a processor with one known inbound SA. The first octet picks algorithm, ESN, mode
// and family; the next says how the rest is used: as a packet on the wire (odd), or as payload that
// is sealed with the SA's own key first (even), so that what lies behind the ICV is reached too.
#include <algorithm>

#include "kernel_if/user_esp/esp_processor.hpp"
#include "tests/fuzz/require.hpp"
#include "tests/kernel_if/esp_fixture.hpp"

using namespace imago;
using namespace imago::testing;
using data_plane::direction;

namespace {

one_way way_of(std::uint8_t choice) {
  bool is_v6 = (choice & 0x20) != 0;
  endpoint a{at(is_v6 ? "2001:db8::1" : "192.0.2.1"), 4500};
  endpoint b{at(is_v6 ? "2001:db8::2" : "192.0.2.2"), 4500};
  auto everything = [] {
    return traffic_selectors{traffic_selector::everything(ip_family::v4),
                             traffic_selector::everything(ip_family::v6)};
  };
  one_way way{a, everything(), b, everything()};
  way.how.algorithms = suites[choice % std::size(suites)];
  way.how.uses_esn = (choice & 0x08) != 0;
  way.how.mode = (choice & 0x10) != 0 ? data_plane::mode::transport : data_plane::mode::tunnel;
  way.how.reports_first_use = true;
  return way;
}

std::uint64_t dropped_in_all(const esp_processor& processor) {
  std::uint64_t sum = 0;
  for (auto count : processor.drops()) sum += count;
  return sum;
}

bytes sealed(one_way& way, std::uint8_t next_header, bytes_view payload) {
  auto transform = kernel_if::user_esp::esp_transform::make(
      parameters(way.how, direction::outbound, way.a, way.b, way.inbound.spi));
  IMAGO_REQUIRE(transform.has_value());
  bytes packet;
  IMAGO_REQUIRE(transform->seal({way.inbound.spi, 1}, next_header, payload, way.a.random, packet)
                    .has_value());
  return packet;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 3 || size > limits::datagram_size_max) return 0;
  auto way = way_of(data[0]);
  auto spi = way.allocate();
  IMAGO_REQUIRE(way.install_inbound(spi).has_value());
  bytes packet;
  if (data[1] % 2 == 0) {
    packet = sealed(way, data[2], {data + 3, size - 3});
  } else {
    writer start;
    start.u32(spi);
    start.put({data + 2, size - 2});
    packet = start.finish();
  }
  auto inner = way.open(packet);
  // Delivered or counted, never both, never neither.
  IMAGO_REQUIRE(dropped_in_all(way.b.processor) == (inner.empty() ? 1 : 0));
  if (!inner.empty()) {
    auto parsed = kernel_if::user_esp::parse_ip_packet(inner);
    IMAGO_REQUIRE(parsed && parsed->size == inner.size());
    IMAGO_REQUIRE(parsed->upper_layer_at <= parsed->size);
    IMAGO_REQUIRE(way.open(packet).empty());  // a second time it is a replay
    IMAGO_REQUIRE(way.usage_in().replayed == 1);
  }
  return 0;
}
