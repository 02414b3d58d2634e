#include "bench/load/messages.hpp"

#include <algorithm>
#include <cstring>

#include "core/ikev2/authentication.hpp"
#include "core/ikev2/message_protection.hpp"
#include "core/ikev2/nat.hpp"

namespace imago::bench {

namespace {

constexpr std::size_t nonce_size = 32;

wire::transform transform_of(transform_type type, auto id, std::uint16_t bits = 0) {
  wire::transform made;
  made.type = type;
  made.id = static_cast<std::uint16_t>(id);
  made.key_bits = bits;
  return made;
}

wire::notify_payload notify(notify_type type, bytes data = {}) {
  wire::notify_payload made;
  made.type = type;
  made.data = std::move(data);
  return made;
}

bytes octets_of(std::uint32_t number) {
  return {static_cast<std::uint8_t>(number >> 24), static_cast<std::uint8_t>(number >> 16),
          static_cast<std::uint8_t>(number >> 8), static_cast<std::uint8_t>(number)};
}

// What is behind the gateway, and one address of the client's own: 10.128.0.0/9 by number.
traffic_selector everything_behind() {
  return traffic_selector::from_prefix(*ip_prefix::parse("192.168.0.0/16"));
}
traffic_selector own_address(std::size_t index) {
  auto number = 0x0a800000U + static_cast<std::uint32_t>(index % 0x7fffff);
  return traffic_selector::host(*ip_address::from_octets(octets_of(number)));
}

error refusal_in(const wire::payloads& payloads) {
  for (const auto& one : payloads)
    if (const auto* found = std::get_if<wire::notify_payload>(&one); found && found->is_error())
      return {errc::peer_refused, text_of(found->type)};
  return {errc::missing_payload, wire::describe(payloads)};
}

}  // namespace

result<messages> messages::create(const load_options& options) {
  messages made;
  made.library_ = std::make_unique<crypto::library>();
  made.target_ = options.target;
  made.algorithms_ = {encryption_algorithm::aes_gcm_16, 128, integrity_algorithm::none,
                      prf_algorithm::hmac_sha2_256, options.method};
  auto pair = crypto::key_exchange::generate(*made.library_, options.method);
  if (!pair) return pair.failure();
  made.pair_ = std::move(*pair);
  made.shared_key_ = secret{bytes_view{to_bytes(options.shared_key)}};
  if (options.credentials_folder.empty()) return made;
  auto read = read_credentials(*made.library_, options.credentials_folder);
  if (!read) return read.failure();
  made.credentials_ = std::move(*read);
  return made;
}

wire::payloads messages::init_payloads(bytes nonce) const {
  wire::proposal ike;
  ike.protocol = protocol_id::ike;
  ike.transforms = {
      transform_of(transform_type::encryption, algorithms_.encryption, algorithms_.key_bits),
      transform_of(transform_type::prf, algorithms_.prf),
      transform_of(transform_type::key_exchange, algorithms_.key_exchange)};
  return {wire::security_association_payload{{std::move(ike)}},
          wire::key_exchange_payload{algorithms_.key_exchange, pair_->public_value()},
          wire::nonce_payload{std::move(nonce)}};
}

bytes messages::init_request(std::uint64_t spi, const endpoint& from, beginning& kept) const {
  if (kept.nonce.empty()) kept.nonce = library_->octets(nonce_size);
  wire::header header;
  header.initiator_spi = spi;
  header.exchange = exchange_type::ike_sa_init;
  header.from_initiator = true;
  auto payloads = init_payloads(kept.nonce);
  if (!kept.cookie.empty())
    payloads.insert(payloads.begin(), notify(notify_type::cookie, kept.cookie));
  payloads.emplace_back(notify(notify_type::nat_detection_source_ip,
                               ikev2::nat_detection_hash(*library_, spi, 0, from)));
  payloads.emplace_back(notify(notify_type::nat_detection_destination_ip,
                               ikev2::nat_detection_hash(*library_, spi, 0, target_)));
  if (credentials_)
    payloads.emplace_back(notify(notify_type::signature_hash_algorithms, bytes{0, 2}));
  kept.request = wire::encode_message(header, payloads);
  return kept.request;
}

result<std::unique_ptr<session>> messages::start_session(const beginning& kept,
                                                         const wire::message& response) const {
  const auto* theirs = wire::find<wire::key_exchange_payload>(response.payloads);
  const auto* nonce = wire::find<wire::nonce_payload>(response.payloads);
  if (theirs == nullptr || nonce == nullptr) return refusal_in(response.payloads);
  auto shared = pair_->derive(*library_, theirs->data);
  if (!shared) return shared.failure();
  auto keys = ikev2::derive_ike_keys(*library_, algorithms_, *shared, kept.nonce, nonce->data,
                                     response.header.initiator_spi, response.header.responder_spi);
  if (!keys) return keys.failure();
  return std::unique_ptr<session>{new session{std::move(*keys)}};
}

result<wire::payload> messages::prove(session& of, std::size_t index, const beginning& kept,
                                      bytes_view nonce_of_peer,
                                      const wire::identification_payload& id) const {
  auto data = ikev2::signed_octets(*library_, algorithms_.prf, kept.request, nonce_of_peer,
                                   of.keys.keys.sk_pi, id);
  if (!data) return data.failure();
  if (!credentials_) {
    auto mac =
        crypto::shared_key_authentication(*library_, algorithms_.prf, shared_key_.view(), *data);
    if (!mac) return mac.failure();
    return wire::payload{
        wire::authentication_payload{auth_method::shared_key, to_bytes(mac->view())}};
  }
  if (index >= credentials_->certificates.size())
    return {errc::not_found, "a certificate for client " + std::to_string(index)};
  crypto::signature_scheme scheme;
  scheme.kind = credentials_->key->kind();
  auto signature = crypto::sign(*library_, *credentials_->key, scheme, *data);
  if (!signature) return signature.failure();
  return wire::payload{
      wire::authentication_payload{auth_method::digital_signature, std::move(*signature)}};
}

wire::payloads messages::child_payloads(std::size_t index, std::uint32_t spi) {
  wire::proposal esp;
  esp.protocol = protocol_id::esp;
  esp.spi = octets_of(spi);
  esp.transforms = {transform_of(transform_type::encryption, encryption_algorithm::aes_gcm_16, 128),
                    transform_of(transform_type::sequence_numbers, sequence_numbers::no_esn)};
  return {wire::security_association_payload{{std::move(esp)}},
          wire::traffic_selector_payload{true, {own_address(index)}},
          wire::traffic_selector_payload{false, {everything_behind()}}};
}

result<bytes> messages::auth_request(session& of, std::size_t index, const beginning& kept,
                                     const wire::message& init_response) const {
  wire::identification_payload id{true, id_type::fqdn, to_bytes(client_name(index))};
  wire::payloads payloads{id};
  if (credentials_ && index < credentials_->certificates.size()) {
    payloads.emplace_back(wire::certificate_payload{certificate_encoding::x509_signature,
                                                    credentials_->certificates[index]});
    payloads.emplace_back(wire::certificate_request_payload{certificate_encoding::x509_signature,
                                                            credentials_->authority_hash});
  }
  const auto* nonce = wire::find<wire::nonce_payload>(init_response.payloads);
  if (nonce == nullptr) return refusal_in(init_response.payloads);
  payloads.emplace_back(
      wire::identification_payload{false, id_type::fqdn, to_bytes(responder_name)});
  auto proof = prove(of, index, kept, nonce->data, id);
  if (!proof) return proof.failure();
  payloads.push_back(std::move(*proof));
  of.child_spi = 0x1000 + static_cast<std::uint32_t>(library_->number() & 0x7fffffff);
  for (auto& one : child_payloads(index, of.child_spi)) payloads.push_back(std::move(one));
  return seal(of, init_response.header, exchange_type::ike_auth, payloads);
}

result<bytes> messages::seal(session& of, const wire::header& ids, exchange_type exchange,
                             const wire::payloads& payloads) const {
  wire::header header;
  header.initiator_spi = ids.initiator_spi;
  header.responder_spi = ids.responder_spi;
  header.exchange = exchange;
  header.from_initiator = true;
  header.message_id = of.next_message_id++;
  auto sealed = ikev2::seal_message(of.keys.initiator_to_responder, *library_, header, payloads, 0);
  if (!sealed) return sealed.failure();
  return std::move(sealed->front());
}

result<bytes> messages::dpd_request(session& of, const wire::header& ids) const {
  return seal(of, ids, exchange_type::informational, {});
}
result<bytes> messages::rekey_request(session& of, std::size_t index,
                                      const wire::header& ids) const {
  of.new_child_spi = 0x1000 + static_cast<std::uint32_t>(library_->number() & 0x7fffffff);
  auto payloads = child_payloads(index, of.new_child_spi);
  payloads.insert(payloads.begin() + 1, wire::nonce_payload{library_->octets(nonce_size)});
  auto which = notify(notify_type::rekey_sa);
  which.protocol = protocol_id::esp;
  which.spi = octets_of(of.child_spi);
  payloads.insert(payloads.begin(), which);
  return seal(of, ids, exchange_type::create_child_sa, payloads);
}
result<bytes> messages::delete_child_request(session& of, std::uint32_t spi,
                                             const wire::header& ids) const {
  return seal(of, ids, exchange_type::informational,
              {wire::delete_payload{protocol_id::esp, {spi}}});
}
result<bytes> messages::delete_request(session& of, const wire::header& ids) const {
  return seal(of, ids, exchange_type::informational, {wire::delete_payload{protocol_id::ike, {}}});
}

result<bytes> messages::answer(session& of, const wire::header& request) const {
  wire::header header = request;
  header.from_initiator = true;
  header.is_response = true;
  wire::payloads payloads;
  if (request.exchange == exchange_type::create_child_sa)
    payloads.emplace_back(notify(notify_type::no_additional_sas));
  auto sealed = ikev2::seal_message(of.keys.initiator_to_responder, *library_, header, payloads, 0);
  if (!sealed) return sealed.failure();
  return std::move(sealed->front());
}

result<wire::payloads> messages::open(session& of, bytes_view datagram) {
  auto opened = ikev2::open_message(of.keys.responder_to_initiator, datagram);
  if (!opened) return opened.failure();
  return wire::parse_payloads(opened->first_inner, opened->plaintext.view());
}

messages::flood_template messages::make_template() const {
  wire::header header;
  header.exchange = exchange_type::ike_sa_init;
  header.from_initiator = true;
  flood_template made;
  auto nonce = library_->octets(nonce_size);
  made.datagram = wire::encode_message(header, init_payloads(nonce));
  // The nonce is the last payload.
  made.nonce_at = made.datagram.size() - nonce_size;
  return made;
}

bytes messages::with_cookie(bytes_view datagram, bytes_view cookie) {
  // Generic header, protocol, SPI size, type, cookie (RFC 7296 §3.10).
  auto size = 8 + cookie.size();
  bytes made;
  made.reserve(datagram.size() + size);
  append(made, datagram.first(wire::header_size));
  auto first = made[16];
  made[16] = static_cast<std::uint8_t>(payload_type::notify);
  auto type = static_cast<std::uint16_t>(notify_type::cookie);
  append(made,
         bytes{first, 0, static_cast<std::uint8_t>(size >> 8), static_cast<std::uint8_t>(size), 0,
               0, static_cast<std::uint8_t>(type >> 8), static_cast<std::uint8_t>(type)});
  append(made, cookie);
  append(made, datagram.subspan(wire::header_size));
  auto length = octets_of(static_cast<std::uint32_t>(made.size()));
  std::copy(length.begin(), length.end(), made.begin() + 24);
  return made;
}

}  // namespace imago::bench
