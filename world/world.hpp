// A world: any number of production engines in one process, one thread, one virtual time.
//
// What happens next is a choice: every message between actors, every crypto result, every reply of
// a data plane, every timer and every datagram is a letter in the mailroom (mailroom.hpp). step()
// takes the oldest; an explorer (explorer.hpp) takes others; a script holds, drops and injects.
// The same options and the same choices give the same journal, octet for octet.
//
//   world in{{.seed = 7}};
//   auto& a = in.add_host(...); auto& b = in.add_host(...);
//   auto command = a.initiate("moon-sun", "net");
//   in.run_until_quiet();
#pragma once

#include <memory>

#include "core/crypto/seeded_context.hpp"
#include "world/esp_ledger.hpp"
#include "world/host.hpp"

namespace imago::world {

struct world_options {
  std::uint64_t seed = 1;
  wall_time wall{1'795'132'800};
  // Each datagram in a channel of its own, so that it may be delivered before earlier ones.
  bool reorders_datagrams = false;
  // The journals of all hosts merged in the order of what happened. Costs time.
  bool merges_journals = false;
  // A library with seeded entropy for each host, made once and used again by world after world;
  // null: made here. See entropy_pool.
  std::shared_ptr<class entropy_pool> entropy;
};

// OpenSSL contexts with seeded entropy, one per host: costly to make, cheap to seed again.
class entropy_pool {
 public:
  // Seeded with `seed` when it is returned.
  std::shared_ptr<crypto::library> library(host_number host, std::uint64_t seed);
  void reseed(host_number host, std::uint64_t seed) { sources_[host].context->reseed(seed); }

 private:
  struct source {
    std::unique_ptr<crypto::seeded_context> context;
    std::shared_ptr<crypto::library> library;
  };
  std::map<host_number, source> sources_;
};

class world {
 public:
  explicit world(world_options options = {});
  ~world();
  world(const world&) = delete;
  world& operator=(const world&) = delete;

  host& add_host(host_options options);
  const std::vector<std::unique_ptr<host>>& hosts() const { return hosts_; }
  host* find_host(std::string_view name) const;

  // --- what happens ---
  bool step();  // the oldest deliverable letter; false: all is quiet
  void deliver(letter_id id);
  // Errors: timed_out (it does not become quiet in so many deliveries).
  status run_until_quiet(std::size_t deliveries_max = 10'000'000);
  // Until `holds` does, checked after each delivery; time passes when all is quiet, at most
  // `longest`. False: it never did.
  bool run_until(const std::function<bool()>& holds, duration longest);
  // Virtual time passes; what is due fires in its order, and everything runs until quiet between.
  void advance(duration by);
  // To the next timer or arrival, without delivering anything; false: nothing is due by `end`.
  bool pass_to_next_due(instant end);
  std::optional<instant> next_due() const;

  // `act` happens at any time from now on: a delivery like others. `name` is a literal.
  void happen(const char* name, std::function<void()> act);

  // Called around each delivery.
  std::function<void(const letter&)> before_delivery;
  std::function<void(party_id receiver)> after_delivery;

  // "b.exchange.2", "a.wire", "a.user".
  std::string name_of(party_id who) const;
  // "kernel_request from b.exchange.2 to b.kernel.1".
  std::string describe(const letter& what) const;
  // Merged journals, or each host's after the other.
  std::string journal() const;

  const world_options& options() const { return options_; }
  virtual_clock& time() { return *time_; }
  std::shared_ptr<virtual_clock> shared_time() const { return time_; }

  // Somebody's who wants to live, and to end, with this world: a script's side of it.
  std::shared_ptr<void> companion;

  mailroom mail;
  network net;
  esp_ledger esp;  // of all user_esp data planes

 private:
  friend class host;
  void note_journal();
  // What an actor draws depends on its own history only, so that the order of deliveries to
  // different actors makes no difference.
  void seed_for(party_id receiver);

  world_options options_;
  std::shared_ptr<virtual_clock> time_;
  std::vector<std::unique_ptr<host>> hosts_;
  std::shared_ptr<std::string> merged_ = std::make_shared<std::string>();
};

}  // namespace imago::world
