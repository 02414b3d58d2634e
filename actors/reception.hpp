// The demux's RECEPTION: answers IKE_SA_INIT requests and keeps the half-open IKE SAs, as values.
// There is no actor before its peer has come back: nothing of a half-open IKE SA is ever suspended,
// so there is nothing to serialize, and a flood costs its octets and no Diffie-Hellman
// (decision 0014). Not an actor and not thread-safe: it lives in the demux.
//
// Grace under load, in this order: who can receive at its address goes first (cookies, §2.6), key
// pairs are reused for a moment (§2.12), what has waited too long is dropped, the oldest half-open
// IKE SA gives way to the newest.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <unordered_map>

#include "actors/messages.hpp"
#include "actors/services.hpp"
#include "core/ikev2/half_open.hpp"

namespace imago::actors {

// Who sent an IKE_SA_INIT request: its retransmissions belong to the same IKE SA.
struct init_key {
  std::uint64_t initiator_spi = 0;
  endpoint remote;
  friend bool operator==(const init_key&, const init_key&) = default;
};
struct init_key_hash {
  std::size_t operator()(const init_key& key) const {
    return std::hash<std::uint64_t>{}(key.initiator_spi) ^ std::hash<endpoint>{}(key.remote);
  }
};

class reception {
 public:
  // `is_taken`: is there such an SPI of ours already? `drop`: counts and says why.
  reception(services_ptr shared, std::function<bool(std::uint64_t)> is_taken,
            std::function<void(const char* why, const packet&)> drop);
  ~reception();

  // Of the actor that it lives in: to whom key pairs and timers come.
  void begin(const caf::actor_addr& self) {
    self_ = self;
    note_pressure();
  }
  void end();
  void set_policy(ikev2::policy_ptr policy) { policy_ = std::move(policy); }

  void on_request(const packet_ptr& what, const wire::header& header);
  void on_job_done(job_done& done);
  bool accept(const timer_due& due);  // false: not its timer

  // Is that SPI of ours a half-open IKE SA's?
  bool has(std::uint64_t own_spi) const { return by_spi_.count(own_spi) != 0; }
  // Its peer has come back: it becomes an ike_sa. It counts as half-open until forget().
  ikev2::half_open take(std::uint64_t own_spi);
  void forget(const init_key& key);  // it is authenticated, or gone
  const ikev2::policy_ptr& policy() const { return policy_; }

  std::size_t size() const { return by_spi_.size(); }
  // With those whose IKE_AUTH is being worked on.
  std::size_t count() const { return by_init_.size(); }

 private:
  // Key pairs of one method, made ahead.
  struct key_stock {
    std::vector<std::shared_ptr<const crypto::key_exchange>> fresh;
    std::shared_ptr<const crypto::key_exchange> reused;
    instant reused_until;
    std::uint64_t ordered = 0;  // the job under way
    std::deque<packet_ptr> waiting;
  };

  void note_pressure();
  bool must_wait(const packet& what);
  bool passes_cookie_check(const packet& what, const wire::header& header,
                           const wire::message& message);
  std::shared_ptr<const crypto::key_exchange> take_key(ke_method method);
  void order_keys(ke_method method, key_stock& stock);
  void make_half_open(const packet_ptr& what, const wire::header& header, wire::message message);
  bool make_room(const packet& what);
  void remove(std::uint64_t own_spi);
  void forget_expired();
  void refuse(const packet& what, const wire::header& header, wire::notify_payload answer,
              const error& reason, journal_level level);

  services_ptr shared_;
  std::function<bool(std::uint64_t)> is_taken_;
  std::function<void(const char*, const packet&)> drop_;
  caf::actor_addr self_;
  ikev2::policy_ptr policy_;
  std::unordered_map<init_key, std::uint64_t, init_key_hash> by_init_;  // to our SPI
  std::unordered_map<std::uint64_t, ikev2::half_open> by_spi_;
  std::deque<std::pair<instant, std::uint64_t>> until_;  // oldest first
  actor_timer timer_;                                    // of the oldest
  std::optional<instant> late_since_;                    // all new peers had to wait since then
  instant last_late_;
  std::map<ke_method, key_stock> stocks_;
  std::size_t waiting_count_ = 0;
  bool is_pressed_ = false;
  std::uint64_t next_job_ = 1;
  std::shared_ptr<cancel_token> token_ = std::make_shared<cancel_token>();
};

}  // namespace imago::actors
