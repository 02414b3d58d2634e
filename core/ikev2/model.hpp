// The durable model of an IKE SA and its Child SAs: plain values without actors, clocks or keys of
// traffic. Only apply() changes it, and only by outcomes of exchanges.
//
//   created -> sa_init_sent -> auth_sent   -> established -> rekeyed  -> closed     (initiator)
//   created -> sa_init_done_r ------------->  established -> deleting -> closed     (responder)
//
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/ikev2/digest.hpp"
#include "core/ikev2/keys.hpp"
#include "core/ikev2/policy.hpp"
#include "core/ikev2/selectors.hpp"

namespace imago::ikev2 {

enum class role : std::uint8_t { initiator, responder };

enum class sa_state : std::uint8_t {
  created,
  sa_init_sent,    // initiator, IKE_SA_INIT in flight
  auth_sent,       // initiator, keys agreed, IKE_AUTH in flight
  sa_init_done_r,  // responder, half-open: keys agreed, nobody authenticated
  established,
  rekeyed,   // a successor has taken the Child SAs; only the Delete is left
  deleting,  // our Delete is in flight
  closed,
};
std::string_view name_of(sa_state state);

enum class child_state : std::uint8_t {
  installed,
  rekeying,  // our rekey of it is in flight
  rekeyed,   // a successor exists; waits for its Delete
  deleting,  // our Delete is in flight
};
std::string_view name_of(child_state state);

using child_config_ptr = std::shared_ptr<const config::child_config>;

// A Child SA, known by its inbound SPI, which is unique on this host.
struct child_sa_model {
  data_plane::spi inbound_spi = 0;
  data_plane::spi outbound_spi = 0;
  child_config_ptr config;
  std::uint32_t reqid = 0;
  data_plane::mode mode = data_plane::mode::tunnel;
  esp_algorithms algorithms;
  traffic_selectors local_selectors;
  traffic_selectors remote_selectors;
  bool is_encapsulated = false;
  child_state state = child_state::installed;
  bool created_by_us = false;  // we initiated the exchange that made it
  bytes lowest_nonce;          // of that exchange: decides collisions (§2.8.1)
  // The peer rekeyed this SA: its successor. While our own rekey of it is in flight, two may exist.
  std::optional<data_plane::spi> peers_successor;
  std::optional<data_plane::spi> replaced;  // inbound SPI of the one that this one rekeyed
};

// What the peer can do and what lies between us, learnt in IKE_SA_INIT.
struct peer_features {
  bool fragmentation = false;  // RFC 7383
  bool nat_traversal = false;  // it sent NAT_DETECTION_*
  bool local_behind_nat = false;
  bool remote_behind_nat = false;
  bool udp_encapsulation = false;  // ESP goes in UDP: a NAT was found, or feigned by us
  bool childless = false;          // RFC 6023
  std::vector<hash_algorithm> signature_hashes;  // RFC 7427; empty: not announced
  bool wants_certificate = false;                // it sent CERTREQ
};

// Until AUTH is computed (RFC 7296 §2.15); dropped when established.
struct init_material {
  bytes request, response;  // the IKE_SA_INIT messages as they were on the wire
  bytes initiator_nonce, responder_nonce;
};

// Rekeying of this IKE SA by the peer, while ours may be in flight (§2.8.2).
struct ike_successor {
  std::uint64_t initiator_spi = 0;
  std::uint64_t responder_spi = 0;
  bytes lowest_nonce;
};

struct ike_sa_model {
  ikev2::role role{};
  sa_state state = sa_state::created;
  std::uint64_t epoch = 1;  // goes up when what is in flight may no longer change this SA
  std::uint64_t initiator_spi = 0;
  std::uint64_t responder_spi = 0;
  endpoint local, remote;
  connection_policy_ptr connection;  // a responder's is unknown before IDi
  policy_ptr policy;
  ike_algorithms algorithms;
  std::shared_ptr<const ike_keys> keys;
  peer_features peer;
  std::shared_ptr<const init_material> init;
  config::identity local_identity, remote_identity;
  std::string authenticated_by;  // for people
  std::vector<child_sa_model> children;
  bool rekey_in_flight = false;           // our own rekey of this IKE SA
  bool child_exchange_in_flight = false;  // our own CREATE_CHILD_SA or Child SA Delete
  std::optional<ike_successor> peers_successor;
  // The peer deleted this IKE SA after its own rekey: it waits for the end of ours (§2.8.2).
  bool is_deleted_by_peer = false;

  std::uint64_t own_spi() const { return role == role::initiator ? initiator_spi : responder_spi; }
  std::uint64_t peer_spi() const { return role == role::initiator ? responder_spi : initiator_spi; }
  child_sa_model* find_child(data_plane::spi inbound_spi);
  const child_sa_model* find_child(data_plane::spi inbound_spi) const;
  const child_sa_model* find_child_by_outbound(data_plane::spi outbound_spi) const;
};
// What a flow sees of its SA: immutable, with its epoch.
using sa_snapshot_ptr = std::shared_ptr<const ike_sa_model>;

// --- effects: what an exchange found out and wants done ---

struct ike_keys_agreed {  // IKE_SA_INIT succeeded
  ike_algorithms algorithms;
  derived_ike_keys derived;
  std::uint64_t responder_spi = 0;
  peer_features peer;
  init_material init;
};
struct ike_authenticated {  // IKE_AUTH succeeded
  crypto::verified proof;
  connection_policy_ptr connection;
  config::identity local_identity, remote_identity;
};
// A pair of ESP SAs; the inbound one is installed and leased to the exchange.
struct child_created {
  child_sa_model child;
  data_plane::install_sa outbound;
  // A rekey responder keeps sending on the old SA until the new one is seen in use or the old one
  // is deleted (§2.8).
  bool outbound_waits_for_use = false;
  std::optional<data_plane::spi> replaces;  // inbound SPI of the rekeyed one
};
struct child_not_created {
  std::string child;  // its configuration; empty: a responder could not tell which
  error reason;
  std::optional<data_plane::spi> rekeyed;         // the SA whose rekey failed
  bool try_again_later = false;                   // TEMPORARY_FAILURE
  std::optional<data_plane::spi> exists_at_peer;  // our SPI of it: it is to be deleted there
};
// ESP SAs that are gone at the peer: their inbound SPIs here.
struct children_deleted {
  std::vector<data_plane::spi> inbound_spis;
  bool by_peer = false;
};
struct ike_rekeyed {
  ike_algorithms algorithms;
  derived_ike_keys derived;
  ikev2::role role{};  // ours in the new SA
  std::uint64_t initiator_spi = 0;
  std::uint64_t responder_spi = 0;
  bytes lowest_nonce;
};
struct ike_not_rekeyed {
  error reason;
  bool try_again_later = false;
  bool done_at_peer = false;  // it has moved to an SA that we do not have
};
struct ike_deleted {
  bool by_peer = false;
};
// The IKE SA cannot live. `notify_peer`: tell it in an INFORMATIONAL exchange (§2.21.2).
struct ike_failed {
  error reason;
  std::optional<notify_type> notify_peer;
};
// An authenticated INFORMATIONAL request or response came: proof of life.
struct peer_alive {};

using effect = std::variant<ike_keys_agreed, ike_authenticated, child_created, child_not_created,
                            children_deleted, ike_rekeyed, ike_not_rekeyed, ike_deleted, ike_failed,
                            peer_alive>;

// What an exchange ends with.
struct outcome {
  std::uint64_t epoch = 0;
  // The response to the peer's request; absent in our own exchanges, and where the RFC wants
  // silence.
  std::optional<wire::payloads> response;
  std::vector<effect> effects;
};

// --- directives: what the ike_sa actor is to do after apply() ---

struct task;
struct start_child {
  child_sa_model child;
  data_plane::install_sa outbound;
  bool outbound_waits_for_use = false;
};
struct activate_outbound {
  data_plane::spi inbound_spi = 0;
};
struct stop_child {
  data_plane::spi inbound_spi = 0;
  bool lingers = false;  // the outbound SA goes now, the inbound one a little later
  // Not before this one's outbound SA is there, so that there is always one to send on.
  std::optional<data_plane::spi> successor = {};
};
struct report_child_failed {
  child_not_created failure;
};
struct report_child_rekeyed {
  data_plane::spi old_inbound_spi = 0, new_inbound_spi = 0;
};
struct report_established {};
struct start_ike_sa {  // a rekeyed successor
  ike_rekeyed material;
  std::vector<child_sa_model> children;  // those it takes over
  bool is_redundant = false;  // lost a collision that it is ours to end: delete it at once
};
struct move_children {  // to the successor with these SPIs, started before
  std::uint64_t initiator_spi = 0;
  std::uint64_t responder_spi = 0;
  std::vector<child_sa_model> children;
};
struct use_keys {  // the first keys of this IKE SA
  derived_ike_keys derived;
};
struct close_ike_sa {
  error reason;
  bool by_peer = false;
  std::optional<notify_type> notify_peer;
};
// Exchanges of our own that are to follow.
enum class task_kind : std::uint8_t {
  create_child,
  rekey_child,
  delete_child,
  rekey_ike,
  delete_ike,
  check_liveness,
};
std::string_view name_of(task_kind kind);
struct task {
  task_kind kind{};
  child_config_ptr child;           // create_child
  data_plane::spi inbound_spi = 0;  // rekey_child, delete_child
  bool is_only_at_peer = false;     // delete_child of an SA that the model does not hold
  std::uint64_t command = 0;        // who asked; 0: nobody waits
};
struct queue_task {
  ikev2::task task;
};
struct retry_task {
  ikev2::task task;  // after a delay
};
using directive = std::variant<start_child, activate_outbound, stop_child, report_child_failed,
                               report_child_rekeyed, report_established, start_ike_sa,
                               move_children, use_keys, close_ike_sa, queue_task, retry_task>;

// The one place where an IKE SA's model changes through exchanges. Pure; refuses what was computed
// for another epoch (stale_epoch), and then changes nothing: the outcome's secrets are wiped with
// it. What our own exchanges made impossible while the peer's request was being answered becomes
// TEMPORARY_FAILURE: so send outcome.response as it is *after* apply(). A child_created without a
// start_child among the directives was not adopted: its lease is to be given back.
result<std::vector<directive>> apply(ike_sa_model& model, outcome&& outcome);

// Marks in the model that a task of ours begins. Errors: not_found, wrong_exchange when the state
// of the SA makes it pointless (the Child SA is gone, the IKE SA is being replaced).
status begin(ike_sa_model& model, const task& task);

}  // namespace imago::ikev2
