// The module's exceptions: imago.Error and its subclasses. Each says what happened, where, and what
// to do about it.
#pragma once

#include <stdexcept>
#include <string>

#include <pybind11/pybind11.h>

#include "core/base/error.hpp"

namespace imago::python {

enum class error_kind : std::uint8_t {
  general,        // imago.Error
  configuration,  // imago.ConfigError
  not_found,      // imago.NotFound
  not_copyable,   // imago.NotCopyable
  not_supported,  // imago.NotSupported
  world_gone,     // imago.WorldGone
  world_busy,     // imago.WorldBusy
  timed_out,      // imago.TimedOut
  command,        // imago.CommandFailed
};

class script_error final : public std::runtime_error {
 public:
  script_error(error_kind kind, const std::string& text) : std::runtime_error{text}, kind_{kind} {}
  error_kind kind() const { return kind_; }

 private:
  error_kind kind_;
};

// Creates the classes in the module and translates script_error into them.
void bind_errors(pybind11::module_& into);
// An instance, for what keeps an error instead of raising it. CommandFailed has `.code`.
pybind11::object make_command_failed(const error& failure);
[[noreturn]] void raise_command_failed(const error& failure);

}  // namespace imago::python
