// The IKE SA's actor: durable model, message windows, keys of SK payloads. Everything about one IKE
// SA passes through its mailbox, so packets, commits, commands and KILL are serialized without a
// lock, and per-SA order is the order of the socket.
//
// Path of a request: receive_packet -> (old and the same: stored response) -> verified and opened
// -> md -> row -> exchange actor -> commit_exchange -> apply() -> directives -> (leases passed on:
// exchange_ended) -> response sealed, stored, sent. Nothing unauthenticated takes a window, a
// fragment slot or a timer.
#pragma once

#include <map>
#include <memory>

#include "actors/actor_base.hpp"
#include "actors/services.hpp"
#include "core/ikev2/exchanges/exchanges.hpp"
#include "core/ikev2/half_open.hpp"
#include "core/ikev2/message_protection.hpp"

namespace imago::actors {

// How a new IKE SA comes to be.
struct ike_sa_birth {
  std::uint64_t id = 0;
  ikev2::ike_sa_model model;
  connection_handle connection;                 // empty for a responder, until it is found
  std::optional<ikev2::derived_ike_keys> keys;  // of a rekeyed one
  std::optional<ikev2::half_open> half_open;    // of a responder whose peer has come back
  command_reply reply;                          // to who asked for it
  bool is_started = false;                      // by a start action
};

// A lifetime shortened by a random part of `spread`, so that ten thousand SAs made at once are not
// rekeyed at once. Not above zero: as it is, for "never".
duration sooner_by_chance(random_source& random, duration from, duration spread);

class ike_sa final : public actor_base {
 public:
  ike_sa(caf::actor_config& config, services_ptr shared, owned<ike_sa_birth> birth);
  caf::behavior make_behavior() override;
  caf::invoke_message_result consume(caf::mailbox_element& what) override;
  void on_exit() override;

  // For worlds and tests, where nothing runs meanwhile.
  const ikev2::ike_sa_model& model() const { return model_; }

 private:
  struct running_exchange {
    exchange_handle handle;
    bool is_ours = false;
    bool has_response = false;        // ours: it works on the peer's response
    bool is_committed = false;        // its outcome is durable, its leases pass on
    std::optional<ikev2::task> task;  // ours, other than the initial ones
    std::uint32_t message_id = 0;     // of the peer's request
    exchange_type type{};
    std::optional<wire::payloads> response;         // to be sent when it has ended
    std::vector<data_plane::spi> started_children;  // to be activated when it has ended
  };
  struct outstanding_request {
    std::uint64_t exchange = 0;
    exchange_type type{};
    std::uint32_t message_id = 0;
    std::vector<bytes> datagrams;
    unsigned retransmissions = 0;
  };
  struct stored_response {
    exchange_type type{};
    std::uint32_t message_id = 0;
    bytes first_request_datagram;  // what a retransmission begins with
    std::vector<bytes> datagrams;
    instant sent_at;
  };
  struct child_entry {
    child_sa_handle handle;
    child_sa_status status;
    std::uint64_t command = 0;  // of who waits for it
    bool is_rekey = false;
  };
  // A responder's until its first keys are derived.
  struct beginning {
    ikev2::half_open half_open;
    std::shared_ptr<cancel_token> token = std::make_shared<cancel_token>();
    std::vector<packet> packets;  // IKE_AUTH, or its fragments
  };
  // --- ike_sa.cpp: life, tasks, commands ---
  void begin_life();
  void on_initiate(const initiate_ike_sa& asked);
  void on_run_task(run_task& asked);
  void want(ikev2::task_kind kind, data_plane::spi inbound_spi = 0);  // nobody waits for it
  void pump();  // starts the next task if nothing of ours is in flight
  void spawn_exchange(ikev2::flow flow, running_exchange entry);
  void start_auth();
  void on_commit(commit_exchange& commit);
  void on_exchange_ended(std::uint64_t exchange);
  void on_timer(const timer_due& due);
  void on_established();
  void arm_lifetimes();
  void finish_command(std::uint64_t number, const status& result);
  void close(const error& reason, bool by_peer, bool wanted);
  void on_down(const caf::down_msg& down);
  void on_adopt(adopt_children& adopted);
  void on_update_policy(const ikev2::policy_ptr& policy);
  ikev2::sa_snapshot_ptr snapshot() const;
  // A successor whose predecessor has not handed over yet: nothing but its own end concerns it.
  bool awaits_children() const {
    return !is_current_ && model_.state == ikev2::sa_state::established;
  }
  bool is_response_due() const;
  bool names_what_we_await(const ikev2::msg_digest& request) const;
  bool must_wait(const ikev2::msg_digest& request) const;
  bool has_usable_child(const std::string& name) const;
  bool is_known_child(data_plane::spi spi) const { return children_.count(spi) != 0; }

  // --- ike_sa_liveness.cpp ---
  void check_liveness();
  void on_activity_confirmed(const activity_confirmed& confirmed);
  void ask_for_life();
  void heard();  // proof of life
  void join();
  void on_uplink(const caf::actor& found);
  void on_joined(const uplink_joined& joined);
  void on_pause(const pause_sending& asked);
  void on_resume();
  void on_probe_path();
  void on_child_expired(const child_expired& expired);
  void expire_unseen();
  void report_silence();
  // Nothing may be sent now. What may be said once is taken by it. Who asks is answered, unless the
  // link itself is down.
  bool must_be_silent(bool is_answer);
  bool is_pump_paused();

  // --- ike_sa_packets.cpp: the wire ---
  void on_packet(const packet& what);
  void on_init_packet(const packet& what, const wire::header& header);
  void on_protected_packet(const packet& what, const wire::header& header);
  void derive_first_keys();
  void hold_until_keys(const packet& what);
  void on_first_secret(job_done& done);
  void on_request(ikev2::msg_digest md);
  void on_response(ikev2::msg_digest md);
  void release_response();
  void release_request();
  void leave_last_answer();
  void refuse_request(const ikev2::msg_digest& md, const error& why);
  void send_request(std::uint64_t exchange, ikev2::send_request request);
  void send_response(running_exchange& exchange);
  void send_datagrams(const std::vector<bytes>& datagrams, bool is_answer = false);
  void retransmit();
  void send_last_delete();
  result<std::vector<bytes>> seal(exchange_type type, bool is_response, std::uint32_t message_id,
                                  const wire::payloads& payloads);
  wire::header header_of(exchange_type type, bool is_response, std::uint32_t message_id) const;
  void follow_peer(const packet& what);
  void move_children(const endpoint& remote);
  void note_drop(const char* why, const packet& what);

  // --- ike_sa_directives.cpp: what apply() asks for ---
  struct commit_result {
    std::vector<std::pair<data_plane::sa_id, caf::actor>> leases;
    std::optional<ikev2::close_ike_sa> closing;
  };
  commit_result carry_out(std::vector<ikev2::directive> todo, running_exchange& exchange);
  void do_start_child(ikev2::start_child& start, running_exchange& exchange, commit_result& result);
  void do_stop_child(const ikev2::stop_child& stop);
  void do_start_ike_sa(ikev2::start_ike_sa& start);
  void do_move_children(std::uint64_t initiator_spi, std::uint64_t responder_spi,
                        std::vector<ikev2::child_sa_model> children);
  void do_use_keys(ikev2::use_keys& use);
  void hand_over(const ike_sa_handle& successor, std::vector<ikev2::child_sa_model> children);
  void on_child_started(const child_started& started);

  // --- what others see: ike_sa_status.cpp ---
  ike_sa_status_ptr make_status(std::string_view state = {}) const;
  // Its new status reaches the engine once, after the message being worked on, but before any
  // report or answer of it.
  void publish() { is_changed_ = true; }
  void publish_if_changed() {
    if (is_changed_ && !is_closed_) publish_now();
  }
  ike_sa_status_ptr publish_now(std::string_view state = {});
  void report(sa_event_kind kind, data_plane::spi child = 0, data_plane::spi new_child = 0,
              error reason = {});
  using fields = std::vector<fact_field>;
  // `make_fields` runs only if somebody wants the fact.
  template <class Make>
  void record(journal_level level, journal_group group, static_text name, Make make_fields,
              static_text story) {
    if (facts().enabled(level, group)) record_now(level, group, name, make_fields(), story);
  }
  void record_now(journal_level level, journal_group group, static_text name, fields values,
                  static_text story);

  services_ptr shared_;
  std::uint64_t id_;
  ikev2::ike_sa_model model_;
  connection_handle connection_;
  bool is_started_ = false;
  std::optional<crypto::protection> outgoing_, incoming_;
  std::unique_ptr<beginning> beginning_;

  std::map<std::uint64_t, running_exchange> exchanges_;
  std::optional<std::uint64_t> own_exchange_;  // window of 1 each way (RFC 7296 §2.3)
  std::optional<std::uint64_t> peer_exchange_;
  std::uint32_t next_own_message_id_ = 0;
  std::uint32_t next_peer_message_id_ = 0;
  std::optional<outstanding_request> outstanding_;
  // Answered meanwhile, but the peer's request came before it: its exchange, and the digest.
  std::unique_ptr<std::pair<std::uint64_t, ikev2::msg_digest>> held_response_;
  // The peer's request that came while our exchange works on a response which came before it.
  std::unique_ptr<ikev2::msg_digest> held_request_;
  std::optional<stored_response> stored_;
  bytes first_request_datagram_;  // of the peer's request being worked on
  ikev2::fragment_assembler request_fragments_, response_fragments_;

  ikev2::child_config_ptr initial_child_;
  std::vector<ikev2::task> tasks_;  // first come, first done
  // By their numbers; a number comes more than once if a command closes several Child SAs.
  std::multimap<std::uint64_t, command_reply> commands_;
  std::uint64_t initial_command_ = 0;  // of who asked for this IKE SA
  std::map<data_plane::spi, child_entry> children_;
  std::map<std::uint64_t, ike_sa_handle> successors_;  // by our SPI in them
  // Does it serve its Child SAs? A successor only once it has adopted them, a predecessor no
  // longer: the coming and going of those two is not news.
  bool is_current_ = true;
  std::optional<error> closing_;  // close when the response is out
  bool closing_wanted_ = false, closing_by_peer_ = false;
  bool is_closed_ = false;
  // Its uplink (uplink.hpp); none: nobody watches.
  uplink_handle uplink_;
  std::shared_ptr<uplink_signs> signs_;
  bool was_released_ = false;  // in its turn, and not heard since
  bool is_paused_ = false, is_link_down_ = false;
  bool may_probe_ = false;  // one message, although paused
  bool is_silence_reported_ = false;
  bool is_confirming_ = false;  // the data plane is asked whether the peer is silent indeed
  bool is_changed_ = false;     // since its status was published

  instant created_at_, established_at_, rekey_at_, last_alive_, last_sent_;
  actor_timer retransmit_timer_, half_open_timer_, rekey_timer_, lifetime_timer_, liveness_timer_,
      keepalive_timer_, retry_timer_;
  std::vector<ikev2::task> retries_;
};

}  // namespace imago::actors
