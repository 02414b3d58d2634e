// The policy: configuration and credentials, parsed and immutable. Every flow holds a snapshot.
#pragma once

#include <memory>
#include <vector>

#include "core/config/connection.hpp"
#include "core/crypto/job.hpp"
#include "core/ikev2/keys.hpp"

namespace imago::ikev2 {

// A connection with its credentials resolved.
struct connection_policy {
  config::connection_config_ptr config;
  config::identity local_identity;  // never any, unless nothing but the address is known
  // The certificates that may prove who we are, each with its key; empty for PSK.
  struct local_credential {
    crypto::certificate_ptr certificate;
    crypto::private_key_ptr key;
  };
  std::vector<local_credential> local_credentials;
  std::vector<crypto::certificate_ptr> remote_certificates;
  crypto::trust_anchors_ptr remote_anchors;  // the connection's own, else all of the policy's
};
using connection_policy_ptr = std::shared_ptr<const connection_policy>;

struct policy {
  std::vector<connection_policy_ptr> connections;
  std::vector<config::shared_key_ptr> shared_keys;
  std::vector<crypto::certificate_ptr> authorities;  // anchors and intermediates
  crypto::trust_anchors_ptr anchors;

  connection_policy_ptr find(std::string_view connection) const;
  // Those whose addresses fit, the most specific first, else in order of configuration.
  std::vector<connection_policy_ptr> for_addresses(const ip_address& local,
                                                   const ip_address& remote) const;
  // Of the connections whose addresses fit: the best match for the identities in IKE_AUTH, for a
  // peer that authenticates by key or by signature, and whose proposals hold what was chosen in
  // IKE_SA_INIT, if that is said. `asked` is IDr, if sent. nullptr: none.
  connection_policy_ptr for_identities(const ip_address& local, const ip_address& remote,
                                       const config::identity& peer, const config::identity* asked,
                                       config::authentication authentication,
                                       const ike_algorithms* chosen = nullptr) const;
  // The best shared key for these two; nullptr: none.
  config::shared_key_ptr shared_key_for(const config::identity& local,
                                        const config::identity& remote) const;
  // The certificates between an end entity and its root, for CERT payloads.
  std::vector<crypto::certificate_ptr> intermediates_of(
      const crypto::certificate& end_entity) const;
};
using policy_ptr = std::shared_ptr<const policy>;

// What a policy is made from: parts that come from files and from the control socket.
struct policy_parts {
  std::vector<config::connection_config_ptr> connections;
  std::vector<config::shared_key_ptr> shared_keys;
  std::vector<crypto::private_key_ptr> private_keys;
  std::vector<crypto::certificate_ptr> certificates;
  std::vector<crypto::certificate_ptr> authorities;
};
// Errors: bad_certificate in a connection's certificate values.
result<policy_ptr> build_policy(const crypto::library& library, policy_parts parts);
// Parses keys and certificates of a configuration. Errors name the file.
result<policy_parts> parse_credentials(const crypto::library& library,
                                       config::configuration configuration);

}  // namespace imago::ikev2
