// Who may be told what: every actor's interface, one line per message in the order of messages.hpp.
#pragma once

#include "actors/messages.hpp"

namespace imago::actors {

// The DEMUX sorts datagrams by SPI, admits new peers, answers with cookies under load.
using demux_handle = handle<receive_packet,    // from a port's reader thread
                            admit_new_peers,   // by the scheduler, at leisure
                            register_spi,      // by an ike_sa before its first packet leaves
                            half_open_ended,   // by an ike_sa when its peer is authenticated
                            keep_last_answer,  // by an ike_sa that closes
                            update_policy>;    // by the engine

// An IKE SA: the durable model, epoch, message windows, stored requests and responses.
using ike_sa_handle =
    handle<receive_packet, initiate_ike_sa, run_task, commit_exchange, exchange_ended,
           send_exchange_request, child_rekey_wanted, child_expired, child_started, child_used,
           activity_confirmed, peer_moved, adopt_children, update_policy, connection_found,
           uplink_found, uplink_joined, pause_sending, resume_sending, probe_path>;

// One exchange in flight: owns the flow, hence the md.
using exchange_handle = handle<receive_response, commit_accepted, commit_refused>;

// A Child SA: its outbound SA until installed, its activity and lifetimes.
using child_sa_handle =
    handle<activate_child, stop_child_sa, stop_replaced, move_child, change_owner>;

// The KERNEL: one back-end, pipelined requests, leases.
using kernel_handle = handle<kernel_request, transfer_leases, confirm_activity>;

// A connection: its configuration, what it was asked for, its policies, revival.
using connection_handle = handle<initiate_connection, install_child_policy, uninstall_child_policy,
                                 restore_policies, update_connection, remove_connection, ike_sa_up,
                                 ike_sa_down, child_down, uplink_found, start_permitted>;

// An UPLINK: what is reached over one interface; silent while it is down, paced when it is back.
using uplink_handle = handle<uplink_changed, routes_changed, join_uplink, peer_silent, peer_heard,
                             request_start, start_ended>;

// The UPLINKS: which interface has which local address.
using uplinks_handle = handle<links_changed, routes_changed, join_uplink, request_start>;

// The ENGINE: the tree, the directory of IKE SAs, commands from outside.
using engine_handle =
    handle<status_published, sa_event_happened, initiate_sa, terminate_sas, rekey_sas, kill_sas,
           list_ike_sas, install_child_policy, uninstall_child_policy, policies_published,
           list_child_policies, replace_policy, subscribe_sa_events, count_engine, stop_engine>;

}  // namespace imago::actors
