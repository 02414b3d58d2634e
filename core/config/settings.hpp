// swanctl.conf's grammar: text to a tree of sections and settings, each with its place.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.hpp"

namespace imago::config {

// Where something was written; people count from 1. line 0: not from a file (a vici message).
struct position {
  std::shared_ptr<const std::string> file;
  int line = 0;
  int column = 0;
  std::string text() const;  // "imago.conf:12:5", or "" if not from a file
};

struct setting {
  std::string key;
  std::string value;               // words joined by one space, quotes resolved
  std::vector<std::string> items;  // filled for lists of a vici message; files: split by the reader
  bool is_list = false;            // came as a list
  position at;
};

struct section {
  std::string name;
  position at;
  std::vector<setting> settings;  // last value of a key wins; order of first appearance
  std::vector<std::unique_ptr<section>> sections;
  bool is_referenced = false;  // top level only: another section inherits from it

  const setting* find(std::string_view key) const;
  const section* find_section(std::string_view child) const;
};

// How the parser gets at included files, so that core opens none itself.
struct file_access {
  // The content of a file. Errors: not_found, system_error.
  std::function<result<std::string>(const std::string& path)> read;
  // Paths that match a glob pattern, sorted; none is no error.
  std::function<std::vector<std::string>(const std::string& pattern)> glob;
};
file_access real_files();
// Overwrites every value: some are secrets in clear text.
void wipe_values(section& section);

// Parses text; `name` is used in positions and as the base of relative includes. References
// (name : other { }) are resolved in the result. Errors: bad_syntax with file:line:column and
// what was expected in `where`; not_found for a reference; limit_exceeded for include depth > 16.
result<std::unique_ptr<section>> parse_settings(std::string_view text, const std::string& name,
                                                const file_access& files);
// Several files as one text, in that order. Errors: as above, and not_found for a file.
result<std::unique_ptr<section>> parse_setting_files(const std::vector<std::string>& paths,
                                                     const file_access& files);

}  // namespace imago::config
