#include "world/explorer.hpp"

#include <cstdio>
#include <set>

#include <doctest/doctest.h>

#include "tests/world/outline.hpp"
#include "world/scenarios.hpp"

using namespace imago;
using namespace imago::world;
using imago::testing::outline;

namespace {

exploration explored(const scenario& what, strategy how, std::uint64_t schedules,
                     std::function<void(imago::world::world&)> at_end = {}) {
  exploration_limits limits;
  limits.schedules_max = schedules;
  limits.time_max = std::chrono::hours{1};
  limits.at_end = std::move(at_end);
  auto result = explore(what, how, limits);
  std::printf("explore: %-24s %-10s %6llu schedules%s\n", what.name.c_str(),
              std::string{name_of(how)}.c_str(), static_cast<unsigned long long>(result.schedules),
              result.is_covered ? ", all there are" : "");
  std::fflush(stdout);
  std::string script = result.found ? result.found->script : "";
  INFO(script);
  CHECK_FALSE(result.found);
  return result;
}

const scenario& named(const char* name) {
  const auto* found = find_scenario(name);
  REQUIRE(found);
  return *found;
}

}  // namespace

TEST_CASE("explore: what must hold does in every scenario, in orders by chance") {
  for (const auto& one : scenarios()) {
    explored(one, strategy::random, 150);
    explored(one, strategy::pct, 250);
  }
}

TEST_CASE("explore: small scenarios are covered, all orders that differ") {
  // Two rekeys at once, late-result's too, have more than 30,000: by chance only.
  for (const auto* name :
       {"child-delete", "new-child", "ike-delete-by-both", "initiate", "lost-response"}) {
    auto result = explored(named(name), strategy::exhaustive, 5000);
    CHECK(result.is_covered);
  }
}

TEST_CASE("explore: what orders by chance lead to, the reduced set of orders leads to as well") {
  for (const auto* name : {"new-child", "ike-delete-by-both"}) {
    std::set<std::string> all, some;
    auto covered = explored(named(name), strategy::exhaustive, 5000,
                            [&](auto& in) { all.insert(outline(in)); });
    REQUIRE(covered.is_covered);
    explored(named(name), strategy::random, 400, [&](auto& in) { some.insert(outline(in)); });
    explored(named(name), strategy::pct, 400, [&](auto& in) { some.insert(outline(in)); });
    for (const auto& one : some) {
      INFO(name << " never ends like this when explored exhaustively:\n" << one);
      CHECK(all.count(one) == 1);
    }
  }
}

TEST_CASE("explore: a schedule is read back as it was said, and refused with the place") {
  schedule order{0, 3, 0, 0, 12};
  CHECK(text_of(order) == "1:3 4:12");
  REQUIRE(parse_schedule("1:3 4:12"));
  CHECK(*parse_schedule("1:3 4:12") == order);
  CHECK(text_of(schedule{}) == "in-order");
  CHECK(parse_schedule("in-order")->empty());
  for (const auto* wrong : {"1", "1:", "x", "1:2,3:4", "1:2 :", "99999999999:1"}) {
    INFO(wrong);
    CHECK_FALSE(parse_schedule(wrong));
  }
  CHECK(parse_schedule("1:2 x").failure().where.find("column") != std::string::npos);
}

TEST_CASE("explore: a replay does the same again") {
  const auto& what = named("child-rekey-collision");
  schedule order;
  for (std::uint32_t step = 0; step < 60; ++step) order.push_back(step * 7 % 5);
  auto first = replay(what, order);
  auto second = replay(what, order);
  CHECK(first.steps.size() > 60);
  CHECK(first.steps == second.steps);
  CHECK(first.journal == second.journal);
  CHECK_FALSE(first.violation);
}
