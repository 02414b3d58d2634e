// How many schedules a minute the explorer runs: two engines, established from durable models,
// rekey the same Child SA at once; journal off. One thread, hence one core.
#include <cstdio>

#include <CLI/CLI.hpp>
#include <malloc.h>
#include <nlohmann/json.hpp>

#include "world/scenarios.hpp"

int main(int argc, char** argv) {
  using namespace imago::world;  // NOLINT(google-build-using-namespace): a program
  std::uint64_t schedules = 20'000;
  bool as_json = false;
  CLI::App app{
      "Schedules a minute of the two-engine Child SA rekey collision, explored exhaustively."};
  app.add_option("--schedules", schedules, "how many to run")->check(CLI::PositiveNumber);
  app.add_flag("--json", as_json, "data instead of text");
  CLI11_PARSE(app, argc, argv);
  // World after world is made and destroyed: memory is kept instead of given back in between.
  mallopt(M_MMAP_THRESHOLD, 64 << 20);
  mallopt(M_TRIM_THRESHOLD, 512 << 20);

  constexpr double goal = 200'000;
  exploration_limits limits;
  limits.time_max = std::chrono::hours{1};
  limits.schedules_max = 500;  // warm
  const auto& what = *find_scenario("child-rekey-collision");
  (void)explore(what, strategy::exhaustive, limits);
  limits.schedules_max = schedules;
  auto began = std::clock();
  auto result = explore(what, strategy::exhaustive, limits);
  auto cpu = static_cast<double>(std::clock() - began) / CLOCKS_PER_SEC;
  auto count = static_cast<double>(result.schedules + result.cut_short);
  auto a_minute = count / cpu * 60;  // of CPU time: the machine is shared
  auto deliveries = static_cast<double>(result.deliveries) / static_cast<double>(result.schedules);
  if (as_json) {
    nlohmann::json out{{"scenario", what.name},
                       {"schedules", result.schedules},
                       {"schedules_per_cpu_minute", a_minute},
                       {"deliveries_per_schedule", deliveries},
                       {"cpu_us_per_schedule", cpu * 1e6 / count},
                       {"goal", goal},
                       {"met", a_minute >= goal}};
    std::printf("%s\n", out.dump().c_str());
  } else {
    std::printf(
        "%s: %llu schedules of %.0f deliveries, %.0f us of CPU each, %.0f a minute of one "
        "core (goal %.0f: %s)\n",
        what.name.c_str(), static_cast<unsigned long long>(result.schedules), deliveries,
        cpu * 1e6 / count, a_minute, goal, a_minute >= goal ? "met" : "not met");
  }
  return result.found ? 1 : 0;
}
