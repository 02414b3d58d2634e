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
#include "core/ikev2/half_open.hpp"

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
     nullptr,
     "answer_init",
     "answer IKE_SA_INIT, keep a half-open IKE SA"},
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

    auto derive = derive_with(std::move(*own), peer_ke->data);
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

// Anchors of the first connection that may turn out to be meant and has some (RFC 7296 §3.7).
std::optional<wire::certificate_request_payload> request_certificate(
    const std::vector<connection_policy_ptr>& candidates) {
  for (const auto& one : candidates) {
    if (one->config->remote.authentication != config::authentication::pubkey ||
        !one->config->sends_certificate_requests || one->remote_anchors->authorities().empty())
      continue;
    return wire::certificate_request_payload{certificate_encoding::x509_signature,
                                             one->remote_anchors->info_hashes()};
  }
  return std::nullopt;
}

init_refusal refuse(const error& reason) { return {make_notify(notify_for(reason.code)), reason}; }

}  // namespace

std::variant<init_choice, init_refusal> choose_init(const policy& policy,
                                                    const msg_digest& request) {
  const auto* offered = wire::find<wire::security_association_payload>(request.payloads);
  const auto* peer_ke = wire::find<wire::key_exchange_payload>(request.payloads);
  auto list = policy.for_addresses(request.local.address, request.remote.address);
  if (list.empty()) return refuse({errc::no_matching_connection, request.remote.address.text()});
  for (const auto& connection : list) {
    auto chosen = choose_proposal(connection->config->proposals, offered->proposals,
                                  protocol_id::ike, true, peer_ke->method);
    if (!chosen) continue;
    if (peer_ke->method == chosen->ike.key_exchange)
      return init_choice{connection, std::move(list), std::move(*chosen)};
    writer wanted;
    wanted.u16(static_cast<std::uint16_t>(chosen->ike.key_exchange));
    return init_refusal{make_notify(notify_type::invalid_ke_payload, wanted.finish()),
                        {errc::invalid_ke_payload, "peer guessed " + text_of(peer_ke->method)}};
  }
  return refuse({errc::no_proposal_chosen, "IKE"});
}

result<init_answer> answer_init(const flow_context& context, init_choice choice, msg_digest request,
                                std::uint64_t responder_spi,
                                std::shared_ptr<const crypto::key_exchange> own) {
  const auto* peer_ke = wire::find<wire::key_exchange_payload>(request.payloads);
  const auto* peer_nonce = wire::find<wire::nonce_payload>(request.payloads);
  // All methods supported have public values of one size; whether it is a good one shows later.
  if (peer_ke->data.size() != own->public_value().size()) return {errc::bad_key, "KE payload"};
  bool feign = feigns_nat(context, choice.connection);
  init_answer made;
  auto& agreed = made.agreed;
  agreed.initiator_spi = request.header.initiator_spi;
  agreed.responder_spi = responder_spi;
  agreed.local = request.local;
  agreed.remote = request.remote;
  agreed.algorithms = choice.chosen.ike;
  agreed.peer = read_features(context, request, feign);
  agreed.peer_public_value = peer_ke->data;
  agreed.init = {std::move(request.raw), {}, peer_nonce->data, make_nonce(*context.random)};

  auto& response = made.response;
  response.push_back(wire::security_association_payload{{std::move(choice.chosen.answer)}});
  response.push_back(wire::key_exchange_payload{own->method(), own->public_value()});
  response.push_back(wire::nonce_payload{agreed.init.responder_nonce});
  if (agreed.peer.nat_traversal)
    add_nat_detection(response, context, agreed.initiator_spi, responder_spi, agreed.local,
                      agreed.remote, feign);
  if (auto wanted = request_certificate(choice.candidates)) response.push_back(std::move(*wanted));
  if (agreed.peer.fragmentation &&
      choice.connection->config->fragmentation != config::fragmentation::no)
    response.push_back(make_notify(notify_type::ikev2_fragmentation_supported));
  if (!agreed.peer.signature_hashes.empty()) response.push_back(signature_hashes());
  response.push_back(make_notify(notify_type::childless_ikev2_supported));
  agreed.own = std::move(own);
  return made;
}

result<ike_keys_agreed> finish_init(const crypto::library& library, half_open from,
                                    const secret& shared_secret) {
  auto derived = derive_ike_keys(library, from.algorithms, shared_secret, from.init.initiator_nonce,
                                 from.init.responder_nonce, from.initiator_spi, from.responder_spi);
  if (!derived) return derived.failure();
  return ike_keys_agreed{from.algorithms, std::move(*derived), from.responder_spi,
                         std::move(from.peer), std::move(from.init)};
}

ike_sa_model model_of(const half_open& from, policy_ptr policy) {
  ike_sa_model model;
  model.role = role::responder;
  model.initiator_spi = from.initiator_spi;
  model.responder_spi = from.responder_spi;
  model.local = from.local;
  model.remote = from.remote;
  model.policy = std::move(policy);
  return model;
}

}  // namespace imago::ikev2
