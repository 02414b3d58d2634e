// The kill sweep (architecture.md §4): a scenario runs once to count its steps, then again for each
// k with a KILL after the k-th. Afterwards nothing may be left: no md, no frame, no SPI, no SA in
// the data plane, no timer, no command without an answer, and both ends agree.
#pragma once

#include "tests/support/pair.hpp"

namespace imago::testing {

struct kill_scenario {
  std::string name;
  std::function<std::unique_ptr<pair>()> make;
  // Brings the pair to where the sweep begins; runs to quiet.
  std::function<void(pair&)> prepare;
  // Sets off what is swept.
  std::function<void(pair&)> begin;
  // What must hold when nobody was killed.
  std::function<void(pair&)> expect;
};

enum class kill_target { ike_sa, ike_sa_by_command, exchange, child_sa, connection, engine };
std::string_view name_of(kill_target target);

struct sweep_result {
  std::size_t steps = 0;         // of the scenario
  std::size_t runs = 0;          // kill points: a k at which the target was there
  std::size_t killed_count = 0;  // actors killed in them
};

// Every k, every target, on either side. Prints one line.
sweep_result sweep_kills(const kill_scenario& scenario);

}  // namespace imago::testing
