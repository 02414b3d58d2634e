// What stands between a script and its world: who may do what when, and for how long.
//
// Python objects hold a `link` to their world, never the world. Each call enters through it: the
// world is kept for the length of the call, its mailroom takes the thread's mail, and a call that
// would change the world from inside a delivery is refused. So a view that outlives its world
// raises, several worlds can be used in turn, and no callback can pull the ground from under an
// actor. An exception of a callback never passes through an actor: it waits in the session and is
// raised when the call that led to it returns.
#pragma once

#include <exception>
#include <list>
#include <memory>
#include <string>
#include <thread>

#include <pybind11/pybind11.h>

#include "python/errors.hpp"
#include "world/world.hpp"

namespace imago::python {

namespace py = pybind11;

// What a call does to the world.
enum class access : std::uint8_t {
  looks,  // nothing: allowed everywhere
  sends,  // commands, kills, conditions: not from inside a rule, which runs amid a delivery
  runs,   // delivers, or removes what is waiting: only when the world is at rest
};

// What a callback of the script is called for.
enum class callback_kind : std::uint8_t {
  rule,       // of letters or datagrams: the world is amid a delivery
  predicate,  // of run_until: between two deliveries
  act,        // of happen: a delivery of its own
};

// A rule for letters or datagrams, as long as it is not removed.
struct rule {
  std::string name, sender, receiver;  // shell patterns; empty: any
  PyObject* where = nullptr;           // a predicate, owned by the session; null: none
  PyObject* change = nullptr;          // datagrams: gives the octets that travel instead
  std::string action;
  std::uint64_t times = 0;  // how often it still applies; UINT64_MAX: always
  std::uint64_t hits = 0;
};

class session : public std::enable_shared_from_this<session> {
 public:
  static std::shared_ptr<session> create(world::world_options options);
  ~session();
  session(const session&) = delete;
  session& operator=(const session&) = delete;

  bool is_open() const { return world_ != nullptr; }
  bool is_busy() const { return depth_ != 0; }
  void close();
  // The world goes to somebody else (an explorer), who ends it; until then it is entered as before.
  std::unique_ptr<world::world> lend();

  // Callbacks are owned here, for the garbage collector to see.
  PyObject* keep(py::handle callback);  // null for None
  int traverse(visitproc visit, void* argument) const;
  void forget_callbacks();

  // Runs a callback; what it raises waits, and the result is then null.
  py::object call(callback_kind kind, PyObject* callback, py::args arguments);
  void note_failure(std::exception_ptr what);
  bool has_failed() const { return failure_ != nullptr; }
  void rethrow();

  std::list<std::shared_ptr<rule>> letter_rules, datagram_rules;

 private:
  friend class entry;
  session() = default;
  // The companion of a lent world: tells the session when it ends.
  struct companion;

  std::unique_ptr<world::world> owned_;
  world::world* world_ = nullptr;
  actors::mail_interceptor* interceptor_ = nullptr;
  std::thread::id thread_ = std::this_thread::get_id();
  int depth_ = 0;
  std::list<callback_kind> callbacks_;  // under way, the innermost last
  std::vector<PyObject*> kept_;
  std::exception_ptr failure_;
};

using link = std::weak_ptr<session>;

// One call under way.
class entry {
 public:
  // Raises WorldGone, WorldBusy, or Error when another thread made the world. `what` for its text.
  entry(const link& to, access how, const char* what);
  ~entry();
  entry(const entry&) = delete;
  entry& operator=(const entry&) = delete;

  world::world& in() const { return *session_->world_; }
  world::world* operator->() const { return session_->world_; }
  session& owner() const { return *session_; }
  // Of this world's; raises NotFound.
  world::host& host(world::host_number number) const;
  world::host& host(const std::string& name) const;
  // world::run_until, which Ctrl-C and a callback that raised end as well.
  bool run_until(const std::function<bool()>& holds, duration longest) const;
  // Raises what a callback raised meanwhile.
  void done() const { session_->rethrow(); }

 private:
  std::shared_ptr<session> session_;
  actors::mail_interceptor* before_;
};

// Lasts as long as an exploration of this thread. Worlds made meanwhile share a source of entropy,
// which saves most of the time that making one takes, and have a journal only when it is replayed.
class exploration_scope {
 public:
  exploration_scope();
  ~exploration_scope();
  exploration_scope(const exploration_scope&) = delete;
  exploration_scope& operator=(const exploration_scope&) = delete;

  static void set_quiet(bool is_quiet);
  static bool is_quiet();

 private:
  struct state {
    std::shared_ptr<world::entropy_pool> entropy;
    bool is_quiet = false;
  };
  friend class session;
  static state& of_thread();

  state before_;
  actors::mail_interceptor* interceptor_before_;
};

}  // namespace imago::python
