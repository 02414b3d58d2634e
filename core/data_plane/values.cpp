#include "core/data_plane/values.hpp"

#include <fmt/format.h>

namespace imago::data_plane {

std::string_view name_of(const request& request) {
  static constexpr std::string_view names[] = {"allocate_spi",   "install_sa",     "remove_sa",
                                               "install_policy", "remove_policy",  "update_sa",
                                               "query_sa",       "query_activity", "flush"};
  static_assert(std::size(names) == std::variant_size_v<data_plane::request>);
  return names[request.index()];
}

std::string_view name_of(const event& event) {
  static constexpr std::string_view names[] = {"sa_first_used",           "sa_active",
                                               "lifetime_reached",        "sa_acquired",
                                               "remote_endpoint_changed", "events_lost"};
  static_assert(std::size(names) == std::variant_size_v<data_plane::event>);
  return names[event.index()];
}

std::string text_of(const sa_id& id) {
  return fmt::format("{} {:08x}@{}", id.direction == direction::inbound ? "in" : "out", id.spi,
                     id.destination.text());
}

}  // namespace imago::data_plane
