// Both peers in one process, without actors, sockets or clocks: each drives its flows, seals and
// opens, keeps message windows and does to itself what apply() directs. A test lets one event after
// another happen: a datagram arrives, a job or data plane request is carried out.
#pragma once

#include <deque>

#include "core/ikev2/cookie.hpp"
#include "core/ikev2/exchanges/exchanges.hpp"
#include "core/ikev2/message_protection.hpp"
#include "tests/support/certificates.hpp"
#include "tests/support/recording_data_plane.hpp"

namespace imago::ikev2::testing {

using imago::testing::credential;
using imago::testing::recording_data_plane;
using imago::testing::test_now;

const crypto::library& the_library();

// Repeats itself in each run; the first octet of the coming nonces can be chosen.
class chosen_random final : public random_source {
 public:
  explicit chosen_random(std::uint64_t seed) : state_{seed} {}
  void fill(std::span<std::uint8_t> out) override;
  std::deque<std::uint8_t> nonce_beginnings;

 private:
  std::uint64_t state_;
};

// What one peer is: configuration, credentials, abilities.
struct end {
  ip_address address;
  std::vector<config::connection_config> connections;
  policy_parts credentials;  // `connections` in it is filled in from above
  data_plane_abilities abilities;
  wall_time now = test_now;
  config::connection_config& connection() { return connections.front(); }
  config::child_config& child() { return connections.front().children.front(); }
};
struct ends {
  end a, b;
};
std::vector<wire::proposal> proposals_of(protocol_id protocol, std::string_view text);
config::identity identity_of(std::string_view text);
config::selector_template selector_of(std::string_view prefix);
config::shared_key_ptr shared_key_of(std::string_view value,
                                     const std::vector<std::string>& owners);
// 192.0.2.1 moon.example and 192.0.2.2 sun.example, one child "net": 10.1/16 === 10.2/16.
ends shared_key_ends();
ends certificate_ends(const credential& authority, const credential& a, const credential& b);

// A flow with what surrounds it.
struct exchange_run {
  flow work;
  bool is_ours = false;
  exchange_type type{};
  std::uint32_t message_id = 0;
  struct held_need {
    std::size_t index;
    need what;
  };
  std::deque<held_need> held;                 // not carried out yet
  std::optional<std::size_t> response_index;  // waits for the peer
  bytes request;                              // as sent, to be sent again
  std::set<data_plane::spi> leased;           // what it allocated
};

// One IKE SA of a peer.
struct ike_side {
  ike_sa_model model;
  std::optional<crypto::protection> inbound, outbound;
  std::uint32_t next_own_id = 0, next_peer_id = 0;
  bytes last_request, last_response;  // of the peer's exchanges
  std::optional<exchange_run> own, theirs;
  std::deque<task> tasks;     // begun when our window is free
  std::vector<task> delayed;  // apply() wants them later
  child_config_ptr first_child;
  bool wants_auth = false;
  std::optional<close_ike_sa> closed;
};

class peer {
 public:
  peer(const end& end, std::uint64_t seed, digest_tally_ptr tally,
       std::function<void(std::string, bytes)> send);

  // Begins IKE_SA_INIT; `child` empty: childless.
  void initiate(std::string_view connection, std::string_view child);
  void receive(const endpoint& from, const bytes& datagram);
  void add(ike_side& ike, task task);
  void add(task task) { add(current(), std::move(task)); }
  // Our request in flight is not answered any more.
  void time_out(ike_side& ike);
  void resend_requests();
  // The IKE SA goes away at once, as by a KILL.
  void kill(ike_side& ike);
  // As after a crash: a Child SA is gone without a word to the peer.
  void lose_child(data_plane::spi inbound_spi);

  std::size_t held_count() const;
  void carry_out_held(std::size_t at);
  bool is_quiet() const;  // no exchange in flight, nothing to do
  bool has_request_in_flight() const;
  void expire_lingering();
  bool begin_delayed();  // false: there is none

  // The one IKE SA that is established and neither replaced nor closed; fails the test otherwise.
  ike_side& current();
  std::vector<ike_side*> live();
  std::size_t child_count();
  task create_child(std::string_view child);
  task rekey_child();  // of the only usable Child SA
  task delete_child();
  static task of_kind(task_kind kind);
  bool has_reported(std::string_view text) const;

  end self;
  endpoint at;
  endpoint other;                   // where it sends to
  std::optional<endpoint> seen_at;  // what a NAT makes of `at`
  bool holds_work = false;
  bool wants_cookies = false;
  chosen_random random;
  number_source numbers;
  recording_data_plane plane;
  policy_ptr policy;
  std::deque<std::unique_ptr<ike_side>> ikes;
  std::vector<std::string> reports;  // what a person would be told
  // Asked before a job or request is carried out: true makes it fail.
  std::function<bool(const need&)> fails;
  // Changes the payloads of what is sent, before it is sealed.
  std::function<void(exchange_type, bool is_response, wire::payloads&)> tampers;

 private:
  flow_context context();
  void start(ike_side& ike, flow work, bool is_ours, exchange_type type, std::uint32_t id);
  void drive(ike_side& ike, std::optional<exchange_run>& slot);
  void answer(exchange_run& run, std::size_t index, need what);
  void send_own(ike_side& ike, exchange_run& run, std::size_t index, send_request request);
  void finish(ike_side& ike, std::optional<exchange_run>& slot);
  void respond(ike_side& ike, exchange_type type, std::uint32_t id, wire::payloads payloads);
  void begin_next(ike_side& ike);
  void give_back(exchange_run& run);
  bytes seal(ike_side& ike, wire::header header, wire::payloads payloads);
  ike_side* accept_init(const endpoint& from, const msg_digest& md);
  void receive_request(ike_side& ike, msg_digest md, const bytes& datagram);
  void receive_response(ike_side& ike, msg_digest md);
  bool open(ike_side& ike, const bytes& datagram, msg_digest& md);
  ike_side* find(const wire::header& header);
  void install_outbound(data_plane::spi inbound_spi);
  void remove_child(const child_sa_model& child, bool lingers);
  void remove_sa(data_plane::direction direction, data_plane::spi spi);

  void carry_out(ike_side& ike, exchange_run& run, directive& one);
  void on(ike_side& ike, exchange_run& run, start_child& one);
  void on(stop_child& one);
  void on(ike_side& ike, start_ike_sa& one);
  void on(ike_side& ike, move_children& one);
  void hand_over_tasks(ike_side& from, ike_side& to);
  void drop_exchanges(ike_side& ike);
  void drop_children(ike_side& ike);
  void on(ike_side& ike, use_keys& one);
  void on(ike_side& ike, close_ike_sa& one);

  digest_tally_ptr tally_;
  std::function<void(std::string, bytes)> send_;
  std::map<data_plane::spi, data_plane::install_sa> dormant_;  // by inbound SPI
  std::map<data_plane::spi, data_plane::spi> outbound_of_;     // by inbound SPI
  std::set<data_plane::spi> lingering_;                        // inbound SPIs
  std::optional<cookie_jar> cookies_;
};

struct packet {
  bool from_a = false;
  std::string label;
  bytes datagram;
};

class duo {
 public:
  explicit duo(const ends& ends = shared_key_ends(), std::uint64_t seed = 1);
  ~duo();
  duo(const duo&) = delete;
  duo& operator=(const duo&) = delete;

  digest_tally_ptr tally = std::make_shared<digest_tally>();
  std::deque<packet> in_flight;
  peer a, b;

  // Up to an IKE SA with a Child SA on both sides; `child` empty: childless.
  void establish(std::string_view child = "net");
  // Events that may happen next: datagrams arrive, held work is carried out.
  std::size_t event_count() const;
  void let_happen(std::size_t event);
  void deliver(std::size_t at = 0);
  void deliver(std::string_view label);  // the first of that label; fails the test if none is there
  void drop(std::size_t at = 0);
  void duplicate(std::size_t at = 0) { in_flight.push_back(in_flight.at(at)); }
  void run();  // in order, until nothing happens any more
  // run(), and let time pass: what lingers goes, what was delayed begins.
  void settle();
  // What must hold when all is quiet: one IKE SA or none on both sides, `children` usable Child SAs
  // that mirror each other, nothing else in the data planes, no md alive.
  void check_rest(std::size_t children = 1);
};

// Lets the events of what `make` gives happen in every order, up to `runs_max` orders; each ends
// with settle() and `check`. The number of orders; `runs_max` itself if there are more.
long explore(const std::function<std::unique_ptr<duo>()>& make,
             const std::function<void(duo&)>& check, long runs_max);
// One order chosen by `seed`, in which datagrams are lost, doubled and come late.
void disturb(duo& duo, std::uint64_t seed);

}  // namespace imago::ikev2::testing
