// The scenarios that are explored: for tests, the Python module and ./dev explore.
#pragma once

#include "world/explorer.hpp"

namespace imago::world {

// All of them, in the order in which they are told. Two engines, "a" and "b", or three; most begin
// with an IKE SA and its Child SA "net" up, given as durable models (established.hpp).
const std::vector<scenario>& scenarios();
// Null: there is none of that name.
const scenario* find_scenario(std::string_view name);

// Those that can be made with a double of a known defect, for planted.hpp.
scenario larval_race(planted_doubles doubles);
scenario kill_beside_rekey(planted_doubles doubles);
scenario late_result(planted_doubles doubles);
scenario lost_response();

// The peers: a (192.0.2.1) and c (192.0.2.3) speak with b (192.0.2.2).
enum class peer_name : std::uint8_t { a, b, c };
std::string name_of(peer_name who);
std::string address_of(peer_name who);
// Connections "moon-sun" (a and b) and "star-sun" (c and b) with a shared key, each with children
// "net" and "net2".
std::string configuration_text(peer_name of);
// Uninstalls every trap and shunt there is: scenarios of kill_sweep.hpp leave theirs.
void uninstall_all(world& in);
// Of swanctl.conf text without files. Errors: the first of the configuration's.
result<ikev2::policy_ptr> policy_of(std::string_view text);
// Parsed once for each.
ikev2::policy_ptr peer_policy(peer_name of);

}  // namespace imago::world
