#include "core/ikev2/policy.hpp"

#include <algorithm>

#include "core/base/limits.hpp"

namespace imago::ikev2 {

namespace {

// How closely the patterns fit an address: 3 a single address, 2 a range, 1 any, 0 not at all.
int closeness(const std::vector<config::address_pattern>& patterns, const ip_address& address) {
  int best = patterns.empty() ? 1 : 0;
  for (const auto& pattern : patterns) {
    if (!pattern.matches(address)) continue;
    best = std::max(best, pattern.any ? 1 : pattern.is_single() ? 3 : 2);
  }
  return best;
}

// 3 the same identity, 2 a pattern that fits, 1 anybody, 0 no match.
int closeness(const config::identity& pattern, const config::identity& peer) {
  if (pattern.is_any()) return 1;
  if (!pattern.matches(peer.type, peer.data)) return 0;
  return pattern.has_wildcards ? 2 : 3;
}

config::identity identity_of(const crypto::certificate& certificate) {
  auto identity = config::identity_from_payload(id_type::der_asn1_dn, certificate.subject_der());
  identity.text = certificate.subject();
  return identity;
}

bool has_transform(const wire::proposal& proposal, transform_type type, std::uint16_t id,
                   std::uint16_t key_bits = 0) {
  return std::any_of(proposal.transforms.begin(), proposal.transforms.end(), [&](const auto& one) {
    return one.type == type && one.id == id && one.key_bits == key_bits;
  });
}

bool has_proposal_with(const std::vector<wire::proposal>& proposals, const ike_algorithms& chosen) {
  auto number = [](auto id) { return static_cast<std::uint16_t>(id); };
  return std::any_of(proposals.begin(), proposals.end(), [&](const wire::proposal& one) {
    return has_transform(one, transform_type::encryption, number(chosen.encryption),
                         chosen.key_bits) &&
           // Beside an AEAD "none" need not be said.
           (chosen.integrity == integrity_algorithm::none ||
            has_transform(one, transform_type::integrity, number(chosen.integrity))) &&
           has_transform(one, transform_type::prf, number(chosen.prf)) &&
           has_transform(one, transform_type::key_exchange, number(chosen.key_exchange));
  });
}

bool is_self_signed(const crypto::certificate& certificate) {
  return certificate.subject_der() == certificate.issuer_der();
}

}  // namespace

connection_policy_ptr policy::find(std::string_view connection) const {
  for (const auto& one : connections)
    if (one->config->name == connection) return one;
  return nullptr;
}

std::vector<connection_policy_ptr> policy::for_addresses(const ip_address& local,
                                                         const ip_address& remote) const {
  std::vector<std::pair<int, connection_policy_ptr>> scored;
  for (const auto& one : connections) {
    int here = closeness(one->config->local_addresses, local);
    int there = closeness(one->config->remote_addresses, remote);
    if (here > 0 && there > 0) scored.emplace_back(here + 4 * there, one);
  }
  std::stable_sort(scored.begin(), scored.end(),
                   [](const auto& one, const auto& other) { return one.first > other.first; });
  std::vector<connection_policy_ptr> list;
  for (auto& [score, one] : scored) list.push_back(std::move(one));
  return list;
}

connection_policy_ptr policy::for_identities(const ip_address& local, const ip_address& remote,
                                             const config::identity& peer,
                                             const config::identity* asked,
                                             config::authentication authentication,
                                             const ike_algorithms* chosen) const {
  connection_policy_ptr best;
  int best_score = 0;
  for (const auto& one : for_addresses(local, remote)) {
    if (one->config->remote.authentication != authentication) continue;
    // IKE_SA_INIT was answered for another connection, perhaps with less than this one wants.
    if (chosen && !has_proposal_with(one->config->proposals, *chosen)) continue;
    int there = closeness(one->config->remote.identity, peer);
    int here = asked ? closeness(one->local_identity, *asked) : 1;
    if (there == 0 || here == 0) continue;
    // Addresses are sorted already, so of equals the first wins.
    int score = 4 * there + here;
    if (score > best_score) {
      best = one;
      best_score = score;
    }
  }
  return best;
}

config::shared_key_ptr policy::shared_key_for(const config::identity& local,
                                              const config::identity& remote) const {
  config::shared_key_ptr best;
  int best_score = 0;
  for (const auto& key : shared_keys) {
    int score = key->owners.empty() ? 1 : 0;
    for (const auto& owner : key->owners) {
      if (closeness(owner, remote) > 0) score += 2 * closeness(owner, remote);
      if (closeness(owner, local) > 0) score += closeness(owner, local);
    }
    if (score > best_score) {
      best = key;
      best_score = score;
    }
  }
  return best;
}

std::vector<crypto::certificate_ptr> policy::intermediates_of(
    const crypto::certificate& end_entity) const {
  std::vector<crypto::certificate_ptr> chain;
  auto issuer = end_entity.issuer_der();
  while (chain.size() < limits::certificate_count_max - 1) {
    auto found = std::find_if(authorities.begin(), authorities.end(), [&](const auto& one) {
      return one->subject_der() == issuer && !is_self_signed(*one);
    });
    if (found == authorities.end()) break;
    chain.push_back(*found);
    issuer = (*found)->issuer_der();
  }
  return chain;
}

namespace {

result<std::vector<crypto::certificate_ptr>> load_all(const crypto::library& library,
                                                      const std::vector<bytes>& list,
                                                      const std::string& where) {
  std::vector<crypto::certificate_ptr> loaded;
  for (const auto& data : list) {
    auto certificate = crypto::certificate::load(library, data);
    if (!certificate) return {certificate.failure().code, where};
    loaded.push_back(*certificate);
  }
  return loaded;
}

result<connection_policy_ptr> resolve(const crypto::library& library, const policy_parts& parts,
                                      const crypto::trust_anchors_ptr& anchors,
                                      const config::connection_config_ptr& config) {
  auto one = std::make_shared<connection_policy>();
  one->config = config;
  auto where = "connections." + config->name;
  auto certificates = load_all(library, config->local.certificates, where + ".local.certs");
  if (!certificates) return certificates.failure();
  auto candidates = std::move(*certificates);
  // swanctl's rule: without `certs`, any loaded certificate that holds the identity will do.
  if (candidates.empty() && config->local.authentication == config::authentication::pubkey)
    for (const auto& known : parts.certificates)
      if (!config->local.identity.is_any() &&
          known->contains_identity(config->local.identity.type, config->local.identity.data))
        candidates.push_back(known);
  for (const auto& candidate : candidates)
    for (const auto& key : parts.private_keys)
      if (key->public_half()->info_hash() == candidate->key()->info_hash()) {
        one->local_credentials.push_back({candidate, key});
        break;
      }
  one->local_identity = config->local.identity;
  if (one->local_identity.is_any() && !candidates.empty())
    one->local_identity = identity_of(*candidates.front());

  auto pinned = load_all(library, config->remote.certificates, where + ".remote.certs");
  if (!pinned) return pinned.failure();
  one->remote_certificates = std::move(*pinned);
  auto authorities = load_all(library, config->remote.authorities, where + ".remote.cacerts");
  if (!authorities) return authorities.failure();
  one->remote_anchors = authorities->empty()
                            ? anchors
                            : std::make_shared<crypto::trust_anchors>(std::move(*authorities));
  return connection_policy_ptr{std::move(one)};
}

}  // namespace

result<policy_ptr> build_policy(const crypto::library& library, policy_parts parts) {
  auto built = std::make_shared<policy>();
  // Intermediates may lie among the CA certificates; only self-signed ones are anchors.
  std::vector<crypto::certificate_ptr> roots;
  std::copy_if(parts.authorities.begin(), parts.authorities.end(), std::back_inserter(roots),
               [](const auto& one) { return is_self_signed(*one); });
  if (roots.empty()) roots = parts.authorities;
  built->anchors = std::make_shared<crypto::trust_anchors>(std::move(roots));
  for (const auto& config : parts.connections) {
    auto one = resolve(library, parts, built->anchors, config);
    if (!one) return one.failure();
    built->connections.push_back(*one);
  }
  built->shared_keys = std::move(parts.shared_keys);
  built->authorities = std::move(parts.authorities);
  // As with swanctl, intermediates may lie among the other certificates too. They are sent, not
  // trusted.
  std::copy_if(parts.certificates.begin(), parts.certificates.end(),
               std::back_inserter(built->authorities),
               [](const auto& one) { return one->is_ca() && !is_self_signed(*one); });
  return policy_ptr{std::move(built)};
}

result<policy_parts> parse_credentials(const crypto::library& library,
                                       config::configuration configuration) {
  policy_parts parts;
  for (auto& connection : configuration.connections)
    parts.connections.push_back(
        std::make_shared<const config::connection_config>(std::move(connection)));
  for (auto& key : configuration.shared_keys)
    parts.shared_keys.push_back(std::make_shared<const config::shared_key>(std::move(key)));
  for (auto& blob : configuration.private_keys) {
    auto key = crypto::private_key::load(library, blob.data.view(), blob.passphrase.view());
    if (!key) return {key.failure().code, blob.origin + ": " + key.failure().where};
    parts.private_keys.push_back(*key);
  }
  auto load = [&](const std::vector<config::credential_blob>& blobs, auto& into) -> status {
    for (const auto& blob : blobs) {
      auto certificate = crypto::certificate::load(library, blob.data);
      if (!certificate) return {certificate.failure().code, blob.origin};
      into.push_back(*certificate);
    }
    return {};
  };
  if (auto loaded = load(configuration.certificates, parts.certificates); !loaded)
    return loaded.failure();
  if (auto loaded = load(configuration.authorities, parts.authorities); !loaded)
    return loaded.failure();
  return parts;
}

}  // namespace imago::ikev2
