// CREATE_CHILD_SA for a new Child SA or the rekey of one (RFC 7296 §1.3.1, §1.3.3).
//
//   Initiator                                   Responder
//   HDR, SK {[N(REKEY_SA)], SA, Ni,
//            [KEi], TSi, TSr}              -->
//                                          <--  HDR, SK {SA, Nr, [KEr], TSi, TSr}
//                                   or     <--  HDR, SK {N(INVALID_KE_PAYLOAD) | N(error)}
//
#include <algorithm>

#include "core/base/reader.hpp"
#include "core/base/writer.hpp"
#include "core/ikev2/exchanges/child_negotiation.hpp"

namespace imago::ikev2 {

namespace {

using enum payload_type;

constexpr auto alive = in({sa_state::established, sa_state::rekeyed, sa_state::deleting});

// lint: table
constexpr row rows[] = {
    {alive,
     exchange_type::create_child_sa,
     message_kind::request,
     true,
     {security_association, nonce, traffic_selector_initiator, traffic_selector_responder},
     {key_exchange, notify, vendor_id},
     process_create_child_sa_request,
     "process_create_child_sa_request",
     "answer a new or rekeyed Child SA"},
    {alive,
     exchange_type::create_child_sa,
     message_kind::response,
     true,
     {security_association, nonce, traffic_selector_initiator, traffic_selector_responder},
     {key_exchange, notify, vendor_id},
     nullptr,
     "initiate_create_child_sa",
     "finish a new or rekeyed Child SA"},
    {alive,
     exchange_type::create_child_sa,
     message_kind::response,
     true,
     {notify},
     {notify, vendor_id},
     nullptr,
     "initiate_create_child_sa | initiate_ike_rekey",
     "try again with another key exchange, later, or give up"},
};
static_assert(is_unambiguous(rows));

// What the configuration would like best; others that it allows are offered too, and the peer may
// ask for one of them.
ke_method first_method(const std::vector<wire::proposal>& proposals) {
  if (proposals.empty()) return ke_method::none;
  for (const auto& one : proposals.front().transforms)
    if (one.type == transform_type::key_exchange) return static_cast<ke_method>(one.id);
  return ke_method::none;
}

wire::payloads compose_request(const ike_sa_model& sa, const config::child_config& child,
                               std::optional<data_plane::spi> rekeyed, data_plane::spi own_spi,
                               const bytes& own_nonce, const crypto::key_exchange* own) {
  wire::payloads payloads;
  // The SPI that we, the initiator of the rekey, expect in inbound packets (§1.3.3).
  if (rekeyed) payloads.push_back(notify_about_child(notify_type::rekey_sa, *rekeyed));
  add_child_offer(payloads, sa, child, own_spi, true);
  // The nonce and KE stand after SA, before the selectors.
  auto at = std::find_if(payloads.begin(), payloads.end(), [](const auto& payload) {
    return std::holds_alternative<wire::traffic_selector_payload>(payload);
  });
  at = payloads.insert(at, wire::nonce_payload{own_nonce}) + 1;
  if (own) payloads.insert(at, wire::key_exchange_payload{own->method(), own->public_value()});
  return payloads;
}

}  // namespace

std::span<const row> create_child_sa_rows() { return rows; }

// --- initiator ---

flow initiate_create_child_sa(flow_context context, sa_snapshot_ptr sa, child_config_ptr child,
                              std::optional<data_plane::spi> rekeyed) {
  auto failed = [&](error reason, bool later = false, std::optional<data_plane::spi> at_peer = {}) {
    return ended(sa, child_not_created{child->name, std::move(reason), rekeyed, later, at_peer});
  };
  key_exchange_rounds rounds{ke_methods(child->proposals), first_method(child->proposals)};
  auto own_nonce = make_nonce(*context.random);
  auto allocate = spi_request(*sa);
  auto allocated = co_await offload(std::move(allocate));
  if (!allocated) co_return failed(allocated.failure());
  auto own_spi = allocated->spi;

  std::optional<crypto::key_exchange> own;
  std::optional<msg_digest> md;
  while (!md) {
    if (rounds.method() != ke_method::none) {
      crypto::generate_key_exchange_job job{rounds.method()};
      auto generated = co_await offload(job);
      if (!generated) co_return failed(generated.failure());
      own.emplace(std::move(generated->own));
    }
    send_request request{
        exchange_type::create_child_sa,
        compose_request(*sa, *child, rekeyed, own_spi, own_nonce, own ? &*own : nullptr)};
    auto response = co_await offload(std::move(request));
    if (!response) co_return failed(response.failure());
    auto again = rounds.wants_another(response->payloads);
    if (!again) co_return failed(again.failure(), is_temporary(response->payloads));
    if (!*again) md.emplace(std::move(*response));
  }

  const auto* peer_nonce = wire::find<wire::nonce_payload>(md->payloads);
  const auto* peer_ke = wire::find<wire::key_exchange_payload>(md->payloads);
  auto agreed = check_child_answer(*sa, child, own_spi, md->payloads, true);
  if (!agreed) co_return failed(agreed.failure(), false, own_spi);
  secret shared;
  if (agreed->algorithms.key_exchange != ke_method::none) {
    if (!own || !peer_ke || peer_ke->method != own->method() ||
        agreed->algorithms.key_exchange != own->method())
      co_return failed({errc::invalid_ke_payload, "CREATE_CHILD_SA response"}, false, own_spi);
    auto derive = derive_with(std::move(*own), peer_ke->data);
    auto derived = co_await offload(std::move(derive));
    if (!derived) co_return failed(derived.failure(), false, own_spi);
    shared = std::move(derived->shared_secret);
  }
  const auto* old = rekeyed ? sa->find_child(*rekeyed) : nullptr;
  agreed->reqid = old ? old->reqid : context.numbers->reqid_of(*sa->connection->config, *child);
  agreed->lowest_nonce = lowest_nonce(own_nonce, peer_nonce->data);
  auto keyed = key_child(context, *sa, *agreed, shared, own_nonce, peer_nonce->data,
                         sa->algorithms.prf, sa->keys->sk_d);
  if (!keyed) co_return failed(keyed.failure(), false, own_spi);
  report_activity(*keyed, *sa->connection->config);
  auto installed = co_await offload(std::move(keyed->inbound));
  if (!installed) co_return failed(installed.failure(), false, own_spi);
  co_return ended(sa,
                  child_created{std::move(*agreed), std::move(keyed->outbound), false, rekeyed});
}

// --- responder ---

namespace {

// `child` empty: which configuration the peer means is not known.
outcome refuse(const sa_snapshot_ptr& sa, wire::notify_payload answer, error reason,
               std::string child) {
  return answered(sa, payloads_of(std::move(answer)), peer_alive{},
                  child_not_created{std::move(child), std::move(reason), {}, false, {}});
}

// §2.25: what is being replaced or closed takes nothing new. The notify to answer with, or nothing.
std::optional<wire::notify_payload> objection(const ike_sa_model& sa,
                                              const wire::notify_payload* rekey_notify,
                                              const child_sa_model* rekeyed) {
  if (sa.state != sa_state::established || sa.rekey_in_flight)
    return make_notify(notify_type::temporary_failure);
  if (!rekey_notify) return std::nullopt;
  if (!rekeyed) {
    auto missing = make_notify(notify_type::child_sa_not_found);
    missing.protocol = rekey_notify->protocol;
    missing.spi = rekey_notify->spi;
    return missing;
  }
  bool going = rekeyed->state == child_state::deleting || rekeyed->state == child_state::rekeyed;
  if (going || rekeyed->peers_successor) return make_notify(notify_type::temporary_failure);
  return std::nullopt;
}

wire::payloads compose_response(const agreed_child& agreed, const bytes& own_nonce,
                                const bytes& public_value) {
  wire::payloads payloads;
  add_child_answer(payloads, agreed, agreed.child.inbound_spi);
  auto at = std::find_if(payloads.begin(), payloads.end(), [](const auto& payload) {
    return std::holds_alternative<wire::traffic_selector_payload>(payload);
  });
  at = payloads.insert(at, wire::nonce_payload{own_nonce}) + 1;
  if (agreed.child.algorithms.key_exchange != ke_method::none)
    payloads.insert(at,
                    wire::key_exchange_payload{agreed.child.algorithms.key_exchange, public_value});
  return payloads;
}

}  // namespace

flow process_create_child_sa_request(flow_context context, sa_snapshot_ptr sa, msg_digest md) {
  const auto* rekey_notify = wire::find_notify(md.payloads, notify_type::rekey_sa);
  const auto* rekeyed = rekey_notify ? find_rekeyed(*sa, *rekey_notify) : nullptr;
  std::string name;
  if (rekeyed) name = rekeyed->config->name;
  if (auto answer = objection(*sa, rekey_notify, rekeyed))
    co_return refuse(sa, *answer, {errc::wrong_exchange, "answered " + text_of(answer->type)},
                     name);
  std::optional<data_plane::spi> replaces;
  if (rekeyed) replaces = rekeyed->inbound_spi;

  const auto* peer_ke = wire::find<wire::key_exchange_payload>(md.payloads);
  const auto* peer_nonce = wire::find<wire::nonce_payload>(md.payloads);
  auto agreed = accept_child(context, *sa, *sa->connection, md.payloads, true, rekeyed);
  if (!agreed)
    co_return refuse(sa, make_notify(notify_for(agreed.failure().code)), agreed.failure(), name);
  name = agreed->child.config->name;
  auto method = agreed->child.algorithms.key_exchange;
  if (method != ke_method::none && (!peer_ke || peer_ke->method != method)) {
    writer wanted;
    wanted.u16(static_cast<std::uint16_t>(method));
    co_return refuse(sa, make_notify(notify_type::invalid_ke_payload, wanted.finish()),
                     {errc::invalid_ke_payload, "Child SA"}, name);
  }

  auto own_nonce = make_nonce(*context.random);
  auto allocate = spi_request(*sa);
  secret shared;
  bytes public_value;
  if (method != ke_method::none) {
    crypto::respond_key_exchange_job job{method, peer_ke->data};
    auto both = co_await offload(std::move(allocate), std::move(job));
    if (!std::get<1>(both))
      co_return refuse(sa, make_notify(notify_type::invalid_syntax), std::get<1>(both).failure(),
                       name);
    if (!std::get<0>(both))
      co_return refuse(sa, make_notify(notify_type::temporary_failure), std::get<0>(both).failure(),
                       name);
    agreed->child.inbound_spi = std::get<0>(both)->spi;
    shared = std::move(std::get<1>(both)->shared_secret);
    public_value = std::move(std::get<1>(both)->public_value);
  } else {
    auto allocated = co_await offload(std::move(allocate));
    if (!allocated)
      co_return refuse(sa, make_notify(notify_type::temporary_failure), allocated.failure(), name);
    agreed->child.inbound_spi = allocated->spi;
  }
  agreed->child.lowest_nonce = lowest_nonce(own_nonce, peer_nonce->data);
  auto keyed = key_child(context, *sa, agreed->child, shared, peer_nonce->data, own_nonce,
                         sa->algorithms.prf, sa->keys->sk_d);
  if (!keyed)
    co_return refuse(sa, make_notify(notify_type::temporary_failure), keyed.failure(), name);
  report_activity(*keyed, *sa->connection->config);
  auto installed = co_await offload(std::move(keyed->inbound));
  if (!installed)
    co_return refuse(sa, make_notify(notify_for(installed.failure().code)), installed.failure(),
                     name);
  auto response = compose_response(*agreed, own_nonce, public_value);
  co_return answered(sa, std::move(response), peer_alive{},
                     child_created{std::move(agreed->child), std::move(keyed->outbound),
                                   replaces.has_value(), replaces});
}

}  // namespace imago::ikev2
