#include "actors/demux.hpp"

#include "actors/front_door.hpp"
#include "actors/ike_sa.hpp"
#include "actors/packets.hpp"
#include "core/base/limits.hpp"
#include "core/ikev2/exchanges/common.hpp"

namespace imago::actors {

demux::demux(caf::actor_config& config, services_ptr shared)
    : actor_base{config, "demux", shared->counted, shared->facts},
      shared_{std::move(shared)},
      reception_{shared_,
                 [this](std::uint64_t spi) { return by_spi_.count(spi) + closed_.count(spi) != 0; },
                 [this](const char* why, const packet& what) { drop(why, what); }},
      closed_timer_{shared_->timers, timer_kind::linger_due} {}

caf::behavior demux::make_behavior() {
  reception_.begin(address());
  set_down_handler([this](const caf::down_msg& down) {
    auto at = spis_of_.find(down.source.id());
    if (at == spis_of_.end()) return;
    for (auto spi : at->second) forget(spi);
    spis_of_.erase(at);
  });
  return handled_by([this](const receive_packet& received) { on_packet(received.what); },
                    [this](const admit_new_peers&) { admit_new_peers_waiting(); },
                    [this](const register_spi& registration) {
                      auto& slot = by_spi_[registration.own_spi];
                      if (slot.ike_sa) return;  // known from its birth
                      slot.ike_sa = ike_sa_handle{registration.ike_sa};
                      slot.gate = std::make_shared<inbox_gate>(limits::ike_sa_inbox_max);
                      auto& spis = spis_of_[registration.ike_sa.id()];
                      if (spis.empty()) monitor(registration.ike_sa);
                      spis.push_back(registration.own_spi);
                    },
                    [this](const half_open_ended& ended) {
                      auto at = by_spi_.find(ended.own_spi);
                      if (at == by_spi_.end() || !at->second.half_open) return;
                      reception_.forget(*at->second.half_open);
                      at->second.half_open.reset();
                    },
                    [this](const keep_last_answer& kept) { on_keep_last_answer(kept); },
                    [this](const update_policy& update) { reception_.set_policy(update.policy); },
                    [this](job_done& done) { reception_.on_job_done(done); },
                    [this](const timer_due& due) {
                      if (reception_.accept(due)) return;
                      if (closed_timer_.accept(due)) forget_expired();
                    },
                    [this](const kill&) { quit(caf::exit_reason::kill); });
}

void demux::on_exit() {
  by_spi_.clear();
  reception_.end();
  closed_timer_.cancel();
  closed_.clear();
  closed_until_.clear();
  actor_base::on_exit();
}

void demux::forget(std::uint64_t own_spi) {
  auto at = by_spi_.find(own_spi);
  if (at == by_spi_.end()) return;
  if (at->second.half_open) reception_.forget(*at->second.half_open);
  by_spi_.erase(at);
}

// --- closed IKE SAs ---

void demux::on_keep_last_answer(const keep_last_answer& kept) {
  forget(kept.own_spi);  // its actor takes no packets any more
  if (!closed_.try_emplace(kept.own_spi, kept.answer).second) return;
  auto lifetime = shared_->options.closed_lifetime;
  closed_until_.emplace_back(shared_->time->now() + lifetime, kept.own_spi);
  if (!closed_timer_.is_armed()) closed_timer_.arm(address(), lifetime);
  if (closed_.size() <= limits::closed_ike_sas_max) return;
  forget_oldest_closed();
  ++closed_shed_;
}

// §2.1: a retransmitted request, bit for bit, gets the response, bit for bit; to where the IKE SA
// would have sent it. Nothing else is answered: there are no keys to tell who asks.
void demux::answer_for_closed(const last_answer& last, const packet& what,
                              const wire::header& header) {
  if (header.is_response || what.octets != last.request) return drop("closed IKE SA", what);
  for (const auto& one : last.response) shared_->net->send_ike(last.local, last.remote, one);
}

void demux::forget_oldest_closed() {
  closed_.erase(closed_until_.front().second);
  closed_until_.pop_front();
}

void demux::forget_expired() {
  auto now = shared_->time->now();
  while (!closed_until_.empty() && closed_until_.front().first <= now) forget_oldest_closed();
  if (!closed_until_.empty()) closed_timer_.arm(address(), closed_until_.front().first - now);
}

void demux::drop(const char* why, const packet& what) {
  ++dropped_;
  facts().record(journal_level::debug, journal_group::net, [&] {
    fact dropped;
    dropped.name = "packet_dropped";
    dropped.fields = {{"why", why}, {"remote", what.remote}, {"octets", what.octets.size()}};
    dropped.story = "dropping {octets} octets from {remote}: {why}";
    return dropped;
  });
}

void demux::admit_new_peers_waiting() {
  auto& door = *shared_->door;
  for (const auto& one : door.take(shared_->time->now(), limits::new_peers_in_a_row_max))
    on_packet(one);
  door.taken();
}

void demux::on_packet(const packet_ptr& received) {
  const auto& what = *received;
  auto header = wire::parse_header(what.octets);
  if (!header) return drop("malformed header", what);
  if (header->version >> 4 > 2) {
    // §2.5: a higher major version is answered, never another answer.
    if (!header->is_response)
      answer_unprotected(*shared_, what.local, what.remote, *header,
                         ikev2::make_notify(notify_type::invalid_major_version));
    return drop("major version", what);
  }
  if (header->version >> 4 < 2) return drop("major version", what);
  if (header->initiator_spi == 0) return drop("initiator SPI 0", what);
  bool is_first = header->exchange == exchange_type::ike_sa_init && header->from_initiator &&
                  !header->is_response && header->responder_spi == 0;
  if (is_first) return reception_.on_request(received, *header);
  auto own_spi = header->from_initiator ? header->responder_spi : header->initiator_spi;
  auto at = by_spi_.find(own_spi);
  if (at != by_spi_.end()) return forward(at->second, received);
  if (reception_.has(own_spi)) return spawn_responder(received, *header);
  auto closed = closed_.find(own_spi);
  if (closed == closed_.end()) return drop("unknown SPI", what);
  answer_for_closed(*closed->second, what, *header);
}

void demux::forward(entry& to, const packet_ptr& what) {
  auto place = inbox_gate::enter(to.gate);
  if (!place) return drop("the IKE SA is busy", *what);
  to.ike_sa.tell(receive_packet{what, std::move(place)});
}

// The peer of a half-open IKE SA has come back.
void demux::spawn_responder(const packet_ptr& what, const wire::header& header) {
  if (header.exchange != exchange_type::ike_auth || header.is_response || header.message_id != 1)
    return drop("not the first IKE_AUTH request", *what);
  auto own_spi = header.responder_spi;
  auto half_open = reception_.take(own_spi);
  init_key key{half_open.initiator_spi, half_open.remote};
  ike_sa_birth birth;
  birth.id = shared_->new_id();
  birth.model = ikev2::model_of(half_open, reception_.policy());
  birth.half_open = std::move(half_open);
  auto actor = home_system().spawn<ike_sa>(shared_, own(std::move(birth)));
  monitor(actor);
  auto& slot = by_spi_[own_spi];
  slot.ike_sa = ike_sa_handle{actor};
  slot.gate = std::make_shared<inbox_gate>(limits::ike_sa_inbox_max);
  slot.half_open = key;
  spis_of_[actor.id()].push_back(own_spi);
  forward(slot, what);
}

}  // namespace imago::actors
