#include "core/crypto/job.hpp"

#include "core/base/limits.hpp"
#include "core/crypto/prf.hpp"

namespace imago::crypto {

namespace {

using output = std::variant<key_exchange_generated, key_exchanges_generated, key_exchange_responded,
                            shared_secret_derived, signature_made, verified>;

job_result run_one(const library& library, generate_key_exchange_job&& job) {
  auto own = key_exchange::generate(library, job.method);
  if (!own) return own.failure();
  return output{key_exchange_generated{std::move(*own)}};
}

job_result run_one(const library& library, generate_key_exchanges_job&& job) {
  key_exchanges_generated made;
  for (std::size_t i = 0; i < job.count; ++i) {
    auto own = key_exchange::generate(library, job.method);
    if (!own) return own.failure();
    made.own.push_back(std::move(*own));
  }
  return output{std::move(made)};
}

job_result run_one(const library& library, respond_key_exchange_job&& job) {
  auto own = key_exchange::generate(library, job.method);
  if (!own) return own.failure();
  auto shared = own->derive(library, job.peer_public_value);
  if (!shared) return shared.failure();
  return output{key_exchange_responded{own->public_value(), std::move(*shared)}};
}

job_result run_one(const library& library, derive_shared_secret_job&& job) {
  if (!job.own) return {errc::bad_key, "no key pair"};
  auto shared = job.own->derive(library, job.peer_public_value);
  if (!shared) return shared.failure();
  return output{shared_secret_derived{std::move(*shared)}};
}

job_result run_one(const library& library, sign_job&& job) {
  if (!job.key) return {errc::bad_key, "no private key"};
  auto made = sign(library, *job.key, job.scheme, job.data);
  if (!made) return made.failure();
  return output{signature_made{std::move(*made)}};
}

job_result run_one(const library& library, verify_job&& job) {
  auto done = verify_peer(library, std::move(job));
  if (!done) return done.failure();
  return output{std::move(*done)};
}

// The peer's chain as received, parsed.
result<std::vector<certificate_ptr>> load_all(const library& library, const verify_job& job) {
  if (job.certificates.size() > limits::certificate_count_max)
    return {errc::limit_exceeded, "certificates"};
  std::vector<certificate_ptr> list;
  for (const auto& der : job.certificates) {
    auto loaded = job.cache ? job.cache->load(library, der) : certificate::load(library, der);
    if (!loaded) return loaded.failure();
    list.push_back(*loaded);
  }
  return list;
}

status check_validity(const certificate& one, wall_time now) {
  if (now < one.not_before()) return {errc::untrusted_certificate, "certificate is not yet valid"};
  if (one.not_after() < now) return {errc::untrusted_certificate, "certificate has expired"};
  return {};
}

status check_identity(const certificate& one, const verify_job& job) {
  if (one.contains_identity(job.identity_type, job.identity)) return {};
  return {errc::identity_mismatch,
          "'" + escaped(one.subject()) + "' for " + text_of(job.identity_type)};
}

// Is the received end entity one that may speak for this peer?
status check_end_entity(const library& library, const std::vector<certificate_ptr>& chain,
                        const verify_job& job) {
  const auto& end_entity = *chain.front();
  if (!job.known_certificates.empty()) {
    // A configured certificate is trusted by itself: equality replaces the chain.
    for (const auto& known : job.known_certificates)
      if (known->der() == end_entity.der()) return check_validity(end_entity, job.now);
    return {errc::untrusted_certificate,
            "not a configured certificate: '" + escaped(end_entity.subject()) + "'"};
  }
  if (!job.anchors) return {errc::untrusted_certificate, "no trust anchors"};
  return validate_chain(library, *job.anchors, end_entity, {chain.begin() + 1, chain.end()},
                        job.now);
}

struct accepted {
  certificate_ptr end_entity;
  signature_scheme scheme;
};

result<accepted> accept(const library& library, const certificate_ptr& end_entity,
                        const verify_job& job) {
  auto identity = check_identity(*end_entity, job);
  if (!identity) return identity.failure();
  auto scheme = verify(library, *end_entity->key(), job.method, job.authentication_data, job.data);
  if (!scheme) return scheme.failure();
  return accepted{end_entity, *scheme};
}

// The peer sent no certificate: any configured one that is valid, fits and verifies. The error of
// the last that got furthest is not worth sorting out: the first one's is told.
result<accepted> accept_known(const library& library, const verify_job& job) {
  if (job.known_certificates.empty()) return {errc::untrusted_certificate, "no certificate"};
  std::optional<error> first;
  for (const auto& known : job.known_certificates) {
    auto validity = check_validity(*known, job.now);
    result<accepted> done =
        validity ? accept(library, known, job) : result<accepted>{validity.failure()};
    if (done) return done;
    if (!first) first = done.failure();
  }
  return *first;
}

result<accepted> accept_received(const library& library, const verify_job& job) {
  auto chain = load_all(library, job);
  if (!chain) return chain.failure();
  auto trusted = check_end_entity(library, *chain, job);
  if (!trusted) return trusted.failure();
  return accept(library, chain->front(), job);
}

}  // namespace

result<verified> verify_peer(const library& library, verify_job&& job) {
  auto done = job.certificates.empty() ? accept_known(library, job) : accept_received(library, job);
  if (!done) return done.failure();
  verified proof;
  proof.end_entity_ = done->end_entity;
  proof.method_ = text_of(done->scheme);
  return proof;
}

result<verified> verify_shared_key(const library& library, prf_algorithm algorithm,
                                   bytes_view shared_key, bytes_view data,
                                   bytes_view authentication_data) {
  auto expected = shared_key_authentication(library, algorithm, shared_key, data);
  if (!expected) return expected.failure();
  if (!equal_in_constant_time(expected->view(), authentication_data))
    return {errc::authentication_failed, "shared key"};
  verified proof;
  proof.method_ = text_of(auth_method::shared_key);
  return proof;
}

job_result run(const library& library, job&& job) {
  return std::visit([&](auto&& one) { return run_one(library, std::forward<decltype(one)>(one)); },
                    std::move(job));
}

std::string_view name_of(const job& job) {
  static constexpr std::string_view names[] = {"generate_key_exchange_job",
                                               "generate_key_exchanges_job",
                                               "respond_key_exchange_job",
                                               "derive_shared_secret_job",
                                               "sign_job",
                                               "verify_job"};
  return names[job.index()];
}

namespace {

constexpr std::size_t brief_count_max = 16;
// A chain of two with keys of up to 4096 bits.
constexpr std::size_t brief_chain_octets_max = 4096;

bool is_brief_method(ke_method method) {
  return method == ke_method::curve25519 || method == ke_method::ecp_256;
}

bool is_brief_one(const generate_key_exchange_job& job) { return is_brief_method(job.method); }
bool is_brief_one(const generate_key_exchanges_job& job) {
  return is_brief_method(job.method) && job.count <= brief_count_max;
}
bool is_brief_one(const respond_key_exchange_job& job) { return is_brief_method(job.method); }
bool is_brief_one(const derive_shared_secret_job& job) {
  return job.own && is_brief_method(job.own->method());
}
bool is_brief_one(const sign_job& job) {
  return job.key && job.key->kind() != key_kind::rsa && job.key->public_half()->bits() <= 256;
}
bool is_brief_one(const verify_job& job) {
  std::size_t octets = 0;
  for (const auto& one : job.certificates) octets += one.size();
  return octets <= brief_chain_octets_max;
}

}  // namespace

bool is_brief(const job& job) {
  return std::visit([](const auto& one) { return is_brief_one(one); }, job);
}

}  // namespace imago::crypto
