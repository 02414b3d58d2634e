// The parts of the module, and the Python classes that they share.
#pragma once

#include <pybind11/functional.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "python/session.hpp"

namespace imago::python {

void bind_views(py::module_& into);
void bind_letters(py::module_& into);
void bind_network(py::module_& into);
void bind_host(py::module_& into);
void bind_world(py::module_& into);
void bind_explore(py::module_& into);
struct world_object;
void bind_letter_calls(py::class_<world_object>& of_world);

// imago.World: the only strong reference to a session from Python.
struct world_object {
  std::shared_ptr<session> owner;
};

// imago.Host.
struct host_view {
  link of;
  world::host_number number = 0;
  std::string name;
};
host_view view_of(const link& of, const world::host& host);

// imago.Letter: what it was when it was looked at; whether it still waits is asked anew.
struct letter_view {
  link of;
  world::letter_id id = 0;
  std::string name, sender, receiver;
  bool is_urgent = false;
};
letter_view view_of(const link& of, const world::world& in, const world::letter& what);
// Asks the rules of letters from now on.
void watch_letters(const std::shared_ptr<session>& of);

// imago.Network.
struct network_view {
  link of;
};

struct rule_view {
  link of;
  std::shared_ptr<rule> what;
};

// Does the pattern of a rule, or none, fit?
bool fits(const std::string& pattern, const std::string& text);
// Has the rule another time to go? Counts it.
bool applies(rule& one);

// --- conversions; all raise ---
duration duration_of(double seconds, const char* what);
double seconds_of(duration span);
double seconds_of(instant at);
ip_address address_of(const std::string& text);
endpoint endpoint_of(const std::string& text);
bytes octets_of(const py::object& from);  // bytes, or what bytes() makes of it
inline py::bytes python_bytes(bytes_view octets) {
  return {reinterpret_cast<const char*>(octets.data()), octets.size()};
}
// Text as it is; a dict in swanctl.conf's form.
std::string configuration_text(const py::object& configuration);

}  // namespace imago::python
