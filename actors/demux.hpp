// The DEMUX: from datagrams to IKE SAs, by our SPI. O(1) header work only, except for new peers,
// which its reception admits and answers (reception.hpp).
//
// It also answers for the dead: when the response to a peer's last request (its Delete of the IKE
// SA, mostly) was lost, no ike_sa is there to send it again. The two messages are kept here and not
// by an ike_sa that lives on, because so an IKE SA's end stays its actor's end: whoever watches for
// DOWN need not know of a second kind of ended IKE SA, and it costs some hundred octets, no actor.
#pragma once

#include <deque>
#include <unordered_map>

#include "actors/actor_base.hpp"
#include "actors/inbox_gate.hpp"
#include "actors/reception.hpp"
#include "core/wire/message.hpp"

namespace imago::actors {

class demux final : public actor_base {
 public:
  demux(caf::actor_config& config, services_ptr shared);
  caf::behavior make_behavior() override;
  void on_exit() override;

  // For worlds and tests, where nothing runs meanwhile.
  struct tables {
    std::size_t spis = 0, half_open = 0, ike_sas = 0, closed = 0;
    std::size_t total() const { return spis + half_open + ike_sas + closed; }
  };
  tables table_sizes() const {
    return {by_spi_.size(), reception_.count(), spis_of_.size(), closed_.size()};
  }
  std::uint64_t dropped_count() const { return dropped_; }
  // Closed IKE SAs given up before their time because there were too many.
  std::uint64_t closed_shed_count() const { return closed_shed_; }

 private:
  struct entry {
    ike_sa_handle ike_sa;
    std::shared_ptr<inbox_gate> gate;
    std::optional<init_key> half_open;  // present while counted as half-open
  };

  void on_packet(const packet_ptr& received);
  void admit_new_peers_waiting();
  void forward(entry& to, const packet_ptr& what);
  void spawn_responder(const packet_ptr& what, const wire::header& header);
  void drop(const char* why, const packet& what);
  void forget(std::uint64_t own_spi);
  void on_keep_last_answer(const keep_last_answer& kept);
  void answer_for_closed(const last_answer& last, const packet& what, const wire::header& header);
  void forget_oldest_closed();
  void forget_expired();

  services_ptr shared_;
  reception reception_;
  std::unordered_map<std::uint64_t, entry> by_spi_;
  std::unordered_map<caf::actor_id, std::vector<std::uint64_t>> spis_of_;
  std::unordered_map<std::uint64_t, std::shared_ptr<const last_answer>> closed_;  // by our SPI
  std::deque<std::pair<instant, std::uint64_t>> closed_until_;                    // oldest first
  actor_timer closed_timer_;                                                      // of the oldest
  std::uint64_t dropped_ = 0;
  std::uint64_t closed_shed_ = 0;
};

}  // namespace imago::actors
