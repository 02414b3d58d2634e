#include <doctest/doctest.h>

#include "tests/support/kill_sweep.hpp"

namespace imago::testing {

namespace {

using namespace std::chrono_literals;

constexpr kill_target all_targets[] = {kill_target::ike_sa,     kill_target::ike_sa_by_command,
                                       kill_target::exchange,   kill_target::child_sa,
                                       kill_target::connection, kill_target::engine};

// How many it hit.
std::size_t strike(engine_side& side, kill_target target) {
  auto kill_all = [&](std::string_view kind) {
    auto found = side.living(kind);
    for (const auto& one : found) caf::anon_send<caf::message_priority::high>(one, actors::kill{});
    return found.size();
  };
  switch (target) {
    case kill_target::ike_sa: return kill_all("ike_sa");
    case kill_target::exchange: return kill_all("exchange");
    case kill_target::child_sa: return kill_all("child_sa");
    case kill_target::connection: return kill_all("connection");
    case kill_target::ike_sa_by_command: {
      auto count = side.living("ike_sa").size();
      if (count != 0) side.kill_sas({});
      return count;
    }
    case kill_target::engine: break;
  }
  side.stop_engine();
  return 1;
}

// Longer than any time-out of brisk(): give-up, half-open, liveness and give-up, lost replies.
constexpr auto long_enough = 60s;

// What lives on, on both sides alike, is closed; then nothing may be left.
void check_aftermath(pair& both, engine_side& struck, kill_target target) {
  both.advance(long_enough);
  both.check_agreement();
  if (target == kill_target::engine) {
    CHECK(struck.answers->engines_stopped == 1);
    struck.end_roots();
  } else {
    for (auto* side : {&both.a, &both.b})
      if (!side->list().empty()) side->terminate({});
  }
  both.advance(long_enough);
  both.check_empty();
}

std::unique_ptr<pair> prepared(const kill_scenario& scenario) {
  auto both = scenario.make();
  if (scenario.prepare) scenario.prepare(*both);
  both->run_until_quiet();
  return both;
}

void kill_after(const kill_scenario& scenario, std::size_t k, bool of_a, kill_target target,
                sweep_result& result) {
  auto both = prepared(scenario);
  scenario.begin(*both);
  for (std::size_t step = 0; step < k; ++step) both->step();
  auto& side = of_a ? both->a : both->b;
  auto struck = strike(side, target);
  if (struck == 0) return;
  INFO(scenario.name << ": " << name_of(target) << " of " << (of_a ? "a" : "b")
                     << " killed after step " << k);
  check_aftermath(*both, side, target);
  ++result.runs;
  result.killed_count += struck;
}

}  // namespace

std::string_view name_of(kill_target target) {
  static constexpr std::string_view names[] = {"ike_sa",   "ike_sa by kill_sas", "exchange",
                                               "child_sa", "connection",         "engine"};
  return names[static_cast<unsigned>(target)];
}

sweep_result sweep_kills(const kill_scenario& scenario) {
  sweep_result result;
  {
    auto both = prepared(scenario);
    scenario.begin(*both);
    while (both->step()) ++result.steps;
    INFO(scenario.name << ": nobody killed");
    if (scenario.expect) scenario.expect(*both);
    both->advance(long_enough);
    both->check_agreement();
  }
  for (auto target : all_targets)
    for (bool of_a : {true, false})
      for (std::size_t k = 0; k <= result.steps; ++k) kill_after(scenario, k, of_a, target, result);
  std::printf("kill sweep: %-40s %4zu steps, %5zu kill points, %5zu actors killed\n",
              scenario.name.c_str(), result.steps, result.runs, result.killed_count);
  std::fflush(stdout);
  return result;
}

}  // namespace imago::testing
