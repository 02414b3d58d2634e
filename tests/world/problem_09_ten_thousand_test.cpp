// Problem 9 at its size: 10,000 IKE SAs with a Child SA each, behind one uplink that is down for
// 30 s, 5 min and 1 h, then with a path behind it that is dead. One fleet goes through all of it.
//
// Under AddressSanitizer there are fewer; IMAGO_UPLINK_SAS asks for any other number.
#include <algorithm>
#include <cstdlib>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "tests/world/hosts.hpp"
#include "tests/world/uplink_fleet.hpp"
#include "world/invariants.hpp"

#if defined(__SANITIZE_ADDRESS__)
#define IMAGO_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define IMAGO_ADDRESS_SANITIZER 1
#endif
#endif

using namespace imago;
using namespace imago::testing;
using namespace imago::world;
using namespace std::chrono_literals;

namespace {

#ifdef IMAGO_ADDRESS_SANITIZER
constexpr std::size_t peers_by_default = 1000;
constexpr const char* by_default = "the default under AddressSanitizer";
#else
constexpr std::size_t peers_by_default = 10'000;
constexpr const char* by_default = "the default";
#endif

// Of the gateway. Its Child SAs are over after 50 min, its IKE SAs after more than 4 h. A peer is
// given up by the gateway within 32 s, and gives up itself after 60 s and 165 s more.
constexpr auto dpd_delay = 60s;
constexpr auto child_life = 50min;
constexpr auto peers_patience = 225s;

std::size_t wanted_peers() {
  const char* asked = std::getenv("IMAGO_UPLINK_SAS");
  return asked ? std::strtoul(asked, nullptr, 10) : peers_by_default;
}

fleet_options large_fleet() {
  auto options = revived_fleet(wanted_peers());
  options.more = "dpd_delay = 60s\n keyingtries = 0";
  options.child_more = "rekey_time = 40m\n life_time = 50m";
  return options;
}

class large_world {
 public:
  large_world() : in{make_fleet(options)}, watch{*in}, tap{*in, gateway().number()} {}
  host& gateway() { return *in->find_host("gateway"); }
  host& peers() { return *in->find_host("peers"); }
  const engine_options& engine() { return gateway().options().engine; }
  // All have their turn in so long.
  duration turn() {
    return std::chrono::seconds{options.peers / engine().uplink_starts_per_second + 1};
  }
  std::set<std::uint64_t> ike_sas() {
    std::set<std::uint64_t> ids;
    for (const auto& sa : gateway().list()) ids.insert(sa->id);
    return ids;
  }
  std::size_t lost_of(const std::set<std::uint64_t>& before) {
    auto now = ike_sas();
    return static_cast<std::size_t>(std::count_if(
        before.begin(), before.end(), [&](std::uint64_t id) { return now.count(id) == 0; }));
  }
  void check_all_are_up();

  fleet_options options = large_fleet();
  std::unique_ptr<imago::world::world> in;
  invariants watch;
  wire_tap tap;
};

// Both ends agree on all of it, and a packet passes on each Child SA in both directions.
void large_world::check_all_are_up() {
  CHECK(usable_children(gateway()) == options.peers);
  CHECK(gateway().list().size() == options.peers);
  CHECK(peers().list().size() == options.peers);
  CHECK(state_of(gateway()) == actors::uplink::state::up);
  if (watch.check_quiet()) FAIL_CHECK(*watch.violated());
  for (bool is_out : {true, false}) {
    auto& from = is_out ? gateway() : peers();
    auto& to = is_out ? peers() : gateway();
    std::size_t carried = 0;
    for (const auto& sa : from.fake()->sas()) {
      if (sa.id.direction != data_plane::direction::outbound) continue;
      data_plane::sa_id there{data_plane::direction::inbound, sa.id.destination, sa.id.spi};
      if (to.fake()->carry_packet(there, 100, in->time().now())) ++carried;
    }
    CHECK(carried == options.peers);
  }
  REQUIRE(in->run_until_quiet());
}

void go_through_link_outage(large_world& all, duration outage) {
  auto& in = *all.in;
  auto before = all.ike_sas();
  auto delivered = in.mail.delivered();
  auto gateways = all.gateway().number();
  in.net.set_up(gateways, false);
  REQUIRE(in.run_until_quiet());
  CHECK(state_of(all.gateway()) == actors::uplink::state::down);
  all.tap.begin();
  in.advance(outage);
  // Nothing of any kind was given to the network: no probe, retransmission, keepalive or Delete;
  // and so no peer was found dead: timers stood still.
  CHECK(all.tap.all == 0);
  CHECK(all.ike_sas() == before);
  // But lifetimes are the keys' own: what has reached its hard limit is out of the data plane. It
  // is rekeyed, or begun anew, when that can be said.
  CHECK(all.gateway().fake()->sas().size() == (outage > child_life ? 0 : 2 * all.options.peers));

  in.net.set_up(gateways, true);
  all.tap.begin();
  in.advance(45s);  // less than dpd_delay: nobody begins twice
  check_pace(all.tap, all.engine(), 45);
  auto early = all.tap.all;
  in.advance(2 * all.turn() + 32s);
  all.check_all_are_up();
  CHECK(all.tap.overlapping_inits == 0);
  // Whose peers had more patience than that have lost nothing.
  if (outage + dpd_delay < peers_patience) {
    CHECK(all.tap.inits == 0);
    CHECK(all.ike_sas() == before);
  } else {
    CHECK(all.tap.inits == all.options.peers);
  }
  say(fmt::format(
      "problem 9: {} IKE SAs, link down {} s: 0 datagrams; back: {} in the first 45 s, "
      "{} IKE_SA_INIT in all, at most one at a time to a peer; {} deliveries",
      all.options.peers, std::chrono::duration_cast<std::chrono::seconds>(outage).count(), early,
      all.tap.inits, in.mail.delivered() - delivered));
}

void go_through_path_outage(large_world& all, duration outage) {
  auto& in = *all.in;
  auto before = all.ike_sas();
  auto begin = in.time().now();
  all.tap.begin();
  in.net.partition({{all.gateway().number()}, {all.peers().number()}});
  auto is = [&](actors::uplink::state state) {
    return [&all, state] { return state_of(all.gateway()) == state; };
  };
  while (!is(actors::uplink::state::dark)() && in.time().now() - begin < dpd_delay + 20s)
    in.advance(1s);
  REQUIRE(is(actors::uplink::state::dark)());
  // The packets above came to all at one moment, so all would be asked at one moment. But without
  // an answer it is a burst in two seconds; each asked again once or twice until that is enough.
  auto found_after = in.time().now() - begin;
  auto found_by = all.tap.all;
  CHECK(all.tap.begun.size() <= 8 * all.engine().uplink_burst);
  CHECK(found_by <= 3 * all.tap.begun.size());
  all.tap.begin();
  in.advance(outage - found_after);
  CHECK(is(actors::uplink::state::dark)());
  // One probes, now and then.
  auto while_dark = all.tap.all;
  CHECK(while_dark <= 2 + static_cast<std::size_t>(outage / 5s));
  // Who probes may be given up; nobody else is.
  CHECK(all.lost_of(before) <= 1);
  in.net.partition({});
  all.tap.begin();
  for (int second = 0; second < 60 && is(actors::uplink::state::dark)(); ++second) {
    all.tap.begin();
    in.advance(1s);
  }
  REQUIRE(is(actors::uplink::state::reviving)());
  in.advance(44s);
  check_pace(all.tap, all.engine(), 45);
  in.advance(2 * all.turn() + 32s);
  all.check_all_are_up();
  CHECK(all.tap.inits <= 1);
  CHECK(all.lost_of(before) <= 1);
  say(
      fmt::format("problem 9: {} IKE SAs, path dead behind a link that is up: {} datagrams until "
                  "that is believed, after {} s; {} in the rest of {} s",
                  all.options.peers, found_by,
                  std::chrono::duration_cast<std::chrono::seconds>(found_after).count(), while_dark,
                  std::chrono::duration_cast<std::chrono::seconds>(outage).count()));
}

}  // namespace

TEST_CASE("uplink: 10,000 IKE SAs through outages of 30 s, 5 min, 1 h and of the path behind it") {
  say(fmt::format("problem 9: {} IKE SAs; {} is {}", wanted_peers(), peers_by_default, by_default));
  large_world all;
  all.check_all_are_up();
  for (duration outage : {duration{30s}, duration{5min}, duration{1h}})
    go_through_link_outage(all, outage);
  go_through_path_outage(all, 120s);
}
