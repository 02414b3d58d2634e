// imagoctl impair: its options and what it prints. They come from the daemon's own table of faults.
#pragma once

#include <map>
#include <string>

#include <CLI/CLI.hpp>

#include "core/base/result.hpp"
#include "core/vici/message.hpp"

namespace imago {

struct impair_arguments {
  std::string fault;                          // empty: none to arm
  std::map<std::string, std::string> values;  // of the fault's arguments
  std::string clear_id;                       // empty: all
  bool lists = false, shows_status = false, clears = false;
};

void declare_impair(CLI::App& app, impair_arguments& chosen);
// What --list prints: every fault with its arguments and an example. Needs no daemon.
std::string fault_descriptions();
// The command that carries out what was chosen: its name, and its request.
// Errors: bad_value, with a sentence in `where`.
result<std::pair<std::string, vici::message>> impair_request(const impair_arguments& chosen);
// Of an answer to impair-list, for a terminal.
std::string impairments_text(const vici::message& answer);

}  // namespace imago
