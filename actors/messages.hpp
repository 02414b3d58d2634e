// Every message between actors, one struct each: commands verb_noun, facts noun_participle. The set
// is closed, so that a test script can name, hold, drop, reorder or repeat each of them.
#pragma once

#include <functional>

#include "actors/crypto_pool.hpp"
#include "actors/handle.hpp"
#include "actors/owned.hpp"
#include "actors/status.hpp"
#include "actors/timers.hpp"
#include "core/ikev2/flow.hpp"
#include "kernel_if/backend.hpp"
#include "kernel_if/route/links.hpp"

namespace imago::actors {

// A datagram as it arrived; shared, read-only. Its octets are only the IKE message.
struct packet {
  endpoint local, remote;
  bytes octets;
  instant received_at;
};
using packet_ptr = std::shared_ptr<const packet>;

// --- packets ---
struct receive_packet {
  packet_ptr what;
  std::shared_ptr<void> place;  // in the receiver's inbox (inbox_gate.hpp)
};

// --- demux ---
struct admit_new_peers {};  // some wait at the front door (front_door.hpp)
struct register_spi {       // packets for our SPI go to that ike_sa, until it is DOWN
  std::uint64_t own_spi = 0;
  caf::actor ike_sa;
};
struct half_open_ended {  // the IKE SA of that SPI is authenticated: no longer counted
  std::uint64_t own_spi = 0;
};
// What is left of a closed IKE SA: the peer's last request, as it came, and our response, sealed.
// No keys: the same octets are answered with the same octets.
struct last_answer {
  endpoint local, remote;
  bytes request;  // a fragmented one: its first fragment (RFC 7383 §2.6.1)
  std::vector<bytes> response;
};
struct keep_last_answer {  // by an ike_sa that closes, before it ends
  std::uint64_t own_spi = 0;
  std::shared_ptr<const last_answer> answer;
};
struct update_policy {
  ikev2::policy_ptr policy;
};

// --- ike_sa ---
struct initiate_ike_sa {  // to a new initiator: begin, with that Child SA (null: none)
  ikev2::child_config_ptr child;
};
struct task_ended {
  std::uint64_t command = 0;
  status result;
};
// Who waits for the end of a command. It is answered exactly once: when somebody says how it ended,
// else when the last who could have done so is gone. A command may die with the mailbox of an actor
// that was killed, or arrive where no actor is any more; nobody waits for ever because of that.
class command_reply {
 public:
  command_reply() = default;  // nobody waits
  command_reply(std::uint64_t command, const caf::actor& asker) {
    if (asker) debt_ = std::make_shared<debt>(command, asker);
  }
  explicit operator bool() const { return debt_ != nullptr; }
  std::uint64_t command() const { return debt_ ? debt_->command : 0; }
  void answer(const status& result) const {
    if (debt_) debt_->answer(result);
  }

 private:
  struct debt {
    debt(std::uint64_t number, caf::actor who) : command{number}, asker{std::move(who)} {}
    debt(const debt&) = delete;
    debt& operator=(const debt&) = delete;
    ~debt() { answer({errc::cancelled, "what it was about ended"}); }
    void answer(const status& result) {
      if (!answered.exchange(true)) caf::anon_send(asker, task_ended{command, result});
    }
    const std::uint64_t command;
    const caf::actor asker;
    std::atomic<bool> answered{false};
  };
  std::shared_ptr<debt> debt_;
};
struct run_task {
  ikev2::task task;
  command_reply reply;
  bool force = false;  // delete_ike: the Delete is sent once, its answer not waited for
};
struct commit_exchange {  // the exchange is through; its outcome is to become durable
  std::uint64_t exchange = 0;
  owned<ikev2::outcome> outcome;
};
struct exchange_ended {  // its leases have passed on; what waits for it may leave
  std::uint64_t exchange = 0;
};
struct send_exchange_request {  // our request: seal, send, retransmit
  std::uint64_t exchange = 0;
  owned<ikev2::send_request> request;
};
struct child_rekey_wanted {
  data_plane::spi inbound_spi = 0;
};
struct child_expired {  // hard lifetime: it is deleted
  data_plane::spi inbound_spi = 0;
};
struct child_started {  // by the child_sa, once its outbound SA serves (or waits as it should)
  data_plane::spi inbound_spi = 0;
  status result;
};
struct child_used {  // a packet arrived on it: proof of life
  data_plane::spi inbound_spi = 0;
};
struct activity_confirmed {  // when the peer last used one of the SAs asked for; empty: not known
  std::optional<instant> last_used;
};
struct peer_moved {  // its ESP comes authenticated from another endpoint (NAT)
  data_plane::spi inbound_spi = 0;
  endpoint remote;
};
struct adopted_child {
  ikev2::child_sa_model model;
  caf::actor child_sa;
  child_sa_status status;
};
struct adopt_children {  // from the predecessor of a rekeyed IKE SA
  std::vector<adopted_child> children;
  std::vector<run_task> tasks;
};

// --- ike_sa and connection: from their uplink (uplink.hpp) ---
// Written by the members of an uplink, read by it and by each other. What is lost when two write at
// once is a probe more or less.
struct uplink_signs {
  std::atomic<duration::rep> heard_at{0};  // when any last had proof of life
  // Liveness checks since then, or in the present probe_window if that began later.
  std::atomic<duration::rep> window_at{0};
  std::atomic<std::uint32_t> probes{0};
  // May one more be asked? Not if so many were just asked and nobody has been heard: a path that is
  // dead is found out by a few, though all behind it fall silent at the same moment.
  bool admit_probe(instant now, std::uint32_t probes_max);
};
struct connection_found {  // by the engine, to an ike_sa: whom to tell what becomes of it
  caf::actor connection;
};
struct uplink_found {  // from the directory: where a join_uplink or request_start went; watch it
  caf::actor uplink;
};
struct uplink_joined {
  caf::actor uplink;
  std::shared_ptr<uplink_signs> signs;
};
struct pause_sending {        // nothing would arrive: timers stand still
  bool is_link_down = false;  // else who asks is answered, and what is heard is told
};
struct resume_sending {};
struct probe_path {};  // say one thing, also while paused
struct start_permitted {
  caf::actor uplink;  // to be told start_ended
};

// --- uplink ---
struct links_changed {  // the interfaces of this host, all there are
  std::vector<kernel_if::link> links;
};
struct routes_changed {};
struct join_uplink {
  ip_address local;
  ip_address remote;
  caf::actor member;       // an ike_sa: uplink_joined, then what its uplink asks of it
  bool is_paused = false;  // it was already: it is released in its turn
};
struct peer_silent {  // no answer to a request and its first retransmission
  caf::actor_addr member;
};
struct peer_heard {  // although the path was believed to be dead
};
struct request_start {
  ip_address local;
  ip_address remote;
  caf::actor connection;  // start_permitted, when it is its turn
};
struct start_ended {  // up or failed
  ip_address remote;
};
struct uplink_changed {  // from the directory: of this interface
  kernel_if::link link;
  bool is_gone = false;
};

// --- exchange ---
struct receive_response {  // or why there is none
  owned<result<ikev2::msg_digest>> response;
};
struct commit_accepted {  // these SAs go to these actors now
  std::vector<std::pair<data_plane::sa_id, caf::actor>> leases;
};
struct commit_refused {};

// --- child_sa ---
struct activate_child {  // install the outbound SA now if it was waiting
};
struct stop_child_sa {
  bool lingers = false;
};
// To the successor: the Child SA it replaces is to stop and linger, but not before the successor's
// own outbound SA, if it was asked for, is there to send on.
struct stop_replaced {
  caf::actor child_sa;
};
struct move_child {  // by its ike_sa: the peer is there now (NAT)
  endpoint remote;
};
struct change_owner {  // the IKE SA was rekeyed
  caf::actor ike_sa;
  std::uint64_t number =
      0;  // of the hand-over; grows, so that an older one that comes late is known
};

// --- kernel ---
struct kernel_request {
  std::uint64_t id = 0;  // the asker's own number, comes back
  owned<data_plane::request> request;
  caf::actor reply_to;  // also the owner of what the request creates
};
struct kernel_reply {
  std::uint64_t id = 0;
  owned<data_plane::reply> reply;
};
// Before a peer is probed: were these inbound SAs in use? All who ask within a short time share one
// look at the data plane.
struct confirm_activity {
  std::vector<data_plane::sa_id> sas;
  caf::actor reply_to;  // activity_confirmed
};
struct kernel_event {
  data_plane::event event;
};
struct transfer_leases {
  std::vector<std::pair<data_plane::sa_id, caf::actor>> leases;
  caf::actor reply_to;  // gets leases_transferred
};
struct leases_transferred {};
struct backend_replied {  // from the back-end's thread
  kernel_if::request_id id = 0;
  owned<data_plane::reply> reply;
};
struct backend_reported {
  data_plane::event event;
};

// --- connection ---
// The policy of a configured child, without a Child SA: trap, pass or drop. To the engine with the
// connection's name (empty: the first that has such a child), from there to the connection.
struct install_child_policy {
  std::string connection, child;
  command_reply reply;
};
struct uninstall_child_policy {
  std::string connection, child;
  command_reply reply;
};
struct initiate_connection {
  std::string child;  // empty: only the IKE SA
  command_reply reply;
};
struct update_connection {  // changed configuration of the same name
  ikev2::connection_policy_ptr connection;
  ikev2::policy_ptr policy;
  bool runs_start_actions = false;
};
struct restore_policies {  // to the successor of a connection that ended: those that were there
  std::vector<std::string> children;
};
struct remove_connection {  // undo start actions, then end
};
struct ike_sa_up {
  std::uint64_t id = 0;
  caf::actor ike_sa;
  bool is_initiator = false;
  bool is_started = false;  // by a start action, or it succeeds one that was
};
struct ike_sa_down {
  std::uint64_t id = 0;
  error reason;
  bool wanted = false;  // by a command, a peer's Delete or a rekey: no revival
  bool by_peer = false;
  ip_address local = {};
  std::optional<endpoint> remote = {};  // unless it is behind a NAT
  // Of an established one: those that ended with it. Empty: it was not, or had none.
  std::vector<std::string> children = {};
  bool was_established = false;
};
struct child_down {
  std::string child;
  bool by_peer = false;
};

// --- engine ---
struct status_published {
  caf::actor ike_sa;
  ike_sa_status_ptr status;  // state "DESTROYED": it is gone
};
struct sa_event_happened {
  sa_event event;
};
struct policies_published {  // by a connection: those that stand now
  caf::actor_addr from;
  std::string connection;
  std::vector<child_policy_status> list;
};
// Asked by control clients and the embedding interface; answers carry the same `command`.
struct sa_selector {  // empty / 0: any
  std::string ike, child;
  std::uint64_t ike_id = 0, child_id = 0;
};
struct initiate_sa {
  std::string ike, child;
  std::uint64_t command = 0;
  caf::actor reply_to;  // task_ended
};
struct terminate_sas {
  sa_selector which;
  bool force = false;  // do not wait for the peer's answer
  std::uint64_t command = 0;
  caf::actor reply_to;  // selection_made, then task_ended for each match
};
struct rekey_sas {
  sa_selector which;
  std::uint64_t command = 0;
  caf::actor reply_to;  // selection_made
};
struct kill_sas {
  sa_selector which;
  std::uint64_t command = 0;
  caf::actor reply_to;  // selection_made
};
struct selection_made {
  std::uint64_t command = 0;
  std::size_t matches = 0;
};
struct list_ike_sas {
  sa_selector which;
  std::uint64_t command = 0;
  caf::actor reply_to;  // ike_sas_listed
};
struct ike_sas_listed {
  std::uint64_t command = 0;
  std::vector<ike_sa_status_ptr> list;
};
struct list_child_policies {
  std::string connection, child;  // empty: any
  std::uint64_t command = 0;
  caf::actor reply_to;  // child_policies_listed
};
struct child_policies_listed {
  std::uint64_t command = 0;
  std::vector<child_policy_status> list;
};
// The policy as a whole is replaced: connections are compared by name and content.
struct replace_policy {
  ikev2::policy_ptr policy;
  std::uint64_t command = 0;
  caf::actor reply_to;  // task_ended; may be null
};
struct subscribe_sa_events {  // until the subscriber is DOWN
  caf::actor subscriber;      // gets sa_event_happened
};
struct count_engine {
  std::uint64_t command = 0;
  caf::actor reply_to;  // engine_counted
};
struct engine_counted {
  std::uint64_t command = 0;
  std::size_t ike_sas = 0, half_open = 0;
  instant started_at;
};
struct stop_engine {    // delete every SA (bounded wait), then end
  caf::actor reply_to;  // engine_stopped
};
struct engine_stopped {};

// clang-format off
#define IMAGO_MESSAGES(X) \
  X(kill) X(receive_packet) X(admit_new_peers) X(register_spi) X(half_open_ended) \
  X(keep_last_answer) X(update_policy) X(initiate_ike_sa) X(run_task) X(task_ended) \
  X(commit_exchange) X(exchange_ended) X(send_exchange_request) X(child_rekey_wanted) \
  X(child_expired) X(child_started) X(child_used) X(activity_confirmed) X(peer_moved) \
  X(adopt_children) X(receive_response) X(commit_accepted) X(commit_refused) \
  X(activate_child) X(stop_child_sa) X(stop_replaced) X(move_child) X(change_owner) \
  X(kernel_request) X(kernel_reply) X(kernel_event) X(confirm_activity) X(transfer_leases) \
  X(leases_transferred) X(backend_replied) X(backend_reported) X(initiate_connection) \
  X(install_child_policy) X(uninstall_child_policy) X(restore_policies) X(policies_published) \
  X(list_child_policies) X(child_policies_listed) X(update_connection) X(remove_connection) \
  X(ike_sa_up) X(ike_sa_down) X(child_down) X(status_published) X(sa_event_happened) \
  X(initiate_sa) X(terminate_sas) X(rekey_sas) X(kill_sas) X(selection_made) X(list_ike_sas) \
  X(ike_sas_listed) X(replace_policy) X(connection_found) X(uplink_found) X(uplink_joined) \
  X(pause_sending) X(resume_sending) X(probe_path) X(start_permitted) X(links_changed) \
  X(routes_changed) X(join_uplink) X(peer_silent) X(peer_heard) X(request_start) \
  X(start_ended) X(uplink_changed) X(subscribe_sa_events) X(count_engine) X(engine_counted) \
  X(stop_engine) X(engine_stopped)
// clang-format on

}  // namespace imago::actors

#define X(message)                                                                \
  namespace caf {                                                                 \
  template <>                                                                     \
  struct allowed_unsafe_message_type<imago::actors::message> : std::true_type {}; \
  }
IMAGO_MESSAGES(X)
#undef X
