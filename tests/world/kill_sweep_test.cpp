// The kill sweep over every exchange, both roles, and collisions: each delivery is a moment to be
// killed at, and nothing may be left at any of them.
#include "world/kill_sweep.hpp"

#include <cstdio>
#include <cstdlib>

#include <doctest/doctest.h>

#include "tests/world/hosts.hpp"

using namespace imago;
using namespace imago::testing;
using namespace imago::world;

namespace {

void sweep(const scenario& what) {
  auto result = sweep_kills(what);
  std::printf("kill sweep: %-28s %4zu deliveries, %5zu kill points, %6zu actors killed\n",
              what.name.c_str(), result.deliveries, result.runs, result.killed);
  std::fflush(stdout);
  std::string violation = result.violation.value_or("");
  INFO(violation);
  CHECK_FALSE(result.violation);
  CHECK(result.deliveries > 1);  // a liveness check begins with time that passes
  CHECK(result.runs > 6 * result.deliveries);
}

}  // namespace

TEST_CASE("kill sweep: every exchange in both roles, and collisions") {
  for (const auto& one : kill_scenarios()) sweep(one);
}

TEST_CASE("kill sweep: ike_auth with certificates") {
  scenario what;
  what.name = "handshake-with-certificates";
  what.make = [](bool with_journal) {
    world_options options;
    options.merges_journals = with_journal;
    static const auto entropy = std::make_shared<entropy_pool>();
    options.entropy = entropy;
    return brisk_world_of_two(options, ecdsa_ends());
  };
  what.begin = [](imago::world::world& in) { in.hosts()[0]->initiate("moon-sun", "net"); };
  what.settles = std::chrono::seconds{10};
  what.expect = swept_scenario("handshake").expect;
  sweep(what);
}

TEST_CASE("kill sweep: random kills in random orders leave nothing") {
  auto result = kill_by_chance(kill_scenarios(), 2000, 1);
  std::printf("kill sweep: %llu random runs, %llu actors killed\n",
              static_cast<unsigned long long>(result.runs),
              static_cast<unsigned long long>(result.killed));
  std::string violation = result.violation.value_or("");
  INFO("seed " << result.failing_seed.value_or(0));
  INFO(violation);
  CHECK_FALSE(result.violation);
  CHECK(result.killed > result.runs / 2);
}
