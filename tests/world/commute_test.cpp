// world/commute.hpp claims that certain deliveries commute; here neighbours in orders by chance are
// swapped, and what comes of both orders is compared.
#include "world/commute.hpp"

#include <cstdio>

#include <doctest/doctest.h>

#include "tests/world/outline.hpp"
#include "world/scenarios.hpp"

using namespace imago;
using namespace imago::world;
using imago::testing::outline;

namespace {

// Two letters that both may be delivered now, and of which commute.hpp says that they commute.
std::optional<std::pair<letter_id, letter_id>> commuting(const std::vector<choice>& choices) {
  for (std::size_t one = 0; one < choices.size(); ++one)
    for (std::size_t other = one + 1; other < choices.size(); ++other)
      if (choices[one].to == choices[other].to && do_commute(choices[one], choices[other]))
        return std::pair{choices[one].id, choices[other].id};
  return std::nullopt;
}

struct outcome {
  bool has_pair = false;
  std::string kind, end;
};

// By chance up to the first such pair after `from` deliveries, the pair in this order or the other,
// then in the order of sending.
outcome run_with_pair(const scenario& what, std::uint64_t seed, std::size_t from, bool swapped) {
  run now{what, false};
  seeded_random chance{seed};
  outcome result;
  for (std::size_t step = 0; true; ++step) {
    const auto& choices = now.choices();
    if (choices.empty()) break;
    if (auto pair = commuting(choices); pair && step >= from) {
      result.has_pair = true;
      auto [first, second] = *pair;
      result.kind = now.in().describe(*now.in().mail.find(first)) + " / " +
                    now.in().describe(*now.in().mail.find(second));
      now.take(swapped ? second : first);
      now.take(swapped ? first : second);
      break;
    }
    now.take(choices[chance.below(choices.size())].id);
  }
  CHECK(now.in().run_until_quiet());
  now.in().advance(what.settles);
  result.end = outline(now.in());
  return result;
}

}  // namespace

TEST_CASE("commute: swapping two deliveries that commute changes nothing") {
  std::size_t pairs = 0;
  for (const auto& one : scenarios())
    for (std::uint64_t seed = 1; seed <= 12; ++seed) {
      auto straight = run_with_pair(one, seed, seed * 5, false);
      if (!straight.has_pair) continue;
      ++pairs;
      auto swapped = run_with_pair(one, seed, seed * 5, true);
      INFO(one.name << " seed " << seed << ": " << straight.kind);
      CHECK(straight.kind == swapped.kind);
      CHECK(straight.end == swapped.end);
    }
  std::printf("commute: %zu pairs swapped\n", pairs);
  CHECK(pairs > 60);
}
