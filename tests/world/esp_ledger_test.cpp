// The observer of ESP packets sees what it is there for.
#include "world/esp_ledger.hpp"

#include <doctest/doctest.h>

using namespace imago;
using imago::world::esp_ledger;

namespace {

bytes esp_packet(std::uint8_t spi, std::uint8_t sequence) {
  return {0, 0, 0, spi, 0, 0, 0, sequence, 0xee};
}
bytes inner(std::uint8_t number) { return {0x45, number}; }
constexpr auto is_mature = [](data_plane::spi) { return false; };
constexpr auto is_larval = [](data_plane::spi) { return true; };

// SA 7 has two packets on their way to host 1, which are there when `arrive`.
esp_ledger with_two_packets(bool arrive) {
  esp_ledger made;
  for (std::uint8_t number : {1, 2}) {
    made.sent(inner(number), esp_packet(7, number));
    if (arrive) made.arrived(1, esp_packet(7, number));
  }
  return made;
}

}  // namespace

TEST_CASE("ESP ledger: what waits for a larval SA and is released in order is right") {
  auto seen = with_two_packets(true);
  seen.delivered(1, inner(1), is_mature);
  seen.delivered(1, inner(2), is_mature);
  seen.promoted(1, 7, 0);
  CHECK(!seen.violated());
}

TEST_CASE("ESP ledger: a packet that waited and is not released is lost") {
  auto seen = with_two_packets(true);
  seen.delivered(1, inner(1), is_mature);
  seen.promoted(1, 7, 0);
  CHECK(seen.violated());
}

TEST_CASE("ESP ledger: what the SA drops, the full queue refuses or a removal takes is not lost") {
  auto dropped = with_two_packets(true);
  dropped.promoted(1, 7, 2);
  CHECK(!dropped.violated());
  auto refused = with_two_packets(true);
  refused.refused(1, esp_packet(7, 1));
  refused.refused(1, esp_packet(7, 2));
  refused.promoted(1, 7, 0);
  CHECK(!refused.violated());
  auto removed = with_two_packets(true);
  removed.removed(1, 7);
  removed.promoted(1, 7, 0);
  CHECK(!removed.violated());
}

TEST_CASE("ESP ledger: nothing is released before the promotion, twice, overtaking or unasked") {
  auto early = with_two_packets(true);
  early.delivered(1, inner(1), is_larval);
  CHECK(early.violated());
  auto twice = with_two_packets(true);
  twice.delivered(1, inner(1), is_mature);
  twice.delivered(1, inner(1), is_mature);
  CHECK(twice.violated());
  auto overtaking = with_two_packets(true);
  overtaking.delivered(1, inner(2), is_mature);
  overtaking.delivered(1, inner(1), is_mature);
  CHECK(overtaking.violated());
  auto unasked = with_two_packets(false);
  unasked.delivered(1, inner(1), is_mature);
  CHECK(unasked.violated());
}

TEST_CASE("ESP ledger: an altered packet, and the second copy of one, are not waited for") {
  auto seen = with_two_packets(false);
  auto altered = esp_packet(7, 1);
  altered.back() ^= 1;
  seen.arrived(1, altered);
  seen.arrived(1, esp_packet(7, 2));
  seen.arrived(1, esp_packet(7, 2));
  seen.delivered(1, inner(2), is_mature);
  seen.promoted(1, 7, 0);
  CHECK(!seen.violated());
}
