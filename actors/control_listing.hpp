// SAs, connections and certificates as vici messages. Private to control.
#pragma once

#include <optional>

#include "actors/status.hpp"
#include "core/ikev2/policy.hpp"
#include "core/vici/message.hpp"

namespace imago::actors {

// What a data plane counted, as far as it answered in time.
struct child_usage {
  std::optional<data_plane::sa_usage> inbound, outbound;
};

// Names of sections have at most 255 octets.
std::string section_name(std::string_view name);
std::string section_name(const ike_sa_status& sa);  // "(unnamed)" while the connection is unknown
std::string section_name(const child_sa_status& child);  // "net-7"

// Without child-sas.
vici::message message_of(const ike_sa_status& sa, instant now);
vici::message message_of(const child_sa_status& child, const child_usage& usage, instant now);
vici::message message_of(const config::connection_config& connection);
vici::message message_of(const child_policy_status& standing);
vici::message message_of(const crypto::certificate& certificate, bool is_authority, bool has_key);

// The event of that name with its message: ike-updown, child-updown, ike-rekey, child-rekey.
vici::packet packet_of(const sa_event& event, instant now);

}  // namespace imago::actors
