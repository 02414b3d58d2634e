#include "python/errors.hpp"

#include <array>

namespace imago::python {

namespace py = pybind11;

namespace {

struct row {
  error_kind kind;
  const char* name;
  const char* story;
};

constexpr std::array rows = {
    row{error_kind::general, "Error", "Every error of this module."},
    row{error_kind::configuration, "ConfigError",
        "A configuration is not good; the text says line, column and what is allowed."},
    row{error_kind::not_found, "NotFound", "A name, letter or datagram that is not there."},
    row{error_kind::not_copyable, "NotCopyable",
        "The letter owns a value that exists once, so there cannot be two of it."},
    row{error_kind::not_supported, "NotSupported",
        "This cannot be done here; the text says with what it can."},
    row{error_kind::world_gone, "WorldGone",
        "The world that this object shows has been closed or collected."},
    row{error_kind::world_busy, "WorldBusy",
        "The world is in the middle of something and cannot be changed from within it."},
    row{error_kind::timed_out, "TimedOut", "It did not happen in the time given."},
    row{error_kind::command, "CommandFailed",
        "The engine could not do what a command asked. `code` is the error's name."},
};

// Live as long as the interpreter: borrowed by nobody after it.
std::array<PyObject*, rows.size()> classes{};

PyObject* class_of(error_kind kind) { return classes[static_cast<std::size_t>(kind)]; }

}  // namespace

void bind_errors(py::module_& into) {
  for (std::size_t at = 0; at < rows.size(); ++at) {
    auto name = std::string{"imago."} + rows[at].name;
    auto* base = at == 0 ? PyExc_Exception : classes[0];
    classes[at] = PyErr_NewExceptionWithDoc(name.c_str(), rows[at].story, base, nullptr);
    if (!classes[at]) throw py::error_already_set{};
    into.add_object(rows[at].name, py::reinterpret_borrow<py::object>(classes[at]));
  }
  py::register_exception_translator([](std::exception_ptr caught) {
    try {
      if (caught) std::rethrow_exception(caught);
    } catch (const script_error& error) {
      PyErr_SetString(class_of(error.kind()), error.what());
    }
  });
}

py::object make_command_failed(const error& failure) {
  auto made = py::reinterpret_borrow<py::object>(class_of(error_kind::command))(failure.text());
  made.attr("code") = std::string{name_of(failure.code)};
  return made;
}

void raise_command_failed(const error& failure) {
  auto made = make_command_failed(failure);
  PyErr_SetObject(class_of(error_kind::command), made.ptr());
  throw py::error_already_set{};
}

}  // namespace imago::python
