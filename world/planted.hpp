// The planted bugs (core/base/planted.hpp) and where each is to be found: a checker that cannot
// fail proves nothing. Only in builds with IMAGO_PLANTED.
#pragma once

#include "core/base/planted.hpp"
#include "world/explorer.hpp"

namespace imago::world {

struct planted_case {
  planted_bug bug{};
  std::string name;   // "late-result"
  std::string story;  // what is wrong, in one sentence
  scenario where;     // with the double, if it is one
};
const std::vector<planted_case>& planted_cases();

// Plants it, searches, takes it out again.
exploration search_planted(const planted_case& what, strategy how,
                           const exploration_limits& limits);

}  // namespace imago::world
