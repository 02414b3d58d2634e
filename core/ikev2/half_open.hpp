// A responder's IKE SA between its IKE_SA_INIT response and IKE_AUTH (RFC 7296 §1.2): a value of
// some hundred octets. Nothing of it is suspended, nothing is computed with the peer's public value
// before the peer comes back: a flood of IKE_SA_INITs costs no Diffie-Hellman (decision 0014).
#pragma once

#include <variant>

#include "core/ikev2/flow_context.hpp"
#include "core/ikev2/model.hpp"
#include "core/ikev2/proposals.hpp"

namespace imago::ikev2 {

struct half_open {
  std::uint64_t initiator_spi = 0;
  std::uint64_t responder_spi = 0;
  endpoint local, remote;
  ike_algorithms algorithms;
  peer_features peer;
  init_material init;  // `response` is filled in by who encodes it
  bytes peer_public_value;
  // Shared with other half-open ones only while key pairs cannot be made fast enough (§2.12).
  std::shared_ptr<const crypto::key_exchange> own;
};

// What a request that can be answered asks for.
struct init_choice {
  connection_policy_ptr connection;
  std::vector<connection_policy_ptr> candidates;  // that may turn out to be meant
  chosen_proposal chosen;
};
// It cannot: what tells the peer so. Nothing is kept, the same request gets the same answer.
struct init_refusal {
  wire::notify_payload answer;
  error reason;
};
// `request` fits its row (see rows.hpp). Identities are unknown yet: the first connection for these
// addresses with a fitting proposal. Touches no key.
std::variant<init_choice, init_refusal> choose_init(const policy& policy,
                                                    const msg_digest& request);

struct init_answer {
  wire::payloads response;
  half_open agreed;
};
// `own`: of the method that was chosen. Errors: bad_key (the peer's public value has a wrong size).
result<init_answer> answer_init(const flow_context& context, init_choice choice, msg_digest request,
                                std::uint64_t responder_spi,
                                std::shared_ptr<const crypto::key_exchange> own);

// The peer has come back and `shared_secret` is derived: the keys. Errors: unsupported_algorithm,
// crypto_failed.
result<ike_keys_agreed> finish_init(const crypto::library& library, half_open from,
                                    const secret& shared_secret);

// The responder's model of it: everything but the keys.
ike_sa_model model_of(const half_open& from, policy_ptr policy);

}  // namespace imago::ikev2
