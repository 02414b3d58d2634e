// Worlds of two hosts, with the ends that the tests of exchanges use.
#pragma once

#include "tests/exchanges/ends.hpp"
#include "world/world.hpp"

namespace imago::testing {

std::unique_ptr<world::world> world_of_two(world::world_options options = {},
                                           const ends& both = shared_key_ends());
world::host_options host_of(std::string name, const end& self);

}  // namespace imago::testing
