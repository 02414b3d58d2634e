// What is asked of a data plane, what it answers, what it reports: plain values. RFC 4301's nouns.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/base/address.hpp"
#include "core/base/iana.hpp"
#include "core/base/result.hpp"
#include "core/base/secret.hpp"
#include "core/base/time.hpp"
#include "core/base/traffic_selector.hpp"

namespace imago::data_plane {

using spi = std::uint32_t;  // host order; 1..255 are reserved (RFC 4303 §2.1), 0 means none

enum class mode : std::uint8_t { tunnel, transport };
enum class direction : std::uint8_t { inbound, outbound };
// What a policy does with a packet (RFC 4301 §4.4.1). Bypass and discard need no SA.
enum class processing : std::uint8_t { protect, bypass, discard };

// An ESP SA is known by its direction, the address of its receiving end and its SPI.
struct sa_id {
  data_plane::direction direction{};
  ip_address destination;
  data_plane::spi spi = 0;
  friend bool operator==(const sa_id&, const sa_id&) = default;
  // By what differs most first: a gateway's inbound SAs all have the same destination.
  friend std::strong_ordering operator<=>(const sa_id& one, const sa_id& other) {
    if (auto order = one.spi <=> other.spi; order != 0) return order;
    if (auto order = one.direction <=> other.direction; order != 0) return order;
    return one.destination <=> other.destination;
  }
};

// A mark on packets inside this host: (packet's mark & mask) == value. Mask 0: none.
struct packet_mark {
  std::uint32_t value = 0;
  std::uint32_t mask = 0;
  friend auto operator<=>(const packet_mark&, const packet_mark&) = default;
};

// Limits after which an SA may not be used (hard) or asks to be replaced (soft). 0: none.
// Time limits are the child_sa actor's; those here, in seconds since the SA was installed, hold
// also when nobody watches any more. Only where capabilities say so, else not_supported.
struct lifetime {
  std::uint64_t soft_octets = 0;
  std::uint64_t hard_octets = 0;
  std::uint64_t soft_packets = 0;
  std::uint64_t hard_packets = 0;
  std::uint64_t soft_seconds = 0;
  std::uint64_t hard_seconds = 0;
  friend auto operator<=>(const lifetime&, const lifetime&) = default;
};

// One ESP SA. Move-only, since it carries keys.
struct sa_parameters {
  sa_id id;
  ip_address source;  // outer address of the sending end
  data_plane::mode mode = data_plane::mode::tunnel;
  std::uint32_t reqid = 0;  // ties an SA to the policies that use it; never 0
  encryption_algorithm encryption{};
  std::uint16_t key_bits =
      0;                  // of the encryption key, salt not counted; 0 where there is no choice
  secret encryption_key;  // AEAD: key, then the 4-octet salt (RFC 4106 §8.1, RFC 7634 §2)
  integrity_algorithm integrity = integrity_algorithm::none;
  secret integrity_key;
  bool uses_esn = false;                // RFC 4303 §2.2.1
  std::uint32_t replay_window = 64;     // packets; inbound only; 0: no check; at most 4096
  std::optional<endpoint> encap_local;  // both set: ESP in UDP (RFC 3948)
  std::optional<endpoint> encap_remote;
  data_plane::lifetime lifetime;
  // The selectors the inner packets of this SA must fit, seen from this end; checked inbound
  // (RFC 4301 §5.2).
  traffic_selectors local_selectors;
  traffic_selectors remote_selectors;
  // Report sa_first_used once when the first packet is accepted; inbound only.
  bool reports_first_use = false;
  // Report sa_active while packets are accepted, once in so long at most, the first after a silence
  // of that length at once; inbound only. 0: never. A silent SA costs nothing.
  duration activity_interval{};
  // What only a kernel can do; elsewhere not_supported (see capabilities).
  packet_mark mark{};          // only packets that carry it use this SA
  packet_mark output_mark{};   // put on packets after they went through this SA
  std::uint32_t if_id = 0;     // of an XFRM interface; 0: none
  std::string offload_device;  // the interface whose hardware does the crypto; empty: none
};

// One entry of the SPD: what is sent from local to remote leaves by the newest outbound SA of
// `reqid`; what comes back must have come by an inbound SA of `reqid`. Without such an SA it is a
// trap: a packet that meets it is an sa_acquired, and waits where the data plane can let it.
// A bypass wins over every other policy, a discard over none.
struct policy {
  std::uint32_t reqid = 0;  // of bypass and discard 0; their mode and outer addresses mean nothing
  data_plane::mode mode = data_plane::mode::tunnel;
  traffic_selectors local_selectors;
  traffic_selectors remote_selectors;
  ip_address outer_local;
  ip_address outer_remote;
  // Wanted: routes to remote_selectors that lead here, with a source address inside
  // local_selectors where this host has one. Tunnel mode; in transport mode only where packets
  // do not come here by themselves (user-space ESP).
  bool installs_routes = true;
  packet_mark mark{};  // as in sa_parameters
  std::uint32_t if_id = 0;
  data_plane::processing processing{};
  friend auto operator<=>(const policy&, const policy&) = default;
};

// --- requests: commands, verb_noun -------------------------------------------------------------

// Makes a larval inbound SA with an SPI not in use: packets for it wait (bounded) for install_sa.
struct allocate_spi {
  ip_address local;  // the receiving end
  ip_address remote;
  // The SPI to take: already_exists if an inbound SA has it, bad_value if reserved. Who names it
  // can undo the allocation even if the reply is lost. 0: the data plane chooses.
  data_plane::spi spi = 0;
};
// Inbound: promotes the larval SA of that SPI (no_such_sa if there is none), then releases what
// waited, in order. Outbound: becomes the SA that its reqid's policies use. Policies, if any, are
// installed in the same step: all of it happens or nothing.
struct install_sa {
  sa_parameters sa;
  std::vector<policy> policies;
};
// Larval, mature or dying: it goes, its keys are wiped. no_such_sa if there is none.
struct remove_sa {
  sa_id id;
};
// A policy that is there already is counted, also one that comes with install_sa: it goes with its
// last remove_policy. So two Child SAs may share one.
struct install_policy {
  data_plane::policy policy;
};
struct remove_policy {
  data_plane::policy policy;  // not_found unless installed exactly so; routes go with it
};
// New outer addresses or encapsulation ports for an SA in use (NAT remap).
struct update_sa {
  sa_id id;
  endpoint encap_local;
  endpoint encap_remote;
};
struct query_sa {
  sa_id id;
};
// When each of these was last used, answered by activity_list: one look at everything, however
// many are asked for. At most sas_queried_max.
struct query_activity {
  std::vector<sa_id> sas;
};
// Removes every SA and policy of this back-end.
struct flush {};

using request = std::variant<allocate_spi, install_sa, remove_sa, install_policy, remove_policy,
                             update_sa, query_sa, query_activity, flush>;

// --- replies -----------------------------------------------------------------------------------

struct spi_allocated {
  data_plane::spi spi = 0;
};
struct done {};
struct sa_usage {
  std::uint64_t octets = 0;  // of inner packets
  std::uint64_t packets = 0;
  std::optional<instant> last_used;
  std::uint64_t replayed = 0;  // dropped by the anti-replay window
  std::uint64_t integrity_failed = 0;
  std::uint64_t selector_mismatched = 0;
};
// Of those asked for that there are. `last_used` may be too late by one activity_interval where a
// data plane only counts packets, and is empty if there was none.
struct activity_list {
  std::vector<std::pair<sa_id, sa_usage>> sas;
};
using reply = result<std::variant<done, spi_allocated, sa_usage, activity_list>>;

// --- events: facts -----------------------------------------------------------------------------

// The first packet was accepted on an inbound SA that had reports_first_use (RFC 7296 §2.8).
struct sa_first_used {
  sa_id id;
};
// Packets are accepted on an inbound SA that has an activity_interval.
struct sa_active {
  sa_id id;
};
// A soft limit (is_hard false: once) or hard limit was reached; the sequence numbers of a
// non-ESN SA running out counts as both in their turn (RFC 4303 §3.3.3).
struct lifetime_reached {
  sa_id id;
  bool is_hard = false;
};
// A packet met a policy whose reqid has no outbound SA.
struct sa_acquired {
  std::uint32_t reqid = 0;
  traffic_selector local;  // of the packet
  traffic_selector remote;
};
// An authenticated packet came from another UDP endpoint than the SA's encap_remote (RFC 7296
// §2.23).
struct remote_endpoint_changed {
  sa_id id;
  endpoint remote;
};
// The data plane said more than could be heard. What concerns SAs follows as events of their own,
// as far as it can still be seen; acquires and changed endpoints may be missing until they come
// again.
struct events_lost {};
using event = std::variant<sa_first_used, sa_active, lifetime_reached, sa_acquired,
                           remote_endpoint_changed, events_lost>;

std::string_view name_of(const request& request);  // "install_sa"
std::string_view name_of(const event& event);
std::string text_of(const sa_id& id);  // "in c0ffee01@192.0.2.1"

}  // namespace imago::data_plane
