// Files that are only in memory, and short ways to parse.
#pragma once

#include <map>
#include <memory>
#include <string>

#include <doctest/doctest.h>
#include <fnmatch.h>

#include "core/config/configuration.hpp"

namespace imago::config {

class memory_files {
 public:
  memory_files() : memory_files{std::map<std::string, std::string>{}} {}
  explicit memory_files(std::map<std::string, std::string> content)
      : content_{std::make_shared<std::map<std::string, std::string>>(std::move(content))} {}
  file_access access() const {
    auto content = content_;
    return {[content](const std::string& path) -> result<std::string> {
              auto found = content->find(path);
              if (found == content->end()) return error{errc::not_found, path};
              return found->second;
            },
            [content](const std::string& pattern) {
              std::vector<std::string> paths;
              for (const auto& [path, text] : *content)
                if (fnmatch(pattern.c_str(), path.c_str(), FNM_PATHNAME) == 0)
                  paths.push_back(path);
              return paths;
            }};
  }

 private:
  std::shared_ptr<std::map<std::string, std::string>> content_;
};

inline std::unique_ptr<section> parsed(const std::string& text, const memory_files& files = {}) {
  auto access = files.access();
  auto root = parse_settings(text, "dir/test.conf", access);
  if (!root) FAIL(root.failure().text());
  return std::move(*root);
}

inline error parse_failure(const std::string& text, const memory_files& files = {}) {
  auto access = files.access();
  auto root = parse_settings(text, "t.conf", access);
  if (root) FAIL("it was accepted: " << text);
  return root.failure();
}

inline std::variant<configuration, configuration_errors> built(const std::string& text,
                                                               const memory_files& files = {}) {
  auto access = files.access();
  auto root = parse_settings(text, "t.conf", access);
  if (!root) FAIL(root.failure().text());
  return build_configuration(**root, "dir", access);
}

// The first error's text, or "" if all is well.
inline std::string first_error(const std::variant<configuration, configuration_errors>& outcome) {
  const auto* errors = std::get_if<configuration_errors>(&outcome);
  return errors ? errors->errors.at(0).where : std::string{};
}
inline std::string build_error(const std::string& text, const memory_files& files = {}) {
  return first_error(built(text, files));
}

// The value at "a.b.key", or "(none)".
inline std::string value_at(const section& root, const std::string& path) {
  const section* in = &root;
  std::size_t from = 0;
  for (auto dot = path.find('.'); dot != path.npos; dot = path.find('.', from)) {
    in = in->find_section(path.substr(from, dot - from));
    if (!in) return "(none)";
    from = dot + 1;
  }
  const auto* found = in->find(path.substr(from));
  return found ? found->value : "(none)";
}

}  // namespace imago::config
