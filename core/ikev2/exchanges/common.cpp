#include "core/ikev2/exchanges/common.hpp"

#include <algorithm>

#include "core/base/reader.hpp"
#include "core/base/writer.hpp"
#include "core/ikev2/nat.hpp"

namespace imago::ikev2 {

bytes make_nonce(random_source& random) { return random.octets(32); }

std::uint64_t make_ike_spi(random_source& random) {
  for (;;)
    if (auto spi = random.number(); spi != 0) return spi;
}

wire::notify_payload make_notify(notify_type type, bytes data) {
  wire::notify_payload payload;
  payload.type = type;
  payload.data = std::move(data);
  return payload;
}

bytes encode_spi(data_plane::spi spi) {
  writer out;
  out.u32(spi);
  return out.finish();
}

wire::notify_payload notify_about_child(notify_type type, data_plane::spi spi) {
  auto payload = make_notify(type);
  payload.protocol = protocol_id::esp;
  payload.spi = encode_spi(spi);
  return payload;
}

notify_type notify_for(errc code) {
  switch (code) {
    case errc::unsupported_critical_payload: return notify_type::unsupported_critical_payload;
    case errc::bad_version: return notify_type::invalid_major_version;
    case errc::no_proposal_chosen:
    case errc::no_matching_connection:
    case errc::unsupported_algorithm:
    case errc::not_supported: return notify_type::no_proposal_chosen;
    case errc::invalid_ke_payload: return notify_type::invalid_ke_payload;
    case errc::traffic_selectors_unacceptable: return notify_type::ts_unacceptable;
    case errc::authentication_failed:
    case errc::bad_signature:
    case errc::bad_key:
    case errc::bad_certificate:
    case errc::untrusted_certificate:
    case errc::identity_mismatch: return notify_type::authentication_failed;
    case errc::data_plane_busy:
    case errc::data_plane_lost:
    case errc::no_buffer_space:
    case errc::out_of_memory:
    case errc::queue_full:
    case errc::already_exists: return notify_type::temporary_failure;
    case errc::no_such_sa: return notify_type::child_sa_not_found;
    default: return notify_type::invalid_syntax;
  }
}

crypto::derive_shared_secret_job derive_with(crypto::key_exchange own, bytes peer_public_value) {
  return {std::make_shared<const crypto::key_exchange>(std::move(own)),
          std::move(peer_public_value)};
}

wire::notify_payload notify_about_syntax(const wire::payloads& request, const error& why) {
  if (why.code != errc::unsupported_critical_payload)
    return make_notify(notify_type::invalid_syntax);
  auto answer = make_notify(notify_type::unsupported_critical_payload);
  for (const auto& payload : request)
    if (const auto* unknown = std::get_if<wire::unknown_payload>(&payload))
      if (unknown->critical) answer.data = {static_cast<std::uint8_t>(unknown->type)};
  return answer;
}

std::optional<error> refusal(const wire::payloads& payloads) {
  for (const auto& payload : payloads) {
    const auto* found = std::get_if<wire::notify_payload>(&payload);
    if (!found || !found->is_error()) continue;
    auto code = errc::peer_refused;
    if (found->type == notify_type::no_proposal_chosen) code = errc::no_proposal_chosen;
    if (found->type == notify_type::authentication_failed) code = errc::authentication_failed;
    if (found->type == notify_type::ts_unacceptable) code = errc::traffic_selectors_unacceptable;
    if (found->type == notify_type::child_sa_not_found) code = errc::no_such_sa;
    return error{code, "peer sent " + text_of(found->type)};
  }
  return std::nullopt;
}

bool is_temporary(const wire::payloads& payloads) {
  return wire::find_notify(payloads, notify_type::temporary_failure) != nullptr;
}

result<ke_method> wanted_method(const wire::notify_payload& refused,
                                const std::vector<ke_method>& offered) {
  reader in{refused.data};
  auto method = static_cast<ke_method>(in.u16());
  if (!in.ok() || std::find(offered.begin(), offered.end(), method) == offered.end())
    return {errc::invalid_ke_payload, "peer wants " + text_of(method) + ", not offered"};
  return method;
}

result<bool> key_exchange_rounds::wants_another(const wire::payloads& response) {
  constexpr int rounds_max = 3;
  const auto* refused = wire::find_notify(response, notify_type::invalid_ke_payload);
  if (refused) {
    auto wanted = wanted_method(*refused, offered_);
    if (!wanted) return wanted.failure();
    if (++rounds_ == rounds_max) return {errc::limit_exceeded, "INVALID_KE_PAYLOAD"};
    method_ = *wanted;
    return true;
  }
  if (auto failure = refusal(response)) return *failure;
  return false;
}

void add_nat_detection(wire::payloads& payloads, const flow_context& context,
                       std::uint64_t initiator_spi, std::uint64_t responder_spi,
                       const endpoint& local, const endpoint& remote, bool feign) {
  auto source = feign ? context.random->octets(20)
                      : nat_detection_hash(*context.library, initiator_spi, responder_spi, local);
  auto destination = nat_detection_hash(*context.library, initiator_spi, responder_spi, remote);
  payloads.push_back(make_notify(notify_type::nat_detection_source_ip, std::move(source)));
  payloads.push_back(
      make_notify(notify_type::nat_detection_destination_ip, std::move(destination)));
}

namespace {

std::vector<hash_algorithm> read_hashes(const bytes& data) {
  std::vector<hash_algorithm> hashes;
  reader in{data};
  while (in.size_left() >= 2) {
    auto hash = static_cast<hash_algorithm>(in.u16());
    // SHA-1 is not used with RFC 7427 (RFC 8247 §3.2).
    if (is_known(hash) && hash != hash_algorithm::sha1) hashes.push_back(hash);
  }
  return hashes;
}

}  // namespace

peer_features read_features(const flow_context& context, const msg_digest& md, bool feigned) {
  peer_features peer;
  const auto& head = md.header;
  bool source_fits = false, destination_fits = false, has_source = false, has_destination = false;
  for (const auto& payload : md.payloads) {
    if (std::holds_alternative<wire::certificate_request_payload>(payload))
      peer.wants_certificate = true;
    const auto* found = std::get_if<wire::notify_payload>(&payload);
    if (!found) continue;
    auto fits = [&](const endpoint& at) {
      return found->data ==
             nat_detection_hash(*context.library, head.initiator_spi, head.responder_spi, at);
    };
    switch (found->type) {
      case notify_type::nat_detection_source_ip:
        has_source = true;
        source_fits = source_fits || fits(md.remote);
        break;
      case notify_type::nat_detection_destination_ip:
        has_destination = true;
        destination_fits = destination_fits || fits(md.local);
        break;
      case notify_type::ikev2_fragmentation_supported: peer.fragmentation = true; break;
      case notify_type::childless_ikev2_supported: peer.childless = true; break;
      case notify_type::signature_hash_algorithms:
        peer.signature_hashes = read_hashes(found->data);
        break;
      default: break;
    }
  }
  peer.nat_traversal = has_source && has_destination;
  peer.remote_behind_nat = peer.nat_traversal && !source_fits;
  peer.local_behind_nat = peer.nat_traversal && !destination_fits;
  peer.udp_encapsulation =
      peer.nat_traversal && (peer.remote_behind_nat || peer.local_behind_nat || feigned);
  return peer;
}

wire::notify_payload signature_hashes() {
  writer out;
  for (auto hash : {hash_algorithm::sha2_256, hash_algorithm::sha2_384, hash_algorithm::sha2_512,
                    hash_algorithm::identity})
    out.u16(static_cast<std::uint16_t>(hash));
  return make_notify(notify_type::signature_hash_algorithms, out.finish());
}

const child_sa_model* find_rekeyed(const ike_sa_model& sa, const wire::notify_payload& rekey) {
  reader in{rekey.spi};
  auto spi = in.u32();
  if (!in.ok() || !in.at_end() || rekey.protocol != protocol_id::esp) return nullptr;
  return sa.find_child_by_outbound(spi);  // the peer's inbound SPI is our outbound one
}

bool names_unknown_child(const ike_sa_model& sa, const wire::payloads& request) {
  const auto* rekey = wire::find_notify(request, notify_type::rekey_sa);
  if (rekey && !find_rekeyed(sa, *rekey)) return true;
  for (const auto& payload : request) {
    const auto* deletion = std::get_if<wire::delete_payload>(&payload);
    if (!deletion || deletion->protocol != protocol_id::esp) continue;
    for (auto spi : deletion->spis)
      if (!sa.find_child_by_outbound(spi)) return true;
  }
  return false;
}

bytes lowest_nonce(const bytes& one, const bytes& other) { return std::min(one, other); }

}  // namespace imago::ikev2
