#include "bench/load/generator.hpp"

#include <limits>

#include <time.h>

namespace imago::bench {

namespace {

constexpr std::uint64_t never = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t index_mask = 0xffffffff;
// What is due at once, before answers are looked at again.
constexpr int burst_max = 64;

}  // namespace

std::uint64_t now_us() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec) / 1000;
}

std::uint64_t pace::next() const {
  if (rate_ <= 0) return never;
  return begun_ + static_cast<std::uint64_t>(static_cast<double>(issued_) * 1e6 / rate_);
}

generator::generator(const load_options& options, const messages& maker, transport& out)
    : options_{options},
      maker_{maker},
      out_{out},
      flood_{options, maker, out},
      spoofed_{options.spoofed_flood},
      malformed_{options.malformed_flood},
      returning_{options.cookie_flood} {
  paces_[static_cast<std::size_t>(kind::handshake)] = pace{options.handshakes};
  paces_[static_cast<std::size_t>(kind::dpd)] = pace{options.dpds};
  paces_[static_cast<std::size_t>(kind::rekey)] = pace{options.rekeys};
}

// --- requests

wire::header generator::ids_of(const peer& of) const {
  wire::header ids;
  ids.initiator_spi = of.initiator_spi;
  ids.responder_spi = of.responder_spi;
  return ids;
}

void generator::send_request(peer& of, std::uint32_t index, result<bytes> request, stage then) {
  if (!request) return fail(of, request.failure().text(), true);
  of.request = std::move(*request);
  of.at = then;
  of.attempts = 0;
  ++of.serial;
  out_.send(source_of(index), of.request);
  waiting_[0].push_back({now_us() + options_.retransmit_ms * 1000ULL, index, of.serial});
}

void generator::begin_handshake(kind why, std::uint64_t scheduled) {
  auto index = static_cast<std::uint32_t>(peers_.size());
  auto& one = peers_.emplace_back();
  auto tag = std::uint64_t{static_cast<std::uint8_t>(sender::client)} << 56;
  // 24 bits that differ from run to run, so that a responder that still knows the last is not met.
  one.initiator_spi = tag | (maker_.library().number() & 0xffffff) << 32 | index;
  one.scheduled_us = scheduled;
  one.asks = why;
  one.begun = std::make_unique<beginning>();
  ++figures_of(why).offered;
  ++in_flight_;
  endpoint from{address_of(source_of(index)), options_.source_port};
  send_request(one, index, maker_.init_request(one.initiator_spi, from, *one.begun),
               stage::init_sent);
}

bool generator::ask(peer& of, std::uint32_t index, kind why) {
  auto ids = ids_of(of);
  ++in_flight_;
  of.asks = why;
  auto request = why == kind::dpd     ? maker_.dpd_request(*of.keys, ids)
                 : why == kind::rekey ? maker_.rekey_request(*of.keys, index, ids)
                                      : maker_.delete_request(*of.keys, ids);
  send_request(of, index, std::move(request), stage::asking);
  return of.at == stage::asking;
}

// The next of those that are idle; where all are busy, the load is not offered but counted as
// unanswered: a responder that keeps us waiting shall not look better for it.
void generator::begin_exchange(kind why, std::uint64_t scheduled) {
  ++figures_of(why).offered;
  for (std::size_t tried = 0; tried < idle_.size(); ++tried) {
    auto index = idle_[next_idle_++ % idle_.size()];
    auto& one = peers_[index];
    if (one.at != stage::established) continue;
    one.scheduled_us = scheduled;
    (void)ask(one, index, why);
    return;
  }
  ++figures_of(why).unanswered;
}

void generator::issue_flood(pace& of, std::uint64_t now, void (flood::*send)()) {
  for (int count = 0; count < burst_max && of.next() <= now; ++count, of.take()) (flood_.*send)();
}

// Whatever is due; when the next is.
std::uint64_t generator::issue(std::uint64_t now) {
  if (!is_measuring_ || now >= measured_until_) return never;
  auto next = never;
  for (auto why : {kind::handshake, kind::dpd, kind::rekey}) {
    auto& of = paces_[static_cast<std::size_t>(why)];
    for (int count = 0; count < burst_max && of.next() <= now; ++count, of.take()) {
      if (why == kind::handshake)
        begin_handshake(why, of.next());
      else
        begin_exchange(why, of.next());
    }
    next = std::min(next, of.next());
  }
  issue_flood(returning_, now, &flood::send_returning);
  issue_flood(malformed_, now, &flood::send_malformed);
  issue_flood(spoofed_, now, &flood::send_spoofed);
  // Floods come in bursts, as they do from a network: a wake-up for each would cost more than it.
  for (const auto* of : {&returning_, &malformed_, &spoofed_})
    next = std::min(next, of->next() == never ? never : std::max(of->next(), now + 200));
  return next;
}

std::uint64_t generator::retransmit(std::uint64_t now) {
  auto next = never;
  for (std::size_t level = 0; level < waiting_.size(); ++level) {
    auto& queue = waiting_[level];
    for (; !queue.empty() && queue.front().due_us <= now; queue.pop_front()) {
      auto [due, index, serial] = queue.front();
      (void)due;
      auto& one = peers_[index];
      if (one.serial != serial || one.request.empty()) continue;
      if (++one.attempts >= options_.attempts_max || level + 1 == waiting_.size()) {
        fail(one, "no answer", false);
        continue;
      }
      ++figures_of(one.asks).retransmitted;
      out_.send(source_of(index), one.request);
      waiting_[level + 1].push_back(
          {now + (options_.retransmit_ms * 1000ULL << (level + 1)), index, serial});
    }
    if (!queue.empty()) next = std::min(next, queue.front().due_us);
  }
  return next;
}

// --- answers

void generator::receive(bytes_view datagram) {
  auto header = wire::parse_header(datagram);
  if (!header) return void(++strays_);
  auto whose = static_cast<sender>(header->initiator_spi >> 56);
  if (whose == sender::flooder) return flood_.receive(*header, datagram);
  auto index = static_cast<std::uint32_t>(header->initiator_spi & index_mask);
  if (whose != sender::client || index >= peers_.size()) return void(++strays_);
  auto& one = peers_[index];
  if (one.initiator_spi != header->initiator_spi || one.at == stage::gone) return void(++strays_);
  if (header->exchange == exchange_type::ike_sa_init) {
    if (one.at == stage::init_sent && header->is_response) receive_init(one, index, datagram);
    return;
  }
  if (one.keys == nullptr) return void(++strays_);
  if (header->is_response)
    receive_sealed(one, index, *header, datagram);
  else
    receive_request(one, index, *header, datagram);
}

void generator::receive_init(peer& of, std::uint32_t index, bytes_view datagram) {
  auto response = wire::parse_message(datagram);
  if (!response) return fail(of, response.failure().text(), true);
  const auto* cookie = wire::find_notify(response->payloads, notify_type::cookie);
  if (cookie != nullptr && of.begun->cookie.empty()) {
    if (!options_.honours_cookies) return fail(of, "asked for a cookie", true);
    of.begun->cookie = cookie->data;
    endpoint from{address_of(source_of(index)), options_.source_port};
    return send_request(of, index, maker_.init_request(of.initiator_spi, from, *of.begun),
                        stage::init_sent);
  }
  auto keys = maker_.start_session(*of.begun, *response);
  if (!keys) return fail(of, keys.failure().text(), true);
  of.keys = std::move(*keys);
  of.responder_spi = response->header.responder_spi;
  send_request(of, index, maker_.auth_request(*of.keys, index, *of.begun, *response),
               stage::auth_sent);
}

void generator::receive_sealed(peer& of, std::uint32_t index, const wire::header& header,
                               bytes_view datagram) {
  // A response to what is asked now, not to what was answered before.
  if (of.request.empty() || header.message_id + 1 != of.keys->next_message_id) return;
  auto payloads = messages::open(*of.keys, datagram);
  if (!payloads) return void(++strays_);
  for (const auto& one : *payloads)
    if (const auto* found = std::get_if<wire::notify_payload>(&one); found && found->is_error())
      return fail(of, text_of(found->type), true);
  go_on_after(of, index, *payloads);
}

void generator::go_on_after(peer& of, std::uint32_t index, const wire::payloads& payloads) {
  if (of.at == stage::auth_sent) {
    if (wire::find<wire::authentication_payload>(payloads) == nullptr ||
        wire::find<wire::security_association_payload>(payloads) == nullptr)
      return fail(of, "IKE_AUTH without AUTH or SA: " + wire::describe(payloads), true);
    ++established_;
    of.begun.reset();
    complete(of);
    if (of.asks != kind::hold || !options_.keeps_keys)
      of.keys.reset();
    else
      idle_.push_back(index);
    return;
  }
  auto done = of.asks;
  complete(of);
  if (done == kind::teardown) {
    of.at = stage::gone;
    of.keys.reset();
    --established_;
  } else if (done == kind::rekey) {
    // The rekeying peer deletes what it replaced (RFC 7296 §1.3.3): asked in the same breath.
    auto old = std::exchange(of.keys->child_spi, of.keys->new_child_spi);
    of.asks = kind::clean_up;
    of.scheduled_us = now_us();
    ++figures_of(kind::clean_up).offered;
    ++in_flight_;
    send_request(of, index, maker_.delete_child_request(*of.keys, old, ids_of(of)), stage::asking);
  }
}

void generator::receive_request(peer& of, std::uint32_t index, const wire::header& header,
                                bytes_view datagram) {
  auto payloads = messages::open(*of.keys, datagram);
  if (!payloads) return void(++strays_);
  if (auto answer = maker_.answer(*of.keys, header)) out_.send(source_of(index), *answer);
}

void generator::settle(peer& of) {
  of.request = {};
  ++of.serial;
  of.at = stage::established;
  --in_flight_;
}

void generator::complete(peer& of) {
  auto now = now_us();
  auto& figures = figures_of(of.asks);
  ++figures.completed;
  if (is_measuring_ && now <= measured_until_) ++figures.in_time;
  figures.latency.record(now > of.scheduled_us ? now - of.scheduled_us : 0);
  settle(of);
}

void generator::fail(peer& of, const std::string& why, bool was_answered) {
  auto& figures = figures_of(of.asks);
  auto now = now_us();
  ++(was_answered ? figures.refused : figures.unanswered);
  if (figures.first_failure.empty()) figures.first_failure = why;
  if (!was_answered) figures.latency.record(now > of.scheduled_us ? now - of.scheduled_us : 0);
  auto was_up = of.at == stage::asking;
  settle(of);
  if (was_up && was_answered) return;
  of.at = stage::gone;
  of.begun.reset();
  of.keys.reset();
}

void generator::count_unanswered() {
  for (auto& one : peers_)
    if (!one.request.empty()) fail(one, "no answer before the end", false);
}

}  // namespace imago::bench
