// An UPLINK: one interface, and the IKE SAs whose local address it has. While nothing can arrive,
// its members send nothing; when it is back, they begin again one after the other.
//
//              link down, or its addresses gone                 link up again
//   (any) -------------------------------------> down ------------------------------+
//                                                                                   v
//   up --(many peers silent, nobody heard since)--> suspected                    reviving --> up
//    ^                                                  |  one probe to another     ^     (all are
//    +----------------(somebody is heard)---------------+  peer, 2 s                |    released)
//                                                       v                           |
//                                                     dark --(somebody is heard)----+
//
//   up         members keep their own timers. Who gets no answer to a request and to its first
//              retransmission says so (peer_silent). If so many different peers do, or all there
//              are, and none of the members had proof of life since the first of them, it may be
//              the path and not the peers.
//   suspected  one member that has not complained probes (probe_path).
//   down       members are paused: no retransmission, no liveness check, no keepalive, no Delete;
//              timers stand still. Connections that want to start wait.
//   dark       the link is up, the path behind it is not. As down, but for one member, the canary,
//              that probes now and then. If it gives up, a connection that waits to start is the
//              next, or another member; if no connection ever wants to, all are released, to find
//              out by themselves.
//   reviving   members are released, then connections start: each takes a token; tokens come at
//              uplink_starts_per_second, with jitter, at most uplink_burst at once.
//
// In every state but down and dark, connections that revive an IKE SA take a token, and of one peer
// only one starts at a time: there is at most one IKE_SA_INIT of a peer in flight. They watch this
// actor and ask again when it ends.
// Routes: a member whose peer has no route is paused like one of a link that is down.
#pragma once

#include <deque>
#include <map>
#include <set>

#include "actors/actor_base.hpp"
#include "actors/services.hpp"

namespace imago::actors {

class uplink final : public actor_base {
 public:
  // `directory` gets back members whose address has left the interface.
  uplink(caf::actor_config& config, services_ptr shared, uplinks_handle directory,
         kernel_if::link link);
  caf::behavior make_behavior() override;
  void on_exit() override;

  enum class state : std::uint8_t { up, suspected, down, dark, reviving };
  // For worlds and tests, where nothing runs meanwhile.
  state current() const { return state_; }
  std::size_t member_count() const { return members_.size(); }

 private:
  struct member {
    caf::actor handle;
    ip_address local, remote;
    bool is_paused = false;
    bool has_route = true;
  };
  using members = std::map<caf::actor_addr, member>;

  void on_link(const kernel_if::link& link);
  void on_gone();
  void on_routes();
  void on_join(const join_uplink& joined);
  void on_silent(const caf::actor_addr& who);
  void on_request(const request_start& asked);
  void on_start_ended(const ip_address& remote);
  void on_down(const caf::actor_addr& who);
  void on_timer();

  void enter(state next);
  bool is_blocked() const { return state_ == state::down || state_ == state::dark; }
  bool was_heard_since(instant when) const;
  void pause(member& one);
  void suspect();
  void go_dark();
  void probe();  // the canary, or the next one
  void revive();
  void release();  // what there are tokens for
  bool release_member();
  bool release_start();
  void take_tokens_in();
  void send_away(const std::set<ip_address>& addresses);

  services_ptr shared_;
  uplinks_handle directory_;
  kernel_if::link link_;
  state state_ = state::up;
  members members_;
  std::map<ip_address, std::size_t> peers_;  // members for each
  std::shared_ptr<uplink_signs> signs_ = std::make_shared<uplink_signs>();

  std::set<ip_address> silent_;  // peers
  instant silent_since_, doubted_at_;
  caf::actor_addr canary_;
  duration probe_interval_{};
  bool has_starters_ = false;  // since it is dark: connections that want to start

  std::deque<caf::actor_addr> to_release_;
  std::deque<request_start> to_start_;
  std::map<ip_address, caf::actor_addr> starting_;               // peer -> its connection
  std::map<caf::actor_addr, ip_address> starters_;               // the other way round
  std::map<ip_address, std::deque<request_start>> behind_peer_;  // that one starts
  double tokens_;
  instant tokens_at_;
  actor_timer timer_;
};

}  // namespace imago::actors
