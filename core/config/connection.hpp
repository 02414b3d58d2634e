// The connection model: what a configuration says, checked and typed. Immutable once built; shared
// by every actor that needs it. Keys and defaults are swanctl.conf's (reference: swanctl.conf(5)).
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/base/address.hpp"
#include "core/base/iana.hpp"
#include "core/base/secret.hpp"
#include "core/base/time.hpp"
#include "core/base/traffic_selector.hpp"
#include "core/data_plane/values.hpp"
#include "core/wire/payloads.hpp"

namespace imago::config {

// An IKE identity (RFC 7296 §3.5), or a pattern for one.
struct identity {
  id_type type = id_type::any;  // any: matches every identity
  bytes data;                   // as in the ID payload's data
  bool has_wildcards = false;   // FQDN and RFC822 with a leading "*", DN with "*" as an RDN's value
  std::string text;             // as written, or the canonical form

  bool is_any() const { return type == id_type::any; }
  // Does `this` pattern match a peer's identity?
  bool matches(id_type peer_type, bytes_view peer_data) const;
  friend bool operator==(const identity& one, const identity& other) {
    return one.type == other.type && one.data == other.data;
  }
};
// "moon.example.org", "@#0abc", "C=CH, CN=moon", "192.0.2.1", "fqdn:...", "keyid:...", "%any".
// Errors: bad_value.
result<identity> parse_identity(std::string_view text);
identity identity_from_payload(id_type type, bytes_view data);
std::string text_of(const identity& identity);  // peer octets escaped

// "aes128gcm16-prfsha256-x25519", "aes256-sha256-modp2048", "default"; for ESP also "esn", "noesn".
// Several keywords of one transform type are alternatives. Errors: bad_value with the keyword and
// the nearest known one.
result<std::vector<wire::proposal>> parse_proposals(protocol_id protocol, std::string_view text);
// The proposals of "default", strongest usual choice first.
std::vector<wire::proposal> default_proposals(protocol_id protocol);
std::string text_of(const wire::proposal& proposal);  // "aes128gcm16-prfsha256-x25519"

enum class authentication : std::uint8_t { pubkey, psk };
enum class certificate_policy : std::uint8_t { always, if_asked, never };
enum class uniqueness : std::uint8_t { never, no, keep, replace };
enum class start_action : std::uint8_t { none, trap, start, trap_and_start };
constexpr bool traps(start_action action) {
  return action == start_action::trap || action == start_action::trap_and_start;
}
constexpr bool starts(start_action action) {
  return action == start_action::start || action == start_action::trap_and_start;
}
enum class dpd_action : std::uint8_t { clear, trap, restart };
enum class fragmentation : std::uint8_t { no, accept, yes, force };

struct local_end {
  config::authentication authentication = config::authentication::pubkey;
  std::string auth_constraint;      // "ike:rsa/pss-sha256" etc. as written, else empty
  bool prefer_pss = false;          // from the constraint
  config::identity identity;        // any: the subject of the first certificate, else the address
  std::vector<bytes> certificates;  // DER, end entity candidates
  friend bool operator==(const local_end&, const local_end&) = default;
};
struct remote_end {
  config::authentication authentication = config::authentication::pubkey;
  std::string auth_constraint;
  config::identity identity;        // any: whoever authenticates
  std::vector<bytes> certificates;  // DER; if not empty the peer's must be one of them
  std::vector<bytes> authorities;   // DER; if not empty the chain must end in one of them
  friend bool operator==(const remote_end&, const remote_end&) = default;
};

// "dynamic" (replaced by the IKE SA's own address, or the peer's) or a selector.
struct selector_template {
  bool dynamic = false;
  traffic_selector selector;  // dynamic: protocol and ports only
  friend bool operator==(const selector_template&, const selector_template&) = default;
};

struct child_config {
  std::string name;
  std::vector<wire::proposal> proposals;  // ESP
  std::vector<selector_template> local_selectors;
  std::vector<selector_template> remote_selectors;
  data_plane::mode mode = data_plane::mode::tunnel;
  // `mode = pass` and `drop`: no Child SA, only a policy.
  data_plane::processing processing = data_plane::processing::protect;
  duration rekey_time{};  // 0: off
  duration life_time{};   // 0: none
  duration rand_time{};
  std::uint64_t rekey_bytes = 0, life_bytes = 0, rand_bytes = 0;
  std::uint64_t rekey_packets = 0, life_packets = 0, rand_packets = 0;
  std::uint32_t replay_window = 32;
  std::uint32_t reqid = 0;  // 0: chosen by the engine
  config::start_action start_action{};
  config::start_action close_action{};
  config::dpd_action dpd_action{};
  bool installs_policies = true;
  duration inactivity{};
  bool is_shunt() const { return processing != data_plane::processing::protect; }
  friend bool operator==(const child_config&, const child_config&) = default;
};

// A place one may connect to or come from.
struct address_pattern {
  bool any = false;  // %any, %any4, %any6
  std::optional<ip_family> any_family;
  std::string host_name;   // not resolved yet; empty if an address or prefix
  ip_address first, last;  // a single address: first == last
  bool matches(const ip_address& address) const;
  bool is_single() const { return !any && host_name.empty() && first == last; }
  friend bool operator==(const address_pattern&, const address_pattern&) = default;
};

struct connection_config {
  std::string name;
  std::vector<address_pattern> local_addresses;
  std::vector<address_pattern> remote_addresses;
  std::uint16_t local_port = 500;
  std::uint16_t remote_port = 500;
  std::vector<wire::proposal> proposals;  // IKE
  local_end local;
  remote_end remote;
  std::vector<child_config> children;
  bool force_encapsulation = false;
  bool mobike = true;  // accepted; MOBIKE itself comes later
  config::fragmentation fragmentation = config::fragmentation::yes;
  bool sends_certificate_requests = true;
  config::certificate_policy send_certificate = config::certificate_policy::if_asked;
  config::uniqueness uniqueness = config::uniqueness::no;
  std::uint32_t keying_tries = 1;  // 0: for ever
  duration dpd_delay{};            // 0: off
  duration rekey_time{};           // 0: off
  duration reauth_time{};
  duration over_time{};
  duration rand_time{};

  const child_config* find_child(std::string_view child) const;
  friend bool operator==(const connection_config&, const connection_config&) = default;
};
using connection_config_ptr = std::shared_ptr<const connection_config>;

// A shared key and who may use it. Empty owners: everybody.
struct shared_key {
  std::string id;  // unique among those loaded over the control socket; for files the section name
  secret value;
  std::vector<identity> owners;
};
using shared_key_ptr = std::shared_ptr<const shared_key>;

// What a whole configuration holds, before keys and certificates are parsed by core/crypto.
struct credential_blob {
  std::string origin;  // file name, or "control"
  bytes data;          // PEM or DER
};
struct private_key_blob {
  std::string origin;
  secret data;
  secret passphrase;
};
struct configuration {
  std::vector<connection_config> connections;
  std::vector<shared_key> shared_keys;
  std::vector<private_key_blob> private_keys;
  std::vector<credential_blob> certificates;  // x509/
  std::vector<credential_blob> authorities;   // x509ca/, authorities {}
};

}  // namespace imago::config
