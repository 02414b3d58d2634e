// Two production engines in one process, stepped: the actors, the demux, the kernel actor and the
// engine actor as imagod has them, on CAF's test coordinator, a virtual clock, a network in memory,
// stepped crypto and a fake data plane. No threads: what happens next is what the test lets happen.
#pragma once

#include <deque>
#include <map>

#include "actors/assembly.hpp"
#include "actors/engine_parts.hpp"
#include "actors/inbox_gate.hpp"
#include "kernel_if/fake/fake_backend.hpp"
#include "tests/actors/infrastructure.hpp"
#include "tests/support/duo.hpp"

namespace imago::ikev2::testing {}  // namespace imago::ikev2::testing

namespace imago::testing {

// The duo's configurations and credentials.
using ikev2::testing::certificate_ends;
using ikev2::testing::end;
using ikev2::testing::ends;
using ikev2::testing::proposals_of;
using ikev2::testing::selector_of;
using ikev2::testing::shared_key_ends;
using ikev2::testing::shared_key_of;

// On its way between the two, or recorded as sent.
struct wire_datagram {
  bool from_a = false;
  endpoint source, destination;
  bytes octets;               // an IKE message; empty: a NAT keepalive
  std::string label() const;  // "IKE_AUTH request 1"; "keepalive"; "garbage"
};

// What came back for the commands of one engine.
struct command_answers {
  std::map<std::uint64_t, std::size_t> expected;  // how many task_ended; grows by selection_made
  std::map<std::uint64_t, std::vector<status>> ended;
  std::map<std::uint64_t, std::size_t> selected;
  std::vector<sa_event> events;
  std::vector<ike_sa_status_ptr> listed;
  std::optional<actors::engine_counted> counted;
  std::size_t engines_stopped = 0;

  bool is_answered(std::uint64_t command) const;
  // Fails the test unless it is answered once.
  status result_of(std::uint64_t command) const;
};

struct pair_options {
  testing::ends ends = shared_key_ends();
  // Changes the options of both engines before they start; `is_a` says whose.
  std::function<void(bool is_a, engine_options&)> adjust;
  kernel_if::fake_backend::options data_plane;
  bool has_data_plane = true;
  actors::journal_level journal = actors::journal_level::debug;
};

class pair;

// One of the two engines.
class engine_side {
 public:
  engine_side(pair& both, bool is_a, const end& self, const pair_options& options);
  ~engine_side();
  engine_side(const engine_side&) = delete;
  engine_side& operator=(const engine_side&) = delete;

  // --- commands; the number comes back in `answers` ---
  std::uint64_t initiate(std::string child = "net", std::string connection = "moon-sun");
  std::uint64_t terminate(actors::sa_selector which, bool force = false);
  std::uint64_t rekey(actors::sa_selector which);
  std::uint64_t kill_sas(actors::sa_selector which);
  void stop_engine();
  void end_roots();  // KILLs engine, demux and kernel actor, as the engine's destructor does
  // Gives the engine what `self` says now.
  void load();

  // --- what a test sees; those that ask the engine run everything until quiet ---
  std::vector<ike_sa_status_ptr> list();
  ike_sa_status_ptr only();      // the one IKE SA; fails the test otherwise
  child_sa_status only_child();  // the one Child SA of it
  std::vector<caf::actor> living(std::string_view kind) const;
  std::size_t facts(std::string_view name);
  std::vector<std::string> problems();  // unexpected messages, exceptions
  std::string text();                   // the journal, for the message of a failed test
  // Lets only actors of that kind run, at most so many messages.
  void run_actor(std::string_view kind, std::size_t count);
  template <class Actor>
  const Actor& look_at(const caf::actor& actor) const {
    return dynamic_cast<const Actor&>(*caf::actor_cast<caf::abstract_actor*>(actor));
  }

  end self;
  bool is_a;
  actors::services_ptr shared;
  std::shared_ptr<actors::inline_crypto_executor> crypto;
  std::unique_ptr<kernel_if::fake_backend> plane;
  std::shared_ptr<command_answers> answers = std::make_shared<command_answers>();
  std::shared_ptr<actors::ring_sink> ring = std::make_shared<actors::ring_sink>(5000);
  bool is_engine_killed = false;

 private:
  friend class pair;
  caf::scheduler::test_coordinator& scheduler() const;
  void note_new_actors();
  bool run_job();
  void receive(const wire_datagram& what);
  void end_all();

  pair& both_;
  std::unique_ptr<caf::actor_system_config> config_ = std::make_unique<caf::actor_system_config>();
  std::unique_ptr<caf::actor_system> system_;
  std::unique_ptr<actors::kernel_sink> sink_;
  std::unique_ptr<actors::engine_parts::credentials_store> store_;
  std::shared_ptr<actors::inbox_gate> gate_;
  std::map<caf::actor_id, std::pair<std::string, caf::actor_addr>> seen_;
  caf::actor probe_;
};

class pair {
 public:
  explicit pair(pair_options options = {});
  ~pair();
  pair(const pair&) = delete;
  pair& operator=(const pair&) = delete;

  // One thing happens: a message is handled, else a crypto job or a data plane reply comes, else
  // the oldest datagram arrives. False: all is quiet.
  bool step();
  void run_until_quiet();
  void run_actors();  // and crypto and data plane, but nothing arrives
  // Virtual time passes; what is due fires in its order and everything runs until quiet.
  void advance(duration by);

  // --- the network ---
  std::deque<wire_datagram> in_flight;
  std::vector<wire_datagram> sent;  // all of it, in order
  // Sees each datagram when it is sent, may change it; false: it is lost.
  std::function<bool(wire_datagram&)> on_wire;
  void deliver(std::size_t at = 0);
  void drop(std::size_t at = 0);
  void duplicate(std::size_t at = 0);
  // Something that neither of them sent.
  void inject(const endpoint& source, const endpoint& destination, bytes octets);
  std::size_t sent_count(bool from_a, std::string_view label) const;

  // What happened in its order: "b replies install_sa", "b sends IKE_AUTH response 1".
  std::vector<std::string> story;

  // Up to an IKE SA with its first Child SA, asked for by a.
  void establish(std::string child = "net");
  // What must hold when all is quiet: both hold the same IKE SAs and mirrored Child SAs, and the
  // data planes hold just theirs.
  void check_agreement();
  // ... and when everything has ended: nothing is left anywhere.
  void check_empty();
  std::string text();  // both journals

  std::shared_ptr<actors::testing::virtual_clock> time;
  engine_side a, b;

 private:
  friend class engine_side;
  void on_sent(wire_datagram what);
  bool next_is_a_ = true;
};

// Options that make every end come within a minute of virtual time: unanswered requests are given
// up after some seconds, half-open IKE SAs after ten, a silent peer is noticed after ten.
pair_options brisk(testing::ends ends = shared_key_ends());

}  // namespace imago::testing
