// The scenarios that are explored: for tests, the Python module and ./dev explore.
#pragma once

#include "world/explorer.hpp"

namespace imago::world {

// All of them, in the order in which they are told. Two engines, "a" and "b"; most begin with an
// IKE SA and its Child SA "net" up, given as durable models (established.hpp).
const std::vector<scenario>& scenarios();
// Null: there is none of that name.
const scenario* find_scenario(std::string_view name);

// A configuration of two peers with a shared key, "moon-sun", with children "net" and "net2".
std::string configuration_text(bool of_a);
// Parsed once for each side.
ikev2::policy_ptr peer_policy(bool of_a);

}  // namespace imago::world
