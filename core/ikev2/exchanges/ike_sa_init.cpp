// IKE_SA_INIT (RFC 7296 §1.2): algorithms, Diffie-Hellman, nonces, NAT detection.
//
//   Initiator                              Responder
//   HDR, [N(COOKIE)], SAi1, KEi, Ni   -->
//                                     <--  HDR, SAr1, KEr, Nr, [CERTREQ]
//                              or     <--  HDR, N(COOKIE) | N(INVALID_KE_PAYLOAD) | N(error)
//
#include <algorithm>

#include "core/base/reader.hpp"
#include "core/base/writer.hpp"
#include "core/ikev2/exchanges/common.hpp"
#include "core/ikev2/proposals.hpp"

namespace imago::ikev2 {

namespace {

using enum payload_type;

constexpr payload_set noise{notify, vendor_id};

// lint: table
constexpr row rows[] = {
    {in({sa_state::created}),
     exchange_type::ike_sa_init,
     message_kind::request,
     false,
     {security_association, key_exchange, nonce},
     {notify, vendor_id, certificate_request},
     process_ike_sa_init_request,
     "process_ike_sa_init_request",
     "answer IKE_SA_INIT"},
    {in({sa_state::sa_init_sent}),
     exchange_type::ike_sa_init,
     message_kind::response,
     false,
     {security_association, key_exchange, nonce},
     {notify, vendor_id, certificate_request},
     nullptr,
     "initiate_ike_sa_init",
     "finish IKE_SA_INIT"},
    {in({sa_state::sa_init_sent}),
     exchange_type::ike_sa_init,
     message_kind::response,
     false,
     {notify},
     noise,
     nullptr,
     "initiate_ike_sa_init",
     "try again with a cookie or another key exchange, or give up"},
};
static_assert(is_unambiguous(rows));

bool feigns_nat(const flow_context& context, const connection_policy_ptr& connection) {
  return context.abilities.requires_udp_encapsulation ||
         (connection && connection->config->force_encapsulation);
}

// One IKE_SA_INIT request; a retry repeats it with a cookie in front (§2.6).
wire::payloads compose_request(const flow_context& context, const ike_sa_model& sa,
                               const bytes& cookie, ke_method method, const bytes& public_value,
                               const bytes& own_nonce) {
  const auto& config = *sa.connection->config;
  wire::payloads payloads;
  if (!cookie.empty()) payloads.push_back(make_notify(notify_type::cookie, cookie));
  payloads.push_back(wire::security_association_payload{offer(config.proposals, {})});
  payloads.push_back(wire::key_exchange_payload{method, public_value});
  payloads.push_back(wire::nonce_payload{own_nonce});
  add_nat_detection(payloads, context, sa.initiator_spi, 0, sa.local, sa.remote,
                    feigns_nat(context, sa.connection));
  if (config.fragmentation != config::fragmentation::no)
    payloads.push_back(make_notify(notify_type::ikev2_fragmentation_supported));
  payloads.push_back(signature_hashes());
  return payloads;
}

// Cookies and INVALID_KE_PAYLOAD may alternate; more rounds than this are an attack (§2.6.1).
constexpr int rounds_max = 5;

}  // namespace

std::span<const row> ike_sa_init_rows() { return rows; }

flow initiate_ike_sa_init(flow_context context, sa_snapshot_ptr sa) {
  auto methods = ke_methods(sa->connection->config->proposals);
  if (methods.empty())
    co_return ended(sa, ike_failed{{errc::no_proposal_chosen, "no key exchange configured"}, {}});
  auto method = methods.front();
  auto own_nonce = make_nonce(*context.random);
  bytes cookie;
  std::optional<crypto::key_exchange> own;

  for (int round = 0; round < rounds_max; ++round) {
    if (!own) {
      crypto::generate_key_exchange_job job{method};
      auto generated = co_await offload(job);
      if (!generated) co_return ended(sa, ike_failed{generated.failure(), {}});
      own.emplace(std::move(generated->own));
    }
    send_request request{
        exchange_type::ike_sa_init,
        compose_request(context, *sa, cookie, method, own->public_value(), own_nonce)};
    auto response = co_await offload(std::move(request));
    if (!response) co_return ended(sa, ike_failed{response.failure(), {}});

    if (const auto* asked = wire::find_notify(response->payloads, notify_type::cookie)) {
      if (asked->data.empty() || asked->data.size() > 64)
        co_return ended(sa, ike_failed{{errc::bad_length, "COOKIE"}, {}});
      cookie = asked->data;
      continue;
    }
    if (const auto* refused =
            wire::find_notify(response->payloads, notify_type::invalid_ke_payload)) {
      auto wanted = wanted_method(*refused, methods);
      if (!wanted) co_return ended(sa, ike_failed{wanted.failure(), {}});
      if (*wanted == method)
        co_return ended(sa,
                        ike_failed{{errc::invalid_ke_payload, "peer refuses its own choice"}, {}});
      method = *wanted;
      own.reset();
      continue;
    }
    if (auto refused = refusal(response->payloads)) co_return ended(sa, ike_failed{*refused, {}});

    const auto* proposals = wire::find<wire::security_association_payload>(response->payloads);
    const auto* peer_ke = wire::find<wire::key_exchange_payload>(response->payloads);
    const auto* peer_nonce = wire::find<wire::nonce_payload>(response->payloads);
    if (!proposals || !peer_ke || !peer_nonce)
      co_return ended(sa, ike_failed{{errc::missing_payload, "IKE_SA_INIT response"}, {}});
    auto chosen = check_answer(offer(sa->connection->config->proposals, {}), proposals->proposals,
                               protocol_id::ike, true);
    if (!chosen) co_return ended(sa, ike_failed{chosen.failure(), {}});
    if (peer_ke->method != method || chosen->ike.key_exchange != method)
      co_return ended(sa, ike_failed{{errc::invalid_ke_payload, "IKE_SA_INIT response"}, {}});
    if (response->header.responder_spi == 0)
      co_return ended(sa, ike_failed{{errc::bad_value, "responder SPI 0"}, {}});

    crypto::derive_shared_secret_job derive{std::move(*own), peer_ke->data};
    auto shared = co_await offload(std::move(derive));
    if (!shared) co_return ended(sa, ike_failed{shared.failure(), {}});
    auto derived =
        derive_ike_keys(*context.library, chosen->ike, shared->shared_secret, own_nonce,
                        peer_nonce->data, sa->initiator_spi, response->header.responder_spi);
    if (!derived) co_return ended(sa, ike_failed{derived.failure(), {}});
    auto peer = read_features(context, *response, feigns_nat(context, sa->connection));
    // The request as sent is the ike_sa's to know; it fills in init.request.
    init_material init{{}, response->raw, own_nonce, peer_nonce->data};
    co_return ended(
        sa, ike_keys_agreed{chosen->ike, std::move(*derived), response->header.responder_spi,
                            std::move(peer), std::move(init)});
  }
  co_return ended(sa, ike_failed{{errc::limit_exceeded, "IKE_SA_INIT retries"}, {}});
}

namespace {

struct candidate {
  connection_policy_ptr connection;
  chosen_proposal chosen;
};

// Identities are unknown yet: the first connection for these addresses with a fitting proposal.
result<candidate> choose_candidate(const ike_sa_model& sa, const wire::payloads& payloads) {
  const auto* offered = wire::find<wire::security_association_payload>(payloads);
  const auto* peer_ke = wire::find<wire::key_exchange_payload>(payloads);
  auto list = sa.policy->for_addresses(sa.local.address, sa.remote.address);
  if (list.empty()) return {errc::no_matching_connection, sa.remote.address.text()};
  for (const auto& connection : list) {
    auto chosen = choose_proposal(connection->config->proposals, offered->proposals,
                                  protocol_id::ike, true, peer_ke->method);
    if (chosen) return candidate{connection, std::move(*chosen)};
  }
  return {errc::no_proposal_chosen, "IKE"};
}

// Anchors of every connection that may turn out to be meant (RFC 7296 §3.7).
std::optional<wire::certificate_request_payload> request_certificate(const ike_sa_model& sa) {
  for (const auto& one : sa.policy->for_addresses(sa.local.address, sa.remote.address)) {
    if (one->config->remote.authentication != config::authentication::pubkey ||
        !one->config->sends_certificate_requests || one->remote_anchors->authorities().empty())
      continue;
    return wire::certificate_request_payload{certificate_encoding::x509_signature,
                                             one->remote_anchors->info_hashes()};
  }
  return std::nullopt;
}

}  // namespace

flow process_ike_sa_init_request(flow_context context, sa_snapshot_ptr sa, msg_digest md) {
  auto candidate = choose_candidate(*sa, md.payloads);
  if (!candidate)
    co_return answered(sa, payloads_of(make_notify(notify_for(candidate.failure().code))),
                       ike_failed{candidate.failure(), {}});
  const auto& chosen = candidate->chosen;
  const auto* peer_ke = wire::find<wire::key_exchange_payload>(md.payloads);
  const auto* peer_nonce = wire::find<wire::nonce_payload>(md.payloads);
  if (peer_ke->method != chosen.ike.key_exchange) {
    writer wanted;
    wanted.u16(static_cast<std::uint16_t>(chosen.ike.key_exchange));
    co_return answered(
        sa, payloads_of(make_notify(notify_type::invalid_ke_payload, wanted.finish())),
        ike_failed{{errc::invalid_ke_payload, "peer guessed " + text_of(peer_ke->method)}, {}});
  }
  auto own_nonce = make_nonce(*context.random);
  crypto::respond_key_exchange_job job{peer_ke->method, peer_ke->data};
  auto responded = co_await offload(std::move(job));
  if (!responded)
    co_return answered(sa, payloads_of(make_notify(notify_type::invalid_syntax)),
                       ike_failed{responded.failure(), {}});
  auto derived = derive_ike_keys(*context.library, chosen.ike, responded->shared_secret,
                                 peer_nonce->data, own_nonce, sa->initiator_spi, sa->responder_spi);
  if (!derived)
    co_return answered(sa, payloads_of(make_notify(notify_type::no_proposal_chosen)),
                       ike_failed{derived.failure(), {}});

  bool feign = feigns_nat(context, candidate->connection);
  auto peer = read_features(context, md, feign);
  wire::payloads response;
  response.push_back(wire::security_association_payload{{chosen.answer}});
  response.push_back(wire::key_exchange_payload{peer_ke->method, responded->public_value});
  response.push_back(wire::nonce_payload{own_nonce});
  if (peer.nat_traversal)
    add_nat_detection(response, context, sa->initiator_spi, sa->responder_spi, sa->local,
                      sa->remote, feign);
  if (auto wanted = request_certificate(*sa)) response.push_back(std::move(*wanted));
  if (peer.fragmentation &&
      candidate->connection->config->fragmentation != config::fragmentation::no)
    response.push_back(make_notify(notify_type::ikev2_fragmentation_supported));
  if (!peer.signature_hashes.empty()) response.push_back(signature_hashes());
  response.push_back(make_notify(notify_type::childless_ikev2_supported));

  // The response as sent is the ike_sa's to know; it fills in init.response.
  init_material init{md.raw, {}, peer_nonce->data, own_nonce};
  co_return answered(sa, std::move(response),
                     ike_keys_agreed{chosen.ike, std::move(*derived), sa->responder_spi,
                                     std::move(peer), std::move(init)});
}

}  // namespace imago::ikev2
