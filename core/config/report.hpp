// Collects what is wrong with a configuration, with place, reason and what to write instead; and
// reads the settings of a section by the table. Private to core/config.
#pragma once

#include <algorithm>

#include "core/base/limits.hpp"
#include "core/config/keys.hpp"

namespace imago::config {

class report {
 public:
  explicit report(bool is_message) : is_message_{is_message} {}

  // `path`: "connections.gw"; `level`: the table's, "connections.<conn>".
  void unknown_key(const setting& at, const std::string& path, std::string_view level);
  void bad_value(const setting& at, const std::string& path, const value_kind& kind,
                 const error& why);
  void unsupported(const setting& at, const std::string& path, std::string_view inert,
                   const std::string& what);
  void wrong_list(const setting& at);  // of a message: a list for a value or the reverse
  void unknown_section(const section& at, const std::string& path, std::string_view level,
                       const std::vector<std::string_view>& known);
  void unsupported_section(const section& at, const std::string& path, std::string_view what);
  // Settings that do not fit together; `key` is the one to mend, perhaps not written at all.
  void conflict(const section& in, const std::string& path, std::string_view key,
                const std::string& what);
  void other(errc code, const position& at, const std::string& what);

  bool is_clean() const { return errors_.empty(); }
  std::vector<error> take() { return std::move(errors_); }

 private:
  void add(errc code, std::string text);

  bool is_message_;
  std::vector<error> errors_;
};

// The values of a setting as the row's kind has them; nothing if a message's kind differs.
std::optional<arguments> values_of(const setting& setting, const value_kind& kind, bool is_message);

template <class Draft>
const key_row<Draft>* find_row(std::span<const key_row<Draft>> rows, std::string_view key) {
  for (const auto& row : rows) {
    if (row.key == key) return &row;
    if (row.key.ends_with('*') && key.starts_with(row.key.substr(0, row.key.size() - 1)))
      return &row;
  }
  return nullptr;
}

// Is every value inert; is it at least well formed?
bool all_inert(const arguments& values, const value_kind& kind, std::string_view inert);
status well_formed(const arguments& values, const value_kind& kind);

template <class Draft>
void read_settings(const section& from, std::span<const key_row<Draft>> rows, Draft& draft,
                   report& report, const std::string& path, std::string_view level,
                   bool is_message) {
  for (const auto& setting : from.settings) {
    const auto* row = find_row(rows, setting.key);
    if (!row) {
      report.unknown_key(setting, path, level);
      continue;
    }
    auto values = values_of(setting, *row->kind, is_message);
    if (!values) {
      report.wrong_list(setting);
      continue;
    }
    if (row->kind->is_list && values->empty()) continue;  // as if it were not there
    if (values->size() > limits::config_list_count_max) {
      report.bad_value(setting, path, *row->kind, {errc::limit_exceeded, "the list is too long"});
    } else if (row->read) {
      auto done = row->read(draft, *values);
      if (!done && done.failure().code == errc::not_supported)
        report.unsupported(setting, path, row->inert, done.failure().where);
      else if (!done)
        report.bad_value(setting, path, *row->kind, done.failure());
    } else if (!all_inert(*values, *row->kind, row->inert)) {
      if (auto formed = well_formed(*values, *row->kind); !formed)
        report.bad_value(setting, path, *row->kind, formed.failure());
      else
        report.unsupported(setting, path, row->inert, values->front());
    }
    for (auto& value : *values) wipe(value.data(), value.size());  // it may be a secret
  }
}

}  // namespace imago::config
