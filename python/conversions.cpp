#include <charconv>
#include <cmath>

#include <fmt/format.h>
#include <fnmatch.h>

#include "python/bind.hpp"

namespace imago::python {

bool fits(const std::string& pattern, const std::string& text) {
  return pattern.empty() || ::fnmatch(pattern.c_str(), text.c_str(), 0) == 0;
}

bool applies(rule& one) {
  if (one.times == 0) return false;
  if (one.times != UINT64_MAX) --one.times;
  ++one.hits;
  return true;
}

duration duration_of(double seconds, const char* what) {
  // A century, so that no sum of instants overflows.
  constexpr double seconds_max = 100.0 * 366 * 86400;
  if (!(seconds >= 0) || seconds > seconds_max)
    throw py::value_error(
        fmt::format("{}: {} is not a number of seconds from 0 to 100 years", what, seconds));
  return duration{static_cast<duration::rep>(std::llround(seconds * 1e9))};
}

double seconds_of(duration span) { return static_cast<double>(span.count()) / 1e9; }
double seconds_of(instant at) { return seconds_of(at.since_start); }

ip_address address_of(const std::string& text) {
  auto parsed = ip_address::parse(text);
  if (!parsed) throw py::value_error("'" + text + "' is not an address such as 192.0.2.1 or ::1");
  return *parsed;
}

endpoint endpoint_of(const std::string& text) {
  auto colon = text.rfind(':');
  std::uint16_t port = 0;
  auto is_port = colon != std::string::npos && colon + 1 < text.size();
  if (is_port) {
    const auto* end = text.data() + text.size();
    auto [at, failure] = std::from_chars(text.data() + colon + 1, end, port);
    is_port = failure == std::errc{} && at == end;
  }
  if (!is_port)
    throw py::value_error("'" + text + "' is not an endpoint such as 192.0.2.1:500 or [::1]:500");
  auto address = text.substr(0, colon);
  if (address.size() > 2 && address.front() == '[' && address.back() == ']')
    address = address.substr(1, address.size() - 2);
  return {address_of(address), port};
}

bytes octets_of(const py::object& from) {
  if (PyLong_Check(from.ptr()) != 0 || py::isinstance<py::str>(from))
    throw py::type_error("octets are wanted: bytes, or an object that bytes() takes");
  auto as_bytes = py::reinterpret_steal<py::object>(PyObject_Bytes(from.ptr()));
  if (!as_bytes) throw py::error_already_set{};
  return to_bytes(std::string_view{py::bytes{as_bytes}});
}

std::string configuration_text(const py::object& configuration) {
  if (py::isinstance<py::str>(configuration)) return py::str{configuration};
  return py::str{py::module_::import("imago.configuration").attr("render")(configuration)};
}

}  // namespace imago::python
