// A gateway that watches its uplink, and what it sends.
#pragma once

#include <set>

#include <doctest/doctest.h>

#include "actors/uplink.hpp"
#include "core/wire/message.hpp"
#include "tests/world/fleet.hpp"

namespace imago::testing {

// What a gateway sends, from a moment on.
class wire_tap {
 public:
  wire_tap(imago::world::world& in, world::host_number gateway)
      : in_{in}, gateway_{gateway}, inner_{in.net.on_wire} {
    in.net.on_wire = [this](world::datagram& what) {
      look(what);
      return !inner_ || inner_(what);
    };
  }
  ~wire_tap() { in_.net.on_wire = inner_; }
  wire_tap(const wire_tap&) = delete;
  wire_tap& operator=(const wire_tap&) = delete;

  void begin() {
    since_ = in_.time().now();
    all = inits = overlapping_inits = 0;
    begun.clear();
    known_.clear();
  }
  std::size_t all = 0;
  std::size_t inits = 0;
  std::size_t overlapping_inits = 0;  // to a peer that had not answered another yet
  // IKE_SA_INIT and INFORMATIONAL requests, each when it is first sent: what an uplink meters.
  std::vector<duration> begun;

 private:
  void look(const world::datagram& what) {
    if (what.from == gateway_) ++all;
    auto header = wire::parse_header(what.octets);
    if (!header) return;
    bool is_init = header->exchange == exchange_type::ike_sa_init;
    if (what.from != gateway_) {
      if (is_init && header->is_response) in_flight_.erase(what.source.address);
      return;
    }
    if (header->is_response) return;
    bool is_first = known_.emplace(header->initiator_spi, header->message_id).second;
    if (!is_first || header->exchange == exchange_type::ike_auth) return;
    begun.push_back(in_.time().now() - since_);
    if (!is_init) return;
    ++inits;
    if (!in_flight_.insert(what.destination.address).second) ++overlapping_inits;
  }

  imago::world::world& in_;
  world::host_number gateway_;
  std::function<bool(world::datagram&)> inner_;
  instant since_;
  std::set<std::pair<std::uint64_t, std::uint32_t>> known_;
  std::set<ip_address> in_flight_;
};

inline fleet_options revived_fleet(std::size_t peers) {
  fleet_options options;
  options.peers = peers;
  options.starts = options.restarts = options.watches_uplinks = true;
  options.more = "dpd_delay = 20s\n keyingtries = 0";
  return options;
}

inline std::size_t usable_children(world::host& one) {
  std::size_t count = 0;
  for (const auto& sa : one.list())
    if (sa->state == "ESTABLISHED" && sa->children.size() == 1) ++count;
  return count;
}

// In each of the first seconds no more had begun than there were tokens. By default as many seconds
// as pass before who was released first is asked again.
inline void check_pace(const wire_tap& tap, const engine_options& options, int seconds = 15) {
  std::size_t count = 0;
  for (int second = 1; second <= seconds; ++second) {
    while (count < tap.begun.size() && tap.begun[count] <= std::chrono::seconds{second}) ++count;
    CAPTURE(second);
    CHECK(count <= options.uplink_burst + options.uplink_starts_per_second * second);
  }
}

inline actors::uplink::state state_of(world::host& one) {
  auto found = one.living("uplink");
  REQUIRE(found.size() == 1);
  return static_cast<const actors::uplink&>(*one.mail().who(found[0]).actor).current();
}

}  // namespace imago::testing
