// What `imagoctl status` shows: list-sas as a table for people and as JSON for programs.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/vici/message.hpp"

namespace imago {

// A list-sa event as one object: its keys with "connection" added, `child-sas` as an array.
nlohmann::ordered_json json_of_sa(const vici::message& listed);
// Any message; values that are decimal numbers stay texts.
nlohmann::ordered_json json_of(const vici::message& message);

// Of what json_of_sa made, for a terminal.
std::string status_table(const std::vector<nlohmann::ordered_json>& sas);

}  // namespace imago
