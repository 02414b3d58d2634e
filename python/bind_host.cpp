// A host: one production engine, its commands, its crypto pool, its data plane.
#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "python/views.hpp"

namespace imago::python {

namespace {

// imago.Command: what came back is asked of the engine's answers.
struct command_view {
  host_view host;
  std::uint64_t number = 0;
  std::string text;
};
struct crypto_view {
  host_view host;
};
struct kernel_view {
  host_view host;
};

template <class Act>
auto at(const host_view& view, access how, const char* what, Act act) {
  entry in{view.of, how, what};
  if constexpr (std::is_void_v<decltype(act(in.host(view.number)))>) {
    act(in.host(view.number));
    in.done();
  } else {
    auto result = act(in.host(view.number));
    in.done();
    return result;
  }
}

// --- commands ---

command_view initiate(const host_view& self, const std::string& connection,
                      const std::string& child) {
  return {self,
          at(self, access::sends, "initiate()",
             [&](world::host& host) { return host.initiate(connection, child); }),
          fmt::format("initiate {} {}", connection, child)};
}

command_view terminate(const host_view& self, const std::string& connection,
                       const std::string& child, bool force) {
  return {self,
          at(self, access::sends, "terminate()",
             [&](world::host& host) {
               return host.terminate({connection, child, 0, 0}, force);
             }),
          fmt::format("terminate {} {}", connection, child)};
}

command_view rekey(const host_view& self, const std::string& connection, const std::string& child) {
  return {self,
          at(self, access::sends, "rekey()",
             [&](world::host& host) {
               return host.rekey({connection, child, 0, 0});
             }),
          fmt::format("rekey {} {}", connection, child)};
}

bool is_done(const world::command_answers& answers, std::uint64_t number) {
  return answers.is_answered(number);
}

std::optional<error> failure_of(const world::command_answers& answers, std::uint64_t number) {
  if (auto selected = answers.selected.find(number);
      selected != answers.selected.end() && selected->second == 0)
    return error{errc::not_found, "no SA fits"};
  auto at = answers.ended.find(number);
  if (at == answers.ended.end()) return std::nullopt;
  for (const auto& one : at->second)
    if (!one) return one.failure();
  return std::nullopt;
}

std::optional<error> failure_of(const command_view& self) {
  return at(self.host, access::looks, "a command",
            [&](world::host& host) { return failure_of(*host.answers, self.number); });
}

void wait(const command_view& self, double seconds) {
  auto longest = duration_of(seconds, "wait()");
  entry in{self.host.of, access::runs, "wait()"};
  auto answers = in.host(self.host.number).answers;
  bool is_answered = in.run_until([&] { return is_done(*answers, self.number); }, longest);
  in.done();
  if (!is_answered)
    throw script_error{error_kind::timed_out,
                       fmt::format("'{}' of {} was not answered within {} s; world.letters() and "
                                   "world.network.waiting show what is held, {}.journal what "
                                   "happened",
                                   self.text, self.host.name, seconds, self.host.name)};
  if (auto failure = failure_of(*answers, self.number)) {
    failure->where = fmt::format("{} of {}: {}", self.text, self.host.name, failure->where);
    raise_command_failed(*failure);
  }
}

std::size_t kill(const host_view& self, const std::string& kind, std::uint32_t number) {
  constexpr std::array kinds = {"exchange", "ike_sa", "child_sa", "connection"};
  if (std::find(kinds.begin(), kinds.end(), kind) == kinds.end())
    throw py::value_error("kill(): '" + kind +
                          "' is none of exchange, ike_sa, child_sa, connection");
  return at(self, access::sends, "kill()",
            [&](world::host& host) { return host.kill(kind, number); });
}

void load(const host_view& self, const py::object& configuration,
          const std::optional<std::string>& base) {
  auto text = configuration_text(configuration);
  auto loaded = at(self, access::sends, "load()", [&](world::host& host) {
    if (base) return host.load_text(text, *base, config::real_files());
    return host.load_text(text);
  });
  if (!loaded)
    throw script_error{error_kind::configuration,
                       fmt::format("{}: {}", self.name, loaded.failure().text())};
}

std::vector<std::string> actors_of(const host_view& self, const std::string& kind) {
  entry in{self.of, access::looks, "actors()"};
  std::vector<std::string> names;
  for (auto who : in.host(self.number).living(kind)) names.push_back(in->name_of(who));
  return names;
}

void send_packet(const host_view& self, const py::object& packet) {
  auto octets = octets_of(packet);
  at(self, access::sends, "send_packet()", [&](world::host& host) {
    if (!host.esp())
      throw script_error{error_kind::not_supported,
                         fmt::format("{} has no data plane that carries packets; "
                                     "add_host(..., data_plane='user-esp')",
                                     self.name)};
    host.send_inner(octets);
  });
}

std::vector<py::bytes> received_of(const host_view& self) {
  return at(self, access::looks, "received", [](world::host& host) {
    std::vector<py::bytes> packets;
    for (const auto& one : host.received_inner) packets.push_back(python_bytes(one));
    return packets;
  });
}

// --- the data plane ---

kernel_if::fake_backend& fake_of(world::host& host) {
  if (!host.fake())
    throw script_error{error_kind::not_supported, fmt::format("{} has no data plane of tables; "
                                                              "add_host(..., data_plane='fake')",
                                                              host.name())};
  return *host.fake();
}

kernel_if::fault_action action_of(const std::string& name) {
  using kernel_if::fault_action;
  constexpr std::array actions = {std::pair{"refuse", fault_action::refuse},
                                  std::pair{"lose", fault_action::lose_request},
                                  std::pair{"lose-reply", fault_action::lose_reply},
                                  std::pair{"repeat", fault_action::repeat_reply},
                                  std::pair{"late", fault_action::hold},
                                  std::pair{"fail-late", fault_action::fail_late}};
  std::string known;
  for (const auto& [known_name, action] : actions) {
    if (name == known_name) return action;
    known += (known.empty() ? "" : ", ") + std::string{known_name};
  }
  throw py::value_error("fault(): action '" + name + "' is none of " + known);
}

errc error_of(const std::string& name) {
  constexpr std::array errors = {
      std::pair{"EBUSY", errc::data_plane_busy}, std::pair{"ENOBUFS", errc::no_buffer_space},
      std::pair{"ENOMEM", errc::out_of_memory}, std::pair{"EEXIST", errc::already_exists},
      std::pair{"ESRCH", errc::no_such_sa}};
  std::string known;
  for (const auto& [known_name, code] : errors) {
    if (name == known_name) return code;
    known += (known.empty() ? "" : ", ") + std::string{known_name};
  }
  throw py::value_error("fault(): error '" + name + "' is none of " + known);
}

void inject_fault(const kernel_view& self, const std::string& request, const std::string& action,
                  std::uint32_t nth, const std::string& code) {
  constexpr std::array requests = {
      "",          "allocate_spi", "install_sa",     "remove_sa", "install_policy", "remove_policy",
      "update_sa", "query_sa",     "query_activity", "flush"};
  if (std::find(requests.begin(), requests.end(), request) == requests.end())
    throw py::value_error("fault(): there is no request '" + request +
                          "'; they are allocate_spi, install_sa, remove_sa, install_policy, "
                          "remove_policy, update_sa, query_sa, query_activity and flush");
  kernel_if::fault made{request, nth, action_of(action), error_of(code)};
  at(self.host, access::sends, "kernel.fault()",
     [&](world::host& host) { fake_of(host).inject_fault(made); });
}

template <class List>
auto kernel_list(const char* what, List list) {
  return [what, list](const kernel_view& self) {
    return at(self.host, access::looks, what,
              [&](world::host& host) { return list(fake_of(host)); });
  };
}

template <class Fake, class Esp>
std::size_t count_of(const kernel_view& self, Fake of_fake, Esp of_esp) {
  return at(self.host, access::looks, "a kernel's table", [&](world::host& host) -> std::size_t {
    if (host.esp()) return of_esp(host.esp()->processor());
    return of_fake(fake_of(host)).size();
  });
}

std::map<std::string, std::uint64_t> drops_of(const kernel_view& self) {
  using kernel_if::user_esp::drop_reason;
  return at(self.host, access::looks, "kernel.drops", [&](world::host& host) {
    std::map<std::string, std::uint64_t> counts;
    if (!host.esp()) return counts;
    for (unsigned one = 0; one < static_cast<unsigned>(drop_reason::count); ++one) {
      auto reason = static_cast<drop_reason>(one);
      if (auto count = host.esp()->processor().drops(reason))
        counts[std::string{name_of(reason)}] = count;
    }
    return counts;
  });
}

void bind_kernel(py::module_& into) {
  using kernel = kernel_view;
  py::class_<kernel>(into, "Kernel", "The data plane of a host: its tables, and faults.")
      .def("fault", &inject_fault, py::arg("request") = "", py::arg("action") = "refuse",
           py::kw_only(), py::arg("nth") = 1, py::arg("error") = "ENOBUFS",
           "What becomes of the nth request of that name from now on (0: of each): 'refuse' with "
           "the error EBUSY, ENOBUFS, ENOMEM, EEXIST or ESRCH; 'lose' it; 'lose-reply'; 'repeat' "
           "the reply; 'late': the reply waits for answer(); 'fail-late': done, and yet the error. "
           "Only the fake data plane.")
      .def(
          "clear_faults",
          [](const kernel& self) {
            at(self.host, access::sends, "kernel.clear_faults()",
               [](world::host& host) { fake_of(host).clear_faults(); });
          },
          "Nothing goes wrong any more.")
      .def(
          "answer",
          [](const kernel& self) {
            return at(self.host, access::sends, "kernel.answer()",
                      [](world::host& host) { return fake_of(host).step(); });
          },
          "Gives the oldest late reply; False: there is none.")
      .def_property_readonly("late",
                             kernel_list("kernel.late",
                                         [](kernel_if::fake_backend& fake) {
                                           std::vector<std::string> names;
                                           for (const auto& one : fake.held())
                                             names.push_back(one.request);
                                           return names;
                                         }),
                             "Requests whose replies wait for answer(), oldest first.")
      .def_property_readonly(
          "requests",
          kernel_list("kernel.requests",
                      [](kernel_if::fake_backend& fake) { return fake.submitted(); }),
          "The names of all requests so far.")
      .def_property_readonly("sas", kernel_list("kernel.sas", &kernel_sas_of),
                             "The ESP SAs, of the fake data plane.")
      .def_property_readonly("policies", kernel_list("kernel.policies", &kernel_policies_of),
                             "The SPD, of the fake data plane.")
      .def_property_readonly("larval", kernel_list("kernel.larval", &larval_sas_of),
                             "SPIs without keys yet, of the fake data plane.")
      .def_property_readonly(
          "sa_count",
          [](const kernel& self) {
            return count_of(
                self, [](auto& fake) { return fake.sas(); },
                [](auto& esp) { return esp.sa_count(); });
          },
          "ESP SAs, of any data plane.")
      .def_property_readonly(
          "larval_count",
          [](const kernel& self) {
            return count_of(
                self, [](auto& fake) { return fake.larval(); },
                [](auto& esp) { return esp.larval_count(); });
          },
          "Larval SAs, of any data plane.")
      .def_property_readonly(
          "policy_count",
          [](const kernel& self) {
            return count_of(
                self, [](auto& fake) { return fake.policies(); },
                [](auto& esp) { return esp.policy_count(); });
          },
          "Policies, of any data plane.")
      .def_property_readonly("drops", &drops_of,
                             "Packets that went no further, by reason; user-esp only.");
}

void bind_crypto(py::module_& into) {
  using crypto = crypto_view;
  py::class_<crypto>(into, "Crypto", "The crypto pool of a host.")
      .def(
          "hold",
          [](const crypto& self) {
            at(self.host, access::sends, "crypto.hold()",
               [](world::host& host) { host.set_crypto_mode(world::crypto_mode::held); });
          },
          "From now on jobs wait until they are performed or dropped.")
      .def(
          "release",
          [](const crypto& self) {
            at(self.host, access::sends, "crypto.release()", [](world::host& host) {
              host.set_crypto_mode(world::crypto_mode::at_once);
              while (host.perform_crypto()) {
              }
            });
          },
          "Ends hold(); what waits is performed in its order.")
      .def_property_readonly(
          "waiting",
          [](const crypto& self) {
            return at(self.host, access::looks, "crypto.waiting",
                      [](world::host& host) { return host.crypto_waiting(); });
          },
          "How many jobs wait.")
      .def(
          "perform",
          [](const crypto& self, std::size_t index) {
            return at(self.host, access::sends, "crypto.perform()",
                      [&](world::host& host) { return host.perform_crypto(index); });
          },
          py::arg("index") = 0, "Performs one that waits; its result is a letter. False: none.")
      .def(
          "drop",
          [](const crypto& self, std::size_t index) {
            return at(self.host, access::sends, "crypto.drop()",
                      [&](world::host& host) { return host.drop_crypto(index); });
          },
          py::arg("index") = 0, "The result of that one never comes. False: none.");
}

void bind_command(py::module_& into) {
  using command = command_view;
  py::class_<command>(into, "Command", "What an engine was asked to do, and what came of it.")
      .def_property_readonly(
          "done",
          [](const command& self) {
            return at(self.host, access::looks, "a command",
                      [&](world::host& host) { return is_done(*host.answers, self.number); });
          },
          "It was answered. A rekey is when it has begun.")
      .def_property_readonly(
          "error",
          [](const command& self) -> py::object {
            auto failure = failure_of(self);
            return failure ? make_command_failed(*failure) : py::none{};
          },
          "A CommandFailed, not raised; None while nothing failed.")
      .def_property_readonly(
          "matches",
          [](const command& self) -> std::optional<std::size_t> {
            return at(self.host, access::looks, "a command",
                      [&](world::host& host) -> std::optional<std::size_t> {
                        auto found = host.answers->selected.find(self.number);
                        if (found == host.answers->selected.end()) return std::nullopt;
                        return found->second;
                      });
          },
          "How many SAs fitted; None while not known, and of initiate().")
      .def("wait", &wait, py::arg("seconds") = 60.0,
           "Runs the world until it is answered. Raises CommandFailed if it failed, TimedOut.")
      .def("__repr__", [](const command& self) {
        return fmt::format("<imago.Command '{}' of {}>", self.text, self.host.name);
      });
}

void bind_host_views(py::class_<host_view>& host) {
  host.def_property_readonly(
          "connections",
          [](const host_view& self) {
            return at(self, access::looks, "connections",
                      [](world::host& one) { return connections_of(one); });
          },
          "What is configured.")
      .def_property_readonly(
          "ike_sas",
          [](const host_view& self) {
            entry in{self.of, access::looks, "ike_sas"};
            return ike_sas_of(in.in(), in.host(self.number));
          },
          "Every IKE SA with its Child SAs, as it is now.")
      .def_property_readonly(
          "exchanges", [](const host_view& self) { return actors_of(self, "exchange"); },
          "The names of exchanges in flight: 'b.exchange.2'.")
      .def("actors", &actors_of, py::arg("kind") = "",
           "The names of living actors, of that kind or of all.")
      .def_property_readonly(
          "journal",
          [](const host_view& self) {
            return at(self, access::looks, "journal",
                      [](world::host& one) { return journal_of(one); });
          },
          "What happened, as facts; the last 20,000.")
      .def_property_readonly(
          "problems",
          [](const host_view& self) {
            return at(self, access::looks, "problems",
                      [](world::host& one) { return one.problems(); });
          },
          "What must never be: unexpected messages, exceptions in actors.")
      .def_property_readonly("received", &received_of,
                             "The inner packets that came out of tunnels; user-esp only.")
      .def_property_readonly(
          "kernel", [](const host_view& self) { return kernel_view{self}; }, "Its data plane.")
      .def_property_readonly(
          "crypto", [](const host_view& self) { return crypto_view{self}; }, "Its crypto pool.");
}

}  // namespace

host_view view_of(const link& of, const world::host& host) {
  return {of, host.number(), host.name()};
}

void bind_host(py::module_& into) {
  bind_kernel(into);
  bind_crypto(into);
  bind_command(into);
  py::class_<host_view> host(into, "Host", "A production engine in a world.");
  host.def_readonly("name", &host_view::name)
      .def_property_readonly(
          "address",
          [](const host_view& self) {
            return at(self, access::looks, "address",
                      [](world::host& one) { return one.address().text(); });
          },
          "Its first address.")
      .def("initiate", &initiate, py::arg("connection"), py::arg("child") = "",
           "Brings up a Child SA, and its IKE SA if there is none. '': only the IKE SA.")
      .def("terminate", &terminate, py::arg("connection") = "", py::arg("child") = "",
           py::arg("force") = false,
           "Deletes the SAs of that name; all without one. force: the answer is not waited for.")
      .def("rekey", &rekey, py::arg("connection") = "", py::arg("child") = "",
           "Rekeys the Child SAs of that name, or without `child` the IKE SAs.")
      .def("kill", &kill, py::arg("kind"), py::arg("number") = 0,
           "KILLs the living actors of that kind (exchange, ike_sa, child_sa, connection), or the "
           "one of that number. Returns how many were told.")
      .def(
          "stop",
          [](const host_view& self) {
            at(self, access::sends, "stop()", [](world::host& one) { one.stop_engine(); });
          },
          "Deletes every SA and ends, as imagod does on SIGTERM.")
      .def("load", &load, py::arg("config"), py::arg("base") = py::none(),
           "Replaces the configuration: swanctl.conf's text, or a dict. Files are read below the "
           "folder `base` (x509/, private/, ...), if it is given. Raises ConfigError.")
      .def("send_packet", &send_packet, py::arg("octets"),
           "An IP packet that an application of this host sends; user-esp only.")
      .def("__repr__", [](const host_view& self) { return "<imago.Host " + self.name + ">"; });
  bind_host_views(host);
}

}  // namespace imago::python
