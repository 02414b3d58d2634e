// Jobs: their results and errors, several threads, several libraries that come and go.
#include <array>
#include <set>
#include <string>
#include <thread>

#include <doctest/doctest.h>
#include <openssl/crypto.h>
#include <openssl/provider.h>

#include "core/crypto/hash.hpp"
#include "core/crypto/job.hpp"
#include "core/crypto/prf.hpp"
#include "core/crypto/protection.hpp"
#include "tests/support/certificates.hpp"

using namespace imago;
using testing::certificate_options;
using testing::credential;
using testing::test_now;

namespace {

const crypto::library& library() {
  static const crypto::library one;
  return one;
}

crypto::certificate_ptr read(const credential& from) {
  return *crypto::certificate::load(library(), from.certificate);
}

crypto::private_key_ptr key_of(const credential& from) {
  return *crypto::private_key::load(library(), to_bytes(from.key.pem()));
}

struct peers {
  credential ca = testing::make_authority("CN=Root");
  credential moon;
  credential sun;
  crypto::trust_anchors_ptr anchors =
      std::make_shared<const crypto::trust_anchors>(std::vector{read(ca)});

  peers() {
    certificate_options options;
    options.subject = "CN=moon";
    options.dns_names = {"moon.example.org"};
    moon = testing::make_end_entity(ca, options);
    options.subject = "CN=sun";
    options.dns_names = {"sun.example.org"};
    sun = testing::make_end_entity(ca, options, testing::key_type::ed25519);
  }
};

const peers& made() {
  static const peers one;
  return one;
}

bytes signed_by(const credential& signer, std::string_view data) {
  auto key = key_of(signer);
  auto scheme = *crypto::choose_scheme(*key->public_half(),
                                       {hash_algorithm::sha2_256, hash_algorithm::identity}, false);
  return *crypto::sign(library(), *key, scheme, to_bytes(data));
}

// A job that verifies; each test spoils one thing.
crypto::verify_job good_job() {
  crypto::verify_job job;
  job.certificates = {made().moon.certificate};
  job.anchors = made().anchors;
  job.identity_type = id_type::fqdn;
  job.identity = to_bytes("moon.example.org");
  job.method = auth_method::digital_signature;
  job.authentication_data = signed_by(made().moon, "octets");
  job.data = to_bytes("octets");
  job.now = test_now;
  return job;
}

errc code_of(crypto::verify_job job) {
  return crypto::verify_peer(library(), std::move(job)).failure().code;
}

template <class T>
T take(crypto::job_result done) {
  REQUIRE(done.has_value());
  REQUIRE(std::holds_alternative<T>(*done));
  return std::move(std::get<T>(*done));
}

// Every kind of job once, between two ends; false if anything disagrees.
bool do_every_job(const crypto::library& with, ke_method method) {
  auto own = crypto::run(with, crypto::generate_key_exchange_job{method});
  if (!own) return false;
  auto initiator = std::move(std::get<crypto::key_exchange_generated>(*own).own);
  auto peer_value = initiator.public_value();
  auto responded = crypto::run(with, crypto::respond_key_exchange_job{method, peer_value});
  if (!responded) return false;
  auto& response = std::get<crypto::key_exchange_responded>(*responded);
  auto derived =
      crypto::run(with, crypto::derive_shared_secret_job{
                            std::make_shared<const crypto::key_exchange>(std::move(initiator)),
                            response.public_value});
  if (!derived) return false;
  const auto& shared = std::get<crypto::shared_secret_derived>(*derived).shared_secret;
  if (!(shared == response.shared_secret)) return false;
  auto sa = crypto::protection::create(with, encryption_algorithm::aes_gcm_16, 128,
                                       integrity_algorithm::none, secret{20}, {});
  crypto::library entropy;
  auto sealed = sa->seal(entropy, {}, to_bytes("text"));
  if (!sealed || to_text(sa->open({}, *sealed)->view()) != "text") return false;
  auto mac = crypto::prf(with, prf_algorithm::hmac_sha2_512, shared.view(), {});
  return mac && mac->size() == 64 &&
         crypto::hash(with, hash_algorithm::sha1, shared.view())->size() == 20;
}

}  // namespace

TEST_CASE("jobs: key exchange jobs of both sides agree") {
  for (auto method : {ke_method::curve25519, ke_method::ecp_256, ke_method::modp_2048})
    CHECK(do_every_job(library(), method));
}

TEST_CASE("jobs: key pairs made ahead are as many as asked for, no two the same") {
  auto made = crypto::run(library(), crypto::generate_key_exchanges_job{ke_method::curve25519, 5});
  REQUIRE(made);
  const auto& pairs = std::get<crypto::key_exchanges_generated>(*made).own;
  REQUIRE(pairs.size() == 5);
  std::set<bytes> values;
  for (const auto& one : pairs) values.insert(one.public_value());
  CHECK(values.size() == 5);
}

TEST_CASE("jobs: names are those of their types") {
  CHECK(name_of(crypto::job{crypto::generate_key_exchange_job{}}) == "generate_key_exchange_job");
  CHECK(name_of(crypto::job{crypto::respond_key_exchange_job{}}) == "respond_key_exchange_job");
  CHECK(name_of(crypto::job{crypto::generate_key_exchanges_job{}}) == "generate_key_exchanges_job");
  CHECK(name_of(crypto::job{crypto::derive_shared_secret_job{}}) == "derive_shared_secret_job");
  CHECK(name_of(crypto::job{crypto::sign_job{}}) == "sign_job");
  CHECK(name_of(crypto::job{crypto::verify_job{}}) == "verify_job");
}

TEST_CASE("jobs: each tells its error") {
  auto code = [](crypto::job job) { return crypto::run(library(), std::move(job)).failure().code; };
  auto method = ke_method::curve25519;
  CHECK(code(crypto::generate_key_exchange_job{ke_method::none}) == errc::unsupported_algorithm);
  CHECK(code(crypto::respond_key_exchange_job{ke_method::none, {}}) == errc::unsupported_algorithm);
  CHECK(code(crypto::respond_key_exchange_job{method, bytes(32)}) == errc::bad_key);
  auto own = std::make_shared<const crypto::key_exchange>(
      *crypto::key_exchange::generate(library(), method));
  CHECK(code(crypto::derive_shared_secret_job{own, bytes(31)}) == errc::bad_key);
  CHECK(code(crypto::derive_shared_secret_job{nullptr, bytes(32)}) == errc::bad_key);
  CHECK(code(crypto::generate_key_exchanges_job{ke_method::none, 3}) ==
        errc::unsupported_algorithm);
  CHECK(code(crypto::sign_job{}) == errc::bad_key);
  CHECK(code(crypto::sign_job{key_of(made().moon), {auth_method::rsa_signature}, {}}) ==
        errc::bad_key);
  CHECK(code(crypto::verify_job{}) == errc::untrusted_certificate);
}

TEST_CASE("jobs: a signature made by a sign job verifies in a verify job") {
  auto key = key_of(made().moon);
  auto scheme = *crypto::choose_scheme(*key->public_half(), {hash_algorithm::sha2_256}, false);
  auto signature = take<crypto::signature_made>(
      crypto::run(library(), crypto::sign_job{key, scheme, to_bytes("octets")}));
  auto job = good_job();
  job.authentication_data = signature.authentication_data;
  job.cache = std::make_shared<crypto::certificate_cache>();
  auto cached = *job.cache->load(library(), made().moon.certificate);
  auto proof = take<crypto::verified>(crypto::run(library(), std::move(job)));
  CHECK(proof.end_entity() == cached);
  CHECK(proof.method() == "ECDSA with SHA2_256");
}

TEST_CASE("verify job: chain, identity and signature are all required") {
  CHECK(crypto::verify_peer(library(), good_job()).has_value());
  auto job = good_job();
  job.anchors = nullptr;
  CHECK(code_of(std::move(job)) == errc::untrusted_certificate);
  job = good_job();
  job.now = {test_now.seconds + 86'400 * 365};
  CHECK(code_of(std::move(job)) == errc::untrusted_certificate);
  job = good_job();
  job.identity = to_bytes("sun.example.org");
  CHECK(code_of(std::move(job)) == errc::identity_mismatch);
  job = good_job();
  job.data = to_bytes("other octets");
  CHECK(code_of(std::move(job)) == errc::bad_signature);
  job = good_job();
  job.method = auth_method::rsa_signature;
  CHECK(code_of(std::move(job)) == errc::bad_key);
  job = good_job();
  job.method = auth_method::shared_key;
  CHECK(code_of(std::move(job)) == errc::unsupported_algorithm);
  job = good_job();
  job.certificates = {to_bytes("rubbish")};
  CHECK(code_of(std::move(job)) == errc::bad_certificate);
  job = good_job();
  job.certificates.push_back(to_bytes("rubbish"));
  CHECK(code_of(std::move(job)) == errc::bad_certificate);
  job = good_job();
  job.certificates.resize(11, made().ca.certificate);
  CHECK(code_of(std::move(job)) == errc::limit_exceeded);
}

TEST_CASE("verify job: the end entity is the first certificate, whoever else is in the list") {
  auto job = good_job();
  job.certificates = {made().sun.certificate, made().moon.certificate};
  CHECK(code_of(std::move(job)) == errc::identity_mismatch);
}

TEST_CASE("verify job: a configured certificate replaces the chain") {
  auto job = good_job();
  job.anchors = nullptr;
  job.known_certificates = {read(made().sun), read(made().moon)};
  CHECK(crypto::verify_peer(library(), std::move(job)).has_value());
  // Trusted CAs do not help a certificate that is not the configured one.
  job = good_job();
  job.known_certificates = {read(made().sun)};
  CHECK(code_of(std::move(job)) == errc::untrusted_certificate);
  for (auto now : {test_now.seconds - 86'400 * 2, test_now.seconds + 86'400 * 31}) {
    job = good_job();
    job.known_certificates = {read(made().moon)};
    job.now = {now};
    CHECK(code_of(std::move(job)) == errc::untrusted_certificate);
  }
}

TEST_CASE("verify job: without certificates from the peer the configured ones are tried") {
  auto without = [](std::vector<crypto::certificate_ptr> known) {
    auto job = good_job();
    job.certificates.clear();
    job.known_certificates = std::move(known);
    return job;
  };
  auto moon = read(made().moon);
  auto proof = crypto::verify_peer(library(), without({read(made().sun), moon}));
  REQUIRE(proof.has_value());
  CHECK(proof->end_entity() == moon);
  CHECK(code_of(without({})) == errc::untrusted_certificate);
  CHECK(code_of(without({read(made().sun)})) == errc::identity_mismatch);
  auto job = without({moon});
  job.data = to_bytes("other octets");
  CHECK(code_of(std::move(job)) == errc::bad_signature);
  job = without({moon});
  job.now = {0};
  CHECK(code_of(std::move(job)) == errc::untrusted_certificate);
}

TEST_CASE("verify job: Ed25519 peers verify too") {
  auto job = good_job();
  job.certificates = {made().sun.certificate};
  job.identity = to_bytes("sun.example.org");
  job.authentication_data = signed_by(made().sun, "octets");
  auto proof = crypto::verify_peer(library(), std::move(job));
  REQUIRE(proof.has_value());
  CHECK(proof->method() == "Ed25519");
  CHECK(proof->end_entity()->der() == made().sun.certificate);
}

TEST_CASE("shared key: only the right key, octets and PRF verify") {
  auto prf = prf_algorithm::hmac_sha2_384;
  auto key = to_bytes("key");
  auto data = to_bytes("octets");
  auto made_auth = *crypto::shared_key_authentication(library(), prf, key, data);
  auto auth = to_bytes(made_auth.view());
  auto proof = crypto::verify_shared_key(library(), prf, key, data, auth);
  REQUIRE(proof.has_value());
  CHECK(proof->end_entity() == nullptr);
  CHECK(proof->method() == "PSK");
  auto code = [&](prf_algorithm with, const bytes& one_key, const bytes& octets, bytes_view given) {
    return crypto::verify_shared_key(library(), with, one_key, octets, given).failure().code;
  };
  CHECK(code(prf, to_bytes("kez"), data, auth) == errc::authentication_failed);
  CHECK(code(prf, key, to_bytes("octet"), auth) == errc::authentication_failed);
  CHECK(code(prf, key, data, {}) == errc::authentication_failed);
  CHECK(code(prf, key, data, bytes_view{auth}.first(47)) == errc::authentication_failed);
  CHECK(code(prf_algorithm::hmac_sha2_256, key, data, auth) == errc::authentication_failed);
  CHECK(code(prf_algorithm::none, key, data, auth) == errc::unsupported_algorithm);
}

TEST_CASE("jobs: four threads share keys, anchors, cache and library") {
  auto cache = std::make_shared<crypto::certificate_cache>();
  auto key = key_of(made().moon);
  auto scheme = *crypto::choose_scheme(*key->public_half(), {hash_algorithm::sha2_256}, false);
  auto job = good_job();
  std::array<int, 4> failures{};
  std::array<std::thread, 4> threads;
  for (std::size_t i = 0; i < threads.size(); ++i) {
    threads[i] = std::thread{[&, i] {
      constexpr ke_method methods[] = {ke_method::curve25519, ke_method::ecp_256,
                                       ke_method::ecp_384, ke_method::modp_2048};
      for (int round = 0; round < 8; ++round) {
        failures[i] +=
            do_every_job(library(), methods[(i + static_cast<std::size_t>(round)) % 4]) ? 0 : 1;
        auto signature = crypto::run(library(), crypto::sign_job{key, scheme, to_bytes("octets")});
        auto mine = job;
        mine.cache = cache;
        if (signature)
          mine.authentication_data =
              std::get<crypto::signature_made>(*signature).authentication_data;
        failures[i] += crypto::run(library(), std::move(mine)) ? 0 : 1;
      }
    }};
  }
  for (auto& thread : threads) thread.join();
  for (auto count : failures) CHECK(count == 0);
}

TEST_CASE("library: one may end while threads that used it live on, and others take its place") {
  for (int round = 0; round < 20; ++round) {
    OSSL_LIB_CTX* context = OSSL_LIB_CTX_new();
    {
      crypto::library mine{context};
      CHECK(mine.context() == context);
      CHECK(do_every_job(mine, ke_method::ecp_256));
      bool done = false;
      std::thread{[&] { done = do_every_job(mine, ke_method::curve25519); }}.join();
      CHECK(done);
    }
    // This thread's contexts for `mine` are gone with it, so its context may go too.
    OSSL_LIB_CTX_free(context);
    CHECK(do_every_job(library(), ke_method::curve25519));
  }
}

TEST_CASE("library: two at once are kept apart on one thread") {
  crypto::library one;
  crypto::library other;
  for (int i = 0; i < 3; ++i) {
    CHECK(do_every_job(one, ke_method::ecp_256));
    CHECK(do_every_job(other, ke_method::ecp_256));
  }
}

TEST_CASE("library: nothing falls back to the default library context") {
  OSSL_LIB_CTX* context = OSSL_LIB_CTX_new();
  OSSL_PROVIDER* provider = OSSL_PROVIDER_load(context, "null");
  REQUIRE(provider != nullptr);
  {
    // A context whose only provider offers nothing: whatever works here came from elsewhere.
    crypto::library empty{context};
    auto prf = prf_algorithm::hmac_sha2_256;
    CHECK(crypto::hash(empty, hash_algorithm::sha1, {}).failure().code == errc::crypto_failed);
    CHECK(crypto::prf(empty, prf, {}, {}).failure().code == errc::crypto_failed);
    CHECK(crypto::prf_plus(empty, prf, {}, {}, 10).failure().code == errc::crypto_failed);
    for (auto method : {ke_method::curve25519, ke_method::ecp_256, ke_method::modp_2048}) {
      auto none = crypto::key_exchange::generate(empty, method);
      CHECK(none.failure().code == errc::crypto_failed);
      CHECK_FALSE(crypto::key_exchange::from_private(empty, method, bytes(32, 1)).has_value());
      auto own = *crypto::key_exchange::generate(library(), method);
      CHECK_FALSE(own.derive(empty, own.public_value()).has_value());
    }
    crypto::library entropy;
    for (auto encryption : {encryption_algorithm::aes_gcm_16, encryption_algorithm::aes_cbc}) {
      auto integrity = encryption == encryption_algorithm::aes_cbc
                           ? integrity_algorithm::hmac_sha2_256_128
                           : integrity_algorithm::none;
      auto sizes = crypto::sizes_of(encryption, 128, integrity);
      auto sa =
          *crypto::protection::create(empty, encryption, 128, integrity,
                                      secret{sizes.encryption_key}, secret{sizes.integrity_key});
      CHECK(sa.seal(entropy, {}, {}).failure().code == errc::crypto_failed);
      CHECK(sa.open({}, bytes(100)).failure().code == errc::crypto_failed);
    }
    CHECK_FALSE(crypto::private_key::load(empty, to_bytes(made().moon.key.pem())).has_value());
    CHECK_FALSE(crypto::certificate::load(empty, made().moon.certificate).has_value());
    auto key = key_of(made().moon);
    auto signature = crypto::sign(empty, *key, {}, to_bytes("octets"));
    CHECK(signature.failure().code == errc::crypto_failed);
    CHECK_FALSE(crypto::verify(empty, *key->public_half(), auth_method::digital_signature,
                               signed_by(made().moon, "octets"), to_bytes("octets"))
                    .has_value());
  }
  OSSL_PROVIDER_unload(provider);
  OSSL_LIB_CTX_free(context);
}

TEST_CASE("library: as a source of entropy it fills all, and differently each time") {
  crypto::library one;
  auto first = one.octets(64);
  CHECK(first != one.octets(64));
  CHECK(first != bytes(64));
  CHECK(one.octets(0).empty());
}
