// What may be seen of SAs from outside: values that each ike_sa publishes when something changed.
// No keys, no CAF: embedders and control clients share them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/ikev2/model.hpp"

namespace imago {

struct child_sa_status {
  std::uint64_t id = 0;  // unique in the engine
  std::string name;      // of its configuration
  ikev2::child_sa_model model;
  std::string state;  // "INSTALLED", "REKEYING", ...: strongSwan's words (vici)
  instant installed_at;
  instant rekey_at;    // zero: never
  instant expires_at;  // zero: never
  data_plane::sa_id inbound, outbound;
};

struct ike_sa_status {
  std::uint64_t id = 0;    // unique in the engine
  std::string connection;  // empty while a responder does not know it yet
  std::string state;       // "CONNECTING", "ESTABLISHED", "REKEYED", "DELETING": strongSwan's words
  ikev2::role role{};
  std::uint64_t initiator_spi = 0, responder_spi = 0;
  endpoint local, remote;
  config::identity local_identity, remote_identity;
  ikev2::ike_algorithms algorithms;
  bool local_behind_nat = false, remote_behind_nat = false;
  bool is_started = false;  // by a start action, as the one that it was rekeyed from
  std::string authenticated_by;
  instant created_at, established_at;  // zero: not yet
  instant rekey_at;                    // zero: never
  std::vector<child_sa_status> children;
  std::vector<std::string> tasks_queued, tasks_active;
};
using ike_sa_status_ptr = std::shared_ptr<const ike_sa_status>;

// A policy that stands by itself: of a trap, which waits for a packet, or one that lets pass or
// drops.
struct child_policy_status {
  std::string connection, child;
  data_plane::policy policy;
};

// What happened, for subscribers (vici's ike-updown, child-updown, ike-rekey, child-rekey;
// embedders).
enum class sa_event_kind : std::uint8_t {
  ike_up,
  ike_down,
  ike_rekeyed,  // `other`: the new IKE SA
  child_up,     // `child`: which
  child_down,
  child_rekeyed,  // `child`: the old one, `new_child`: its successor
};
struct sa_event {
  sa_event_kind kind{};
  ike_sa_status_ptr ike_sa;
  ike_sa_status_ptr other;
  std::uint64_t child = 0;
  std::uint64_t new_child = 0;
  child_sa_status child_status;  // as it was, also when it is gone from ike_sa
  error reason;                  // of a down
};
std::string_view name_of(sa_event_kind kind);

}  // namespace imago
