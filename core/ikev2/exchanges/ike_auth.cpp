// IKE_AUTH (RFC 7296 §1.2): who the peers are, and the first Child SA.
//
//   Initiator                                        Responder
//   HDR, SK {IDi, [CERT], [CERTREQ], [IDr],
//            AUTH, SAi2, TSi, TSr}              -->
//                                               <--  HDR, SK {IDr, [CERT], AUTH, SAr2, TSi, TSr}
//                                        or     <--  HDR, SK {IDr, [CERT], AUTH, N(error)}: no
//                                        child or     <--  HDR, SK {N(AUTHENTICATION_FAILED)}
//
#include "core/base/limits.hpp"
#include "core/ikev2/authentication.hpp"
#include "core/ikev2/exchanges/child_negotiation.hpp"

namespace imago::ikev2 {

namespace {

using enum payload_type;

constexpr payload_set child_payloads{security_association, traffic_selector_initiator,
                                     traffic_selector_responder};
constexpr payload_set others{notify, vendor_id, certificate, certificate_request, configuration};

// lint: table
constexpr row rows[] = {
    {in({sa_state::sa_init_done_r}),
     exchange_type::ike_auth,
     message_kind::request,
     true,
     {identification_initiator, authentication},
     child_payloads | others | payload_set{identification_responder},
     process_ike_auth_request,
     "process_ike_auth_request",
     "answer IKE_AUTH"},
    {in({sa_state::auth_sent}),
     exchange_type::ike_auth,
     message_kind::response,
     true,
     {identification_responder, authentication},
     child_payloads | others,
     nullptr,
     "initiate_ike_auth",
     "finish IKE_AUTH"},
    {in({sa_state::auth_sent}),
     exchange_type::ike_auth,
     message_kind::response,
     true,
     {notify},
     {notify, vendor_id},
     nullptr,
     "initiate_ike_auth",
     "the responder refuses"},
};
static_assert(is_unambiguous(rows));

// --- our own AUTH ---

struct own_auth {
  wire::identification_payload id;
  std::vector<wire::certificate_payload> certificates;
  auth_method method{};
  bytes signed_data;
  // One of the two:
  std::optional<crypto::sign_job> job;
  bytes data;
};

config::identity own_identity(const ike_sa_model& sa, const connection_policy& connection) {
  if (!connection.local_identity.is_any()) return connection.local_identity;
  auto type = sa.local.address.is_v4() ? id_type::ipv4_addr : id_type::ipv6_addr;
  return config::identity_from_payload(type, to_bytes(sa.local.address.octets()));
}

result<bytes> own_signed_octets(const flow_context& context, const ike_sa_model& sa,
                                const wire::identification_payload& id) {
  bool initiator = sa.role == role::initiator;
  return signed_octets(*context.library, sa.algorithms.prf,
                       initiator ? sa.init->request : sa.init->response,
                       initiator ? sa.init->responder_nonce : sa.init->initiator_nonce,
                       initiator ? sa.keys->sk_pi : sa.keys->sk_pr, id);
}

result<bytes> peer_signed_octets(const flow_context& context, const ike_sa_model& sa,
                                 const wire::identification_payload& id) {
  bool initiator = sa.role == role::initiator;
  return signed_octets(*context.library, sa.algorithms.prf,
                       initiator ? sa.init->response : sa.init->request,
                       initiator ? sa.init->initiator_nonce : sa.init->responder_nonce,
                       initiator ? sa.keys->sk_pr : sa.keys->sk_pi, id);
}

// Everything about our AUTH but a signature, which is the pool's work.
result<own_auth> prepare_auth(const flow_context& context, const ike_sa_model& sa,
                              const connection_policy& connection,
                              const config::identity& remote_identity, bool certificate_wanted) {
  own_auth own;
  auto identity = own_identity(sa, connection);
  own.id = {sa.role == role::initiator, identity.type, identity.data};
  auto octets = own_signed_octets(context, sa, own.id);
  if (!octets) return octets.failure();
  const auto& config = *connection.config;
  if (config.local.authentication == config::authentication::psk) {
    auto key = sa.policy->shared_key_for(identity, remote_identity);
    if (!key)
      return {errc::authentication_failed,
              "no shared key for " + text_of(identity) + " and " + text_of(remote_identity)};
    auto mac = crypto::shared_key_authentication(*context.library, sa.algorithms.prf,
                                                 key->value.view(), *octets);
    if (!mac) return mac.failure();
    own.method = auth_method::shared_key;
    own.data = to_bytes(mac->view());
    return own;
  }
  if (connection.local_credentials.empty())
    return {errc::bad_key, "no certificate with a private key for " + text_of(identity)};
  const auto& credential = connection.local_credentials.front();
  auto scheme = crypto::choose_scheme(*credential.certificate->key(), sa.peer.signature_hashes,
                                      config.local.prefer_pss);
  if (!scheme) return scheme.failure();
  own.method = scheme->method;
  own.job = crypto::sign_job{credential.key, *scheme, std::move(*octets)};
  bool sends =
      config.send_certificate == config::certificate_policy::always ||
      (config.send_certificate == config::certificate_policy::if_asked && certificate_wanted);
  if (sends) {
    own.certificates.push_back(
        {certificate_encoding::x509_signature, credential.certificate->der()});
    for (const auto& one : sa.policy->intermediates_of(*credential.certificate))
      own.certificates.push_back({certificate_encoding::x509_signature, one->der()});
  }
  return own;
}

// --- the peer's AUTH ---

struct peer_auth {
  std::optional<crypto::verify_job> job;             // a signature: the pool's work
  std::optional<result<crypto::verified>> verified;  // a shared key: done already
};

result<peer_auth> prepare_verification(const flow_context& context, const ike_sa_model& sa,
                                       const connection_policy& connection,
                                       const config::identity& own,
                                       const wire::payloads& payloads) {
  bool from_initiator = sa.role == role::responder;
  const auto* id = wire::find_identification(payloads, from_initiator);
  const auto* auth = wire::find<wire::authentication_payload>(payloads);
  if (!id || !auth) return {errc::missing_payload, "ID or AUTH"};
  auto octets = peer_signed_octets(context, sa, *id);
  if (!octets) return octets.failure();
  auto peer = config::identity_from_payload(id->type, id->data);
  peer_auth check;
  if (connection.config->remote.authentication == config::authentication::psk) {
    if (auth->method != auth_method::shared_key)
      return {errc::authentication_failed, "peer used " + text_of(auth->method) + ", not a PSK"};
    auto key = sa.policy->shared_key_for(own, peer);
    if (!key) return {errc::authentication_failed, "no shared key for " + text_of(peer)};
    check.verified = crypto::verify_shared_key(*context.library, sa.algorithms.prf,
                                               key->value.view(), *octets, auth->data);
    return check;
  }
  if (auth->method == auth_method::shared_key)
    return {errc::authentication_failed, "peer used a PSK, a signature is wanted"};
  crypto::verify_job job;
  for (const auto& payload : payloads) {
    const auto* found = std::get_if<wire::certificate_payload>(&payload);
    if (!found || found->encoding != certificate_encoding::x509_signature) continue;
    if (job.certificates.size() == limits::certificate_count_max)
      return {errc::limit_exceeded, "CERT payloads"};
    job.certificates.push_back(found->data);
  }
  job.known_certificates = connection.remote_certificates;
  job.anchors = connection.remote_anchors;
  job.identity_type = id->type;
  job.identity = id->data;
  job.method = auth->method;
  job.authentication_data = auth->data;
  job.data = std::move(*octets);
  job.now = context.now;
  job.cache = context.certificates;
  check.job = std::move(job);
  return check;
}

// `remote { auth = ecdsa }` asks for that kind of key, whatever the certificate authority vouches
// for.
status check_key_kind(const connection_policy& connection, const crypto::verified& proof) {
  const auto& wanted = connection.config->remote.auth_constraint;
  if (!proof.end_entity()) return {};
  auto kind = proof.end_entity()->key()->kind();
  bool fits = (wanted != "rsa" || kind == crypto::key_kind::rsa) &&
              (wanted != "ecdsa" || kind == crypto::key_kind::ecdsa) &&
              (wanted != "ed25519" || kind == crypto::key_kind::ed25519);
  if (fits) return {};
  return {errc::authentication_failed, "the peer's key is not of the kind " + wanted};
}

bool asks_for_certificate(const wire::payloads& payloads) {
  return wire::find<wire::certificate_request_payload>(payloads) != nullptr;
}

void add_certificates(wire::payloads& payloads, const own_auth& own) {
  for (const auto& one : own.certificates) payloads.push_back(one);
}

// How an initiator tells the responder that it could not be authenticated (§2.21.2).
outcome failed_as_initiator(const sa_snapshot_ptr& sa, error reason) {
  return ended(sa, ike_failed{std::move(reason), notify_type::authentication_failed});
}

}  // namespace

std::span<const row> ike_auth_rows() { return rows; }

// --- initiator ---

namespace {

wire::payloads compose_request(const ike_sa_model& sa, const own_auth& own, auth_method method,
                               bytes auth_data, const config::child_config* child,
                               data_plane::spi own_spi) {
  const auto& config = *sa.connection->config;
  wire::payloads payloads;
  payloads.push_back(own.id);
  add_certificates(payloads, own);
  if (config.remote.authentication == config::authentication::pubkey &&
      config.sends_certificate_requests && !sa.connection->remote_anchors->authorities().empty())
    payloads.push_back(wire::certificate_request_payload{
        certificate_encoding::x509_signature, sa.connection->remote_anchors->info_hashes()});
  if (!config.remote.identity.is_any() && !config.remote.identity.has_wildcards)
    payloads.push_back(wire::identification_payload{false, config.remote.identity.type,
                                                    config.remote.identity.data});
  payloads.push_back(wire::authentication_payload{method, std::move(auth_data)});
  if (child) add_child_offer(payloads, sa, *child, own_spi, false);
  return payloads;
}

}  // namespace

// lint: long because a flow is one story, and only one coroutine may suspend in it
flow initiate_ike_auth(flow_context context, sa_snapshot_ptr sa, child_config_ptr child) {
  auto connection = sa->connection;
  if (!child && !sa->peer.childless)
    co_return ended(sa, ike_failed{{errc::not_supported,
                                    "the peer wants a Child SA in IKE_AUTH (it does not announce "
                                    "RFC 6023): name one"},
                                   {}});
  auto own = prepare_auth(context, *sa, *connection, connection->config->remote.identity,
                          sa->peer.wants_certificate);
  if (!own) co_return ended(sa, ike_failed{own.failure(), {}});

  // SPI and signature at the same time, each only if wanted.
  data_plane::spi own_spi = 0;
  auto allocate = spi_request(*sa);
  if (own->job && child) {
    auto both = co_await offload(std::move(allocate), std::move(*own->job));
    if (!std::get<0>(both)) co_return ended(sa, ike_failed{std::get<0>(both).failure(), {}});
    if (!std::get<1>(both)) co_return ended(sa, ike_failed{std::get<1>(both).failure(), {}});
    own_spi = std::get<0>(both)->spi;
    own->data = std::move(std::get<1>(both)->authentication_data);
  } else if (own->job) {
    auto made = co_await offload(std::move(*own->job));
    if (!made) co_return ended(sa, ike_failed{made.failure(), {}});
    own->data = std::move(made->authentication_data);
  } else if (child) {
    auto allocated = co_await offload(std::move(allocate));
    if (!allocated) co_return ended(sa, ike_failed{allocated.failure(), {}});
    own_spi = allocated->spi;
  }

  send_request request{exchange_type::ike_auth,
                       compose_request(*sa, *own, own->method, own->data, child.get(), own_spi)};
  auto response = co_await offload(std::move(request));
  if (!response) co_return ended(sa, ike_failed{response.failure(), {}});
  const auto* peer_id = wire::find_identification(response->payloads, false);
  if (!peer_id) {
    auto refused = refusal(response->payloads);
    co_return ended(sa, ike_failed{refused ? *refused : error{errc::missing_payload, "IDr"}, {}});
  }

  // §2.15: the responder is who we meant, and proves it.
  auto peer = config::identity_from_payload(peer_id->type, peer_id->data);
  const auto& wanted = connection->config->remote.identity;
  if (!wanted.is_any() && !wanted.matches(peer.type, peer.data))
    co_return failed_as_initiator(
        sa, {errc::authentication_failed, "peer is " + text_of(peer) + ", not " + wanted.text});
  auto own_id = config::identity_from_payload(own->id.type, own->id.data);
  auto check = prepare_verification(context, *sa, *connection, own_id, response->payloads);
  if (!check) co_return failed_as_initiator(sa, check.failure());
  if (check->job) {
    auto verified = co_await offload(std::move(*check->job));
    check->verified.emplace(std::move(verified));
  }
  if (!*check->verified) co_return failed_as_initiator(sa, check->verified->failure());
  if (auto fits = check_key_kind(*connection, **check->verified); !fits)
    co_return failed_as_initiator(sa, fits.failure());
  auto result =
      ended(sa, ike_authenticated{std::move(**check->verified), connection, own_id, peer});
  if (!child) co_return result;

  // The Child SA may fail without the IKE SA failing (§1.2).
  auto refused = refusal(response->payloads);
  auto agreed = refused ? imago::result<child_sa_model>{*refused}
                        : check_child_answer(*sa, child, own_spi, response->payloads, false);
  if (agreed) {
    agreed->reqid = context.numbers->reqid_of(*connection->config, *child);
    auto keyed = key_child(context, *sa, *agreed, secret{}, sa->init->initiator_nonce,
                           sa->init->responder_nonce, sa->algorithms.prf, sa->keys->sk_d);
    if (keyed) {
      report_activity(*keyed, *connection->config);
      auto installed = co_await offload(std::move(keyed->inbound));
      if (installed) {
        agreed->lowest_nonce = lowest_nonce(sa->init->initiator_nonce, sa->init->responder_nonce);
        result.effects.push_back(
            child_created{std::move(*agreed), std::move(keyed->outbound), false, {}});
        co_return result;
      }
      agreed = installed.failure();
    } else {
      agreed = keyed.failure();
    }
  }
  auto released = spi_release(*sa, own_spi);
  auto gone = co_await offload(std::move(released));
  (void)gone;  // the lease takes it back in any case
  child_not_created failure{child->name, agreed.failure(), {}, false, {}};
  // A Child SA that the peer believes in but we do not must be deleted.
  if (!refused) failure.exists_at_peer = own_spi;
  result.effects.push_back(std::move(failure));
  co_return result;
}

// --- responder ---

namespace {

wire::payloads compose_response(const own_auth& own, bytes auth_data) {
  wire::payloads payloads;
  payloads.push_back(own.id);
  add_certificates(payloads, own);
  payloads.push_back(wire::authentication_payload{own.method, std::move(auth_data)});
  return payloads;
}

outcome refuse(const sa_snapshot_ptr& sa, error reason) {
  return answered(sa, payloads_of(make_notify(notify_type::authentication_failed)),
                  ike_failed{std::move(reason), {}});
}

connection_policy_ptr choose_connection(const ike_sa_model& sa, const wire::payloads& payloads,
                                        const config::identity& peer) {
  const auto* auth = wire::find<wire::authentication_payload>(payloads);
  const auto* asked = wire::find_identification(payloads, false);
  config::identity asked_identity;
  if (asked) asked_identity = config::identity_from_payload(asked->type, asked->data);
  auto authentication = auth->method == auth_method::shared_key ? config::authentication::psk
                                                                : config::authentication::pubkey;
  return sa.policy->for_identities(sa.local.address, sa.remote.address, peer,
                                   asked ? &asked_identity : nullptr, authentication,
                                   &sa.algorithms);
}

}  // namespace

// lint: long because a flow is one story, and only one coroutine may suspend in it
flow process_ike_auth_request(flow_context context, sa_snapshot_ptr sa, msg_digest md) {
  const auto* id = wire::find_identification(md.payloads, true);
  auto peer = config::identity_from_payload(id->type, id->data);
  auto connection = choose_connection(*sa, md.payloads, peer);
  if (!connection)
    co_return refuse(sa, {errc::no_matching_connection,
                          "peer " + text_of(peer) + " at " + sa->remote.address.text()});
  auto own_id = own_identity(*sa, *connection);
  auto check = prepare_verification(context, *sa, *connection, own_id, md.payloads);
  if (!check) co_return refuse(sa, check.failure());
  if (check->job) {
    auto verified = co_await offload(std::move(*check->job));
    check->verified.emplace(std::move(verified));
  }
  if (!*check->verified) co_return refuse(sa, check->verified->failure());
  if (auto fits = check_key_kind(*connection, **check->verified); !fits)
    co_return refuse(sa, fits.failure());

  auto own = prepare_auth(context, *sa, *connection, peer, asks_for_certificate(md.payloads));
  if (!own) co_return refuse(sa, own.failure());

  bool wants_child = wire::find<wire::security_association_payload>(md.payloads) != nullptr;
  auto agreed = wants_child ? accept_child(context, *sa, *connection, md.payloads, false, nullptr)
                            : imago::result<agreed_child>{errc::missing_payload, "childless"};
  std::string name;  // which one the peer means, if it is known
  if (agreed) name = agreed->child.config->name;

  // SPI and signature at the same time, each only if wanted.
  auto allocate = spi_request(*sa);
  if (own->job && agreed) {
    auto both = co_await offload(std::move(allocate), std::move(*own->job));
    if (!std::get<1>(both)) co_return refuse(sa, std::get<1>(both).failure());
    own->data = std::move(std::get<1>(both)->authentication_data);
    if (std::get<0>(both)) {
      agreed->child.inbound_spi = std::get<0>(both)->spi;
    } else {
      agreed = std::get<0>(both).failure();
    }
  } else if (own->job) {
    auto made = co_await offload(std::move(*own->job));
    if (!made) co_return refuse(sa, made.failure());
    own->data = std::move(made->authentication_data);
  } else if (agreed) {
    auto allocated = co_await offload(std::move(allocate));
    if (allocated) {
      agreed->child.inbound_spi = allocated->spi;
    } else {
      agreed = allocated.failure();
    }
  }

  auto response = compose_response(*own, own->data);
  auto result =
      ended(sa, ike_authenticated{std::move(**check->verified), connection, own_id, peer});
  std::optional<data_plane::install_sa> outbound;
  if (agreed) {
    auto keyed = key_child(context, *sa, agreed->child, secret{}, sa->init->initiator_nonce,
                           sa->init->responder_nonce, sa->algorithms.prf, sa->keys->sk_d);
    if (keyed) {
      report_activity(*keyed, *connection->config);
      auto installed = co_await offload(std::move(keyed->inbound));
      if (installed) {
        outbound = std::move(keyed->outbound);
      } else {
        agreed = installed.failure();
      }
    } else {
      agreed = keyed.failure();
    }
  }
  if (outbound) {
    add_child_answer(response, *agreed, agreed->child.inbound_spi);
    agreed->child.lowest_nonce = lowest_nonce(sa->init->initiator_nonce, sa->init->responder_nonce);
    result.effects.push_back(
        child_created{std::move(agreed->child), std::move(*outbound), false, {}});
  } else if (wants_child) {
    response.push_back(make_notify(notify_for(agreed.failure().code)));
    result.effects.push_back(child_not_created{name, agreed.failure(), {}, false, {}});
  }
  result.response = std::move(response);
  co_return result;
}

}  // namespace imago::ikev2
