// A checker that cannot fail proves nothing: each planted bug must be found, and nothing when none
// is planted.
#include "world/planted.hpp"

#include <cstdio>

#include <doctest/doctest.h>

using namespace imago;
using namespace imago::world;

namespace {

exploration_limits bounded(std::uint64_t schedules) {
  exploration_limits limits;
  limits.schedules_max = schedules;
  limits.time_max = std::chrono::hours{1};
  return limits;
}

}  // namespace

TEST_CASE("planted: every planted bug is found, and its schedule replays it") {
  for (const auto& one : planted_cases()) {
    INFO(one.name);
    auto result = search_planted(one, strategy::pct, bounded(5000));
    std::printf("planted: %-24s pct %5llu schedules: %s\n", one.name.c_str(),
                static_cast<unsigned long long>(result.schedules),
                result.found ? result.found->what.c_str() : "NOT FOUND");
    std::fflush(stdout);
    REQUIRE(result.found);
    planted_now = one.bug;
    auto again = replay(one.where, result.found->reduced);
    planted_now = planted_bug::none;
    CHECK(again.violation);
    CHECK(result.found->reduced.size() <= result.found->found.size());
  }
}

TEST_CASE("planted: the same searches find nothing when nothing is planted") {
  for (const auto& one : planted_cases()) {
    if (one.bug == planted_bug::larval_assert || one.bug == planted_bug::late_result)
      continue;  // there the double itself is the bug; tests/world explores without it
    INFO(one.name);
    CHECK_FALSE(explore(one.where, strategy::pct, bounded(150)).found);
  }
}
