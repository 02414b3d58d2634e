// Which deliveries to one actor commute: both orders lead to the same state. Deliveries to
// different actors always do: an actor's state is its own, entropy is drawn from a stream of its
// own, and what several share (numbers of SAs, the data plane's tables) gives names, not behaviour.
//
// Every line here is a claim about production code; tests/world/commute_test.cpp swaps neighbours
// in random schedules and compares what comes of it.
#pragma once

#include "world/run.hpp"

namespace imago::world {

// Of two deliveries of which one at least is an act: can the order matter? What happens to a world
// ("kill") depends on everything, a crypto job on nothing, an ESP packet on its data plane.
bool do_acts_depend(const choice& one, const choice& other);

// Of two letters to the same receiver, from different channels.
bool do_commute(const choice& one, const choice& other);

}  // namespace imago::world
