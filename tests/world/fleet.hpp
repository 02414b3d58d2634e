// Many engines, or one with many peers.
#pragma once

#include <functional>
#include <string>

#include "world/world.hpp"

namespace imago::testing {

struct fleet_options {
  std::size_t peers = 10;        // connections of "gateway", each to an address of "peers"
  std::size_t black_holes = 0;   // ... and so many to addresses that nobody has
  std::size_t children = 1;      // of each connection: "net0", "net1", ...
  bool starts = false;           // start_action = start
  std::string start_action;      // else this one, if any
  bool restarts = false;         // dpd_action = restart
  bool watches_uplinks = false;  // the gateway; then its peers are more patient than it is
  std::string peers_more;        // ... of the peers' one connection; empty: as `more`
  std::string child_more;        // ... of each of its children
  std::function<void(world::world&)> before;  // called when there is no host yet
  std::string more = "dpd_delay = 0";         // settings of each connection of the gateway
};
// Hosts "gateway" and "peers"; all is quiet.
std::unique_ptr<world::world> make_fleet(const fleet_options& options);
// An address behind a peer.
std::string fleet_address(const fleet_options& in, std::size_t peer, std::size_t child,
                          unsigned host);
std::string fleet_connection(std::size_t index);  // "c0", "c1", ...; black holes come last

// `count` hosts, each with a connection to each other: "to-3", with a child "net". All is quiet.
std::unique_ptr<world::world> make_mesh(std::size_t count, std::uint64_t seed,
                                        world::data_plane_kind plane);

// An IPv4 packet, UDP without content but `number`.
bytes inner_packet(const std::string& source, const std::string& destination, std::uint16_t number);

}  // namespace imago::testing
