// The kill sweep (architecture.md §4): a scenario runs once to count its deliveries, then again for
// each k with a KILL after the k-th. Afterwards both ends agree; everything is closed; nothing is
// left: no md, no frame, no SPI, no SA in a data plane, no timer, no command without its one
// answer. And the same by chance: a seed chooses scenario, order of deliveries, moments, targets.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "world/explorer.hpp"

namespace imago::world {

enum class kill_target : std::uint8_t {
  ike_sa,
  ike_sa_by_command,  // kill_sas
  exchange,
  child_sa,
  connection,
  engine,  // stop_engine, then its roots end
};
inline constexpr std::size_t kill_target_count = 6;
std::string_view name_of(kill_target target);

struct kill_point {
  std::size_t after = 0;  // so many deliveries since the scenario began
  host_number of = 0;
  kill_target target{};
  // All that live of that kind, or one: which, modulo their number.
  std::optional<std::size_t> which;
};

// What happens, in full: the same plan gives the same journal.
struct kill_plan {
  std::vector<kill_point> points;  // by `after`
  // Seed of the choice among what is deliverable, all the way to the end; none: the oldest.
  std::optional<std::uint64_t> order;
};
std::string text_of(const kill_plan& plan, const world& in);

struct kill_outcome {
  std::size_t killed = 0;      // actors that were there to be killed
  std::size_t deliveries = 0;  // until it was quiet for the first time
  std::optional<std::string> violation;
  std::string plan;     // in words, of a violation
  std::string journal;  // of a violation
};
// Nobody killed: what came after the first quiet does not happen.
kill_outcome kill_at(const scenario& what, const kill_plan& plan, bool with_journal = false);

struct kill_sweep_result {
  std::size_t deliveries = 0;            // of the scenario
  std::size_t runs = 0;                  // kill points at which the target was there
  std::size_t killed = 0;                // actors killed in them
  std::optional<std::string> violation;  // the first: where, what, and the journal
};
// First without a kill; then every k, every target, every host. Ends at the first violation.
kill_sweep_result sweep_kills(const scenario& what);

struct random_kills_result {
  std::uint64_t runs = 0;
  std::uint64_t killed = 0;
  std::optional<std::uint64_t> failing_seed;  // alone: kill_by_chance(scenarios, 1, it)
  std::optional<std::string> violation;
};
// Run number i has the seed `seed` + i. Ends at the first violation. `progress` may be empty.
random_kills_result kill_by_chance(const std::vector<scenario>& among, std::uint64_t count,
                                   std::uint64_t seed,
                                   const std::function<void(std::uint64_t)>& progress = {});

// Every exchange in both roles, and collisions, with two engines "a" and "b" that come to an end
// of everything within a minute: silent peers are noticed, unanswered requests given up.
const std::vector<scenario>& kill_scenarios();
// Options of such an engine: brisk retransmission and lifetimes.
engine_options brisk_options();

}  // namespace imago::world
