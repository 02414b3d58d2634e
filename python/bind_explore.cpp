// imago.explore and imago.replay: the explorer of world/, for its own scenarios and for scripts'.
#include <fmt/format.h>

#include "python/bind.hpp"
#include "world/scenarios.hpp"

namespace imago::python {

namespace {

// A scenario of a script.
struct scenario_object {
  std::string name, story;
  py::object make, begin, expect;
  double settles = 0;
};

struct violation_values {
  std::string what, schedule, script;
};
struct exploration_values {
  std::string scenario, strategy;
  std::uint64_t schedules = 0, cut_short = 0, deliveries = 0;
  std::size_t longest = 0;
  bool is_covered = false;
  std::optional<violation_values> violation;
  double seconds = 0;
};

// The callbacks of one scenario, and the session of the world that is being explored.
struct script_side {
  scenario_object what;
  py::object world;

  session& owner() { return *world.cast<world_object&>().owner; }

  std::unique_ptr<world::world> make(bool with_journal) {
    if (PyErr_CheckSignals() != 0) throw py::error_already_set{};
    exploration_scope::set_quiet(!with_journal);
    world = what.make();
    exploration_scope::set_quiet(false);
    if (!py::isinstance<world_object>(world))
      throw py::type_error("explore(): make() returns an imago.World, not " +
                           std::string{py::str(py::type::of(world))});
    if (!owner().is_open())
      throw script_error{error_kind::general,
                         "explore(): make() must return a new world each time"};
    {
      entry in{world.cast<world_object&>().owner, access::runs, "explore()"};
      if (auto quiet = in->run_until_quiet(); !quiet)
        throw script_error{error_kind::general, "explore(): make(): " + quiet.failure().text()};
      in.done();
    }
    auto lent = owner().lend();
    if (!lent)
      throw script_error{error_kind::general,
                         "explore(): make() must return a new world each time"};
    return lent;
  }

  void begin() { (void)what.begin(world); }

  // A text, or an AssertionError: what is wrong.
  std::optional<std::string> expect() {
    owner().rethrow();
    if (what.expect.is_none()) return std::nullopt;
    try {
      auto answer = what.expect(world);
      if (!answer.is_none() && !py::isinstance<py::bool_>(answer)) return py::str{answer};
      if (!answer.is_none() && !answer.cast<bool>()) return "expect() says no";
    } catch (py::error_already_set& raised) {
      if (!raised.matches(PyExc_AssertionError)) throw;
      std::string text = py::str{raised.value()};
      text = text.substr(0, text.find('\n'));  // pytest adds how it came to be
      return text.empty() ? "an assertion of expect() does not hold" : text;
    }
    return std::nullopt;
  }
};

world::scenario scenario_of(const std::shared_ptr<script_side>& side) {
  world::scenario made;
  made.name = side->what.name;
  made.story = side->what.story;
  made.settles = duration_of(side->what.settles, "Scenario(settles)");
  made.make = [side](bool with_journal) { return side->make(with_journal); };
  made.begin = [side](world::world&) { side->begin(); };
  made.expect = [side](world::world&) { return side->expect(); };
  return made;
}

world::scenario scenario_of(const py::object& asked) {
  if (py::isinstance<scenario_object>(asked)) {
    auto side = std::make_shared<script_side>();
    side->what = asked.cast<scenario_object>();
    return scenario_of(side);
  }
  if (!py::isinstance<py::str>(asked))
    throw py::type_error("a scenario is wanted: a name of imago.scenarios(), or imago.Scenario");
  std::string name = py::str{asked};
  if (const auto* found = world::find_scenario(name)) return *found;
  throw script_error{error_kind::not_found, fmt::format("there is no scenario '{}'; "
                                                        "imago.scenarios() has them all",
                                                        name)};
}

world::strategy strategy_of(const std::string& name) {
  for (auto one : {world::strategy::exhaustive, world::strategy::random, world::strategy::pct})
    if (world::name_of(one) == name) return one;
  throw py::value_error("explore(): strategy '" + name + "' is none of exhaustive, random, pct");
}

void refuse_inside(const char* what) {
  // A mailroom that takes this thread's mail now is in the middle of something.
  if (auto* interceptor = actors::actor_base::intercept_mail(nullptr)) {
    actors::actor_base::intercept_mail(interceptor);
    throw script_error{error_kind::world_busy,
                       fmt::format("{}: not while a world is at work on this thread", what)};
  }
}

exploration_values explore(const py::object& asked, const std::string& strategy,
                           std::optional<std::uint64_t> schedules, double seconds,
                           std::uint64_t seed, unsigned depth, const py::object& progress) {
  refuse_inside("explore()");
  auto how = strategy_of(strategy);
  world::exploration_limits limits;
  limits.schedules_max = schedules.value_or(UINT64_MAX);
  limits.time_max = std::chrono::duration_cast<std::chrono::milliseconds>(
      duration_of(seconds, "explore(seconds)"));
  limits.seed = seed;
  limits.pct_depth = depth;
  limits.progress = [&progress](std::uint64_t count) {
    if (PyErr_CheckSignals() != 0) throw py::error_already_set{};
    if (!progress.is_none()) (void)progress(count);
  };
  exploration_scope scope;
  auto what = scenario_of(asked);
  auto result = world::explore(what, how, limits);
  exploration_values made{what.name,         strategy,          result.schedules,
                          result.cut_short,  result.deliveries, result.longest,
                          result.is_covered, std::nullopt,      result.seconds};
  if (result.found)
    made.violation = {result.found->what, world::text_of(result.found->reduced),
                      result.found->script};
  return made;
}

struct replay_values {
  std::optional<std::string> violation;
  std::size_t deliveries = 0;
  std::string journal;
  std::vector<std::string> steps;
};

replay_values replay(const py::object& asked, const std::string& schedule) {
  refuse_inside("replay()");
  auto order = world::parse_schedule(schedule);
  if (!order)
    throw py::value_error("replay(): the schedule is 'in-order' or as in '37:4 52:1': " +
                          order.failure().text());
  exploration_scope scope;
  auto result = world::replay(scenario_of(asked), *order);
  return {std::move(result.violation), result.deliveries, std::move(result.journal),
          std::move(result.steps)};
}

void bind_results(py::module_& into) {
  using violation = violation_values;
  py::class_<violation>(into, "Violation", "What did not hold, and how to see it again.")
      .def_readonly("what", &violation::what, "In words.")
      .def_readonly("schedule", &violation::schedule,
                    "For replay(): where it differs from the order of sending.")
      .def_readonly("script", &violation::script, "Every delivery, in words.")
      .def("__repr__", [](const violation& one) { return "<imago.Violation '" + one.what + "'>"; });
  using exploration = exploration_values;
  py::class_<exploration>(into, "Exploration", "What explore() found.")
      .def_readonly("scenario", &exploration::scenario)
      .def_readonly("strategy", &exploration::strategy)
      .def_readonly("schedules", &exploration::schedules, "How many ran to their end.")
      .def_readonly("cut_short", &exploration::cut_short,
                    "Exhaustive: how many were left, being the same as others.")
      .def_readonly("deliveries", &exploration::deliveries, "In all of them.")
      .def_readonly("longest", &exploration::longest, "Deliveries of the longest.")
      .def_readonly("covered", &exploration::is_covered,
                    "Exhaustive: there is no other order that could make a difference.")
      .def_readonly("violation", &exploration::violation, "None: everything held.")
      .def_readonly("seconds", &exploration::seconds, "How long it took.")
      .def("__repr__", [](const exploration& one) {
        return fmt::format("<imago.Exploration {} {}: {} schedules{}, {}>", one.scenario,
                           one.strategy, one.schedules, one.is_covered ? ", all there are" : "",
                           one.violation ? "violated: " + one.violation->what : "everything held");
      });
  using replayed = replay_values;
  py::class_<replayed>(into, "Replay", "One schedule, seen closely.")
      .def_readonly("violation", &replayed::violation, "None: everything held.")
      .def_readonly("deliveries", &replayed::deliveries)
      .def_readonly("journal", &replayed::journal, "What the engines said.")
      .def_readonly("steps", &replayed::steps, "Each delivery, in words.");
}

}  // namespace

void bind_explore(py::module_& into) {
  bind_results(into);
  py::class_<scenario_object>(into, "Scenario", "Something to explore, told by a script.")
      .def(py::init([](const std::string& name, const py::object& make, const py::object& begin,
                       const py::object& expect, double settles, const std::string& story) {
             for (const auto& one : {make, begin})
               if (PyCallable_Check(one.ptr()) == 0)
                 throw py::type_error("Scenario(): make and begin are functions");
             return scenario_object{name, story, make, begin, expect, settles};
           }),
           py::arg("name"), py::arg("make"), py::arg("begin"), py::arg("expect") = py::none(),
           py::kw_only(), py::arg("settles") = 0.0, py::arg("story") = "",
           "make() returns a new world, the same each time. begin(world) sets off what is explored "
           "and delivers nothing. When all is quiet, `settles` seconds pass, and expect(world) "
           "returns what is wrong, or asserts.")
      .def_readonly("name", &scenario_object::name)
      .def_readonly("story", &scenario_object::story);
  into.def(
      "scenarios",
      [] {
        std::map<std::string, std::string> all;
        for (const auto& one : world::scenarios()) all[one.name] = one.story;
        return all;
      },
      "The scenarios that Imago itself is explored with: name and story.");
  into.def("explore", &explore, py::arg("scenario"), py::kw_only(),
           py::arg("strategy") = "exhaustive", py::arg("schedules") = py::none(),
           py::arg("seconds") = 60.0, py::arg("seed") = 1, py::arg("depth") = 3,
           py::arg("progress") = py::none(),
           "Tries the orders in which letters may be delivered, and checks in each what must hold. "
           "'exhaustive': every order that can make a difference; 'random'; 'pct': priorities, "
           "changed at depth - 1 points. At most so many schedules and real seconds. "
           "progress(schedules) is called now and then. Within it, worlds of a Scenario keep no "
           "journal.");
  into.def("replay", &replay, py::arg("scenario"), py::arg("schedule") = "in-order",
           "Runs one schedule again, with its journal.");
}

}  // namespace imago::python
