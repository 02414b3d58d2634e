#include "world/explorer.hpp"

#include <cstdio>

#include <doctest/doctest.h>

#include "world/scenarios.hpp"

using namespace imago;
using namespace imago::world;

namespace {

exploration explored(const char* name, strategy how, std::uint64_t schedules) {
  const auto* what = find_scenario(name);
  REQUIRE(what);
  exploration_limits limits;
  limits.schedules_max = schedules;
  limits.time_max = std::chrono::hours{1};
  auto result = explore(*what, how, limits);
  std::printf("explore: %-24s %-10s %8llu schedules, %llu cut short%s, %.0f a second\n", name,
              std::string{name_of(how)}.c_str(), static_cast<unsigned long long>(result.schedules),
              static_cast<unsigned long long>(result.cut_short),
              result.is_covered ? ", all there are" : "",
              static_cast<double>(result.schedules) / result.seconds);
  std::fflush(stdout);
  std::string script = result.found ? result.found->script : "";
  INFO(script);
  CHECK_FALSE(result.found);
  return result;
}

}  // namespace

TEST_CASE("explore: every scenario, by chance") {
  for (const auto& one : scenarios()) {
    explored(one.name.c_str(), strategy::random, 1000);
    explored(one.name.c_str(), strategy::pct, 1000);
  }
}

TEST_CASE("explore: every scenario, exhaustively") {
  for (const auto& one : scenarios()) explored(one.name.c_str(), strategy::exhaustive, 3000);
}
