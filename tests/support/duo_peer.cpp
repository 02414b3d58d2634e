// One peer of a duo: flows, windows, sealing and opening.
#include <doctest/doctest.h>

#include "tests/support/duo.hpp"
#include "tests/support/half_open_flow.hpp"

namespace imago::ikev2::testing {

namespace {

sa_snapshot_ptr snapshot_of(const ike_side& ike) {
  return std::make_shared<const ike_sa_model>(ike.model);
}

std::string label_of(exchange_type type, bool is_response) {
  return text_of(type) + (is_response ? " response" : " request");
}

}  // namespace

peer::peer(const end& end, std::uint64_t seed, digest_tally_ptr tally,
           std::function<void(std::string, bytes)> send)
    : self{end},
      at{end.address, 500},
      random{seed},
      plane{static_cast<data_plane::spi>(0xc0000000 + seed * 0x1000)},
      tally_{std::move(tally)},
      send_{std::move(send)} {
  auto parts = self.credentials;
  parts.connections.clear();
  for (const auto& one : self.connections)
    parts.connections.push_back(std::make_shared<const config::connection_config>(one));
  auto built = build_policy(the_library(), std::move(parts));
  REQUIRE(built);
  policy = *built;
}

flow_context peer::context() {
  flow_context context;
  context.library = &the_library();
  context.random = &random;
  context.numbers = &numbers;
  context.abilities = self.abilities;
  context.now = self.now;
  return context;
}

void peer::initiate(std::string_view connection, std::string_view child) {
  auto ike = std::make_unique<ike_side>();
  auto& model = ike->model;
  model.role = role::initiator;
  model.state = sa_state::sa_init_sent;
  model.initiator_spi = random.number();
  model.local = at;
  model.remote = other;
  model.policy = policy;
  model.connection = policy->find(connection);
  REQUIRE(model.connection);
  if (!child.empty()) {
    const auto* found = model.connection->config->find_child(child);
    REQUIRE(found);
    ike->first_child = {model.connection->config, found};
  }
  auto& one = *ike;
  ikes.push_back(std::move(ike));
  start(one, initiate_ike_sa_init(context(), snapshot_of(one)), true, exchange_type::ike_sa_init,
        0);
}

// --- flows ---------------------------------------------------------------------------------------

void peer::start(ike_side& ike, flow work, bool is_ours, exchange_type type, std::uint32_t id) {
  auto& slot = is_ours ? ike.own : ike.theirs;
  REQUIRE(!slot);
  auto& run = slot.emplace();
  run.work = std::move(work);
  run.is_ours = is_ours;
  run.type = type;
  run.message_id = id;
  run.work.start();
  drive(ike, slot);
}

void peer::drive(ike_side& ike, std::optional<exchange_run>& slot) {
  while (!slot->work.done()) {
    auto needs = slot->work.take_needs();
    if (needs.empty()) return;  // the rest is held, or with the other peer
    for (std::size_t index = 0; index < needs.size(); ++index) {
      if (auto* request = std::get_if<send_request>(&needs[index])) {
        send_own(ike, *slot, index, std::move(*request));
      } else if (holds_work) {
        slot->held.push_back({index, std::move(needs[index])});
      } else {
        answer(*slot, index, std::move(needs[index]));
      }
    }
  }
  finish(ike, slot);
}

void peer::answer(exchange_run& run, std::size_t index, need what) {
  if (fails && fails(what)) {
    error failure{errc::queue_full, "as the test wants it"};
    if (std::holds_alternative<crypto::job>(what)) {
      run.work.give(index, crypto::job_result{failure});
    } else {
      run.work.give(index, data_plane::reply{failure});
    }
    return;
  }
  if (auto* job = std::get_if<crypto::job>(&what)) {
    run.work.give(index, crypto::run(the_library(), std::move(*job)));
    return;
  }
  auto& request = std::get<data_plane::request>(what);
  std::optional<data_plane::spi> removed;
  if (const auto* remove = std::get_if<data_plane::remove_sa>(&request)) removed = remove->id.spi;
  auto reply = plane.carry_out(std::move(request));
  if (reply)
    if (const auto* allocated = std::get_if<data_plane::spi_allocated>(&*reply))
      run.leased.insert(allocated->spi);
  if (reply && removed) run.leased.erase(*removed);
  run.work.give(index, std::move(reply));
}

void peer::finish(ike_side& ike, std::optional<exchange_run>& slot) {
  auto run = std::move(*slot);
  slot.reset();
  auto outcome = run.work.take_outcome();
  run.work = {};  // the md and every secret in the frame go
  bool is_refused = false;
  if (!ike.closed) {
    auto todo = apply(ike.model, std::move(outcome));
    is_refused = !todo;
    if (todo)
      for (auto& one : *todo) carry_out(ike, run, one);
    if (is_refused) reports.push_back("refused: " + todo.failure().text());
  }
  give_back(run);
  // The response as it is after apply(), which may have made a refusal of it.
  // NOLINTNEXTLINE(bugprone-use-after-move)
  if (!run.is_ours && !is_refused && outcome.response)
    respond(ike, run.type, run.message_id, std::move(*outcome.response));
  begin_next(ike);
}

// What the exchange leased and nobody took over.
void peer::give_back(exchange_run& run) {
  for (auto spi : run.leased) remove_sa(data_plane::direction::inbound, spi);
  run.leased.clear();
}

void peer::begin_next(ike_side& ike) {
  if (ike.closed || ike.own) return;
  if (std::exchange(ike.wants_auth, false)) {
    start(ike, initiate_ike_auth(context(), snapshot_of(ike), ike.first_child), true,
          exchange_type::ike_auth, 0);
    return;
  }
  while (!ike.closed && !ike.own && !ike.tasks.empty()) {
    auto next = std::move(ike.tasks.front());
    ike.tasks.pop_front();
    if (auto begun = begin(ike.model, next); !begun) {
      reports.push_back("not begun: " + std::string{name_of(next.kind)} + ": " +
                        begun.failure().text());
      continue;
    }
    start(ike, start_task(context(), snapshot_of(ike), next), true, {}, 0);
  }
}

void peer::add(ike_side& ike, task task) {
  ike.tasks.push_back(std::move(task));
  begin_next(ike);
}

void peer::time_out(ike_side& ike) {
  REQUIRE(ike.own);
  REQUIRE(ike.own->response_index);
  auto index = *std::exchange(ike.own->response_index, std::nullopt);
  ike.own->work.give(index, result<msg_digest>{errc::timed_out, "no response"});
  drive(ike, ike.own);
}

// --- out -----------------------------------------------------------------------------------------

bytes peer::seal(ike_side& ike, wire::header header, wire::payloads payloads) {
  if (tampers) tampers(header.exchange, header.is_response, payloads);
  header.initiator_spi = ike.model.initiator_spi;
  header.responder_spi = ike.model.responder_spi;
  header.from_initiator = ike.model.role == role::initiator;
  if (header.exchange == exchange_type::ike_sa_init) {
    if (!header.is_response) header.responder_spi = 0;
    return wire::encode_message(header, payloads);
  }
  auto sealed = seal_message(*ike.outbound, random, header, payloads, 0);
  REQUIRE(sealed);
  REQUIRE(sealed->size() == 1);
  return sealed->front();
}

void peer::send_own(ike_side& ike, exchange_run& run, std::size_t index, send_request request) {
  run.response_index = index;
  run.type = request.exchange;
  wire::header header;
  header.exchange = request.exchange;
  bool is_first = request.exchange == exchange_type::ike_sa_init;
  header.message_id = run.message_id = is_first ? 0 : ike.next_own_id++;
  run.request = seal(ike, header, std::move(request.payloads));
  if (is_first)
    ike.model.init = std::make_shared<const init_material>(init_material{run.request, {}, {}, {}});
  send_(label_of(run.type, false), run.request);
}

void peer::respond(ike_side& ike, exchange_type type, std::uint32_t id, wire::payloads payloads) {
  wire::header header;
  header.exchange = type;
  header.is_response = true;
  header.message_id = id;
  ike.last_response = seal(ike, header, std::move(payloads));
  if (type == exchange_type::ike_sa_init && ike.model.init) {
    auto init = *ike.model.init;
    init.response = ike.last_response;
    ike.model.init = std::make_shared<const init_material>(std::move(init));
  }
  send_(label_of(type, true), ike.last_response);
}

void peer::resend_requests() {
  for (std::size_t i = 0; i < ikes.size(); ++i)
    if (auto& own = ikes[i]->own; own && own->response_index)
      send_(label_of(own->type, false), own->request);
}

// --- in ------------------------------------------------------------------------------------------

ike_side* peer::find(const wire::header& header) {
  for (const auto& ike : ikes) {
    const auto& model = ike->model;
    bool is_initiator = model.role == role::initiator;
    if (header.from_initiator == is_initiator) continue;
    bool is_first = header.exchange == exchange_type::ike_sa_init;
    if (is_first ? model.initiator_spi == header.initiator_spi
                 : model.own_spi() == (is_initiator ? header.initiator_spi : header.responder_spi))
      return ike.get();
  }
  return nullptr;
}

bool peer::open(ike_side& ike, const bytes& datagram, msg_digest& md) {
  if (md.header.exchange == exchange_type::ike_sa_init) {
    auto message = wire::parse_message(datagram);
    if (!message) return false;
    md.raw = datagram;
    md.payloads = std::move(message->payloads);
    return true;
  }
  if (!ike.inbound) return false;
  auto opened = open_message(*ike.inbound, datagram);
  if (!opened) return false;
  auto payloads = wire::parse_payloads(opened->first_inner, opened->plaintext.view());
  if (!payloads) return false;
  md.is_protected = true;
  md.plaintext = std::move(opened->plaintext);
  md.payloads = std::move(*payloads);
  return true;
}

ike_side* peer::accept_init(const endpoint& from, const msg_digest& md) {
  if (wants_cookies) {
    if (!cookies_) cookies_.emplace(the_library(), random, std::chrono::seconds{60});
    const auto* nonce = wire::find<wire::nonce_payload>(md.payloads);
    const auto* cookie = wire::find_notify(md.payloads, notify_type::cookie);
    if (!nonce) return nullptr;
    instant now{std::chrono::seconds{1}};
    auto spi = md.header.initiator_spi;
    if (!cookie || !cookies_->check(now, cookie->data, nonce->data, from.address, spi)) {
      auto header = md.header;
      header.is_response = true;
      header.from_initiator = false;
      wire::notify_payload wanted;
      wanted.type = notify_type::cookie;
      wanted.data = cookies_->make(now, nonce->data, from.address, spi);
      send_(label_of(header.exchange, true), wire::encode_message(header, {wanted}));
      return nullptr;
    }
  }
  auto ike = std::make_unique<ike_side>();
  auto& model = ike->model;
  model.role = role::responder;
  model.initiator_spi = md.header.initiator_spi;
  model.responder_spi = random.number();
  model.local = at;
  model.remote = from;
  model.policy = policy;
  ikes.push_back(std::move(ike));
  return ikes.back().get();
}

void peer::receive(const endpoint& from, const bytes& datagram) {
  auto header = wire::parse_header(datagram);
  REQUIRE(header);
  auto* ike = find(*header);
  bool is_init_request = header->exchange == exchange_type::ike_sa_init && !header->is_response;
  if (ike && !header->is_response && ike->last_request == datagram) {
    // §2.1: a retransmitted request gets the response once more, or waits for it.
    if (!ike->last_response.empty())
      send_(label_of(header->exchange, true), bytes{ike->last_response});
    return;
  }
  msg_digest md{tally_};
  md.header = *header;
  md.local = at;
  md.remote = from;
  if (is_init_request) {
    // Another one with this SPI (a cookie, another KE) is a new attempt.
    ike_side unknown;
    if (!open(unknown, datagram, md)) return;
    ike = accept_init(from, md);
    if (ike) receive_request(*ike, std::move(md), datagram);
    return;
  }
  if (!ike || !open(*ike, datagram, md)) return;
  if (header->is_response) {
    receive_response(*ike, std::move(md));
  } else if (!ike->closed && header->message_id == ike->next_peer_id && !ike->theirs) {
    receive_request(*ike, std::move(md), datagram);
  }
}

void peer::receive_request(ike_side& ike, msg_digest md, const bytes& datagram) {
  ike.next_peer_id = md.header.message_id + 1;
  ike.last_request = datagram;
  ike.last_response.clear();
  auto row = match(ike.model.state, md);
  auto type = md.header.exchange;
  auto id = md.header.message_id;
  if (!row) {
    reports.push_back("no row: " + row.failure().text());
    wire::notify_payload notify;
    notify.type = row.failure().code == errc::unsupported_critical_payload
                      ? notify_type::unsupported_critical_payload
                      : notify_type::invalid_syntax;
    respond(ike, type, id, {notify});
    return;
  }
  start(ike, start_processor(**row, context(), snapshot_of(ike), std::move(md)), false, type, id);
}

void peer::receive_response(ike_side& ike, msg_digest md) {
  if (!ike.own || !ike.own->response_index || ike.own->type != md.header.exchange ||
      ike.own->message_id != md.header.message_id)
    return;  // late, or forged
  // The notice that an IKE SA failed outlives it.
  auto state = ike.closed ? sa_state::auth_sent : ike.model.state;
  auto row = match(state, md);
  if (!row && !md.is_protected) return;  // anybody may have sent it
  auto index = *std::exchange(ike.own->response_index, std::nullopt);
  if (row && !md.is_protected && ike.next_own_id == 0) ike.next_own_id = 1;
  ike.own->work.give(index,
                     row ? result<msg_digest>{std::move(md)} : result<msg_digest>{row.failure()});
  drive(ike, ike.own);
}

}  // namespace imago::ikev2::testing
