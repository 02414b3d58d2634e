// The table of rows, and the matcher's objections.
#include <cstdlib>
#include <fstream>
#include <iterator>

#include <doctest/doctest.h>

#include "core/ikev2/exchanges/exchanges.hpp"

using namespace imago;
using namespace imago::ikev2;

namespace {

wire::payload of_type(payload_type type) {
  switch (type) {
    case payload_type::security_association: return wire::security_association_payload{};
    case payload_type::key_exchange: return wire::key_exchange_payload{};
    case payload_type::identification_initiator: return wire::identification_payload{true, {}, {}};
    case payload_type::identification_responder: return wire::identification_payload{false, {}, {}};
    case payload_type::certificate: return wire::certificate_payload{};
    case payload_type::certificate_request: return wire::certificate_request_payload{};
    case payload_type::authentication: return wire::authentication_payload{};
    case payload_type::nonce: return wire::nonce_payload{};
    case payload_type::notify: return wire::notify_payload{};
    case payload_type::delete_: return wire::delete_payload{};
    case payload_type::vendor_id: return wire::vendor_id_payload{};
    case payload_type::traffic_selector_initiator: return wire::traffic_selector_payload{true, {}};
    case payload_type::traffic_selector_responder: return wire::traffic_selector_payload{false, {}};
    case payload_type::configuration: return wire::configuration_payload{};
    case payload_type::eap: return wire::eap_payload{};
    default: return wire::unknown_payload{type, false, {}};
  }
}

using enum payload_type;
const std::vector<payload_type> all_types = {security_association,
                                             key_exchange,
                                             identification_initiator,
                                             identification_responder,
                                             certificate,
                                             certificate_request,
                                             authentication,
                                             nonce,
                                             notify,
                                             delete_,
                                             vendor_id,
                                             traffic_selector_initiator,
                                             traffic_selector_responder,
                                             configuration,
                                             eap};

msg_digest message(exchange_type exchange, message_kind kind, bool is_protected,
                   const std::vector<payload_type>& types) {
  msg_digest md;
  md.header.exchange = exchange;
  md.header.is_response = kind == message_kind::response;
  md.is_protected = is_protected;
  for (auto type : types) md.payloads.push_back(of_type(type));
  return md;
}

sa_state any_state_of(const row& row) {
  for (unsigned i = 0; i <= static_cast<unsigned>(sa_state::closed); ++i)
    if ((row.from >> i & 1U) != 0) return static_cast<sa_state>(i);
  FAIL("a row without a state");
  return {};
}

std::vector<payload_type> required_of(const row& row) {
  std::vector<payload_type> types;
  for (auto type : all_types)
    if (row.required.has(type)) types.push_back(type);
  return types;
}

std::string golden_path() { return IMAGO_SOURCE_DIR "/tests/core/golden/rows.txt"; }

std::string read_golden() {
  std::ifstream file{golden_path()};
  return {std::istreambuf_iterator<char>{file}, {}};
}

struct refusal_case {
  const char* what;
  sa_state state;
  exchange_type exchange;
  message_kind kind;
  bool is_protected;
  std::vector<payload_type> types;
  errc code;
  const char* where;
};

}  // namespace

TEST_CASE("rows: the printed table is the one in golden/rows.txt") {
  // A change of the protocol is to be seen in review. To renew the file:
  //   IMAGO_RENEW_GOLDEN=1 build/.../test_core -tc="rows: the printed*"
  if (std::getenv("IMAGO_RENEW_GOLDEN") != nullptr) std::ofstream{golden_path()} << print_rows();
  CHECK(read_golden() == print_rows());
}

TEST_CASE("rows: no message fits two of them") {
  const auto& rows = all_rows();
  REQUIRE(rows.size() >= 13);
  for (std::size_t i = 0; i < rows.size(); ++i)
    for (std::size_t j = i + 1; j < rows.size(); ++j) {
      INFO(rows[i]->story, " / ", rows[j]->story);
      CHECK(!are_ambiguous(*rows[i], *rows[j]));
    }
}

TEST_CASE("rows: requests have a processor, responses resume a flow") {
  for (const auto* row : all_rows()) {
    // The answer to IKE_SA_INIT waits for nobody: no flow (half_open.hpp).
    bool is_flow =
        row->kind == message_kind::request && row->exchange != exchange_type::ike_sa_init;
    CHECK((row->processor != nullptr) == is_flow);
    CHECK(row->from != 0);
    CHECK(!row->processor_name.empty());
    CHECK(!row->story.empty());
    // Only IKE_SA_INIT is not protected (RFC 7296 §1.2).
    CHECK(row->is_protected == (row->exchange != exchange_type::ike_sa_init));
  }
}

TEST_CASE("rows: each is matched by its required payloads, alone and with all optional ones") {
  for (const auto* row : all_rows()) {
    INFO(row->story);
    auto types = required_of(*row);
    auto md = message(row->exchange, row->kind, row->is_protected, types);
    auto found = match(any_state_of(*row), md);
    REQUIRE(found);
    CHECK(*found == row);
    for (auto type : all_types)
      if (row->optional.has(type) && !row->required.has(type)) types.push_back(type);
    md = message(row->exchange, row->kind, row->is_protected, types);
    found = match(any_state_of(*row), md);
    REQUIRE(found);
    CHECK(*found == row);
  }
}

TEST_CASE("rows: each objects to what is missing, repeated, misplaced or in the open") {
  for (const auto* row : all_rows()) {
    INFO(row->story);
    auto state = any_state_of(*row);
    auto types = required_of(*row);
    for (std::size_t i = 0; i < types.size(); ++i) {
      auto fewer = types;
      fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(i));
      auto found = match(state, message(row->exchange, row->kind, row->is_protected, fewer));
      // Without the notify of a refusal the message may be another row's.
      CHECK((!found || *found != row));
      bool is_once = types[i] != notify;
      auto more = types;
      more.push_back(types[i]);
      found = match(state, message(row->exchange, row->kind, row->is_protected, more));
      CHECK(found.has_value() == !is_once);
      if (is_once) CHECK(found.failure().code == errc::repeated_payload);
    }
    for (auto type : all_types) {
      if (row->required.has(type) || row->optional.has(type)) continue;
      auto more = types;
      more.push_back(type);
      auto found = match(state, message(row->exchange, row->kind, row->is_protected, more));
      CHECK((!found || *found != row));
    }
    auto found = match(state, message(row->exchange, row->kind, !row->is_protected, types));
    REQUIRE(!found);
    CHECK(found.failure().code == errc::misplaced_payload);
  }
}

// lint: table
TEST_CASE("rows: the matcher says why nothing fits") {
  using enum exchange_type;
  using enum message_kind;
  const refusal_case list[] = {
      {"no nonce",
       sa_state::created,
       ike_sa_init,
       request,
       false,
       {security_association, key_exchange},
       errc::missing_payload,
       "Nonce payload"},
      {"two nonces",
       sa_state::created,
       ike_sa_init,
       request,
       false,
       {security_association, key_exchange, nonce, nonce},
       errc::repeated_payload,
       "Nonce payload"},
      {"AUTH before keys",
       sa_state::created,
       ike_sa_init,
       request,
       false,
       {security_association, key_exchange, nonce, authentication},
       errc::misplaced_payload,
       "AUTH payload"},
      {"IKE_AUTH in the open",
       sa_state::sa_init_done_r,
       ike_auth,
       request,
       false,
       {identification_initiator, authentication},
       errc::misplaced_payload,
       "SK payload"},
      {"EAP is not offered",
       sa_state::sa_init_done_r,
       ike_auth,
       request,
       true,
       {identification_initiator},
       errc::missing_payload,
       "AUTH payload"},
      {"the other end's identity",
       sa_state::auth_sent,
       ike_auth,
       response,
       true,
       {identification_initiator, identification_responder, authentication},
       errc::misplaced_payload,
       "IDi payload"},
      {"of two rows the closest speaks",
       sa_state::established,
       create_child_sa,
       request,
       true,
       {security_association, nonce, traffic_selector_initiator},
       errc::missing_payload,
       "TSr payload"},
      {"KE is missing to rekey",
       sa_state::established,
       create_child_sa,
       request,
       true,
       {security_association, nonce},
       errc::missing_payload,
       "KE payload"},
      {"IKE_AUTH twice",
       sa_state::established,
       ike_auth,
       request,
       true,
       {identification_initiator, authentication},
       errc::wrong_exchange,
       "IKE_AUTH in state established"},
      {"nothing before the keys",
       sa_state::sa_init_sent,
       informational,
       response,
       true,
       {},
       errc::wrong_exchange,
       "INFORMATIONAL in state sa_init_sent"},
      {"half-open",
       sa_state::sa_init_done_r,
       create_child_sa,
       request,
       true,
       {security_association, nonce, key_exchange},
       errc::wrong_exchange,
       "CREATE_CHILD_SA in state sa_init_done_r"},
      {"after the end",
       sa_state::closed,
       informational,
       request,
       true,
       {},
       errc::wrong_exchange,
       "INFORMATIONAL in state closed"},
  };
  for (const auto& one : list) {
    INFO(one.what);
    auto found = match(one.state, message(one.exchange, one.kind, one.is_protected, one.types));
    REQUIRE(!found);
    CHECK(found.failure().code == one.code);
    CHECK(found.failure().where == one.where);
  }
}

TEST_CASE("rows: a critical payload that is not understood comes before every other objection") {
  for (bool is_critical : {true, false}) {
    auto md = message(exchange_type::informational, message_kind::request, true, {});
    md.payloads.push_back(wire::unknown_payload{static_cast<payload_type>(128), is_critical, {}});
    auto found = match(sa_state::established, md);
    CHECK(found.has_value() == !is_critical);
    if (is_critical) {
      CHECK(found.failure().code == errc::unsupported_critical_payload);
      CHECK(found.failure().where == "payload type 128");
    }
    // Also where the exchange does not fit.
    CHECK(match(sa_state::created, md).failure().code ==
          (is_critical ? errc::unsupported_critical_payload : errc::wrong_exchange));
  }
}

TEST_CASE("rows: an exchange type of another document fits nowhere") {
  auto md = message(static_cast<exchange_type>(43), message_kind::request, true, {});
  for (unsigned i = 0; i <= static_cast<unsigned>(sa_state::closed); ++i) {
    auto found = match(static_cast<sa_state>(i), md);
    REQUIRE(!found);
    CHECK(found.failure().code == errc::wrong_exchange);
  }
}
