// The commands of the control socket, by name. Private to control.
#pragma once

#include <string_view>
#include <variant>

#include "actors/control_client.hpp"

namespace imago::actors {

// Done at once: request to response.
using immediate_command = vici::message (*)(control_context&, vici::message& request);
// Takes several messages.
using lasting_command = std::unique_ptr<control_command> (*)(control_client&,
                                                             vici::message& request);

struct command_row {
  std::string_view name;
  std::variant<immediate_command, lasting_command> run;
};
const command_row* find_command(std::string_view name);
// Can it be registered?
bool is_event(std::string_view name);
// Does it come from the engine's subscription?
bool is_sa_event(std::string_view name);

// --- replies ---
vici::message success();
vici::message refusal(std::string why);
// Its `where` says it all where a text was made for the client; else with the error's own text.
vici::message reply_of(const status& result);

// --- control_load.cpp: what clients bring ---
vici::message load_connections(control_context&, vici::message& request);
vici::message unload_connection(control_context&, vici::message& request);
vici::message get_connections(control_context&, vici::message& request);
vici::message load_certificate(control_context&, vici::message& request);
vici::message load_key(control_context&, vici::message& request);
vici::message unload_key(control_context&, vici::message& request);
vici::message get_keys(control_context&, vici::message& request);
vici::message load_shared_key(control_context&, vici::message& request);
vici::message unload_shared_key(control_context&, vici::message& request);
vici::message get_shared_keys(control_context&, vici::message& request);
vici::message clear_credentials(control_context&, vici::message& request);
vici::message load_authority(control_context&, vici::message& request);
vici::message unload_authority(control_context&, vici::message& request);
vici::message get_authorities(control_context&, vici::message& request);

// --- control_sas.cpp: what is done to SAs ---
std::unique_ptr<control_command> make_initiate(control_client&, vici::message& request);
std::unique_ptr<control_command> make_terminate(control_client&, vici::message& request);
std::unique_ptr<control_command> make_rekey(control_client&, vici::message& request);
std::unique_ptr<control_command> make_kill(control_client&, vici::message& request);
std::unique_ptr<control_command> make_install(control_client&, vici::message& request);
std::unique_ptr<control_command> make_uninstall(control_client&, vici::message& request);

// --- control_impair.cpp: faults on demand ---
std::unique_ptr<control_command> make_impair(control_client&, vici::message& request);
vici::message list_impairments(control_context&, vici::message& request);
vici::message clear_impairments(control_context&, vici::message& request);

// --- control_lists.cpp: what is streamed ---
std::unique_ptr<control_command> make_list_sas(control_client&, vici::message& request);
std::unique_ptr<control_command> make_list_policies(control_client&, vici::message& request);
std::unique_ptr<control_command> make_list_connections(control_client&, vici::message& request);
std::unique_ptr<control_command> make_list_certificates(control_client&, vici::message& request);
std::unique_ptr<control_command> make_list_authorities(control_client&, vici::message& request);

}  // namespace imago::actors
