// What IKE_AUTH and CREATE_CHILD_SA share: offering, choosing and keying a Child SA.
#pragma once

#include "core/ikev2/exchanges/common.hpp"
#include "core/ikev2/proposals.hpp"

namespace imago::ikev2 {

// The selectors of a configuration with "dynamic" filled in from the IKE SA's addresses.
traffic_selectors resolve(const std::vector<config::selector_template>& templates,
                          const ip_address& own);

// SA, TSi, TSr and N(USE_TRANSPORT_MODE) of our offer. Without KE transforms for IKE_AUTH (§1.2).
void add_child_offer(wire::payloads& payloads, const ike_sa_model& sa,
                     const config::child_config& child, data_plane::spi own_spi,
                     bool with_key_exchange);

// What was agreed, before keys exist.
struct agreed_child {
  child_sa_model child;
  wire::proposal answer;  // with our SPI
};

// Responder: the child configuration and selectors for the peer's request. `rekeyed`: only that
// SA's configuration and reqid. The SPI is filled in by the caller. Errors: no_proposal_chosen,
// traffic_selectors_unacceptable, not_supported.
result<agreed_child> accept_child(const flow_context& context, const ike_sa_model& sa,
                                  const connection_policy& connection,
                                  const wire::payloads& payloads, bool with_key_exchange,
                                  const child_sa_model* rekeyed);
// SA, TSi, TSr and N(USE_TRANSPORT_MODE) of our answer.
void add_child_answer(wire::payloads& payloads, const agreed_child& agreed,
                      data_plane::spi own_spi);

// Initiator: the peer's answer to our offer. Errors: no_proposal_chosen, missing_payload,
// traffic_selectors_unacceptable (also when it changed the mode).
result<child_sa_model> check_child_answer(const ike_sa_model& sa, const child_config_ptr& child,
                                          data_plane::spi own_spi, const wire::payloads& payloads,
                                          bool with_key_exchange);

// Keys for an agreed child and the two requests that install it.
struct keyed_child {
  data_plane::install_sa inbound;  // with the policy
  data_plane::install_sa outbound;
};
result<keyed_child> key_child(const flow_context& context, const ike_sa_model& sa,
                              const child_sa_model& child, const secret& shared_secret,
                              const bytes& initiator_nonce, const bytes& responder_nonce,
                              prf_algorithm prf, const secret& sk_d);

// The inbound SA says so, while the peer uses it: proof of life, from which liveness checks are
// counted (RFC 7296 §2.4). Often enough that an SA in use needs no other.
void report_activity(keyed_child& keyed, const config::connection_config& connection);

data_plane::allocate_spi spi_request(const ike_sa_model& sa);
// Gives an SPI back before anything was installed under it.
data_plane::remove_sa spi_release(const ike_sa_model& sa, data_plane::spi own_spi);

}  // namespace imago::ikev2
