#include "core/config/report.hpp"

#include <algorithm>

namespace imago::config {
namespace {

constexpr std::string_view not_by_this_version = " is not supported by this version of Imago";

// "file:1:2: ", or nothing for what was not in a file.
std::string place(const position& at) {
  auto text = at.text();
  return text.empty() ? text : text + ": ";
}

// Where else this key is known, for one who wrote it in the wrong section.
std::string_view other_level(std::string_view key, std::string_view level) {
  for (const auto& one : known_keys())
    if (one.key == key && one.level != level) return one.level;
  return {};
}

std::vector<std::string_view> keys_of(std::string_view level) {
  std::vector<std::string_view> keys;
  for (const auto& one : known_keys())
    if (one.level == level) keys.push_back(one.key);
  return keys;
}

bool is_section_name(std::string_view name) {
  auto stem = name.substr(0, name.find('-'));
  return name == "children" || stem == "local" || stem == "remote";
}

}  // namespace

void report::add(errc code, std::string text) {
  if (errors_.size() < limits::config_error_count_max) errors_.push_back({code, std::move(text)});
}

void report::other(errc code, const position& at, const std::string& what) {
  add(code, place(at) + what);
}

void report::unknown_key(const setting& at, const std::string& path, std::string_view level) {
  if (is_message_)
    return add(errc::bad_value, "unknown option: " + escaped(at.key) + ", config discarded");
  auto hint = suggestion(at.key, keys_of(level));
  if (auto elsewhere = other_level(at.key, level); !elsewhere.empty())
    hint = "; it belongs in " + std::string{elsewhere};
  else if (level == "connections.<conn>" && is_section_name(at.key))
    hint = "; that is a section: write '" + escaped(at.key) + " { ... }'";
  add(errc::bad_value, place(at.at) + "unknown key '" + escaped(at.key) + "' in " + path + hint);
}

void report::bad_value(const setting& at, const std::string& path, const value_kind& kind,
                       const error& why) {
  if (is_message_)
    return add(errc::bad_value, "invalid value for: " + escaped(at.key) + ", config discarded");
  add(errc::bad_value, place(at.at) + path + "." + escaped(at.key) + ": " + why.where + "; write " +
                           std::string{kind.expects});
}

void report::unsupported(const setting& at, const std::string& path, std::string_view inert,
                         const std::string& what) {
  auto instead = inert.empty()
                     ? std::string{"; leave it out"}
                     : "; write '" + escaped(at.key) + " = " +
                           std::string{inert.substr(0, inert.find(' '))} + "' or leave it out";
  // What is known is often said with quotes already.
  auto shown = what.find('\'') == what.npos ? "'" + escaped(what) + "'" : escaped(what);
  auto where = is_message_ ? "invalid value for: " + escaped(at.key) + ", config discarded: "
                           : place(at.at) + path + "." + escaped(at.key) + ": ";
  add(errc::not_supported, where + shown + std::string{not_by_this_version} + instead);
}

void report::wrong_list(const setting& at) {
  add(errc::bad_value, "unknown option: " + escaped(at.key) + ", config discarded");
}

void report::unknown_section(const section& at, const std::string& path, std::string_view level,
                             const std::vector<std::string_view>& known) {
  if (is_message_) return add(errc::bad_value, "invalid section: " + escaped(at.name));
  auto keys = keys_of(level);
  auto hint = std::find(keys.begin(), keys.end(), at.name) != keys.end()
                  ? "; that is a key: write '" + escaped(at.name) + " = ...'"
                  : suggestion(at.name, known);
  add(errc::bad_value,
      place(at.at) + "unknown section '" + escaped(at.name) + "' in " + path + hint);
}

void report::unsupported_section(const section& at, const std::string& path,
                                 std::string_view what) {
  if (is_message_)
    return add(errc::not_supported, "invalid section: " + escaped(at.name) + ": " +
                                        std::string{what} + std::string{not_by_this_version});
  add(errc::not_supported, place(at.at) + path + (path.empty() ? "" : ".") + escaped(at.name) +
                               ": " + std::string{what} + std::string{not_by_this_version} +
                               "; leave it out");
}

void report::conflict(const section& in, const std::string& path, std::string_view key,
                      const std::string& what) {
  if (is_message_)
    return add(errc::bad_value,
               "invalid value for: " + std::string{key} + ", config discarded: " + what);
  const auto* written = in.find(key);
  add(errc::bad_value,
      place(written ? written->at : in.at) + path + "." + std::string{key} + ": " + what);
}

std::optional<arguments> values_of(const setting& setting, const value_kind& kind,
                                   bool is_message) {
  if (is_message && setting.is_list != kind.is_list) return std::nullopt;
  if (setting.is_list) return setting.items;
  if (kind.is_list) return split_list(setting.value);
  return arguments{setting.value};
}

bool all_inert(const arguments& values, const value_kind& kind, std::string_view inert) {
  return std::all_of(values.begin(), values.end(),
                     [&](const std::string& one) { return is_inert(kind, inert, one); });
}

status well_formed(const arguments& values, const value_kind& kind) {
  for (const auto& value : values) {
    bool is_good = !kind.is_valid || kind.is_valid(value);
    if (!kind.words.empty()) {
      auto words = " " + std::string{kind.words} + " ";
      is_good =
          value.find(' ') == value.npos && words.find(" " + lower_case(value) + " ") != words.npos;
    }
    if (!is_good) return {errc::bad_value, "'" + escaped(value) + "' is not known"};
  }
  return {};
}

}  // namespace imago::config
