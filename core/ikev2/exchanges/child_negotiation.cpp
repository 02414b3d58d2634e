#include "core/ikev2/exchanges/child_negotiation.hpp"

#include <algorithm>

#include "core/base/reader.hpp"

namespace imago::ikev2 {

traffic_selectors resolve(const std::vector<config::selector_template>& templates,
                          const ip_address& own) {
  traffic_selectors selectors;
  for (const auto& one : templates) {
    auto selector = one.selector;
    if (one.dynamic) selector.start_address = selector.end_address = own;
    selectors.push_back(selector);
  }
  if (selectors.empty()) selectors.push_back(traffic_selector::host(own));
  return selectors;
}

void add_child_offer(wire::payloads& payloads, const ike_sa_model& sa,
                     const config::child_config& child, data_plane::spi own_spi,
                     bool with_key_exchange) {
  if (child.mode == data_plane::mode::transport)
    payloads.push_back(make_notify(notify_type::use_transport_mode));
  payloads.push_back(wire::security_association_payload{
      offer(child.proposals, encode_spi(own_spi), with_key_exchange)});
  payloads.push_back(
      wire::traffic_selector_payload{true, resolve(child.local_selectors, sa.local.address)});
  payloads.push_back(
      wire::traffic_selector_payload{false, resolve(child.remote_selectors, sa.remote.address)});
}

namespace {

result<data_plane::spi> decode_spi(const bytes& octets) {
  reader in{octets};
  auto spi = in.u32();
  if (!in.ok() || !in.at_end() || spi < 256) return {errc::bad_value, "ESP SPI"};
  return spi;
}

std::uint32_t clamped_window(const flow_context& context, const config::child_config& child) {
  return std::min(child.replay_window, context.abilities.replay_window_max);
}

bool is_supported(const flow_context& context, const ike_sa_model& sa,
                  const config::child_config& child) {
  if (child.mode == data_plane::mode::transport && !context.abilities.transport_mode) return false;
  // ESP without UDP cannot be carried by this data plane, and the peer does not do NAT traversal.
  return !context.abilities.requires_udp_encapsulation || sa.peer.udp_encapsulation;
}

struct child_request {
  const wire::security_association_payload* proposals;
  const wire::traffic_selector_payload* initiator_selectors;
  const wire::traffic_selector_payload* responder_selectors;
  bool asks_transport;
};

result<agreed_child> try_config(const ike_sa_model& sa, const child_request& request,
                                const child_config_ptr& config, bool with_key_exchange,
                                ke_method preferred) {
  bool transport = config->mode == data_plane::mode::transport;
  if (transport && !request.asks_transport)
    return {errc::traffic_selectors_unacceptable, "transport mode was not asked for"};
  auto narrowed =
      narrow(resolve(config->local_selectors, sa.local.address),
             resolve(config->remote_selectors, sa.remote.address),
             request.responder_selectors->selectors, request.initiator_selectors->selectors);
  if (!narrowed) return narrowed.failure();
  auto chosen = choose_proposal(config->proposals, request.proposals->proposals, protocol_id::esp,
                                with_key_exchange, preferred);
  if (!chosen) return chosen.failure();
  auto peer_spi = decode_spi(chosen->answer.spi);
  if (!peer_spi) return peer_spi.failure();
  agreed_child agreed;
  agreed.answer = std::move(chosen->answer);
  auto& child = agreed.child;
  child.outbound_spi = *peer_spi;
  child.config = config;
  child.mode = config->mode;
  child.algorithms = chosen->esp;
  child.local_selectors = std::move(narrowed->local);
  child.remote_selectors = std::move(narrowed->remote);
  child.is_encapsulated = sa.peer.udp_encapsulation;
  return agreed;
}

}  // namespace

result<agreed_child> accept_child(const flow_context& context, const ike_sa_model& sa,
                                  const connection_policy& connection,
                                  const wire::payloads& payloads, bool with_key_exchange,
                                  const child_sa_model* rekeyed) {
  child_request request{wire::find<wire::security_association_payload>(payloads),
                        wire::find_selectors(payloads, true), wire::find_selectors(payloads, false),
                        wire::find_notify(payloads, notify_type::use_transport_mode) != nullptr};
  if (!request.proposals || !request.initiator_selectors || !request.responder_selectors)
    return {errc::missing_payload, "SA, TSi or TSr"};
  const auto* peer_ke = wire::find<wire::key_exchange_payload>(payloads);
  auto preferred = peer_ke ? peer_ke->method : ke_method::none;

  // The error of the configuration that came closest: a proposal mismatch means that the
  // selectors fitted.
  error closest{errc::traffic_selectors_unacceptable, "no Child SA configured"};
  auto consider = [&](const child_config_ptr& config) -> std::optional<agreed_child> {
    if (!is_supported(context, sa, *config)) {
      closest = {errc::not_supported, "this data plane cannot carry " + config->name};
      return std::nullopt;
    }
    auto agreed = try_config(sa, request, config, with_key_exchange, preferred);
    if (agreed) return std::move(*agreed);
    if (closest.code == errc::traffic_selectors_unacceptable) closest = agreed.failure();
    return std::nullopt;
  };
  if (rekeyed) {
    auto agreed = consider(rekeyed->config);
    if (!agreed) return closest;
    agreed->child.reqid = rekeyed->reqid;
    return std::move(*agreed);
  }
  for (const auto& one : connection.config->children) {
    if (one.is_shunt()) continue;
    child_config_ptr config{connection.config, &one};  // shares the connection's ownership
    if (auto agreed = consider(config)) {
      agreed->child.reqid = context.numbers->reqid_of(*connection.config, *config);
      return std::move(*agreed);
    }
  }
  return closest;
}

void add_child_answer(wire::payloads& payloads, const agreed_child& agreed,
                      data_plane::spi own_spi) {
  if (agreed.child.mode == data_plane::mode::transport)
    payloads.push_back(make_notify(notify_type::use_transport_mode));
  auto answer = agreed.answer;
  answer.spi = encode_spi(own_spi);
  payloads.push_back(wire::security_association_payload{{std::move(answer)}});
  payloads.push_back(wire::traffic_selector_payload{true, agreed.child.remote_selectors});
  payloads.push_back(wire::traffic_selector_payload{false, agreed.child.local_selectors});
}

result<child_sa_model> check_child_answer(const ike_sa_model& sa, const child_config_ptr& config,
                                          data_plane::spi own_spi, const wire::payloads& payloads,
                                          bool with_key_exchange) {
  const auto* proposals = wire::find<wire::security_association_payload>(payloads);
  const auto* local = wire::find_selectors(payloads, true);
  const auto* remote = wire::find_selectors(payloads, false);
  if (!proposals || !local || !remote) return {errc::missing_payload, "SA, TSi or TSr"};
  auto chosen = check_answer(offer(config->proposals, encode_spi(own_spi), with_key_exchange),
                             proposals->proposals, protocol_id::esp, with_key_exchange);
  if (!chosen) return chosen.failure();
  auto peer_spi = decode_spi(chosen->answer.spi);
  if (!peer_spi) return peer_spi.failure();
  auto check = [&](const auto& templates, const ip_address& own, const auto& returned) {
    return check_narrowed(resolve(templates, own), returned);
  };
  if (auto fits = check(config->local_selectors, sa.local.address, local->selectors); !fits)
    return fits.failure();
  if (auto fits = check(config->remote_selectors, sa.remote.address, remote->selectors); !fits)
    return fits.failure();
  bool transport = wire::find_notify(payloads, notify_type::use_transport_mode) != nullptr;
  if (transport != (config->mode == data_plane::mode::transport))
    return {errc::traffic_selectors_unacceptable, "the peer chose another mode"};
  child_sa_model child;
  child.inbound_spi = own_spi;
  child.outbound_spi = *peer_spi;
  child.config = config;
  child.mode = config->mode;
  child.algorithms = chosen->esp;
  child.local_selectors = local->selectors;
  child.remote_selectors = remote->selectors;
  child.is_encapsulated = sa.peer.udp_encapsulation;
  child.created_by_us = true;
  return child;
}

result<keyed_child> key_child(const flow_context& context, const ike_sa_model& sa,
                              const child_sa_model& child, const secret& shared_secret,
                              const bytes& initiator_nonce, const bytes& responder_nonce,
                              prf_algorithm prf, const secret& sk_d) {
  auto keys = derive_child_keys(*context.library, prf, sk_d, child.algorithms, shared_secret,
                                initiator_nonce, responder_nonce);
  if (!keys) return keys.failure();

  auto make = [&](data_plane::direction direction) {
    bool inbound = direction == data_plane::direction::inbound;
    data_plane::sa_parameters parameters;
    parameters.id = {direction, inbound ? sa.local.address : sa.remote.address,
                     inbound ? child.inbound_spi : child.outbound_spi};
    parameters.source = inbound ? sa.remote.address : sa.local.address;
    parameters.mode = child.mode;
    parameters.reqid = child.reqid;
    parameters.encryption = child.algorithms.encryption;
    parameters.key_bits = child.algorithms.key_bits;
    parameters.integrity = child.algorithms.integrity;
    // "initiator" here is the one of the exchange that makes the SA (§2.17).
    bool initiators = inbound != child.created_by_us;
    parameters.encryption_key =
        std::move(initiators ? keys->initiator_encryption : keys->responder_encryption);
    parameters.integrity_key =
        std::move(initiators ? keys->initiator_integrity : keys->responder_integrity);
    parameters.uses_esn = child.algorithms.esn;
    parameters.replay_window = clamped_window(context, *child.config);
    if (child.is_encapsulated) {
      parameters.encap_local = sa.local;
      parameters.encap_remote = sa.remote;
    }
    parameters.local_selectors = child.local_selectors;
    parameters.remote_selectors = child.remote_selectors;
    parameters.lifetime = {child.config->rekey_bytes, child.config->life_bytes,
                           child.config->rekey_packets, child.config->life_packets};
    parameters.reports_first_use = inbound;
    return parameters;
  };
  keyed_child keyed;
  keyed.inbound.sa = make(data_plane::direction::inbound);
  keyed.outbound.sa = make(data_plane::direction::outbound);
  if (child.config->installs_policies)
    keyed.inbound.policies.push_back({child.reqid, child.mode, child.local_selectors,
                                      child.remote_selectors, sa.local.address, sa.remote.address,
                                      true});
  return keyed;
}

void report_activity(keyed_child& keyed, const config::connection_config& connection) {
  keyed.inbound.sa.activity_interval = connection.dpd_delay - connection.dpd_delay / 4;
}

data_plane::allocate_spi spi_request(const ike_sa_model& sa) {
  return {sa.local.address, sa.remote.address};
}

data_plane::remove_sa spi_release(const ike_sa_model& sa, data_plane::spi own_spi) {
  return {{data_plane::direction::inbound, sa.local.address, own_spi}};
}

}  // namespace imago::ikev2
