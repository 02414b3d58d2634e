// imago-explore: tries the orders in which things may happen, in scenarios of production engines.
#include <cstdio>
#include <iostream>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <malloc.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "world/kill_sweep.hpp"
#include "world/scenarios.hpp"
#ifdef IMAGO_PLANTED
#include "world/planted.hpp"
#endif

namespace {

using namespace imago;         // NOLINT(google-build-using-namespace): a program, not a library
using namespace imago::world;  // NOLINT(google-build-using-namespace)

struct wishes {
  std::vector<std::string> scenarios;
  std::string how = "all";
  std::string replayed;
  double minutes = 1;
  std::uint64_t schedules = 0;
  std::uint64_t kills = 0;
  std::uint64_t seed = 1;
  unsigned depth = 3;
  bool lists = false, as_json = false, with_journal = false;
  bool searches_planted = false;
};

constexpr int found_something = 1, usage_error = 2;

int list_scenarios(bool as_json) {
  auto all = nlohmann::json::array();
  for (const auto& one : scenarios()) {
    if (as_json)
      all.push_back({{"scenario", one.name}, {"story", one.story}});
    else
      fmt::print("{:<26} {}\n", one.name, one.story);
  }
  if (as_json) std::cout << all.dump(2) << "\n";
  return 0;
}

int replay_one(const scenario& what, const wishes& asked) {
  auto order = parse_schedule(asked.replayed);
  if (!order) {
    fmt::print(stderr, "imago-explore: --replay: {}\n", order.failure().text());
    return usage_error;
  }
  auto result = replay(what, *order);
  if (asked.as_json) {
    nlohmann::json out{{"scenario", what.name}, {"deliveries", result.deliveries}};
    if (result.violation) out["violation"] = *result.violation;
    out["steps"] = result.steps;
    out["journal"] = result.journal;
    std::cout << out.dump(2) << "\n";
  } else {
    for (const auto& step : result.steps) fmt::print("{}\n", step);
    if (asked.with_journal) fmt::print("\n{}", result.journal);
    fmt::print("\n{}\n", result.violation ? "violated: " + *result.violation : "everything holds");
  }
  return result.violation ? found_something : 0;
}

struct row {
  const scenario* what;
  strategy how;
  exploration result;
};

void print(const row& one) {
  const auto& result = one.result;
  fmt::print("\r{:<26} {:<11} {:>9} schedules {:>6} deliveries {:>7.0f} a second  {}\n",
             one.what->name, name_of(one.how), result.schedules, result.longest,
             static_cast<double>(result.schedules) / std::max(result.seconds, 1e-9),
             result.found        ? "VIOLATED: " + result.found->what
             : result.is_covered ? "all there are"
                                 : "holds");
  if (result.found)
    fmt::print("\n{}\nto see it again: imago-explore {} --journal --replay '{}'\n\n",
               result.found->script, one.what->name, text_of(result.found->reduced));
  std::fflush(stdout);
}

nlohmann::json json_of(const row& one) {
  nlohmann::json out{{"scenario", one.what->name},          {"strategy", name_of(one.how)},
                     {"schedules", one.result.schedules},   {"cut_short", one.result.cut_short},
                     {"deliveries", one.result.deliveries}, {"longest", one.result.longest},
                     {"covered", one.result.is_covered},    {"seconds", one.result.seconds}};
  if (one.result.found) {
    out["violation"] = one.result.found->what;
    out["schedule"] = text_of(one.result.found->reduced);
  }
  return out;
}

int explore_all(const std::vector<const scenario*>& chosen, const std::vector<strategy>& hows,
                const wishes& asked) {
  auto share = std::chrono::milliseconds{
      static_cast<std::int64_t>(asked.minutes * 60'000) /
      static_cast<std::int64_t>(std::max<std::size_t>(1, chosen.size() * hows.size()))};
  auto all = nlohmann::json::array();
  int status = 0;
  for (const auto* what : chosen)
    for (auto how : hows) {
      exploration_limits limits;
      limits.time_max = share;
      limits.schedules_max = asked.schedules ? asked.schedules : UINT64_MAX;
      limits.seed = asked.seed;
      limits.pct_depth = asked.depth;
      if (!asked.as_json && isatty(STDERR_FILENO))
        limits.progress = [&](std::uint64_t count) {
          fmt::print(stderr, "\r{:<26} {:<11} {:>9} schedules", what->name, name_of(how), count);
        };
      row one{what, how, explore(*what, how, limits)};
      if (one.result.found) status = found_something;
      if (asked.as_json)
        all.push_back(json_of(one));
      else
        print(one);
    }
  if (asked.as_json) std::cout << all.dump(2) << "\n";
  return status;
}

#ifdef IMAGO_PLANTED
// Every planted bug, by every strategy, until one of them finds it.
int search_all_planted(const wishes& asked) {
  auto all = nlohmann::json::array();
  bool all_found = true;
  for (const auto& one : planted_cases()) {
    nlohmann::json out{{"bug", one.name}, {"story", one.story}, {"scenario", one.where.name}};
    std::string line;
    bool found = false;
    for (auto how : {strategy::exhaustive, strategy::pct, strategy::random}) {
      exploration_limits limits;
      limits.schedules_max = asked.schedules ? asked.schedules : 20'000;
      limits.time_max =
          std::chrono::milliseconds{static_cast<std::int64_t>(asked.minutes * 60'000)};
      limits.seed = asked.seed;
      limits.pct_depth = asked.depth;
      auto result = search_planted(one, how, limits);
      auto name = std::string{name_of(how)};
      out[name] = {{"found", result.found.has_value()},
                   {"schedules", result.schedules + result.cut_short}};
      if (result.found) {
        out[name]["violation"] = result.found->what;
        out[name]["schedule"] = text_of(result.found->reduced);
      }
      found = found || result.found;
      line += fmt::format("{:>7}{}", result.schedules + result.cut_short, result.found ? "" : "-");
      if (result.found && line.size() < 40) out["violation"] = result.found->what;
    }
    out["found"] = found;
    all_found = all_found && found;
    if (!asked.as_json)
      fmt::print("{:<24} {:<10} schedules until found (exhaustive, pct, random): {}\n", one.name,
                 found ? "found" : "NOT FOUND", line);
    std::fflush(stdout);
    all.push_back(std::move(out));
  }
  if (asked.as_json) std::cout << all.dump(2) << "\n";
  return all_found ? 0 : found_something;
}
#endif
// Runs by chance in which actors are killed: nothing may be left.
int kill_by_chance(const wishes& asked) {
  std::function<void(std::uint64_t)> progress;
  if (!asked.as_json && isatty(STDERR_FILENO))
    progress = [](std::uint64_t count) { fmt::print(stderr, "\rkills {:>9} runs", count); };
  auto result = imago::world::kill_by_chance(kill_scenarios(), asked.kills, asked.seed, progress);
  if (asked.as_json) {
    nlohmann::json out{{"runs", result.runs}, {"killed", result.killed}};
    if (result.violation) out["violation"] = *result.violation;
    if (result.failing_seed) out["seed"] = *result.failing_seed;
    std::cout << out.dump(2) << "\n";
  } else {
    fmt::print("\rkills: {} runs, {} actors killed  {}\n", result.runs, result.killed,
               result.violation ? "VIOLATED" : "nothing is left");
    if (result.violation)
      fmt::print("\n{}\nto see it again: imago-explore --kills 1 --seed {}\n", *result.violation,
                 *result.failing_seed);
  }
  return result.violation ? found_something : 0;
}

}  // namespace

int main(int argc, char** argv) {
  // World after world is made and destroyed: memory is kept instead of given back in between.
  mallopt(M_MMAP_THRESHOLD, 64 << 20);
  mallopt(M_TRIM_THRESHOLD, 512 << 20);
  wishes asked;
  CLI::App app{
      "Tries the orders in which messages may be delivered, in scenarios of two production "
      "engines, and "
      "checks what must hold in each. Exit status: 0 everything holds, 1 something does not, 2 "
      "usage."};
  app.add_option("scenario", asked.scenarios, "which (default: all); --list names them");
  app.add_flag("--list", asked.lists, "names the scenarios and ends");
  app.add_option("--strategy", asked.how, "exhaustive, random, pct or all")
      ->check(CLI::IsMember({"exhaustive", "random", "pct", "all"}));
  app.add_option("--minutes", asked.minutes, "for everything together")->check(CLI::PositiveNumber);
  app.add_option("--schedules", asked.schedules, "at most so many of each (default: no limit)");
  app.add_option("--kills", asked.kills,
                 "instead: so many runs of all exchanges by chance, in which actors are killed");
  app.add_option("--seed", asked.seed, "of random and pct, and of the first run with --kills");
  app.add_option("--depth", asked.depth, "of pct: the number of ordering constraints of a bug");
  app.add_option("--replay", asked.replayed,
                 "one schedule of one scenario: in-order, or STEP:CHOICE ...");
  app.add_flag("--journal", asked.with_journal, "with --replay: also what the engines say");
#ifdef IMAGO_PLANTED
  app.add_flag("--planted", asked.searches_planted,
               "plants known bugs and says which are found, after how many schedules");
#endif
  app.add_flag("--json", asked.as_json, "data instead of text");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : usage_error;
  }
  if (asked.lists) return list_scenarios(asked.as_json);
#ifdef IMAGO_PLANTED
  if (asked.searches_planted) return search_all_planted(asked);
#endif
  if (asked.kills != 0) return kill_by_chance(asked);
  std::vector<const scenario*> chosen;
  for (const auto& name : asked.scenarios) {
    const auto* found = find_scenario(name);
    if (!found) {
      fmt::print(stderr, "imago-explore: there is no scenario '{}'; --list names them\n", name);
      return usage_error;
    }
    chosen.push_back(found);
  }
  if (!asked.replayed.empty()) {
    if (chosen.size() == 1) return replay_one(*chosen.front(), asked);
    fmt::print(stderr, "imago-explore: --replay needs one scenario\n");
    return usage_error;
  }
  if (chosen.empty())
    for (const auto& one : scenarios()) chosen.push_back(&one);
  std::vector<strategy> hows;
  for (auto how : {strategy::exhaustive, strategy::pct, strategy::random})
    if (asked.how == "all" || asked.how == name_of(how)) hows.push_back(how);
  return explore_all(chosen, hows, asked);
}
