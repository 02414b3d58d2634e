#include "actors/reception.hpp"

#include <algorithm>

#include "actors/front_door.hpp"
#include "actors/packets.hpp"
#include "core/base/limits.hpp"
#include "core/ikev2/exchanges/common.hpp"
#include "core/ikev2/rows.hpp"

namespace imago::actors {

namespace {

// §2.12: for how long a key pair serves more than one peer when there are too many.
constexpr auto key_reuse_time = std::chrono::seconds{1};

// New peers that wait longer than this, for the demux or for the crypto pool, and all of them for
// so long, are better told to wait by silence: they ask again, and what has begun is finished
// first. A moment in which this process did not run is no standing queue (RFC 8289 §3).
constexpr auto wait_max = std::chrono::milliseconds{30};
constexpr auto standing = std::chrono::milliseconds{100};
constexpr auto standing_forgotten = std::chrono::seconds{1};

// At most so many times as many are ordered at once: about 5 ms of one core with X25519.
constexpr std::size_t key_orders_max = 16;

// A MODP key pair costs a hundred times what one of a curve does.
std::size_t keys_ahead(ke_method method) {
  switch (method) {
    case ke_method::modp_2048:
    case ke_method::modp_3072:
    case ke_method::modp_4096: return 2;
    default: return 16;
  }
}

}  // namespace

reception::reception(services_ptr shared, std::function<bool(std::uint64_t)> is_taken,
                     std::function<void(const char*, const packet&)> drop)
    : shared_{std::move(shared)},
      is_taken_{std::move(is_taken)},
      drop_{std::move(drop)},
      policy_{std::make_shared<const ikev2::policy>()},
      timer_{shared_->timers, timer_kind::half_open_due} {}

reception::~reception() { end(); }

void reception::end() {
  token_->cancel();
  timer_.cancel();
  by_init_.clear();
  shared_->half_open_count -= by_spi_.size();
  by_spi_.clear();
  until_.clear();
  stocks_.clear();
  waiting_count_ = 0;
}

// --- admission ---

// Pressed from the threshold on, until it is well below it: at the threshold itself each peer that
// comes back would open the door to a flood for a moment.
void reception::note_pressure() {
  auto load = by_init_.size() + waiting_count_;
  auto threshold = shared_->options.cookie_threshold;
  is_pressed_ = load >= threshold || (is_pressed_ && load >= threshold - threshold / 4);
  shared_->door->set_pressed(is_pressed_);
}

void reception::on_request(const packet_ptr& what, const wire::header& header) {
  auto known = by_init_.find({header.initiator_spi, what->remote});
  if (known != by_init_.end()) {
    auto at = by_spi_.find(known->second);
    // Its peer has come back already, or it waits for a key pair.
    if (at == by_spi_.end()) return drop_("IKE_SA_INIT request already worked on", *what);
    // §2.1: bit for bit the same request, bit for bit the same response.
    if (at->second.init.request != what->octets) return drop_("another IKE_SA_INIT", *what);
    return shared_->net->send_ike(what->local, what->remote, at->second.init.response);
  }
  if (must_wait(*what)) return drop_("too busy for a new peer", *what);
  auto message = wire::parse_message(what->octets);
  if (!message) {
    return refuse(*what, header, ikev2::make_notify(notify_type::invalid_syntax), message.failure(),
                  journal_level::detail);
  }
  if (is_pressed_ && !passes_cookie_check(*what, header, *message)) return;
  make_half_open(what, header, std::move(*message));
}

bool reception::must_wait(const packet& what) {
  auto now = shared_->time->now();
  if (now - what.received_at <= wait_max && shared_->crypto->backlog() <= wait_max) {
    late_since_.reset();
    return false;
  }
  if (!late_since_ || now - last_late_ > standing_forgotten) late_since_ = now;
  last_late_ = now;
  return now - *late_since_ > standing;
}

// Under load only who can receive at its address gets a state (§2.6).
bool reception::passes_cookie_check(const packet& what, const wire::header& header,
                                    const wire::message& message) {
  const auto* nonce = wire::find<wire::nonce_payload>(message.payloads);
  if (!nonce) {
    drop_("malformed IKE_SA_INIT", what);
    return false;
  }
  auto now = shared_->time->now();
  const auto* cookie = wire::find_notify(message.payloads, notify_type::cookie);
  if (cookie && shared_->door->check_cookie(now, cookie->data, nonce->data, what.remote.address,
                                            header.initiator_spi))
    return true;
  auto made =
      shared_->door->make_cookie(now, nonce->data, what.remote.address, header.initiator_spi);
  answer_unprotected(*shared_, what.local, what.remote, header,
                     ikev2::make_notify(notify_type::cookie, std::move(made)));
  return false;
}

void reception::refuse(const packet& what, const wire::header& header, wire::notify_payload answer,
                       const error& reason, journal_level level) {
  shared_->facts->record(level, journal_group::ike, [&] {
    return fact{.name = "init_refused",
                .fields = {{"remote", what.remote},
                           {"notify", text_of(answer.type)},
                           {"reason", reason.text()}},
                .story = "refusing IKE_SA_INIT from {remote} with {notify}: {reason}"};
  });
  answer_unprotected(*shared_, what.local, what.remote, header, std::move(answer));
}

// --- half-open IKE SAs ---

void reception::make_half_open(const packet_ptr& what, const wire::header& header,
                               wire::message message) {
  auto request = new_digest(*shared_, *what, header);
  request.raw = what->octets;
  request.payloads = std::move(message.payloads);
  auto row = ikev2::match(ikev2::sa_state::created, request);
  if (!row)
    return refuse(*what, header, ikev2::notify_about_syntax(request.payloads, row.failure()),
                  row.failure(), journal_level::detail);
  auto choice = ikev2::choose_init(*policy_, request);
  if (auto* refusal = std::get_if<ikev2::init_refusal>(&choice))
    return refuse(*what, header, std::move(refusal->answer), refusal->reason, journal_level::audit);
  if (!make_room(*what)) return;
  auto& chosen = std::get<ikev2::init_choice>(choice);
  auto method = chosen.chosen.ike.key_exchange;
  auto own = take_key(method);
  if (!own) {  // it is made; then this is looked at anew
    auto& waiting = stocks_[method].waiting;
    if (waiting_count_ >= limits::init_waiting_max) return drop_("waits for a key pair", *what);
    ++waiting_count_;
    waiting.push_back(what);
    return note_pressure();
  }
  auto own_spi = ikev2::make_ike_spi(*shared_->library);
  if (has(own_spi) || is_taken_(own_spi)) return drop_("SPI taken", *what);
  auto made = ikev2::answer_init(shared_->flow_context(), std::move(chosen), std::move(request),
                                 own_spi, std::move(own));
  if (!made)
    return refuse(*what, header, ikev2::make_notify(notify_type::invalid_syntax), made.failure(),
                  journal_level::audit);
  wire::header answer = header;
  answer.responder_spi = own_spi;
  answer.from_initiator = false;
  answer.is_response = true;
  auto& init = made->agreed.init;
  init.response = wire::encode_message(answer, made->response);
  shared_->net->send_ike(what->local, what->remote, init.response);
  shared_->facts->record(journal_level::detail, journal_group::net, [&] {
    return fact{.name = "init_answered",
                .fields = {{"remote", what->remote},
                           {"payloads", [list = wire::describe(made->response)] { return list; }}},
                .story = "sending IKE_SA_INIT response 0 {payloads} to {remote}"};
  });
  by_init_[{header.initiator_spi, what->remote}] = own_spi;
  by_spi_.emplace(own_spi, std::move(made->agreed));
  ++shared_->half_open_count;
  note_pressure();
  auto lifetime = shared_->options.half_open_lifetime;
  until_.emplace_back(shared_->time->now() + lifetime, own_spi);
  if (!timer_.is_armed()) timer_.arm(self_, lifetime);
}

// As many as are allowed: the oldest, whose peer has not come back for longest, gives way.
bool reception::make_room(const packet& what) {
  if (by_init_.size() < shared_->options.half_open_count_max) return true;
  while (!until_.empty() && !has(until_.front().second)) until_.pop_front();
  if (until_.empty()) {
    drop_("too many half-open IKE SAs", what);
    return false;
  }
  remove(until_.front().second);
  until_.pop_front();
  return true;
}

void reception::remove(std::uint64_t own_spi) {
  auto at = by_spi_.find(own_spi);
  if (at == by_spi_.end()) return;
  by_init_.erase({at->second.initiator_spi, at->second.remote});
  by_spi_.erase(at);
  --shared_->half_open_count;
  note_pressure();
}

ikev2::half_open reception::take(std::uint64_t own_spi) {
  auto at = by_spi_.find(own_spi);
  auto taken = std::move(at->second);
  by_spi_.erase(at);
  --shared_->half_open_count;
  while (!until_.empty() && !has(until_.front().second)) until_.pop_front();
  if (until_.empty()) timer_.cancel();
  return taken;
}

void reception::forget(const init_key& key) {
  by_init_.erase(key);
  note_pressure();
}

bool reception::accept(const timer_due& due) {
  if (!timer_.accept(due)) return false;
  forget_expired();
  return true;
}

void reception::forget_expired() {
  auto now = shared_->time->now();
  while (!until_.empty() && (until_.front().first <= now || !has(until_.front().second))) {
    remove(until_.front().second);
    until_.pop_front();
  }
  if (!until_.empty()) timer_.arm(self_, until_.front().first - now);
}

// --- key pairs ---

// Null: none yet, one is ordered. A flood must not cost a key pair for each of its peers.
std::shared_ptr<const crypto::key_exchange> reception::take_key(ke_method method) {
  auto& stock = stocks_[method];
  auto now = shared_->time->now();
  if (is_pressed_ && stock.reused && now < stock.reused_until) return stock.reused;
  stock.reused.reset();
  std::shared_ptr<const crypto::key_exchange> key;
  if (!stock.fresh.empty()) {
    key = std::move(stock.fresh.back());
    stock.fresh.pop_back();
    if (is_pressed_) {
      stock.reused = key;
      stock.reused_until = now + key_reuse_time;
    }
  }
  if (stock.fresh.size() < (keys_ahead(method) + 1) / 2) order_keys(method, stock);
  return key;
}

void reception::order_keys(ke_method method, key_stock& stock) {
  if (stock.ordered != 0) return;
  crypto_task task;
  auto ahead = keys_ahead(method);
  auto wanted = std::clamp(stock.waiting.size(), ahead, key_orders_max * ahead);
  task.job = crypto::generate_key_exchanges_job{method, wanted};
  task.token = token_;
  task.reply_to = self_;
  task.job_id = next_job_;
  // A full pool: the next request orders again.
  if (shared_->crypto->submit(std::move(task))) stock.ordered = next_job_++;
}

void reception::on_job_done(job_done& done) {
  for (auto& [method, stock] : stocks_) {
    if (stock.ordered != done.job_id || !done.result.has_value()) continue;
    stock.ordered = 0;
    auto waiting = std::exchange(stock.waiting, {});
    waiting_count_ -= waiting.size();
    note_pressure();
    auto made = done.result.take();
    auto* keys = made ? std::get_if<crypto::key_exchanges_generated>(&*made) : nullptr;
    if (!keys) return;  // who waits asks again
    for (auto& one : keys->own)
      stock.fresh.push_back(std::make_shared<const crypto::key_exchange>(std::move(one)));
    for (const auto& what : waiting)
      if (auto header = wire::parse_header(what->octets)) on_request(what, *header);
    return;
  }
}

}  // namespace imago::actors
