// INFORMATIONAL (RFC 7296 §1.4): liveness, deletes of both kinds, notifies.
//
//   Initiator                          Responder
//   HDR, SK {[N], [D], [CP]}      -->
//                                 <--  HDR, SK {[N], [D], [CP]}
//
#include <algorithm>

#include "core/ikev2/exchanges/common.hpp"

namespace imago::ikev2 {

namespace {

using enum payload_type;

// A responder that is still half-open gets no INFORMATIONAL; an initiator may be told in one that
// it was refused.
constexpr auto alive = in({sa_state::established, sa_state::rekeyed, sa_state::deleting});

// lint: table
constexpr row rows[] = {
    {alive,
     exchange_type::informational,
     message_kind::request,
     true,
     {},
     {notify, delete_, configuration, vendor_id},
     process_informational_request,
     "process_informational_request",
     "answer a liveness check, delete or notify"},
    {alive | in({sa_state::auth_sent}),
     exchange_type::informational,
     message_kind::response,
     true,
     {},
     {notify, delete_, configuration, vendor_id},
     nullptr,
     "initiate_child_delete | initiate_ike_delete | initiate_liveness_check",
     "finish our INFORMATIONAL exchange"},
};
static_assert(is_unambiguous(rows));

}  // namespace

std::span<const row> informational_rows() { return rows; }

// --- initiator ---

flow initiate_child_delete(flow_context, sa_snapshot_ptr sa, data_plane::spi inbound_spi) {
  send_request request{exchange_type::informational,
                       payloads_of(wire::delete_payload{protocol_id::esp, {inbound_spi}})};
  auto response = co_await offload(std::move(request));
  if (!response) co_return ended(sa, ike_failed{response.failure(), {}});
  // Whatever the answer says, the pair is gone: a peer that lists nothing was deleting it itself
  // (§1.4.1).
  co_return ended(sa, peer_alive{}, children_deleted{{inbound_spi}, false});
}

flow initiate_ike_delete(flow_context, sa_snapshot_ptr sa) {
  send_request request{exchange_type::informational,
                       payloads_of(wire::delete_payload{protocol_id::ike, {}})};
  auto response = co_await offload(std::move(request));
  // Without an answer it is as gone as with one.
  (void)response;
  co_return ended(sa, ike_deleted{false});
}

flow initiate_liveness_check(flow_context, sa_snapshot_ptr sa) {
  send_request request{exchange_type::informational, {}};
  auto response = co_await offload(std::move(request));
  if (!response) co_return ended(sa, ike_failed{response.failure(), {}});
  co_return ended(sa, peer_alive{});
}

flow initiate_failure_notice(flow_context, sa_snapshot_ptr sa, notify_type notify) {
  send_request request{exchange_type::informational, payloads_of(make_notify(notify))};
  auto response = co_await offload(std::move(request));
  (void)response;
  co_return ended(sa, ike_deleted{false});
}

// --- responder ---

namespace {

struct deletes {
  std::vector<data_plane::spi> gone;    // our inbound SPIs of what the peer deletes
  std::vector<data_plane::spi> answer;  // those to list in the response
  bool ike = false;
};

deletes read_deletes(const ike_sa_model& sa, const wire::payloads& payloads) {
  deletes found;
  for (const auto& payload : payloads) {
    const auto* one = std::get_if<wire::delete_payload>(&payload);
    if (!one) continue;
    if (one->protocol == protocol_id::ike) found.ike = true;
    if (one->protocol != protocol_id::esp) continue;
    for (auto spi : one->spis) {
      const auto* child = sa.find_child_by_outbound(spi);
      if (!child) continue;
      found.gone.push_back(child->inbound_spi);
      // Both sides deleting the same pair: it is not listed again (§1.4.1).
      if (child->state != child_state::deleting) found.answer.push_back(child->inbound_spi);
    }
  }
  return found;
}

}  // namespace

flow process_informational_request(flow_context, sa_snapshot_ptr sa, msg_digest md) {
  auto found = read_deletes(*sa, md.payloads);
  // An empty response acknowledges the delete of an IKE SA, and everything not understood (§1.4).
  if (found.ike) co_return answered(sa, {}, ike_deleted{true});
  if (wire::find_notify(md.payloads, notify_type::authentication_failed))
    co_return answered(
        sa, {}, ike_failed{{errc::authentication_failed, "peer sent AUTHENTICATION_FAILED"}, {}});
  wire::payloads response;
  if (!found.answer.empty())
    response.push_back(wire::delete_payload{protocol_id::esp, found.answer});
  auto result = answered(sa, std::move(response), peer_alive{});
  if (!found.gone.empty()) result.effects.push_back(children_deleted{std::move(found.gone), true});
  co_return result;
}

// --- our tasks ---

flow start_task(flow_context context, sa_snapshot_ptr sa, const task& task) {
  switch (task.kind) {
    case task_kind::create_child:
      return initiate_create_child_sa(std::move(context), std::move(sa), task.child, {});
    case task_kind::rekey_child: {
      const auto* child = sa->find_child(task.inbound_spi);
      auto config = child ? child->config : task.child;
      return initiate_create_child_sa(std::move(context), std::move(sa), config, task.inbound_spi);
    }
    case task_kind::delete_child:
      return initiate_child_delete(std::move(context), std::move(sa), task.inbound_spi);
    case task_kind::rekey_ike: return initiate_ike_rekey(std::move(context), std::move(sa));
    case task_kind::delete_ike: return initiate_ike_delete(std::move(context), std::move(sa));
    case task_kind::check_liveness: break;
  }
  return initiate_liveness_check(std::move(context), std::move(sa));
}

}  // namespace imago::ikev2
