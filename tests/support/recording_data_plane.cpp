#include "tests/support/recording_data_plane.hpp"

namespace imago::testing {

using data_plane::direction;

data_plane::reply recording_data_plane::carry_out(data_plane::request request) {
  if (refuses)
    if (auto refused = refuses(request)) {
      ++refused_count_;
      return *refused;
    }
  if (std::holds_alternative<data_plane::allocate_spi>(request)) {
    larval_.insert(next_spi_);
    return {data_plane::spi_allocated{next_spi_++}};
  }
  if (auto* install_request = std::get_if<data_plane::install_sa>(&request))
    return install(std::move(*install_request));
  if (auto* remove_request = std::get_if<data_plane::remove_sa>(&request))
    return remove(*remove_request);
  return errc::not_supported;
}

data_plane::reply recording_data_plane::install(data_plane::install_sa request) {
  const auto& sa = request.sa;
  if (sa.id.direction == direction::inbound && larval_.erase(sa.id.spi) == 0)
    return errc::no_such_sa;
  recorded_sa record{sa.source,
                     sa.mode,
                     sa.reqid,
                     sa.encryption,
                     to_bytes(sa.encryption_key.view()),
                     to_bytes(sa.integrity_key.view()),
                     sa.uses_esn,
                     sa.encap_local.has_value() && sa.encap_remote.has_value(),
                     std::move(request.policies)};
  if (!sas_.emplace(std::pair{sa.id.direction, sa.id.spi}, std::move(record)).second)
    return errc::already_exists;
  return {data_plane::done{}};
}

data_plane::reply recording_data_plane::remove(const data_plane::remove_sa& request) {
  bool was_larval =
      request.id.direction == direction::inbound && larval_.erase(request.id.spi) != 0;
  if (!was_larval && sas_.erase({request.id.direction, request.id.spi}) == 0)
    return errc::no_such_sa;
  return {data_plane::done{}};
}

bool recording_data_plane::has(direction direction, data_plane::spi spi) const {
  return sas_.count({direction, spi}) != 0;
}

const recorded_sa* recording_data_plane::find(direction direction, data_plane::spi spi) const {
  auto at = sas_.find({direction, spi});
  return at == sas_.end() ? nullptr : &at->second;
}

std::set<data_plane::spi> recording_data_plane::spis(direction direction) const {
  std::set<data_plane::spi> list;
  for (const auto& [key, sa] : sas_)
    if (key.first == direction) list.insert(key.second);
  return list;
}

}  // namespace imago::testing
