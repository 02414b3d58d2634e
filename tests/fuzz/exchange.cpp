// The exchanges as state machines: the input chooses a flow, then answers what it asks for - with
// results that are right, with errors, or with messages that a peer might have sent (already
// opened, admitted by the matcher). Flows end or stay suspended; apply() takes what they end with;
// no md is left.
//
// Input: scenario (1), then one step after another: kind (1), for a message also flags (1), type of
// the first payload (1), size (2) and the chain. Flag 1: AUTH is made right, as who has the shared
// key could.
#include "core/base/reader.hpp"
#include "core/ikev2/authentication.hpp"
#include "core/ikev2/exchanges/exchanges.hpp"
#include "tests/fuzz/require.hpp"
#include "tests/support/half_open_flow.hpp"

using namespace imago;
using namespace imago::ikev2;

namespace {

// More steps than any exchange has; more input than a few messages.
constexpr int steps_max = 24;
constexpr std::size_t size_max = 4096;

class counting_random final : public random_source {
 public:
  void fill(std::span<std::uint8_t> out) override {
    for (auto& octet : out) octet = ++last_;
  }

 private:
  std::uint8_t last_ = 0;
};

const crypto::library& the_library() {
  static crypto::library library;
  return library;
}

wire::transform transform_of(transform_type type, auto id, std::uint16_t key_bits = 0) {
  return {type, static_cast<std::uint16_t>(id), key_bits, false};
}

config::connection_config make_connection() {
  config::connection_config connection;
  connection.name = "fuzz";
  config::address_pattern anywhere;
  anywhere.any = true;
  connection.local_addresses = connection.remote_addresses = {anywhere};
  connection.proposals = {
      {1,
       protocol_id::ike,
       {},
       {transform_of(transform_type::encryption, encryption_algorithm::aes_gcm_16, 128),
        transform_of(transform_type::prf, prf_algorithm::hmac_sha2_256),
        transform_of(transform_type::key_exchange, ke_method::curve25519),
        transform_of(transform_type::key_exchange, ke_method::ecp_256)}}};
  connection.local.authentication = config::authentication::psk;
  connection.remote.authentication = config::authentication::psk;
  connection.local.identity = config::identity_from_payload(id_type::fqdn, to_bytes("a"));
  connection.remote.identity = {};
  config::child_config child;
  child.name = "net";
  child.proposals = {
      {1,
       protocol_id::esp,
       {},
       {transform_of(transform_type::encryption, encryption_algorithm::aes_gcm_16, 128),
        transform_of(transform_type::key_exchange, ke_method::none),
        transform_of(transform_type::key_exchange, ke_method::curve25519)}}};
  child.local_selectors = {{false, traffic_selector::everything(ip_family::v4)}};
  child.remote_selectors = child.local_selectors;
  connection.children.push_back(child);
  child.name = "host";
  child.mode = data_plane::mode::transport;
  child.local_selectors.clear();
  child.remote_selectors.clear();
  connection.children.push_back(child);
  return connection;
}

policy_ptr make_policy() {
  policy_parts parts;
  parts.connections = {std::make_shared<const config::connection_config>(make_connection())};
  auto certificates = make_connection();
  certificates.name = "certificates";
  certificates.remote.authentication = config::authentication::pubkey;
  parts.connections.push_back(std::make_shared<const config::connection_config>(certificates));
  auto key = std::make_shared<config::shared_key>();
  key->value = secret{to_bytes("key")};
  parts.shared_keys = {key};
  auto built = build_policy(the_library(), std::move(parts));
  IMAGO_REQUIRE(built);
  return *built;
}

ike_sa_model make_model(role own_role, sa_state state) {
  static const auto the_policy = make_policy();
  ike_sa_model model;
  model.role = own_role;
  model.state = state;
  model.initiator_spi = 1;
  model.responder_spi = 2;
  model.local = {*ip_address::parse("192.0.2.1"), 500};
  model.remote = {*ip_address::parse("192.0.2.2"), 500};
  model.policy = the_policy;
  model.connection = the_policy->connections.front();
  model.algorithms = {encryption_algorithm::aes_gcm_16, 128, integrity_algorithm::none,
                      prf_algorithm::hmac_sha2_256, ke_method::curve25519};
  auto keys = std::make_shared<ike_keys>();
  for (auto* key : {&keys->sk_d, &keys->sk_pi, &keys->sk_pr}) *key = secret{bytes(32, 5)};
  model.keys = keys;
  init_material init{{1}, {2}, bytes(32, 3), bytes(32, 4)};
  model.init = std::make_shared<const init_material>(std::move(init));
  return model;
}

child_config_ptr child_of(const ike_sa_model& model, std::size_t index) {
  return {model.connection->config, &model.connection->config->children.at(index)};
}

void add_child(ike_sa_model& model) {
  child_sa_model child;
  child.inbound_spi = 0x01010101;
  child.outbound_spi = 0x02020202;
  child.config = child_of(model, 0);
  child.reqid = 1;
  child.local_selectors = {traffic_selector::everything(ip_family::v4)};
  child.remote_selectors = child.local_selectors;
  child.lowest_nonce = bytes(32, 3);
  model.children.push_back(std::move(child));
}

struct machine {
  ike_sa_model model;
  flow work;
  bool is_ours = false;
  std::vector<need> needs;
  digest_tally_ptr tally = std::make_shared<digest_tally>();
  counting_random random;
  number_source numbers;

  flow_context context() {
    flow_context context;
    context.library = &the_library();
    context.random = &random;
    context.numbers = &numbers;
    context.now = {1'800'000'000};
    return context;
  }
  sa_snapshot_ptr snapshot() const { return std::make_shared<const ike_sa_model>(model); }

  void mend_auth(msg_digest& md) const {
    bool from_initiator = model.role == role::responder;
    const auto* id = wire::find_identification(md.payloads, from_initiator);
    if (!id) return;
    auto octets =
        signed_octets(the_library(), model.algorithms.prf,
                      from_initiator ? model.init->request : model.init->response,
                      from_initiator ? model.init->responder_nonce : model.init->initiator_nonce,
                      from_initiator ? model.keys->sk_pi : model.keys->sk_pr, *id);
    IMAGO_REQUIRE(octets);
    auto mac = crypto::shared_key_authentication(the_library(), model.algorithms.prf,
                                                 to_bytes("key"), *octets);
    IMAGO_REQUIRE(mac);
    for (auto& payload : md.payloads)
      if (auto* auth = std::get_if<wire::authentication_payload>(&payload))
        *auth = {auth_method::shared_key, to_bytes(mac->view())};
  }

  // A message as it comes out of SK: exchange type and role are right, the chain is the input's.
  std::optional<msg_digest> take_message(reader& in, exchange_type exchange, bool is_response) {
    bool is_mended = in.u8() % 2 == 1;
    auto first = static_cast<payload_type>(in.u8());
    auto size = std::min<std::size_t>(in.u16(), in.size_left());
    auto chain = in.take(size);
    auto payloads = wire::parse_payloads(first, chain);
    if (!payloads) return std::nullopt;
    msg_digest md{tally};
    md.header.initiator_spi = model.initiator_spi;
    md.header.responder_spi = model.responder_spi;
    md.header.exchange = exchange;
    md.header.is_response = is_response;
    md.local = model.local;
    md.remote = model.remote;
    md.is_protected = exchange != exchange_type::ike_sa_init;
    md.raw = to_bytes(chain);
    md.payloads = std::move(*payloads);
    if (is_mended && exchange == exchange_type::ike_auth) mend_auth(md);
    return md;
  }

  void begin_request(reader& in, exchange_type exchange) {
    auto md = take_message(in, exchange, false);
    if (!md) return;
    auto row = match(model.state, *md);
    if (!row) {
      IMAGO_REQUIRE(!row.failure().where.empty());
      return;
    }
    work = ikev2::testing::start_processor(**row, context(), snapshot(), std::move(*md));
  }

  void begin_task(task_kind kind) {
    task one;
    one.kind = kind;
    one.child = child_of(model, 0);
    if (!model.children.empty()) one.inbound_spi = model.children.front().inbound_spi;
    if (!begin(model, one)) return;
    is_ours = true;
    work = start_task(context(), snapshot(), one);
  }

  void begin_scenario(std::uint8_t scenario, reader& in);
  void answer_one(std::size_t index, need what, reader& in);
  bool step(reader& in);
  void finish();
};

void machine::begin_scenario(std::uint8_t scenario, reader& in) {
  bool initiates = scenario % 2 == 0;
  model = make_model(initiates ? role::initiator : role::responder, sa_state::established);
  switch (scenario / 2 % 8) {
    case 0:
      model.state = initiates ? sa_state::sa_init_sent : sa_state::created;
      if (!initiates) return begin_request(in, exchange_type::ike_sa_init);
      is_ours = true;
      work = initiate_ike_sa_init(context(), snapshot());
      return;
    case 1:
      model.state = initiates ? sa_state::auth_sent : sa_state::sa_init_done_r;
      if (!initiates) return begin_request(in, exchange_type::ike_auth);
      is_ours = true;
      work = initiate_ike_auth(context(), snapshot(), child_of(model, scenario / 16 % 2));
      return;
    case 2:
      add_child(model);
      if (!initiates) return begin_request(in, exchange_type::create_child_sa);
      return begin_task(task_kind::rekey_child);
    case 3:
      add_child(model);
      if (!initiates) return begin_request(in, exchange_type::informational);
      return begin_task(task_kind::delete_child);
    case 4:
      model.rekey_in_flight = scenario / 16 % 2 == 1;
      add_child(model);
      if (!initiates) return begin_request(in, exchange_type::create_child_sa);
      model.rekey_in_flight = false;
      return begin_task(task_kind::rekey_ike);
    case 5:
      if (!initiates) {
        model.state = sa_state::rekeyed;
        return begin_request(in, exchange_type::create_child_sa);
      }
      return begin_task(task_kind::create_child);
    case 6: return begin_task(initiates ? task_kind::delete_ike : task_kind::check_liveness);
    default:
      add_child(model);
      model.children.front().state = child_state::deleting;
      return begin_request(
          in, initiates ? exchange_type::informational : exchange_type::create_child_sa);
  }
}

void machine::answer_one(std::size_t index, need what, reader& in) {
  auto kind = in.u8();
  if (auto* job = std::get_if<crypto::job>(&what)) {
    if (kind % 8 == 7) return work.give(index, crypto::job_result{errc::queue_full});
    return work.give(index, crypto::run(the_library(), std::move(*job)));
  }
  if (auto* request = std::get_if<data_plane::request>(&what)) {
    if (kind % 8 == 7) return work.give(index, data_plane::reply{errc::no_buffer_space});
    if (std::holds_alternative<data_plane::allocate_spi>(*request))
      return work.give(index, data_plane::reply{data_plane::spi_allocated{0x03030303}});
    return work.give(index, data_plane::reply{data_plane::done{}});
  }
  auto exchange = std::get<send_request>(what).exchange;
  if (kind % 8 == 7) return work.give(index, result<msg_digest>{errc::timed_out});
  auto md = take_message(in, exchange, true);
  if (!md) return work.give(index, result<msg_digest>{errc::bad_length});
  auto row = match(model.state, *md);
  if (!row) return work.give(index, result<msg_digest>{row.failure()});
  work.give(index, result<msg_digest>{std::move(*md)});
}

// False: nothing more can happen.
bool machine::step(reader& in) {
  if (work.done() || in.at_end()) return false;
  auto asked = work.take_needs();
  IMAGO_REQUIRE(!asked.empty());
  for (std::size_t index = 0; index < asked.size(); ++index)
    answer_one(index, std::move(asked[index]), in);
  return true;
}

void machine::finish() {
  auto outcome = work.take_outcome();
  work = {};
  IMAGO_REQUIRE(tally->live == 0);
  // A request is always answered, our own exchange never answers.
  IMAGO_REQUIRE(outcome.response.has_value() != is_ours);
  if (outcome.response && !outcome.response->empty())
    IMAGO_REQUIRE(!wire::encode_payloads(*outcome.response).empty());
  auto children = model.children.size();
  auto todo = apply(model, std::move(outcome));
  IMAGO_REQUIRE(todo);
  std::size_t started = 0, stopped = 0;
  for (const auto& one : *todo) {
    started += std::holds_alternative<start_child>(one) ? 1 : 0;
    stopped += std::holds_alternative<stop_child>(one) ? 1 : 0;
    if (const auto* start = std::get_if<start_ike_sa>(&one)) stopped += start->children.size();
    if (const auto* move = std::get_if<move_children>(&one)) stopped += move->children.size();
  }
  IMAGO_REQUIRE(model.children.size() == children + started - stopped);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > size_max) return 0;
  reader in{{data, size}};
  machine one;
  one.begin_scenario(in.u8(), in);
  if (one.work) {
    one.work.start();
    for (int count = 0; count < steps_max && one.step(in); ++count) {
    }
    if (one.work.done()) one.finish();
    one.work = {};  // wherever it stands
  }
  IMAGO_REQUIRE(one.tally->live == 0);
  return 0;
}
