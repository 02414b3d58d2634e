// IKE_AUTH between two peers (RFC 7296 §1.2, §2.15, §2.16; RFC 7427; RFC 6023).
#include <doctest/doctest.h>

#include "tests/support/duo.hpp"

using namespace imago;
using namespace imago::ikev2;
using namespace imago::ikev2::testing;
using namespace imago::testing;

namespace {

const credential& authority() {
  static const auto made = make_authority("C=CH, O=Imago, CN=root");
  return made;
}

certificate_options named(const std::string& name) {
  certificate_options options;
  options.subject = "C=CH, O=Imago, CN=" + name;
  options.dns_names = {name};
  return options;
}

credential issued(const std::string& name, key_type type) {
  return make_end_entity(authority(), named(name), type);
}

credential intermediate() {
  certificate_options options;
  options.subject = "C=CH, O=Imago, CN=middle";
  options.is_ca = true;
  options.key_usage = "keyCertSign";
  return make_end_entity(authority(), options, key_type::ecdsa_p256);
}

ends with_keys(key_type type) {
  static std::map<key_type, std::pair<credential, credential>> made;
  auto at = made.find(type);
  if (at == made.end())
    at = made.emplace(type, std::pair{issued("moon.example", type), issued("sun.example", type)})
             .first;
  return certificate_ends(authority(), at->second.first, at->second.second);
}

// Runs to the end; expects that no IKE SA and nothing else is left.
void expect_failure(duo& both) {
  both.a.initiate("moon-sun", "net");
  both.settle();
  both.check_rest(0);
  CHECK(both.a.live().empty());
  CHECK(both.a.plane.is_empty());
  CHECK(both.b.plane.is_empty());
}

std::function<void(exchange_type, bool, wire::payloads&)> without_hashes() {
  return [](exchange_type exchange, bool, wire::payloads& payloads) {
    if (exchange != exchange_type::ike_sa_init) return;
    std::erase_if(payloads, [](const auto& payload) {
      const auto* notify = std::get_if<wire::notify_payload>(&payload);
      return notify && notify->type == notify_type::signature_hash_algorithms;
    });
  };
}

}  // namespace

TEST_CASE("ike_auth: signatures of every kind of key") {
  struct expected {
    key_type type;
    std::string method;
  };
  for (const auto& [type, method] : {expected{key_type::rsa_2048, "RSA with SHA2_256"},
                                     {key_type::ecdsa_p256, "ECDSA"},
                                     {key_type::ecdsa_p384, "ECDSA"},
                                     {key_type::ecdsa_p521, "ECDSA with SHA2_512"},
                                     {key_type::ed25519, "Ed25519"}}) {
    duo both{with_keys(type)};
    both.establish();
    both.check_rest();
    INFO(both.a.current().model.authenticated_by);
    CHECK(both.a.current().model.authenticated_by.starts_with(method));
    CHECK(both.b.current().model.authenticated_by == both.a.current().model.authenticated_by);
  }
}

TEST_CASE("ike_auth: RSASSA-PSS if the configuration prefers it") {
  auto ends = with_keys(key_type::rsa_2048);
  ends.a.connection().local.prefer_pss = true;
  duo both{ends};
  both.establish();
  CHECK(both.b.current().model.authenticated_by.starts_with("RSA-PSS"));
  CHECK(both.a.current().model.authenticated_by.starts_with("RSA with"));
}

TEST_CASE("ike_auth: a peer that announces no hashes gets the older methods") {
  struct expected {
    key_type type;
    auth_method method;
  };
  for (const auto& [type, method] : {expected{key_type::rsa_2048, auth_method::rsa_signature},
                                     {key_type::ecdsa_p256, auth_method::ecdsa_sha2_256_p256},
                                     {key_type::ecdsa_p384, auth_method::ecdsa_sha2_384_p384},
                                     {key_type::ecdsa_p521, auth_method::ecdsa_sha2_512_p521}}) {
    duo both{with_keys(type)};
    both.a.tampers = without_hashes();
    std::vector<auth_method> seen;
    both.b.tampers = [&](exchange_type exchange, bool, wire::payloads& payloads) {
      if (exchange == exchange_type::ike_sa_init)
        CHECK(!wire::find_notify(payloads, notify_type::signature_hash_algorithms));
      if (const auto* auth = wire::find<wire::authentication_payload>(payloads))
        seen.push_back(auth->method);
    };
    both.establish();
    both.check_rest();
    CHECK(seen == std::vector{method});
  }
}

TEST_CASE("ike_auth: Ed25519 needs a peer that announces hashes") {
  duo both{with_keys(key_type::ed25519)};
  both.a.tampers = without_hashes();
  both.a.initiate("moon-sun", "net");
  both.run();
  CHECK(both.a.has_reported("closed: "));
  CHECK(both.a.live().empty());
  CHECK(both.a.plane.is_empty());
  CHECK(both.tally->live == 0);
  CHECK(both.b.ikes.front()->model.state == sa_state::sa_init_done_r);  // until its time is over
}

TEST_CASE("ike_auth: one end proves by key, the other by certificate") {
  auto ends = with_keys(key_type::ecdsa_p256);
  auto key = shared_key_of("for both", {"moon.example", "sun.example"});
  ends.a.credentials.shared_keys = ends.b.credentials.shared_keys = {key};
  ends.a.connection().local.authentication = config::authentication::psk;
  ends.b.connection().remote.authentication = config::authentication::psk;
  duo both{ends};
  both.establish();
  both.check_rest();
  CHECK(both.b.current().model.authenticated_by == "PSK");
  CHECK(both.a.current().model.authenticated_by.starts_with("ECDSA"));
}

TEST_CASE("ike_auth: certificates are sent as the policy says") {
  struct expected {
    config::certificate_policy policy;
    bool asks;
    std::size_t count;
  };
  using enum config::certificate_policy;
  for (auto [policy, asks, count] : {expected{always, false, 1}, expected{if_asked, true, 1},
                                     expected{if_asked, false, 0}, expected{never, true, 0}}) {
    auto ends = with_keys(key_type::ecdsa_p256);
    ends.a.connection().send_certificate = policy;
    ends.b.connection().sends_certificate_requests = asks;
    if (count == 0)  // then b must know it
      ends.b.connection().remote.certificates = ends.a.connection().local.certificates;
    duo both{ends};
    std::size_t sent = 0;
    both.a.tampers = [&](exchange_type, bool, wire::payloads& payloads) {
      for (const auto& one : payloads)
        sent += std::holds_alternative<wire::certificate_payload>(one) ? 1 : 0;
    };
    both.establish();
    CHECK(sent == count);
  }
}

TEST_CASE("ike_auth: intermediate certificates go along, wherever they lie") {
  auto middle = intermediate();
  auto a = make_end_entity(middle, named("moon.example"), key_type::ecdsa_p256);
  auto known = crypto::certificate::load(the_library(), middle.certificate);
  REQUIRE(known);
  for (bool is_among_authorities : {true, false}) {
    CAPTURE(is_among_authorities);
    auto ends = certificate_ends(authority(), a, issued("sun.example", key_type::ecdsa_p256));
    auto& own = ends.a.credentials;
    (is_among_authorities ? own.authorities : own.certificates).push_back(*known);
    duo both{ends};
    both.establish();
    both.check_rest();
  }
}

TEST_CASE("ike_auth: an intermediate among the certificates is not trusted") {
  auto middle = intermediate();
  auto a = make_end_entity(middle, named("moon.example"), key_type::ecdsa_p256);
  auto known = crypto::certificate::load(the_library(), middle.certificate);
  REQUIRE(known);
  // b has it, and another root.
  auto ends = certificate_ends(make_authority("O=Imago, CN=another"), a,
                               issued("sun.example", key_type::ecdsa_p256));
  ends.a.credentials.certificates.push_back(*known);
  ends.b.credentials.certificates.push_back(*known);
  duo both{ends};
  expect_failure(both);
  CHECK(both.b.has_reported("does not lead to a trusted CA"));
}

TEST_CASE("ike_auth: another shared key is refused, and neither end keeps anything") {
  auto ends = shared_key_ends();
  ends.b.credentials.shared_keys = {shared_key_of("another", {"moon.example", "sun.example"})};
  duo both{ends};
  expect_failure(both);
  CHECK(both.b.has_reported("closed: shared key: authentication failed"));
  CHECK(both.a.has_reported("closed: peer sent AUTHENTICATION_FAILED"));
}

TEST_CASE("ike_auth: no shared key for that peer") {
  auto ends = shared_key_ends();
  ends.b.credentials.shared_keys = {shared_key_of("another", {"mars.example"})};
  duo both{ends};
  expect_failure(both);
  CHECK(both.b.has_reported("no shared key for"));
}

TEST_CASE("ike_auth: a responder that proves with another key is told and left") {
  // b accepts a, but signs with a key that a does not have for it.
  auto ends = shared_key_ends();
  ends.b.credentials.shared_keys = {ends.a.credentials.shared_keys.front()};
  duo both{ends};
  both.b.tampers = [](exchange_type exchange, bool, wire::payloads& payloads) {
    if (exchange != exchange_type::ike_auth) return;
    for (auto& payload : payloads)
      if (auto* auth = std::get_if<wire::authentication_payload>(&payload)) auth->data[0] ^= 1;
  };
  expect_failure(both);
  CHECK(both.a.has_reported("closed: shared key: authentication failed"));
  // §2.21.2: told in an INFORMATIONAL exchange of its own.
  CHECK(both.b.has_reported("closed: peer sent AUTHENTICATION_FAILED"));
}

TEST_CASE("ike_auth: an identity that no connection knows is refused") {
  auto ends = shared_key_ends();
  ends.a.connection().local.identity = identity_of("mars.example");
  ends.a.credentials.shared_keys = ends.b.credentials.shared_keys = {shared_key_of("all", {})};
  duo both{ends};
  expect_failure(both);
  CHECK(both.b.has_reported("closed: peer mars.example"));
}

TEST_CASE("ike_auth: a responder that is not who was meant is left") {
  auto ends = shared_key_ends();
  ends.a.credentials.shared_keys = ends.b.credentials.shared_keys = {shared_key_of("all", {})};
  ends.b.connection().local.identity = identity_of("mars.example");
  duo both{ends};
  // Else the responder would notice by IDr.
  both.a.tampers = [](exchange_type, bool, wire::payloads& payloads) {
    std::erase_if(payloads, [](const auto& one) {
      const auto* id = std::get_if<wire::identification_payload>(&one);
      return id && !id->initiator;
    });
  };
  expect_failure(both);
  CHECK(both.a.has_reported("closed: peer is mars.example, not sun.example"));
}

TEST_CASE("ike_auth: a certificate must hold the identity that is claimed") {
  auto ends = certificate_ends(authority(), issued("mars.example", key_type::ecdsa_p256),
                               issued("sun.example", key_type::ecdsa_p256));
  duo both{ends};
  expect_failure(both);
  CHECK(both.b.has_reported(std::string{text_of(errc::identity_mismatch)}));
}

TEST_CASE("ike_auth: a chain to another root is refused") {
  auto other_root = make_authority("C=CH, O=Imago, CN=other");
  auto a = make_end_entity(other_root, named("moon.example"));
  duo both{certificate_ends(authority(), a, issued("sun.example", key_type::ecdsa_p256))};
  both.a.tampers = [](exchange_type, bool, wire::payloads&) {};
  expect_failure(both);
  CHECK(both.b.has_reported(std::string{text_of(errc::untrusted_certificate)}));
  CHECK(both.a.has_reported("closed: peer sent AUTHENTICATION_FAILED"));
}

TEST_CASE("ike_auth: a certificate is refused before and after its time") {
  for (std::int64_t days : {-30, 365}) {
    auto ends = with_keys(key_type::ecdsa_p256);
    ends.b.now.seconds += days * 86'400;
    duo both{ends};
    expect_failure(both);
    CHECK(both.b.has_reported(std::string{text_of(errc::untrusted_certificate)}));
  }
}

TEST_CASE("ike_auth: a configuration that wants another kind of key refuses the peer's") {
  struct expected {
    std::string kind;
    bool is_right;
  };
  for (const auto& [constraint, is_right] :
       {expected{"rsa", false}, expected{"ed25519", false}, expected{"ecdsa", true}}) {
    auto ends = with_keys(key_type::ecdsa_p256);
    ends.b.connection().remote.auth_constraint = constraint;
    duo both{ends};
    if (is_right) {
      both.establish();
      both.check_rest();
    } else {
      expect_failure(both);
      CHECK(both.b.has_reported("the peer's key is not of the kind"));
    }
  }
}

TEST_CASE("ike_auth: a peer that uses a key where a signature is wanted is refused") {
  auto ends = with_keys(key_type::ecdsa_p256);
  auto key = shared_key_of("for both", {});
  ends.a.credentials.shared_keys = ends.b.credentials.shared_keys = {key};
  ends.a.connection().local.authentication = config::authentication::psk;
  duo both{ends};
  expect_failure(both);
}

TEST_CASE("ike_auth: IDr chooses among the responder's connections") {
  for (const char* wanted : {"sun.example", "venus.example"}) {
    auto ends = shared_key_ends();
    auto second = ends.b.connection();
    second.name = "moon-venus";
    second.local.identity = identity_of("venus.example");
    ends.b.connections.push_back(second);
    ends.a.connection().remote.identity = identity_of(wanted);
    ends.a.credentials.shared_keys = ends.b.credentials.shared_keys = {shared_key_of("all", {})};
    duo both{ends};
    both.establish();
    both.check_rest();
    CHECK(both.a.current().model.remote_identity.text == wanted);
    CHECK(both.b.current().model.connection->config->name ==
          (wanted == std::string{"sun.example"} ? "moon-sun" : "moon-venus"));
  }
}

TEST_CASE("ike_auth: IDr that is nobody here is refused") {
  auto ends = shared_key_ends();
  ends.a.connection().remote.identity = identity_of("pluto.example");
  ends.a.credentials.shared_keys = ends.b.credentials.shared_keys = {shared_key_of("all", {})};
  duo both{ends};
  expect_failure(both);
}

TEST_CASE("ike_auth: the closest of the peer's identities chooses the connection") {
  auto ends = shared_key_ends();
  auto general = ends.b.connection();
  general.name = "anybody";
  general.remote.identity = {};
  auto pattern = ends.b.connection();
  pattern.name = "examples";
  pattern.remote.identity = identity_of("*.example");
  ends.b.connections = {general, pattern, ends.b.connection()};
  ends.a.credentials.shared_keys = ends.b.credentials.shared_keys = {shared_key_of("all", {})};
  struct expected {
    const char* identity;
    const char* connection;
  };
  for (auto [identity, connection] :
       {expected{"moon.example", "moon-sun"}, expected{"mars.example", "examples"},
        expected{"mars.test", "anybody"}}) {
    ends.a.connection().local.identity = identity_of(identity);
    duo both{ends};
    both.establish();
    CHECK(both.b.current().model.connection->config->name == connection);
  }
}

TEST_CASE("ike_auth: a connection whose proposals do not hold what was chosen is not used") {
  auto ends = shared_key_ends();
  auto strong = ends.b.connection();
  strong.name = "strong";
  strong.proposals = proposals_of(protocol_id::ike, "aes256gcm16-prfsha384-ecp384");
  auto weak = ends.b.connection();
  weak.name = "weak";
  weak.remote.identity = identity_of("mars.example");
  ends.b.connections = {strong, weak};
  duo both{ends};
  expect_failure(both);
  CHECK(both.b.has_reported("closed: peer moon.example"));
}

TEST_CASE("ike_auth: an IKE SA without a Child SA") {
  duo both;
  both.establish("");
  both.check_rest(0);
  CHECK(both.a.live().size() == 1);
  CHECK(both.a.plane.is_empty());
  both.a.add(both.a.create_child("net"));
  both.settle();
  both.check_rest();
}

TEST_CASE("ike_auth: a critical payload that is not understood is named, and nothing begins") {
  duo both;
  both.a.tampers = [](exchange_type exchange, bool, wire::payloads& payloads) {
    if (exchange != exchange_type::ike_auth) return;
    payloads.push_back(wire::unknown_payload{static_cast<payload_type>(200), true, {1}});
  };
  both.a.initiate("moon-sun", "net");
  both.run();
  CHECK(both.b.has_reported("no row: payload type 200"));
  CHECK(both.a.has_reported("closed: peer sent UNSUPPORTED_CRITICAL_PAYLOAD"));
  CHECK(both.a.plane.is_empty());
}

TEST_CASE("ike_auth: an uncritical one is ignored") {
  duo both;
  both.a.tampers = [](exchange_type exchange, bool, wire::payloads& payloads) {
    if (exchange != exchange_type::ike_auth) return;
    payloads.push_back(wire::unknown_payload{static_cast<payload_type>(200), false, {1}});
  };
  both.establish();
  both.check_rest();
}

TEST_CASE("ike_auth: no answer ends the attempt, and the SPI is free again") {
  duo both;
  both.a.initiate("moon-sun", "net");
  both.deliver("a IKE_SA_INIT request");
  both.deliver("b IKE_SA_INIT response");
  CHECK(both.a.plane.larval().size() == 1);
  both.drop();
  both.a.time_out(*both.a.ikes.front());
  CHECK(both.a.live().empty());
  CHECK(both.a.plane.is_empty());
}

TEST_CASE("ike_auth: a half-open responder that is killed keeps nothing") {
  duo both{with_keys(key_type::ecdsa_p256)};
  both.b.holds_work = true;
  both.a.initiate("moon-sun", "net");
  while (both.b.held_count() == 0 || both.b.ikes.front()->model.init == nullptr) both.let_happen(0);
  CHECK(both.tally->live == 1);  // the IKE_AUTH request, while its signature is verified
  both.b.kill(*both.b.ikes.front());
  CHECK(both.tally->live == 0);
  CHECK(both.b.plane.is_empty());
}
