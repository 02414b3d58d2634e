// The wire side of an IKE SA: windows, sealing and opening, retransmission (RFC 7296 §2.1 - §2.3).
#include "actors/ike_sa.hpp"
#include "actors/packets.hpp"
#include "core/base/limits.hpp"
#include "core/base/planted.hpp"
#include "core/ikev2/exchanges/common.hpp"

namespace imago::actors {

namespace {

// The IKE header and the UDP and IP headers below it share the path's smallest MTU; what an SK
// message may have at most before it is fragmented.
std::size_t fragment_size(const engine_options& options, const ikev2::ike_sa_model& model) {
  bool fragments = model.peer.fragmentation;
  if (model.connection && model.connection->config->fragmentation == config::fragmentation::no)
    fragments = false;
  return fragments ? options.datagram_size_max : 0;
}

}  // namespace

wire::header ike_sa::header_of(exchange_type type, bool is_response,
                               std::uint32_t message_id) const {
  wire::header header;
  header.initiator_spi = model_.initiator_spi;
  header.responder_spi = model_.responder_spi;
  header.exchange = type;
  header.from_initiator = model_.role == ikev2::role::initiator;
  header.is_response = is_response;
  header.message_id = message_id;
  return header;
}

result<std::vector<bytes>> ike_sa::seal(exchange_type type, bool is_response,
                                        std::uint32_t message_id, const wire::payloads& payloads) {
  auto header = header_of(type, is_response, message_id);
  if (type == exchange_type::ike_sa_init)
    return std::vector<bytes>{wire::encode_message(header, payloads)};
  if (!outgoing_) return {errc::bad_key, "no keys yet"};
  return ikev2::seal_message(*outgoing_, *shared_->library, header, payloads,
                             fragment_size(shared_->options, model_));
}

void ike_sa::send_datagrams(const std::vector<bytes>& datagrams, bool is_answer) {
  if (must_be_silent(is_answer)) return;
  last_sent_ = shared_->time->now();
  for (const auto& one : datagrams) shared_->net->send_ike(model_.local, model_.remote, one);
}

// --- our requests ---

void ike_sa::send_request(std::uint64_t exchange, ikev2::send_request request) {
  bool is_init = request.exchange == exchange_type::ike_sa_init;
  auto message_id = is_init ? 0 : next_own_message_id_;
  auto datagrams = seal(request.exchange, false, message_id, request.payloads);
  record(
      journal_level::detail, journal_group::net, "request_sent",
      [&] {
        return fields{{"exchange", text_of(request.exchange)},
                      {"id", message_id},
                      {"payloads", [list = wire::describe(request.payloads)] { return list; }}};
      },
      "sending {exchange} request {id} {payloads}");
  if (!datagrams) return close(datagrams.failure(), false, false);
  if (is_init) {
    model_.state = ikev2::sa_state::sa_init_sent;
    model_.init = std::make_shared<const ikev2::init_material>(
        ikev2::init_material{datagrams->front(), {}, {}, {}});
  }
  outstanding_ = {exchange, request.exchange, message_id, std::move(*datagrams), 0};
  if (auto at = exchanges_.find(exchange); at != exchanges_.end()) at->second.has_response = false;
  send_datagrams(outstanding_->datagrams);
  if (!is_paused_)
    retransmit_timer_.arm(address(), ikev2::retransmission_delay(shared_->options.retransmission, 0,
                                                                 *shared_->library));
  release_request();
}

void ike_sa::retransmit() {
  if (!outstanding_) return;
  const auto& policy = shared_->options.retransmission;
  if (outstanding_->retransmissions >= policy.tries_max) {
    record(
        journal_level::control, journal_group::ike, "peer_unreachable",
        [&] {
          return fields{{"remote", model_.remote}, {"tries", outstanding_->retransmissions}};
        },
        "{remote} does not answer after {tries} retransmissions");
    return close({errc::peer_unreachable, model_.remote.text()}, false, false);
  }
  if (outstanding_->retransmissions++ > 0) report_silence();
  record(
      journal_level::detail, journal_group::net, "request_retransmitted",
      [&] {
        return fields{{"exchange", text_of(outstanding_->type)}, {"id", outstanding_->message_id}};
      },
      "retransmitting {exchange} request {id}");
  send_datagrams(outstanding_->datagrams);
  retransmit_timer_.arm(address(), ikev2::retransmission_delay(
                                       policy, outstanding_->retransmissions, *shared_->library));
}

// One message, not waited for. What is in flight of ours gives way.
void ike_sa::send_last_delete() {
  if (established_at_ == instant{}) return;
  auto sealed =
      seal(exchange_type::informational, false, next_own_message_id_ + (outstanding_ ? 1 : 0),
           {wire::delete_payload{protocol_id::ike, {}}});
  if (sealed) send_datagrams(*sealed);
}

// --- our responses ---

void ike_sa::send_response(running_exchange& exchange) {
  auto datagrams = seal(exchange.type, true, exchange.message_id, *exchange.response);
  record(
      journal_level::detail, journal_group::net, "response_sent",
      [&] {
        return fields{{"exchange", text_of(exchange.type)},
                      {"id", exchange.message_id},
                      {"payloads", [list = wire::describe(*exchange.response)] { return list; }}};
      },
      "sending {exchange} response {id} {payloads}");
  if (!datagrams) return;
  stored_ = {exchange.type, exchange.message_id, std::move(first_request_datagram_),
             std::move(*datagrams), shared_->time->now()};
  next_peer_message_id_ = exchange.message_id + 1;
  send_datagrams(stored_->datagrams, true);
}

// What we answered last may be lost; then the peer asks again when we are gone.
void ike_sa::leave_last_answer() {
  if (!stored_) return;
  if (shared_->time->now() - stored_->sent_at >= shared_->options.closed_lifetime) return;
  auto octets = stored_->first_request_datagram.size();
  for (const auto& one : stored_->datagrams) octets += one.size();
  if (octets > limits::closed_ike_sa_octets_max) return;
  shared_->demux.tell(keep_last_answer{
      model_.own_spi(), std::make_shared<const last_answer>(last_answer{
                            model_.local, model_.remote, std::move(stored_->first_request_datagram),
                            std::move(stored_->datagrams)})});
  stored_.reset();
}

// --- what arrives ---

void ike_sa::note_drop(const char* why, const packet& what) {
  record(
      journal_level::debug, journal_group::net, "packet_dropped",
      [&] {
        return fields{{"why", why}, {"remote", what.remote}};
      },
      "dropping a packet from {remote}: {why}");
}

void ike_sa::on_packet(const packet& what) {
  if (is_closed_) return;
  auto header = wire::parse_header(what.octets);
  if (!header) return note_drop("malformed header", what);
  bool from_initiator = model_.role == ikev2::role::responder;
  if (header->from_initiator != from_initiator) return note_drop("wrong initiator flag", what);
  // A retransmitted request, byte for byte: the stored response, byte for byte (§2.1).
  if (!header->is_response && stored_ && header->message_id == stored_->message_id) {
    if (what.octets != stored_->first_request_datagram) return;
    if (is_planted(planted_bug::changed_retransmission))
      if (auto anew = seal(stored_->type, true, stored_->message_id, {}))
        stored_->datagrams = std::move(*anew);
    send_datagrams(stored_->datagrams, true);
    return;
  }
  if (header->exchange == exchange_type::ike_sa_init)
    on_init_packet(what, *header);
  else
    on_protected_packet(what, *header);
}

void ike_sa::on_init_packet(const packet& what, const wire::header& header) {
  if (header.message_id != 0) return note_drop("IKE_SA_INIT with a message ID", what);
  // Requests are the reception's (reception.hpp).
  if (!header.is_response || !outstanding_ || outstanding_->type != exchange_type::ike_sa_init)
    return note_drop("IKE_SA_INIT response not expected", what);
  auto message = wire::parse_message(what.octets);
  auto md = new_digest(*shared_, what, header);
  if (message) {
    md.payloads = std::move(message->payloads);
    md.raw = what.octets;
  }
  auto row =
      message ? ikev2::match(model_.state, md) : result<const ikev2::row*>{message.failure()};
  if (!row) {
    record(
        journal_level::detail, journal_group::ike, "init_refused",
        [&] {
          return fields{{"remote", what.remote}, {"reason", row.failure().text()}};
        },
        "bad IKE_SA_INIT from {remote}: {reason}");
    return;  // it may be forged: keep waiting for the true one
  }
  on_response(std::move(md));
}

void ike_sa::on_protected_packet(const packet& what, const wire::header& header) {
  if (beginning_) return hold_until_keys(what);
  if (!incoming_) return note_drop("no keys yet", what);
  if (header.is_response) {
    if (!outstanding_ || header.message_id != outstanding_->message_id ||
        header.exchange != outstanding_->type)
      return note_drop("response not expected", what);
  } else {
    if (header.message_id != next_peer_message_id_) return note_drop("outside the window", what);
    if (peer_exchange_ || held_request_) return note_drop("request already worked on", what);
  }
  auto opened = ikev2::open_message(*incoming_, what.octets);
  if (!opened) return note_drop(name_of(opened.failure().code).data(), what);
  follow_peer(what);
  // A fragment's first datagram tells a retransmission (RFC 7383 §2.6.1).
  if (!header.is_response && opened->number == 1) first_request_datagram_ = what.octets;
  auto& assembler = header.is_response ? response_fragments_ : request_fragments_;
  auto first_inner = opened->first_inner;
  auto md = new_digest(*shared_, what, header);
  md.is_protected = true;
  if (opened->total > 1) {
    auto whole = assembler.add(std::move(*opened));
    if (!whole || !*whole) return;
    first_inner = (*whole)->first_inner;
    md.plaintext = std::move((*whole)->plaintext);
  } else {
    md.plaintext = std::move(opened->plaintext);
  }
  assembler.clear();
  auto payloads = wire::parse_payloads(first_inner, md.plaintext.view());
  if (!payloads) {
    if (!header.is_response) return refuse_request(md, payloads.failure());
    return close(payloads.failure(), false, false);
  }
  md.payloads = std::move(*payloads);
  record(
      journal_level::detail, journal_group::net, "message_received",
      [&] {
        return fields{{"header", [header] { return wire::describe(header); }},
                      {"payloads", [list = wire::describe(md.payloads)] { return list; }}};
      },
      "received {header} {payloads}");
  if (header.is_response)
    on_response(std::move(md));
  else
    on_request(std::move(md));
}

// --- the responder's first keys ---

// The peer has come back: now its public value is worth a Diffie-Hellman (RFC 7296 §2.6).
void ike_sa::derive_first_keys() {
  crypto_task task;
  task.job = crypto::derive_shared_secret_job{beginning_->half_open.own,
                                              beginning_->half_open.peer_public_value};
  task.token = beginning_->token;
  task.reply_to = address();
  if (!shared_->crypto->submit(std::move(task)))
    close({errc::queue_full, "crypto pool"}, false, true);
}

void ike_sa::hold_until_keys(const packet& what) {
  if (beginning_->packets.size() >= limits::fragment_count_max)
    return note_drop("no keys yet, too many packets wait for them", what);
  beginning_->packets.push_back(what);
}

void ike_sa::on_first_secret(job_done& done) {
  if (!beginning_ || !done.result.has_value()) return;
  auto answer = done.result.take();
  auto begun = std::move(beginning_);
  if (!answer) return close(answer.failure(), false, true);
  auto* derived = std::get_if<crypto::shared_secret_derived>(&*answer);
  if (!derived) return close({errc::crypto_failed, "not a shared secret"}, false, true);
  auto agreed =
      ikev2::finish_init(*shared_->library, std::move(begun->half_open), derived->shared_secret);
  if (!agreed) return close(agreed.failure(), false, true);
  ikev2::outcome outcome;
  outcome.epoch = model_.epoch;
  outcome.effects.emplace_back(std::move(*agreed));
  auto todo = ikev2::apply(model_, std::move(outcome));
  if (!todo) return close(todo.failure(), false, true);
  running_exchange nobody;
  carry_out(std::move(*todo), nobody);
  next_peer_message_id_ = 1;
  for (const auto& what : begun->packets) on_packet(what);
}

// The network may deliver the peer's Delete or rekey of a Child SA before the response that made
// it. That response was sent: if it is lost, our retransmission fetches it.
bool ike_sa::names_what_we_await(const ikev2::msg_digest& request) const {
  auto own = own_exchange_ ? exchanges_.find(*own_exchange_) : exchanges_.end();
  bool awaits_child = own != exchanges_.end() && own->second.task &&
                      (own->second.task->kind == ikev2::task_kind::create_child ||
                       own->second.task->kind == ikev2::task_kind::rekey_child);
  return awaits_child && ikev2::names_unknown_child(model_, request.payloads);
}

bool ike_sa::must_wait(const ikev2::msg_digest& request) const {
  if (is_planted(planted_bug::delete_overtakes)) return false;
  // For the responder it is up already; its request has overtaken its IKE_AUTH response.
  if (model_.state == ikev2::sa_state::auth_sent) return true;
  if (names_what_we_await(request)) return true;
  // The order of the socket is the order of effects: the peer has sent the response that we still
  // work on before this, and may speak of what it made (delete or rekey the new Child SA).
  auto own = own_exchange_ ? exchanges_.find(*own_exchange_) : exchanges_.end();
  if (own != exchanges_.end() && own->second.has_response) return true;
  if (!awaits_children()) return false;
  // The peer's successor has its Child SAs already, ours gets them in a moment.
  const auto* deletion = wire::find<wire::delete_payload>(request.payloads);
  return !deletion || deletion->protocol != protocol_id::ike;
}

void ike_sa::on_request(ikev2::msg_digest md) {
  if (must_wait(md)) {
    held_request_ = std::make_unique<ikev2::msg_digest>(std::move(md));
    return;
  }
  auto row = ikev2::match(model_.state, md);
  if (!row) return refuse_request(md, row.failure());
  running_exchange entry;
  entry.type = md.header.exchange;
  entry.message_id = md.header.message_id;
  spawn_exchange((*row)->processor(shared_->flow_context(), snapshot(), std::move(md)),
                 std::move(entry));
}

void ike_sa::on_response(ikev2::msg_digest md) {
  if (md.is_protected) {
    auto row = ikev2::match(model_.state, md);
    if (!row) return close(row.failure(), false, false);
  }
  heard();  // also IKE_SA_INIT: nobody but who saw our SPI can answer it
  auto at = exchanges_.find(outstanding_->exchange);
  retransmit_timer_.cancel();
  if (outstanding_->type != exchange_type::ike_sa_init)
    next_own_message_id_ = outstanding_->message_id + 1;
  outstanding_.reset();
  if (at == exchanges_.end()) return;
  held_response_ =
      std::make_unique<std::pair<std::uint64_t, ikev2::msg_digest>>(at->first, std::move(md));
  release_response();
}

// Of two rekeys that cross (§2.8.1, §2.8.2), what came first is decided first. Else the peer's
// request, if our own exchange overtook it here, would be refused with TEMPORARY_FAILURE although
// the peer has seen the collision; charon 5.9.8 then has no outbound SA any more.
void ike_sa::release_response() {
  if (!held_response_) return;
  auto crossing = peer_exchange_ ? exchanges_.find(*peer_exchange_) : exchanges_.end();
  if (crossing != exchanges_.end() && crossing->second.type == exchange_type::create_child_sa &&
      held_response_->second.header.exchange == exchange_type::create_child_sa)
    return;
  auto [number, md] = std::move(*held_response_);
  held_response_.reset();
  auto at = exchanges_.find(number);
  if (at == exchanges_.end()) return;
  at->second.has_response = true;
  at->second.handle.tell(receive_response{own(result<ikev2::msg_digest>{std::move(md)})});
}

void ike_sa::release_request() {
  if (!held_request_ || is_closed_) return;
  auto md = std::move(*held_request_);
  held_request_.reset();
  on_request(std::move(md));
}

// A request that no row takes is answered without an exchange (§2.21).
void ike_sa::refuse_request(const ikev2::msg_digest& md, const error& why) {
  record(
      journal_level::detail, journal_group::ike, "request_refused",
      [&] {
        return fields{{"exchange", text_of(md.header.exchange)}, {"reason", why.text()}};
      },
      "refusing {exchange} request: {reason}");
  running_exchange entry;
  entry.type = md.header.exchange;
  entry.message_id = md.header.message_id;
  entry.response = wire::payloads{ikev2::notify_about_syntax(md.payloads, why)};
  send_response(entry);
  // Before the peer is authenticated such an error is the end (§2.21.2).
  if (established_at_ == instant{}) close(why, false, true);
}

// A peer behind a NAT is answered to where its last authenticated packet came from (§2.23).
void ike_sa::follow_peer(const packet& what) {
  heard();
  bool floats = model_.role == ikev2::role::responder && established_at_ == instant{};
  if (what.remote == model_.remote && what.local == model_.local) return;
  if (!model_.peer.remote_behind_nat && !floats) return;
  record(
      journal_level::control, journal_group::net, "peer_moved",
      [&] {
        return fields{{"from", model_.remote}, {"to", what.remote}};
      },
      "peer moved from {from} to {to}");
  bool is_elsewhere = what.remote != model_.remote;
  model_.remote = what.remote;
  model_.local = what.local;
  if (is_elsewhere && model_.peer.udp_encapsulation) move_children(what.remote);
}

// ESP comes and goes by the same mapping as IKE (RFC 7296 §2.23).
void ike_sa::move_children(const endpoint& remote) {
  for (const auto& [spi, child] : children_) child.handle.tell(move_child{remote});
}

}  // namespace imago::actors
