// The settings as written, before references are resolved. Private to the parser.
#pragma once

#include <map>

#include "core/config/settings.hpp"

namespace imago::config {

struct reference {
  std::vector<std::string> path;  // absolute: "connections", "base"
  position at;
  std::string text() const;
};

struct raw_setting {
  std::string key;
  std::string value;
  bool cleared = false;  // "key =": the default applies, an inherited value too is hidden
  position at;
};

struct raw_section {
  std::string name;
  position at;
  std::vector<raw_setting> settings;
  std::vector<std::unique_ptr<raw_section>> sections;
  std::vector<reference> references;

  raw_section() = default;
  raw_section(const raw_section&) = delete;
  raw_section& operator=(const raw_section&) = delete;
  ~raw_section();  // wipes the values: some are secrets

  void set(raw_setting setting);  // the last value wins, the place of the first stays
  raw_section& section_named(const std::string& name, const position& at);  // found or added
  const raw_section* find_section(const std::string& name) const;

 private:
  std::map<std::string, std::size_t> setting_index_;
  std::map<std::string, std::size_t> section_index_;
};

// The tree with all that is inherited written out. Errors: not_found for a reference, bad_syntax
// for a circle, limit_exceeded.
result<std::unique_ptr<section>> resolve_references(const raw_section& root);

}  // namespace imago::config
