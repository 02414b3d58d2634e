// A data plane that only remembers what it was told, and refuses what a test wants refused.
#pragma once

#include <functional>
#include <map>
#include <set>

#include "core/data_plane/values.hpp"

namespace imago::testing {

// An ESP SA as installed, its keys as octets so that both ends can be compared.
struct recorded_sa {
  ip_address source;
  data_plane::mode mode{};
  std::uint32_t reqid = 0;
  encryption_algorithm encryption{};
  bytes encryption_key, integrity_key;
  bool uses_esn = false;
  bool is_encapsulated = false;
  std::vector<data_plane::policy> policies;
};

class recording_data_plane {
 public:
  explicit recording_data_plane(data_plane::spi first_spi) : next_spi_{first_spi} {}

  data_plane::reply carry_out(data_plane::request request);
  // Consulted before each request: an error means that the data plane refuses with it.
  std::function<std::optional<error>(const data_plane::request&)> refuses;

  bool has(data_plane::direction direction, data_plane::spi spi) const;
  const recorded_sa* find(data_plane::direction direction, data_plane::spi spi) const;
  std::set<data_plane::spi> spis(data_plane::direction direction) const;
  const std::set<data_plane::spi>& larval() const { return larval_; }
  bool is_empty() const { return larval_.empty() && sas_.empty(); }
  std::size_t refused_count() const { return refused_count_; }

 private:
  data_plane::reply install(data_plane::install_sa request);
  data_plane::reply remove(const data_plane::remove_sa& request);

  data_plane::spi next_spi_;
  std::set<data_plane::spi> larval_;
  std::map<std::pair<data_plane::direction, data_plane::spi>, recorded_sa> sas_;
  std::size_t refused_count_ = 0;
};

}  // namespace imago::testing
