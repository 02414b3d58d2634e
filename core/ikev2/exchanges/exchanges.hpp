// Every flow: initiate_<exchange> composes our request and understands the response;
// process_<exchange>_request understands the peer's request and composes the response.
#pragma once

#include "core/ikev2/flow.hpp"
#include "core/ikev2/flow_context.hpp"
#include "core/ikev2/rows.hpp"

namespace imago::ikev2 {

// ike_sa_init.cpp; the responder's half waits for nobody: half_open.hpp
flow initiate_ike_sa_init(flow_context context, sa_snapshot_ptr sa);

// ike_auth.cpp; `child` null: childless (RFC 6023)
flow initiate_ike_auth(flow_context context, sa_snapshot_ptr sa, child_config_ptr child);
flow process_ike_auth_request(flow_context context, sa_snapshot_ptr sa, msg_digest md);

// create_child_sa.cpp; `rekeyed`: the inbound SPI of the Child SA that is replaced
flow initiate_create_child_sa(flow_context context, sa_snapshot_ptr sa, child_config_ptr child,
                              std::optional<data_plane::spi> rekeyed);
flow process_create_child_sa_request(flow_context context, sa_snapshot_ptr sa, msg_digest md);

// rekey_ike_sa.cpp
flow initiate_ike_rekey(flow_context context, sa_snapshot_ptr sa);
flow process_ike_rekey_request(flow_context context, sa_snapshot_ptr sa, msg_digest md);

// informational.cpp
flow initiate_child_delete(flow_context context, sa_snapshot_ptr sa, data_plane::spi inbound_spi);
flow initiate_ike_delete(flow_context context, sa_snapshot_ptr sa);
flow initiate_liveness_check(flow_context context, sa_snapshot_ptr sa);
flow initiate_failure_notice(flow_context context, sa_snapshot_ptr sa, notify_type notify);
flow process_informational_request(flow_context context, sa_snapshot_ptr sa, msg_digest md);

// The flow of one of our tasks. The task must have begun (see begin()).
flow start_task(flow_context context, sa_snapshot_ptr sa, const task& task);

// The rows of each file.
std::span<const row> ike_sa_init_rows();
std::span<const row> ike_auth_rows();
std::span<const row> create_child_sa_rows();
std::span<const row> rekey_ike_sa_rows();
std::span<const row> informational_rows();

}  // namespace imago::ikev2
