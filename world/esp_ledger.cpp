#include "world/esp_ledger.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "core/base/reader.hpp"

namespace imago::world {

std::optional<esp_ledger::packet_key> esp_ledger::key_of(bytes_view packet) {
  if (packet.size() < 8) return std::nullopt;
  reader from{packet};
  auto spi = from.u32();
  return packet_key{spi, from.u32()};
}

void esp_ledger::fail(std::string what) {
  if (!violated_) violated_ = std::move(what);
}

void esp_ledger::sent(bytes_view inner, bytes_view packet) {
  if (auto key = key_of(packet)) sent_[*key] = {to_bytes(inner), to_bytes(packet)};
}

void esp_ledger::arrived(host_number at, bytes_view packet) {
  auto key = key_of(packet);
  if (!key) return;
  auto journey = sent_.find(*key);
  if (journey == sent_.end() || !std::ranges::equal(journey->second.packet, packet)) return;
  auto& all = arrived_[at];
  bool again =
      std::any_of(all.begin(), all.end(), [&key](const arrival& one) { return one.key == *key; });
  if (!again) all.push_back({*key});
}

void esp_ledger::refused(host_number at, bytes_view packet) {
  auto key = key_of(packet);
  std::erase_if(arrived_[at],
                [&key](const arrival& one) { return key && one.key == *key && !one.is_delivered; });
}

std::optional<data_plane::spi> esp_ledger::note_delivery(host_number at, bytes_view inner) {
  auto& all = arrived_[at];
  auto carries = [&](const arrival& one) {
    return !one.is_delivered && std::ranges::equal(sent_[one.key].inner, inner);
  };
  auto found = std::find_if(all.begin(), all.end(), carries);
  if (found == all.end()) {
    fail("an inner packet is delivered that did not arrive as ESP, or for the second time");
    return std::nullopt;
  }
  auto spi = found->key.first;
  bool overtakes = std::any_of(found + 1, all.end(), [spi](const arrival& later) {
    return later.key.first == spi && later.is_delivered;
  });
  if (overtakes) fail(fmt::format("packets of SA {:08x} are delivered out of order", spi));
  found->is_delivered = true;
  return spi;
}

void esp_ledger::promoted(host_number at, data_plane::spi spi, std::uint64_t dropped) {
  auto& all = arrived_[at];
  auto waiting = std::count_if(all.begin(), all.end(), [spi](const arrival& one) {
    return one.key.first == spi && !one.is_delivered;
  });
  if (static_cast<std::uint64_t>(waiting) > dropped)
    fail(fmt::format("{} packets that waited for SA {:08x} are lost", waiting, spi));
}

void esp_ledger::removed(host_number at, data_plane::spi spi) {
  std::erase_if(arrived_[at],
                [spi](const arrival& one) { return one.key.first == spi && !one.is_delivered; });
}

}  // namespace imago::world
