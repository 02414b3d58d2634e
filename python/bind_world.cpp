// imago.World: hosts, time, and what happens next.
#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "python/bind.hpp"

namespace imago::python {

namespace {

// Collected with its callbacks, which usually know the world they were given to.
// Null while it is being made.
session* session_of(PyObject* self) {
  auto held = reinterpret_cast<py::detail::instance*>(self)->get_value_and_holder();
  if (!held.holder_constructed()) return nullptr;
  return static_cast<world_object*>(held.value_ptr())->owner.get();
}

int traverse(PyObject* self, visitproc visit, void* arg) {  // Py_VISIT wants this name
  Py_VISIT(Py_TYPE(self));
  auto* owner = session_of(self);
  return owner ? owner->traverse(visit, arg) : 0;
}

int clear(PyObject* self) {
  if (auto* owner = session_of(self)) owner->forget_callbacks();
  return 0;
}

void make_collectable(PyHeapTypeObject* type) {
  type->ht_type.tp_flags |= Py_TPFLAGS_HAVE_GC;
  type->ht_type.tp_traverse = &traverse;
  type->ht_type.tp_clear = &clear;
}

world_object make_world(std::uint64_t seed, std::optional<double> wall, bool reorders) {
  world::world_options options;
  options.seed = seed;
  if (wall) options.wall = wall_time{static_cast<std::int64_t>(*wall)};
  options.reorders_datagrams = reorders;
  options.merges_journals = !exploration_scope::is_quiet();
  return {session::create(std::move(options))};
}

std::vector<ip_address> addresses_of(const py::object& given) {
  std::vector<ip_address> all;
  if (py::isinstance<py::str>(given))
    all.push_back(address_of(py::str{given}));
  else
    for (const auto& one : given) all.push_back(address_of(py::str{one}));
  if (all.empty()) throw py::value_error("add_host(): a host has at least one address");
  return all;
}

world::data_plane_kind data_plane_of(const std::string& name) {
  if (name == "fake") return world::data_plane_kind::fake;
  if (name == "user-esp") return world::data_plane_kind::user_esp;
  if (name == "none") return world::data_plane_kind::none;
  throw py::value_error("add_host(): data_plane '" + name + "' is none of fake, user-esp, none");
}

std::optional<actors::journal_level> level_of(const std::optional<std::string>& name) {
  using actors::journal_level;
  if (!name) return std::nullopt;
  for (auto level :
       {journal_level::audit, journal_level::control, journal_level::detail, journal_level::debug})
    if (actors::text_of(level) == *name) return level;
  throw py::value_error("add_host(): journal '" + *name +
                        "' is none of audit, control, detail, debug, None");
}

// The engine's options that a script may want otherwise.
void set_option(engine_options& options, const std::string& name, double value) {
  auto as_duration = [&] { return duration_of(value, name.c_str()); };
  if (name == "retransmit_tries")
    options.retransmission.tries_max = static_cast<unsigned>(std::clamp(value, 0.0, 100.0));
  else if (name == "retransmit_delay")
    options.retransmission.first_delay = as_duration();
  else if (name == "half_open_lifetime")
    options.half_open_lifetime = as_duration();
  else if (name == "closed_lifetime")
    options.closed_lifetime = as_duration();
  else if (name == "inbound_linger")
    options.inbound_linger = as_duration();
  else if (name == "nat_keepalive_interval")
    options.nat_keepalive_interval = as_duration();
  else if (name == "cookie_threshold")
    options.cookie_threshold = static_cast<std::size_t>(std::clamp(value, 0.0, 1e9));
  else if (name == "datagram_size_max")
    options.datagram_size_max = static_cast<std::size_t>(std::clamp(value, 576.0, 65535.0));
  else
    throw py::value_error(
        "add_host(): there is no option '" + name +
        "'; there are retransmit_tries, retransmit_delay, half_open_lifetime, closed_lifetime, "
        "inbound_linger, nat_keepalive_interval, cookie_threshold and datagram_size_max");
}

host_view add_host(const world_object& self, const std::string& name, const py::object& address,
                   const py::object& configuration, const std::string& data_plane,
                   const std::optional<std::string>& journal,
                   const std::optional<std::string>& base,
                   const std::map<std::string, double>& options) {
  world::host_options made;
  made.name = name;
  made.addresses = addresses_of(address);
  made.data_plane = data_plane_of(data_plane);
  made.journal = level_of(journal);
  if (exploration_scope::is_quiet()) made.journal.reset();
  for (const auto& [option, value] : options) set_option(made.engine, option, value);
  auto text = configuration.is_none() ? std::string{} : configuration_text(configuration);
  entry in{self.owner, access::runs, "add_host()"};
  if (in->find_host(name))
    throw py::value_error(fmt::format("add_host(): there is a host '{}' already", name));
  auto& host = in->add_host(std::move(made));
  auto view = view_of(self.owner, host);
  // A host that is there cannot be taken back; without configuration it does no harm.
  if (!configuration.is_none())
    py::cast(view).attr("load")(text, base ? py::cast(*base) : py::object{py::none{}});
  if (auto quiet = in->run_until_quiet(); !quiet)
    throw script_error{error_kind::general, "add_host(): " + quiet.failure().text()};
  return view;
}

// --- what happens next ---

std::optional<letter_view> step(const world_object& self) {
  entry in{self.owner, access::runs, "step()"};
  const auto* next = in->mail.oldest();
  if (!next) return std::nullopt;
  auto view = view_of(self.owner, in.in(), *next);
  in->deliver(next->id);
  in.done();
  return view;
}

// Until nothing can be delivered; time does not pass. How many were.
std::size_t run(const entry& in, std::size_t deliveries_max) {
  std::size_t count = 0;
  while (!in.owner().has_failed() && in->step()) {
    ++count;
    if (count % 1024 == 0 && PyErr_CheckSignals() != 0) throw py::error_already_set{};
    if (count == deliveries_max)
      throw script_error{
          error_kind::timed_out,
          fmt::format("run(): not quiet after {} deliveries; world.letters() shows what goes round",
                      deliveries_max)};
  }
  in.done();
  return count;
}

constexpr std::size_t deliveries_usual = 10'000'000;

void advance(const world_object& self, double seconds) {
  auto by = duration_of(seconds, "advance()");
  entry in{self.owner, access::runs, "advance()"};
  auto end = in->time().now() + by;
  run(in, deliveries_usual);
  while (in->pass_to_next_due(end)) run(in, deliveries_usual);
  in->time().set(end);
}

// How often what has that name happened: an event of SAs, or a fact of a journal.
std::size_t count_events(world::world& in, const std::string& name) {
  std::size_t count = 0;
  for (const auto& host : in.hosts()) {
    const auto& events = host->answers->events;
    count += static_cast<std::size_t>(std::count_if(
        events.begin(), events.end(), [&](const auto& one) { return name_of(one.kind) == name; }));
    count += host->facts(name);
  }
  return count;
}

std::string known_events(world::world& in) {
  std::set<std::string> names;
  for (const auto& host : in.hosts()) {
    for (const auto& one : host->answers->events) names.emplace(name_of(one.kind));
    if (!host->ring) continue;
    for (const auto& one : host->ring->facts()) names.emplace(one.name.view());
  }
  std::string all;
  for (const auto& one : names) all += (all.empty() ? "" : ", ") + one;
  return all;
}

void run_until(const world_object& self, const py::object& condition, double seconds) {
  auto longest = duration_of(seconds, "run_until()");
  entry in{self.owner, access::runs, "run_until()"};
  if (py::isinstance<py::str>(condition)) {
    std::string name = py::str{condition};
    auto before = count_events(in.in(), name);
    auto happened = in.run_until([&] { return count_events(in.in(), name) > before; }, longest);
    in.done();
    if (!happened)
      throw script_error{error_kind::timed_out,
                         fmt::format("run_until(): '{}' did not happen within {} s; what did, at "
                                     "some time: {}",
                                     name, seconds, known_events(in.in()))};
    return;
  }
  if (PyCallable_Check(condition.ptr()) == 0)
    throw py::type_error("run_until(): a function or the name of an event is wanted");
  auto holds = [&] {
    auto answer = in.owner().call(callback_kind::predicate, condition.ptr(), py::make_tuple());
    return answer && PyObject_IsTrue(answer.ptr()) == 1;
  };
  auto held = in.run_until(holds, longest);
  in.done();
  if (!held)
    throw script_error{
        error_kind::timed_out,
        fmt::format("run_until(): the predicate did not hold within {} s; world.letters() and "
                    "world.network.waiting show what is held, world.journal what happened",
                    seconds)};
}

// Names of acts live for ever, as the mailroom wants them.
const char* literal(const std::string& name) {
  static std::set<std::string> names;
  return names.insert(name).first->c_str();
}

void happen(const world_object& self, const std::string& name, const py::object& act) {
  entry in{self.owner, access::sends, "happen()"};
  auto* kept = self.owner->keep(act);
  if (in->hosts().empty()) throw script_error{error_kind::general, "happen(): add a host first"};
  in->happen(literal(name.empty() ? "act" : name), [of = link{self.owner}, kept] {
    if (auto session = of.lock(); session && session->is_open() && kept)
      (void)session->call(callback_kind::act, kept, py::make_tuple());
  });
}

std::vector<host_view> hosts_of(const world_object& self) {
  entry in{self.owner, access::looks, "hosts"};
  std::vector<host_view> all;
  for (const auto& one : in->hosts()) all.push_back(view_of(self.owner, *one));
  return all;
}

void bind_time(py::class_<world_object>& world) {
  world
      .def("step", &step,
           "Delivers the oldest letter that may be delivered and returns it; None: all is quiet.")
      .def(
          "run",
          [](const world_object& self, std::size_t deliveries_max) {
            entry in{self.owner, access::runs, "run()"};
            return run(in, deliveries_max);
          },
          py::arg("deliveries_max") = deliveries_usual,
          "Delivers until all is quiet; time stands still. Returns how many letters it took.")
      .def("run_until", &run_until, py::arg("condition"), py::arg("seconds") = 60.0,
           "Until a function returns true, or something of that name happens anew: 'ike_up', "
           "'child_up', 'child_rekeyed', ... or the name of a fact of the journal. Time passes "
           "when all is quiet, at most so many seconds of it; then TimedOut is raised.")
      .def("advance", &advance, py::arg("seconds"),
           "Time passes; timers fire and datagrams arrive, each in its turn.")
      .def(
          "step_wall_clock",
          [](const world_object& self, double seconds) {
            auto by = duration_of(std::abs(seconds), "step_wall_clock()");
            entry in{self.owner, access::sends, "step_wall_clock()"};
            in->time().step_wall(seconds < 0 ? -by : by);
          },
          py::arg("seconds"), "Somebody sets the wall clock; may be negative.")
      .def("happen", &happen, py::arg("name"), py::arg("act"),
           "act() happens at some time from now on: a letter like others, so that an exploration "
           "tries every place for it. It may send and kill, not deliver.")
      .def_property_readonly(
          "now",
          [](const world_object& self) {
            entry in{self.owner, access::looks, "now"};
            return seconds_of(in->time().now());
          },
          "The world's time in seconds; begins at 1.");
}

}  // namespace

void bind_world(py::module_& into) {
  py::class_<world_object> world(into, "World", py::custom_type_setup(&make_collectable),
                                 "Any number of production engines in one process, one thread, one "
                                 "virtual time. The same seed and calls give the same journal.");
  world
      .def(py::init(&make_world), py::kw_only(), py::arg("seed") = 1, py::arg("wall") = py::none(),
           py::arg("reorders_datagrams") = false,
           "wall: the wall clock at the beginning, in seconds since 1970 (2026-11-20). "
           "reorders_datagrams: each datagram may be delivered before earlier ones.")
      .def("add_host", &add_host, py::arg("name"), py::arg("address"),
           py::arg("config") = py::none(), py::kw_only(), py::arg("data_plane") = "fake",
           py::arg("journal") = "detail", py::arg("base") = py::none(),
           py::arg("options") = std::map<std::string, double>{},
           "An engine with one address or several. config: swanctl.conf's text, or a dict. "
           "data_plane: 'fake' has tables only, 'user-esp' carries packets, 'none' refuses. "
           "journal: how much is told (audit, control, detail, debug; None: nothing). base: the "
           "folder of its files. options: numbers, in seconds where they are times.")
      .def_property_readonly("hosts", &hosts_of, "All of them, in the order of add_host().")
      .def(
          "host",
          [](const world_object& self, const std::string& name) {
            entry in{self.owner, access::looks, "host()"};
            return view_of(self.owner, in.host(name));
          },
          py::arg("name"), "The host of that name. Raises NotFound.")
      .def_property_readonly(
          "network", [](const world_object& self) { return network_view{self.owner}; },
          "The wire between the hosts.")
      .def_property_readonly(
          "journal",
          [](const world_object& self) {
            entry in{self.owner, access::looks, "journal"};
            return in->journal();
          },
          "What all hosts said, in the order of what happened; one line each.")
      .def(
          "close",
          [](const world_object& self) {
            if (!self.owner->is_open()) return;
            { entry in{self.owner, access::runs, "close()"}; }
            self.owner->close();
          },
          "Ends it, and all actors in it; views of it raise WorldGone from then on.")
      .def_property_readonly(
          "is_open", [](const world_object& self) { return self.owner->is_open(); },
          "Not closed yet.")
      .def("__enter__", [](py::object self) { return self; })
      .def("__exit__", [](py::object self, const py::args&) { self.attr("close")(); });
  bind_time(world);
  bind_letter_calls(world);
}

}  // namespace imago::python
