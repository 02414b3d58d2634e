// What several exchanges need: nonces, notifies, NAT detection, outcomes that end early.
#pragma once

#include "core/ikev2/exchanges/exchanges.hpp"

namespace imago::ikev2 {

// 32 octets: at least half the key size of every PRF supported (RFC 7296 §2.10).
bytes make_nonce(random_source& random);
std::uint64_t make_ike_spi(random_source& random);  // never 0

wire::notify_payload make_notify(notify_type type, bytes data = {});
wire::notify_payload notify_about_child(notify_type type, data_plane::spi spi);
bytes encode_spi(data_plane::spi spi);

// The notify that tells a peer about an error (RFC 7296 §3.10.1).
notify_type notify_for(errc code);
// What tells a peer that no row takes its request (§2.5, §2.21): UNSUPPORTED_CRITICAL_PAYLOAD with
// the type, else INVALID_SYNTAX.
wire::notify_payload notify_about_syntax(const wire::payloads& request, const error& why);
// The first error notify of a response, as an error of ours; nothing if there is none.
std::optional<error> refusal(const wire::payloads& payloads);
bool is_temporary(const wire::payloads& payloads);

// The method that N(INVALID_KE_PAYLOAD) asks for (§1.2, §1.3). Errors: invalid_ke_payload if it is
// none of those offered.
result<ke_method> wanted_method(const wire::notify_payload& refused,
                                const std::vector<ke_method>& offered);

// The initiator of a CREATE_CHILD_SA exchange guesses a method; the peer may want another of those
// offered. Bounded, so that a peer cannot keep us generating keys.
class key_exchange_rounds {
 public:
  // `first` none: no key exchange, and none that the peer could ask for.
  key_exchange_rounds(std::vector<ke_method> offered, ke_method first)
      : offered_{std::move(offered)}, method_{first} {}

  ke_method method() const { return method_; }
  // Is the request to be sent again, with what method() is then? Errors: what the response refuses
  // (refusal), invalid_ke_payload, limit_exceeded.
  result<bool> wants_another(const wire::payloads& response);

 private:
  std::vector<ke_method> offered_;
  ke_method method_;
  int rounds_ = 0;
};

// The job of who has used its key pair once.
crypto::derive_shared_secret_job derive_with(crypto::key_exchange own, bytes peer_public_value);

// NAT_DETECTION_SOURCE_IP and _DESTINATION_IP for a message from `local` to `remote` (§2.23).
// `feign`: the source is made not to fit, so that both sides encapsulate.
void add_nat_detection(wire::payloads& payloads, const flow_context& context,
                       std::uint64_t initiator_spi, std::uint64_t responder_spi,
                       const endpoint& local, const endpoint& remote, bool feign);
// What a received IKE_SA_INIT message says of the peer and of the path.
peer_features read_features(const flow_context& context, const msg_digest& md, bool feigned);
// SIGNATURE_HASH_ALGORITHMS with what we verify (RFC 7427 §4).
wire::notify_payload signature_hashes();

// The Child SA that a REKEY_SA notify means; null: we do not have it.
const child_sa_model* find_rekeyed(const ike_sa_model& sa, const wire::notify_payload& rekey);
// Does the request delete or rekey a Child SA that we do not have?
bool names_unknown_child(const ike_sa_model& sa, const wire::payloads& request);

// min(Ni, Nr) as octet strings (§2.8.1).
bytes lowest_nonce(const bytes& one, const bytes& other);

inline outcome ended(const sa_snapshot_ptr& sa) {
  outcome result;
  result.epoch = sa->epoch;
  return result;
}
template <class... effects>
outcome ended(const sa_snapshot_ptr& sa, effects&&... list) {
  outcome result = ended(sa);
  (result.effects.push_back(std::forward<effects>(list)), ...);
  return result;
}
// A response that is one notify, and effects.
template <class... effects>
outcome answered(const sa_snapshot_ptr& sa, wire::payloads response, effects&&... list) {
  outcome result = ended(sa, std::forward<effects>(list)...);
  result.response = std::move(response);
  return result;
}
template <class... kinds>
wire::payloads payloads_of(kinds&&... list) {
  wire::payloads payloads;
  (payloads.push_back(std::forward<kinds>(list)), ...);
  return payloads;
}

}  // namespace imago::ikev2
