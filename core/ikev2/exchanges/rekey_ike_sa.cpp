// CREATE_CHILD_SA that rekeys the IKE SA (RFC 7296 §1.3.2, §2.18). The new SA inherits the Child
// SAs; whoever initiated the surviving rekey deletes the old one.
//
//   Initiator                          Responder
//   HDR, SK {SA, Ni, KEi}         -->
//                                 <--  HDR, SK {SA, Nr, KEr}
//                          or     <--  HDR, SK {N(INVALID_KE_PAYLOAD) | N(error)}
//
#include <algorithm>

#include "core/base/reader.hpp"
#include "core/base/writer.hpp"
#include "core/ikev2/exchanges/common.hpp"
#include "core/ikev2/proposals.hpp"

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
     {security_association, nonce, key_exchange},
     {notify, vendor_id},
     process_ike_rekey_request,
     "process_ike_rekey_request",
     "answer the rekey of the IKE SA"},
    {alive,
     exchange_type::create_child_sa,
     message_kind::response,
     true,
     {security_association, nonce, key_exchange},
     {notify, vendor_id},
     nullptr,
     "initiate_ike_rekey",
     "finish the rekey of the IKE SA"},
};
static_assert(is_unambiguous(rows));

bytes encode_ike_spi(std::uint64_t spi) {
  writer out;
  out.u64(spi);
  return out.finish();
}

result<std::uint64_t> decode_ike_spi(const bytes& octets) {
  reader in{octets};
  auto spi = in.u64();
  if (!in.ok() || !in.at_end() || spi == 0) return {errc::bad_value, "IKE SPI"};
  return spi;
}

}  // namespace

std::span<const row> rekey_ike_sa_rows() { return rows; }

// --- initiator ---

flow initiate_ike_rekey(flow_context context, sa_snapshot_ptr sa) {
  auto failed = [&](error reason, bool later = false) {
    return ended(sa, ike_not_rekeyed{std::move(reason), later});
  };
  const auto& proposals = sa->connection->config->proposals;
  auto methods = ke_methods(proposals);
  // The method in use first: the peer is known to accept it.
  auto first = sa->algorithms.key_exchange;
  if (std::find(methods.begin(), methods.end(), first) == methods.end()) first = methods.front();
  key_exchange_rounds rounds{std::move(methods), first};
  auto own_nonce = make_nonce(*context.random);
  auto own_spi = make_ike_spi(*context.random);
  auto offered = offer(proposals, encode_ike_spi(own_spi));

  std::optional<crypto::key_exchange> own;
  std::optional<msg_digest> md;
  while (!md) {
    crypto::generate_key_exchange_job job{rounds.method()};
    auto generated = co_await offload(job);
    if (!generated) co_return failed(generated.failure());
    own.emplace(std::move(generated->own));
    send_request request{
        exchange_type::create_child_sa,
        payloads_of(wire::security_association_payload{offered}, wire::nonce_payload{own_nonce},
                    wire::key_exchange_payload{own->method(), own->public_value()})};
    auto response = co_await offload(std::move(request));
    if (!response) co_return failed(response.failure());
    auto again = rounds.wants_another(response->payloads);
    if (!again) co_return failed(again.failure(), is_temporary(response->payloads));
    if (!*again) md.emplace(std::move(*response));
  }

  // From here on the peer has the new SA.
  auto out_of_step = [&](error reason) {
    return ended(sa, ike_not_rekeyed{std::move(reason), false, true});
  };
  const auto* answer = wire::find<wire::security_association_payload>(md->payloads);
  const auto* peer_nonce = wire::find<wire::nonce_payload>(md->payloads);
  const auto* peer_ke = wire::find<wire::key_exchange_payload>(md->payloads);
  if (!answer || !peer_ke) co_return out_of_step({errc::missing_payload, "IKE SA rekey response"});
  auto chosen = check_answer(offered, answer->proposals, protocol_id::ike, true);
  if (!chosen) co_return out_of_step(chosen.failure());
  auto peer_spi = decode_ike_spi(chosen->answer.spi);
  if (!peer_spi) co_return out_of_step(peer_spi.failure());
  if (peer_ke->method != own->method() || chosen->ike.key_exchange != own->method())
    co_return out_of_step({errc::invalid_ke_payload, "IKE SA rekey response"});
  auto derive = derive_with(std::move(*own), peer_ke->data);
  auto shared = co_await offload(std::move(derive));
  if (!shared) co_return out_of_step(shared.failure());
  auto derived = derive_rekeyed_ike_keys(*context.library, sa->algorithms.prf, sa->keys->sk_d,
                                         chosen->ike, shared->shared_secret, own_nonce,
                                         peer_nonce->data, own_spi, *peer_spi);
  if (!derived) co_return out_of_step(derived.failure());
  co_return ended(sa, ike_rekeyed{chosen->ike, std::move(*derived), role::initiator, own_spi,
                                  *peer_spi, lowest_nonce(own_nonce, peer_nonce->data)});
}

// --- responder ---

namespace {

outcome refuse(const sa_snapshot_ptr& sa, wire::notify_payload answer) {
  return answered(sa, payloads_of(std::move(answer)), peer_alive{});
}

}  // namespace

flow process_ike_rekey_request(flow_context context, sa_snapshot_ptr sa, msg_digest md) {
  // §2.25.2: not while it is replaced or closed, nor while our own Child SA exchange is in flight.
  // Our own rekey in flight is a collision instead (§2.8.2), unless the peer asks twice.
  if (sa->state != sa_state::established || sa->child_exchange_in_flight || sa->peers_successor)
    co_return refuse(sa, make_notify(notify_type::temporary_failure));
  const auto* offered = wire::find<wire::security_association_payload>(md.payloads);
  const auto* peer_nonce = wire::find<wire::nonce_payload>(md.payloads);
  const auto* peer_ke = wire::find<wire::key_exchange_payload>(md.payloads);
  auto chosen = choose_proposal(sa->connection->config->proposals, offered->proposals,
                                protocol_id::ike, true, peer_ke->method);
  if (!chosen) co_return refuse(sa, make_notify(notify_type::no_proposal_chosen));
  auto peer_spi = decode_ike_spi(chosen->answer.spi);
  if (!peer_spi) co_return refuse(sa, make_notify(notify_type::invalid_syntax));
  if (peer_ke->method != chosen->ike.key_exchange) {
    writer wanted;
    wanted.u16(static_cast<std::uint16_t>(chosen->ike.key_exchange));
    co_return refuse(sa, make_notify(notify_type::invalid_ke_payload, wanted.finish()));
  }
  crypto::respond_key_exchange_job job{peer_ke->method, peer_ke->data};
  auto responded = co_await offload(std::move(job));
  if (!responded) co_return refuse(sa, make_notify(notify_type::invalid_syntax));
  auto own_nonce = make_nonce(*context.random);
  auto own_spi = make_ike_spi(*context.random);
  auto derived = derive_rekeyed_ike_keys(*context.library, sa->algorithms.prf, sa->keys->sk_d,
                                         chosen->ike, responded->shared_secret, peer_nonce->data,
                                         own_nonce, *peer_spi, own_spi);
  if (!derived) co_return refuse(sa, make_notify(notify_type::no_proposal_chosen));
  auto answer = chosen->answer;
  answer.spi = encode_ike_spi(own_spi);
  co_return answered(
      sa,
      payloads_of(wire::security_association_payload{{std::move(answer)}},
                  wire::nonce_payload{own_nonce},
                  wire::key_exchange_payload{peer_ke->method, responded->public_value}),
      peer_alive{},
      ike_rekeyed{chosen->ike, std::move(*derived), role::responder, *peer_spi, own_spi,
                  lowest_nonce(own_nonce, peer_nonce->data)});
}

}  // namespace imago::ikev2
