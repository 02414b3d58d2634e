// The SAD (RFC 4301 §4.4.2) of user-space ESP: SAs by SPI, by name and by reqid.
#pragma once

#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

#include "kernel_if/user_esp/esp.hpp"
#include "kernel_if/user_esp/replay_window.hpp"

namespace imago::kernel_if::user_esp {

// One mature SA. Its keys live in the transform only.
struct esp_sa {
  data_plane::sa_parameters parameters;
  esp_transform transform;
  replay_window window;             // inbound
  std::uint64_t last_sequence = 0;  // outbound: of the packet sent last
  data_plane::sa_usage usage;
  bool is_soft_reported = false;
  bool is_hard_reported = false;  // and so out of use
  bool is_first_use_reported = false;
  std::optional<instant> activity_reported;
  std::optional<endpoint> reported_remote;  // the last one told by remote_endpoint_changed
};

struct larval_sa {
  struct waiting_packet {
    endpoint local;
    endpoint remote;
    bytes packet;
  };
  data_plane::sa_id id;
  ip_address remote;
  std::vector<waiting_packet> waiting;
};

class sad {
 public:
  // Larval ones count.
  bool has_inbound(data_plane::spi spi) const;
  // A random SPI that no inbound SA has: 256 or more (RFC 4303 §2.1).
  data_plane::spi choose_spi(random_source& random) const;
  void add_larval(const data_plane::sa_id& id, const ip_address& remote);
  // Nothing if there is no larval SA of exactly this name.
  std::optional<larval_sa> take_larval(const data_plane::sa_id& id);
  bool has_larval(const data_plane::sa_id& id) const;
  // An inbound SA is found by its SPI alone, as a unicast SA may be (RFC 4301 §4.1): SPIs are
  // ours to choose, and so unique over all local addresses.
  larval_sa* find_larval(data_plane::spi spi);
  esp_sa* find_inbound(data_plane::spi spi);
  esp_sa* find(const data_plane::sa_id& id);
  // The newest; once it is removed, the one before. Null if there is none.
  esp_sa* outbound_of(std::uint32_t reqid);

  // The name must not be in use.
  esp_sa& add(std::unique_ptr<esp_sa> sa);
  bool remove(const data_plane::sa_id& id);  // mature ones
  void clear();

  std::size_t mature_count() const { return inbound_.size() + outbound_.size(); }
  std::size_t larval_count() const { return larval_.size(); }

 private:
  std::unordered_map<data_plane::spi, std::unique_ptr<esp_sa>> inbound_;
  std::map<data_plane::sa_id, std::unique_ptr<esp_sa>> outbound_;
  std::unordered_map<std::uint32_t, std::vector<esp_sa*>> outbound_by_reqid_;  // oldest first
  std::unordered_map<data_plane::spi, larval_sa> larval_;
};

}  // namespace imago::kernel_if::user_esp
