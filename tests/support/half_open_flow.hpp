// IKE_SA_INIT's responder as one flow, for tests without actors: what the reception and the ike_sa
// do one after the other, with the Diffie-Hellman at once.
#pragma once

#include "core/ikev2/exchanges/common.hpp"
#include "core/ikev2/half_open.hpp"

namespace imago::ikev2::testing {

inline flow process_ike_sa_init_request(flow_context context, sa_snapshot_ptr sa, msg_digest md) {
  auto choice = choose_init(*sa->policy, md);
  if (auto* refusal = std::get_if<init_refusal>(&choice))
    co_return answered(sa, payloads_of(std::move(refusal->answer)),
                       ike_failed{refusal->reason, {}});
  auto& chosen = std::get<init_choice>(choice);
  crypto::generate_key_exchange_job generate{chosen.chosen.ike.key_exchange};
  auto own = co_await offload(std::move(generate));
  if (!own)
    co_return answered(sa, payloads_of(make_notify(notify_type::invalid_syntax)),
                       ike_failed{own.failure(), {}});
  auto made = answer_init(context, std::move(chosen), std::move(md), sa->responder_spi,
                          std::make_shared<const crypto::key_exchange>(std::move(own->own)));
  if (!made)
    co_return answered(sa, payloads_of(make_notify(notify_type::invalid_syntax)),
                       ike_failed{made.failure(), {}});
  crypto::derive_shared_secret_job derive{made->agreed.own, made->agreed.peer_public_value};
  auto shared = co_await offload(std::move(derive));
  if (!shared)
    co_return answered(sa, payloads_of(make_notify(notify_type::invalid_syntax)),
                       ike_failed{shared.failure(), {}});
  auto agreed = finish_init(*context.library, std::move(made->agreed), shared->shared_secret);
  if (!agreed)
    co_return answered(sa, payloads_of(make_notify(notify_type::no_proposal_chosen)),
                       ike_failed{agreed.failure(), {}});
  co_return answered(sa, std::move(made->response), std::move(*agreed));
}

// What a row's request starts.
inline flow start_processor(const row& row, flow_context context, sa_snapshot_ptr sa,
                            msg_digest md) {
  auto* processor = row.processor ? row.processor : process_ike_sa_init_request;
  return processor(std::move(context), std::move(sa), std::move(md));
}

}  // namespace imago::ikev2::testing
