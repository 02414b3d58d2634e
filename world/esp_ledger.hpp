// What becomes of every ESP packet of a world: an observer of the data planes that no code of
// theirs knows. A genuine packet that arrives at a larval SA with room in its queue is delivered
// when the SA is promoted, not before, once, and in the order of arrival (RFC 4303 leaves the queue
// to us).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/base/bytes.hpp"
#include "core/data_plane/values.hpp"
#include "world/network.hpp"

namespace imago::world {

class esp_ledger {
 public:
  // `packet` begins with SPI and sequence number, and carries `inner`.
  void sent(bytes_view inner, bytes_view packet);
  // One that was never sent, or was altered on the way, is not followed.
  void arrived(host_number at, bytes_view packet);
  // The queue of its larval SA is full: it may be lost.
  void refused(host_number at, bytes_view packet);
  // An application of that host gets it. `is_larval`: its SA is, at this moment.
  template <class IsLarval>
  void delivered(host_number at, bytes_view inner, IsLarval is_larval) {
    if (auto spi = note_delivery(at, inner); spi && is_larval(*spi))
      fail("an ESP packet is released before its SA is promoted");
  }
  // The inbound SA is there, and has released what waited, save `dropped` packets for a reason of
  // its own (replayed, not in its selectors).
  void promoted(host_number at, data_plane::spi spi, std::uint64_t dropped);
  void removed(host_number at, data_plane::spi spi);  // what waits is lost with it

  // The first that was broken.
  const std::optional<std::string>& violated() const { return violated_; }

 private:
  using packet_key = std::pair<data_plane::spi, std::uint32_t>;  // and its sequence number
  struct journey {
    bytes inner, packet;
  };
  struct arrival {
    packet_key key;
    bool is_delivered = false;
  };

  static std::optional<packet_key> key_of(bytes_view packet);
  std::optional<data_plane::spi> note_delivery(host_number at, bytes_view inner);
  void fail(std::string what);

  std::map<packet_key, journey> sent_;
  std::map<host_number, std::vector<arrival>> arrived_;  // in order
  std::optional<std::string> violated_;
};

}  // namespace imago::world
