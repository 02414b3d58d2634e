// The explorer: tries the orders in which the letters of a world may be delivered.
//
//   exhaustive  every order that can make a difference, each once: partial-order reduction by
//   source
//               sets and sleep sets (Abdulla, Aronis, Jonsson, Sagonas: Optimal dynamic partial
//               order reduction, POPL 2014). Two deliveries depend on each other if they have the
//               same receiver and do not commute (commute.hpp).
//   random      a seed per schedule; any deliverable letter with the same probability.
//   pct         a priority for each channel, changed at d - 1 random points (Burckhardt, Kothari,
//               Musuvathi, Nagarakatti: A randomized scheduler with probabilistic guarantees of
//               finding bugs, ASPLOS 2010): finds a bug of depth d in n steps with a probability of
//               at least 1 / (k n^(d-1)) for k channels.
//
// A violation ends the search and is reduced: as many deliveries as possible become the oldest
// one, which is what happens by default. What is left is printed, and replayed, as a schedule.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "world/invariants.hpp"
#include "world/world.hpp"

namespace imago::world {

struct scenario {
  std::string name;   // "child-rekey-collision"
  std::string story;  // one sentence for people
  // A world where all is quiet. Must do the same each time.
  std::function<std::unique_ptr<world>(bool with_journal)> make;
  // Sets off what is explored.
  std::function<void(world&)> begin;
  // When nothing more can be delivered: time passes so long, in the order of sending, before the
  // last check. 0: none.
  duration settles{};
  // What must hold in the end, besides the invariants: what is wrong, or nothing.
  std::function<std::optional<std::string>(world&)> expect;
};

// One order of deliveries: at each, which of the deliverable letters (oldest first) was taken.
// Beyond its end, and where there are fewer letters: the oldest.
using schedule = std::vector<std::uint32_t>;

struct violation {
  std::string what;
  schedule found;      // as it was found
  schedule reduced;    // fewer deliveries out of their order
  std::string script;  // the reduced one in words, and how to replay it
};

enum class strategy : std::uint8_t { exhaustive, random, pct };
std::string_view name_of(strategy chosen);

struct exploration_limits {
  std::uint64_t schedules_max = 1'000'000;
  std::chrono::milliseconds time_max{60'000};
  std::uint64_t seed = 1;  // of random and pct
  unsigned pct_depth = 3;  // d
  // Said now and then, for people who wait; may be empty.
  std::function<void(std::uint64_t schedules)> progress;
  // Sees the world of each schedule at its end; may be empty.
  std::function<void(world&)> at_end;
};

struct exploration {
  std::uint64_t schedules = 0;   // that ran to their end
  std::uint64_t cut_short = 0;   // exhaustive: left when a sleep set showed them to be known
  std::uint64_t deliveries = 0;  // in all of them
  std::size_t longest = 0;       // deliveries of the longest schedule
  bool is_covered = false;       // exhaustive: there is nothing more to try
  std::optional<violation> found;
  double seconds = 0;
};

exploration explore(const scenario& what, strategy how, const exploration_limits& limits = {});

struct replay_result {
  std::optional<std::string> violation;
  std::size_t deliveries = 0;
  std::string journal;             // of all hosts
  std::vector<std::string> steps;  // each delivery in words
};
replay_result replay(const scenario& what, const schedule& order);

// "0 0 3 1": one number per delivery; "37:4 52:1": only those that are not 0.
std::string text_of(const schedule& order);
// The second form. Errors: bad_syntax, with the place.
result<schedule> parse_schedule(std::string_view text);

}  // namespace imago::world
