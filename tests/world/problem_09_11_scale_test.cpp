// Problems 9, 10 and 11, as far as they can be met without uplinks, traps and threads: a link that
// is down (libreswan/issues/543, 790), the cost of many SAs (2808, 2002), many at start-up (2553,
// strongswan/issues/3103).
#include <set>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "tests/world/fleet.hpp"
#include "tests/world/hosts.hpp"
#include "world/invariants.hpp"

using namespace imago;
using namespace imago::testing;
using namespace imago::world;
using namespace std::chrono_literals;

namespace {

std::size_t children_of(host& one) {
  std::size_t count = 0;
  for (const auto& sa : one.list()) count += sa->children.size();
  return count;
}

// Deliveries that an initiation takes beside so many other SAs.
std::size_t cost_beside(std::size_t others) {
  fleet_options options;
  options.peers = others + 1;
  auto in = make_fleet(options);
  auto& gateway = *in->find_host("gateway");
  for (std::size_t index = 0; index < others; ++index)
    gateway.initiate(fleet_connection(index), "net0");
  (void)in->run_until_quiet();
  auto before = in->mail.delivered();
  auto command = gateway.initiate(fleet_connection(others), "net0");
  (void)in->run_until_quiet();
  CHECK(gateway.answers->is_answered(command));
  CHECK(gateway.list().size() == others + 1);
  return in->mail.delivered() - before;
}

}  // namespace

TEST_CASE("problem 9: after a link was down all peers are back, one IKE_SA_INIT in flight each") {
  for (auto outage : {30s, 300s, 3600s}) {
    fleet_options options;
    options.peers = 60;
    options.starts = options.restarts = true;
    options.more = "dpd_delay = 20s\n keyingtries = 0";
    auto in = make_fleet(options);
    invariants watch{*in};
    auto& gateway = *in->find_host("gateway");
    REQUIRE(children_of(gateway) == options.peers);
    // What is sent while the link is down, by second; and requests to one peer that overlap.
    std::map<std::int64_t, std::size_t> by_second;
    std::map<endpoint, std::set<std::string>> spis_since_up;
    in->net.on_wire = [&](datagram& what) {
      if (what.from != gateway.number()) return true;
      if (!in->net.is_up(gateway.number()))
        ++by_second[in->time().now().since_start.count() / 1'000'000'000];
      return true;
    };
    in->net.set_up(gateway.number(), false);
    in->advance(outage);
    in->net.set_up(gateway.number(), true);
    in->advance(150s);  // backoff of at most 60 s, and a try under way
    CHECK(children_of(gateway) == options.peers);
    CHECK(gateway.list().size() == options.peers);
    for (const auto& sa : gateway.list()) CHECK(sa->children.size() == 1);
    std::size_t peak = 0, all = 0;
    for (const auto& [second, count] : by_second) {
      peak = std::max(peak, count);
      all += count;
    }
    // Liveness, its retransmissions, then at most one try at a time for each.
    CHECK(peak <= 2 * options.peers);
    say(fmt::format("problem 9: {} peers, link down {} s: {} datagrams, at most {} a second",
                    options.peers, outage.count(), all, peak));
    gateway.stop_engine();  // else they come again
    in->advance(long_enough);
    CHECK(gateway.living("ike_sa").empty());
  }
}

TEST_CASE("problem 10: an initiation costs the same beside 10 and beside 600 IKE SAs") {
  auto few = cost_beside(10), many = cost_beside(600);
  say(fmt::format("problem 10: an initiation takes {} deliveries beside 10 SAs, {} beside 600", few,
                  many));
  // One of sixteen also has the responder order key pairs, for the next sixteen.
  CHECK(many <= few + 2);
}

TEST_CASE("problem 10: idle SAs ask the data plane nothing, and only their liveness timers run") {
  fleet_options options;
  options.peers = 200;
  auto in = make_fleet(options);
  auto& gateway = *in->find_host("gateway");
  for (std::size_t index = 0; index < options.peers; ++index)
    gateway.initiate(fleet_connection(index), "net0");
  (void)in->run_until_quiet();
  REQUIRE(children_of(gateway) == options.peers);
  in->advance(30s);  // half-open and other timers of the beginning
  auto asked = gateway.fake()->submitted().size();
  auto delivered = in->mail.delivered();
  in->advance(3000s);
  CHECK(gateway.fake()->submitted().size() == asked);
  CHECK(in->mail.delivered() == delivered);
}

TEST_CASE("problem 11: 250 connections with 4 Child SAs each at a cold start: all, none twice") {
  fleet_options options;
  options.peers = 250;
  options.children = 4;
  options.starts = true;
  auto in = make_fleet(options);  // start actions run when it is loaded
  invariants watch{*in};
  auto& gateway = *in->find_host("gateway");
  auto all = gateway.list();
  CHECK(all.size() == options.peers);
  for (const auto& sa : all) {
    std::set<std::string> names;
    for (const auto& child : sa->children) names.insert(child.name);
    CHECK(sa->children.size() == options.children);
    CHECK(names.size() == options.children);
  }
  CHECK(gateway.fake()->sas().size() == 2 * options.peers * options.children);
  say(fmt::format("problem 11: {} connections, {} Child SAs at start-up", all.size(),
                  gateway.fake()->sas().size() / 2));
  gateway.stop_engine();
  in->advance(long_enough);
  CHECK(gateway.answers->engines_stopped == 1);
  CHECK(gateway.fake()->is_empty());
}
