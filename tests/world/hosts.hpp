// Worlds of two hosts, with the ends that the tests of exchanges use; and what the tests of
// problems share.
#pragma once

#include "tests/exchanges/ends.hpp"
#include "world/kill_sweep.hpp"
#include "world/world.hpp"

namespace imago::testing {

std::unique_ptr<world::world> world_of_two(world::world_options options = {},
                                           const ends& both = shared_key_ends());
// ... that come to an end of everything within a minute: a silent peer is noticed after 20 s.
std::unique_ptr<world::world> brisk_world_of_two(world::world_options options = {},
                                                 const ends& both = shared_key_ends());
world::host_options host_of(std::string name, const end& self);

// One of world::kill_scenarios(); fails the test if there is none of that name.
const world::scenario& swept_scenario(std::string_view name);

// Longer than any time-out of a brisk world.
inline constexpr auto long_enough = std::chrono::seconds{60};

// What lives on is closed by both; what then is left, or was wrong before.
std::optional<std::string> close_all(world::world& in, world::invariants& watch);
// For each installed Child SA, of both hosts: the data plane sends on an SA that the peer has.
// What is wrong, or nothing. Fake data planes.
std::optional<std::string> find_broken_path(world::world& in);

// One line for people who wait.
void say(const std::string& line);

}  // namespace imago::testing
