// One production engine in a world: the actors, the core and the configuration of imagod; the
// world's clock, network, entropy, crypto and data plane.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "actors/assembly.hpp"
#include "actors/engine_parts.hpp"
#include "actors/inbox_gate.hpp"
#include "actors/journal_sinks.hpp"
#include "kernel_if/fake/fake_backend.hpp"
#include "world/esp_plane.hpp"
#include "world/mailroom.hpp"
#include "world/network.hpp"
#include "world/virtual_clock.hpp"

namespace imago::world {

class world;

enum class data_plane_kind : std::uint8_t {
  fake,      // tables only: fake_backend
  user_esp,  // real ESP, stepped: inner packets in and out
  none,
};

// Test doubles that have a known defect (core/base/planted.hpp).
struct planted_doubles {
  bool results_by_place = false;     // late_result: a result goes to who has its asker's place now
  bool looks_before_acting = false;  // larval_assert: between the two, the SA may be promoted
};

struct host_options {
  std::string name = "a";
  std::vector<ip_address> addresses;  // at least one
  ikev2::policy_parts configuration;  // loaded at the start
  ikev2::policy_ptr policy;  // instead: one already built, which world after world may share
  // Retransmission, thresholds, lifetimes; clock, library and sinks are the world's.
  engine_options engine;
  data_plane_kind data_plane = data_plane_kind::fake;
  kernel_if::fake_backend::options fake;
  // The seed of its entropy; 0: made of the world's seed and its place.
  std::uint64_t seed = 0;
  // Replaces the mathematics of crypto jobs (see stand_in.hpp); empty: real.
  actors::job_runner crypto_runner;
  planted_doubles doubles;
  std::optional<actors::journal_level> journal = actors::journal_level::detail;
};

// When results of crypto jobs come.
enum class crypto_mode : std::uint8_t {
  at_once,  // computed where they are submitted; the result is a letter of a channel of its own,
            // so it may be delivered late and in any order
  letters,  // the job itself is a letter: not begun before it is delivered
  held,     // when a script performs them: not begun until then, perhaps never
};

// What came back for the commands of one engine.
struct command_answers {
  std::map<std::uint64_t, std::size_t> expected;  // how many task_ended; grows by selection_made
  std::map<std::uint64_t, std::vector<status>> ended;
  std::map<std::uint64_t, std::size_t> selected;
  std::vector<sa_event> events;
  std::vector<ike_sa_status_ptr> listed;
  std::vector<child_policy_status> policies;
  std::optional<actors::engine_counted> counted;
  std::size_t engines_stopped = 0;

  bool is_answered(std::uint64_t command) const;
  // Its one answer; nothing unless it was answered exactly once.
  std::optional<status> result_of(std::uint64_t command) const;
};

class world_crypto;

class host {
 public:
  host(world& in, host_number number, host_options options);
  ~host();
  host(const host&) = delete;
  host& operator=(const host&) = delete;

  const std::string& name() const { return options_.name; }
  host_number number() const { return number_; }
  const ip_address& address() const { return options_.addresses.front(); }
  bool has_address(const ip_address& one) const {
    return std::find(options_.addresses.begin(), options_.addresses.end(), one) !=
           options_.addresses.end();
  }
  const host_options& options() const { return options_; }

  // --- configuration; errors as the engine's ---
  status load(ikev2::policy_parts configuration);
  status load_text(std::string_view swanctl_text);  // connections and secrets; no files
  // With files, relative to x509/, private/ etc. of `base`.
  status load_text(std::string_view swanctl_text, const std::string& base,
                   const config::file_access& files);
  std::vector<config::connection_config_ptr> connections() const;  // loaded
  void use_policy(ikev2::policy_ptr policy);                       // one already built

  // --- commands; the number comes back in `answers` ---
  std::uint64_t initiate(std::string connection, std::string child);
  std::uint64_t terminate(actors::sa_selector which, bool force = false);
  std::uint64_t rekey(actors::sa_selector which);
  std::uint64_t kill_sas(actors::sa_selector which);
  void stop_engine();  // deletes every SA, as SIGTERM does
  void end_roots();    // KILLs engine, demux and kernel actor, as the engine's destructor does
  // Who gets the answers: asks what has no command above.
  const caf::actor& asker() const { return probe_; }
  // KILLs every living actor of that kind (or just that number of it); returns how many.
  std::size_t kill(std::string_view kind, std::uint32_t number = 0);

  // --- views; those that ask the engine run everything until quiet ---
  std::vector<ike_sa_status_ptr> list();
  std::vector<child_policy_status> list_policies();  // traps and shunts
  std::vector<party_id> living(std::string_view kind = {}) const;
  std::size_t facts(std::string_view name);
  std::vector<std::string> problems();  // unexpected messages, exceptions
  std::vector<std::string> journal_lines();
  bool has_ended() const { return has_ended_; }
  template <class Actor>
  const Actor& look_at(const caf::actor& actor) const {
    return dynamic_cast<const Actor&>(*caf::actor_cast<caf::abstract_actor*>(actor));
  }

  mailroom& mail() const;
  caf::actor_system& system() const { return *system_; }
  // What is sent while `act` runs comes from outside: "a.user".
  void as_user(const std::function<void()>& act);

  // --- crypto ---
  void set_crypto_mode(crypto_mode mode);
  std::size_t crypto_waiting() const;
  bool perform_crypto(std::size_t index = 0);
  bool drop_crypto(std::size_t index = 0);

  // --- data plane ---
  kernel_if::fake_backend* fake() { return fake_.get(); }
  esp_plane* esp() { return esp_.get(); }
  // An inner packet that an application of this host sends. Only user_esp.
  // True: it left as ESP; false: dropped, or there is no such data plane.
  bool send_inner(bytes_view packet);
  std::vector<bytes> received_inner;

  // Its interface went down then; for engines that watch their uplinks, which learn it at once.
  std::optional<instant> down_since() const { return down_since_; }

  actors::services_ptr shared;
  std::shared_ptr<command_answers> answers = std::make_shared<command_answers>();
  std::shared_ptr<actors::ring_sink> ring;

 private:
  friend class world;
  class sink;
  class wire_end;
  void start();
  void receive(const datagram& what);
  void on_link(bool is_up);
  void receive_esp(const datagram& what);
  party_id wire_of(const datagram& what);
  void end_all();
  template <class Message>
  void tell_engine(Message what);

  world& in_;
  host_number number_;
  host_options options_;
  std::uint32_t mail_number_ = 0;
  party_id user_ = 0, timers_ = 0, plane_ = 0;
  std::map<std::pair<host_number, party_id>, party_id> wires_;  // by sending host and actor
  std::unique_ptr<caf::actor_system> system_;
  std::shared_ptr<world_crypto> crypto_;
  std::unique_ptr<kernel_if::fake_backend> fake_;
  std::unique_ptr<esp_plane> esp_;
  kernel_if::backend* plane() const;
  std::unique_ptr<sink> sink_;
  std::unique_ptr<actors::engine_parts::credentials_store> store_;
  std::shared_ptr<actors::inbox_gate> gate_;
  caf::actor probe_;
  std::optional<instant> down_since_;
  bool has_ended_ = false;  // its roots were killed
  bool is_over_ = false;    // all of it was
};

}  // namespace imago::world
