// Is the peer alive? (RFC 7296 §2.4) Whatever it protects proves it: an IKE message that opens, an
// ESP packet that the data plane accepts. Only without proof for dpd_delay, and after the data
// plane has confirmed that there is none, an empty INFORMATIONAL asks. While its uplink
// (uplink.hpp) is down nothing is asked, sent again or deleted.
#include <algorithm>

#include "actors/ike_sa.hpp"

namespace imago::actors {

namespace {
// Longer than an answer takes over any path.
constexpr duration probe_window = std::chrono::seconds{2};
// Who may not ask now asks again after this and up to as much more.
constexpr duration probe_deferral = std::chrono::seconds{1};
}  // namespace

void ike_sa::check_liveness() {
  auto delay = model_.connection->config->dpd_delay;
  auto quiet = shared_->time->now() - last_alive_;
  if (quiet < delay) return liveness_timer_.arm(address(), delay - quiet);
  // Answered or not, one of these ends the wait.
  liveness_timer_.arm(address(), delay);
  if (children_.empty() || std::exchange(is_confirming_, true)) {
    is_confirming_ = false;
    return ask_for_life();
  }
  confirm_activity question{{}, caf::actor_cast<caf::actor>(this)};
  for (const auto& [spi, child] : children_) question.sas.push_back(child.status.inbound);
  shared_->kernel.tell(std::move(question));
}

void ike_sa::on_activity_confirmed(const activity_confirmed& confirmed) {
  if (!std::exchange(is_confirming_, false) || is_closed_) return;
  if (confirmed.last_used) last_alive_ = std::max(last_alive_, *confirmed.last_used);
  auto delay = model_.connection->config->dpd_delay;
  auto quiet = shared_->time->now() - last_alive_;
  if (is_paused_) return;
  if (quiet < delay) return liveness_timer_.arm(address(), delay - quiet);
  ask_for_life();
}

// Thousands whose peers fell silent together would ask together. Who was just released has had its
// turn.
void ike_sa::ask_for_life() {
  bool has_turn = std::exchange(was_released_, false) || !signs_;
  if (!has_turn && !signs_->admit_probe(shared_->time->now(), shared_->options.uplink_burst)) {
    auto part = shared_->library->number() % static_cast<std::uint64_t>(probe_deferral.count());
    return liveness_timer_.arm(address(),
                               probe_deferral + duration{static_cast<duration::rep>(part)});
  }
  want(ikev2::task_kind::check_liveness);
}

bool uplink_signs::admit_probe(instant now, std::uint32_t probes_max) {
  auto begun = window_at.load(std::memory_order_relaxed);
  auto count = probes.load(std::memory_order_relaxed);
  bool is_over = now.since_start - duration{begun} >= probe_window ||
                 heard_at.load(std::memory_order_relaxed) > begun;
  if (is_over) {
    window_at.store(now.since_start.count(), std::memory_order_relaxed);
    count = 0;
  }
  if (count >= probes_max) return false;
  probes.store(count + 1, std::memory_order_relaxed);
  return true;
}

void ike_sa::heard() {
  last_alive_ = shared_->time->now();
  if (!signs_) return;
  signs_->heard_at.store(last_alive_.since_start.count(), std::memory_order_relaxed);
  is_silence_reported_ = was_released_ = false;
  if (is_paused_ && !is_link_down_) uplink_.tell(peer_heard{});  // it says when we go on
}

// --- its uplink ---

void ike_sa::join() {
  uplink_ = {};
  if (!shared_->uplinks) return;
  // What was never heard says nothing about the path.
  is_silence_reported_ = true;
  // An initiator begins when it knows that it may; to a responder somebody has just spoken.
  if (model_.state == ikev2::sa_state::created && model_.role == ikev2::role::initiator)
    is_paused_ = is_link_down_ = true;
  shared_->uplinks.tell(join_uplink{model_.local.address, model_.remote.address,
                                    caf::actor_cast<caf::actor>(this), false});
}

void ike_sa::on_joined(const uplink_joined& joined) {
  on_uplink(joined.uplink);
  signs_ = joined.signs;
}

// Watched from the moment it is asked: one that is killed before it answers has forgotten us, too.
void ike_sa::on_uplink(const caf::actor& found) {
  if (uplink_ && uplink_.address() == found.address()) return;
  uplink_ = uplink_handle{found};
  monitor(found);
}

void ike_sa::on_pause(const pause_sending& asked) {
  is_paused_ = true;
  is_link_down_ = asked.is_link_down;
  may_probe_ = false;
  is_silence_reported_ = true;  // until it is heard again
  was_released_ = false;
  for (auto* timer : {&retransmit_timer_, &liveness_timer_, &keepalive_timer_}) timer->cancel();
}

void ike_sa::on_resume() {
  if (!std::exchange(is_paused_, false) || is_closed_) return;
  may_probe_ = false;
  was_released_ = true;
  if (outstanding_) {
    outstanding_->retransmissions = 0;  // its time stood still
    send_datagrams(outstanding_->datagrams);
    retransmit_timer_.arm(address(), ikev2::retransmission_delay(shared_->options.retransmission, 0,
                                                                 *shared_->library));
  }
  if (established_at_ != instant{} && model_.connection) {
    if (model_.connection->config->dpd_delay > duration{}) check_liveness();
    if (model_.peer.local_behind_nat) keepalive_timer_.arm(address(), duration{1});
  }
  pump();
}

// A hard lifetime is the keys' and does not stand still with the uplink: they leave the data plane
// when it says so. The peer learns it when something can be said again, if it did not count itself.
void ike_sa::on_child_expired(const child_expired& expired) {
  auto at = children_.find(expired.inbound_spi);
  if (at == children_.end()) return;
  if (is_paused_) at->second.handle.tell(stop_child_sa{false});
  want(ikev2::task_kind::delete_child, expired.inbound_spi);
}

// Not rekeyed, since nothing could be said. That is the outage's fault and nobody's wish: what its
// configuration wants up is begun anew when the uplink is back.
void ike_sa::expire_unseen() {
  close({errc::timed_out, "its lifetime ended while its uplink was down"}, false, false);
}

void ike_sa::on_probe_path() {
  if (is_closed_) return;
  may_probe_ = is_paused_;
  if (outstanding_) {
    if (is_paused_ && outstanding_->retransmissions++ >= shared_->options.retransmission.tries_max)
      return close({errc::peer_unreachable, model_.remote.text()}, false, false);
    return send_datagrams(outstanding_->datagrams);
  }
  if (model_.state == ikev2::sa_state::established && !own_exchange_)
    want(ikev2::task_kind::check_liveness);
  pump();  // it may have waited already
}

void ike_sa::report_silence() {
  if (uplink_ && !std::exchange(is_silence_reported_, true)) uplink_.tell(peer_silent{address()});
}

bool ike_sa::must_be_silent(bool is_answer) {
  if (!is_paused_ || (is_answer && !is_link_down_)) return false;
  return !std::exchange(may_probe_, false);
}

bool ike_sa::is_pump_paused() {
  if (!is_paused_ || may_probe_ || is_closed_) return false;
  // A Delete would reach nobody: the peer finds out by itself (§2.4).
  bool is_ending =
      !tasks_.empty() && tasks_.front().kind == ikev2::task_kind::delete_ike && !own_exchange_;
  if (is_ending && established_at_ != instant{}) {
    closing_wanted_ = true;
    close({errc::cancelled, "deleted while its uplink was down"}, false, true);
  }
  return true;
}

}  // namespace imago::actors
