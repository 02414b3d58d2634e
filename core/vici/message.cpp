#include "core/vici/message.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>

namespace imago::vici {
namespace {

// The first element of that name and kind.
template <class T>
const T* find_here(const message& in, std::string_view name) {
  for (const auto& one : in.elements)
    if (one.name == name)
      if (auto* found = std::get_if<T>(&one.content)) return found;
  return nullptr;
}

// Follows the sections of a dotted path; `path` is left with its last part. nullptr if one is
// absent.
const message* walk(const message& from, std::string_view& path) {
  const message* at = &from;
  for (auto dot = path.find('.'); dot != path.npos; dot = path.find('.')) {
    auto* section = find_here<std::unique_ptr<message>>(*at, path.substr(0, dot));
    if (!section) return nullptr;
    at = section->get();
    path.remove_prefix(dot + 1);
  }
  return at;
}

template <class T>
const T* find_at(const message& from, std::string_view path) {
  auto* at = walk(from, path);
  return at ? find_here<T>(*at, path) : nullptr;
}

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  auto same = [&](std::string_view word) {
    return std::equal(text.begin(), text.end(), word.begin(), word.end(), [](char one, char other) {
      return (one >= 'A' && one <= 'Z' ? static_cast<char>(one - 'A' + 'a') : one) == other;
    });
  };
  return std::any_of(words.begin(), words.end(), same);
}

}  // namespace

message& message::add(std::string name, std::string value) {
  elements.push_back({std::move(name), std::move(value)});
  return *this;
}

message& message::add_list(std::string name, std::vector<std::string> items) {
  elements.push_back({std::move(name), std::move(items)});
  return *this;
}

message& message::add_section(std::string name, message section) {
  elements.push_back({std::move(name), std::make_unique<message>(std::move(section))});
  return *this;
}

const std::string* message::find(std::string_view path) const {
  return find_at<std::string>(*this, path);
}

const std::vector<std::string>* message::find_list(std::string_view path) const {
  return find_at<std::vector<std::string>>(*this, path);
}

const message* message::find_section(std::string_view path) const {
  auto* found = find_at<std::unique_ptr<message>>(*this, path);
  return found ? found->get() : nullptr;
}

std::string message::value_or(std::string_view path, std::string_view fallback) const {
  auto* found = find(path);
  return found ? *found : std::string{fallback};
}

std::int64_t message::number_or(std::string_view path, std::int64_t fallback) const {
  auto* found = find(path);
  if (!found || found->empty()) return fallback;
  char* end = nullptr;
  errno = 0;
  auto number = std::strtoll(found->c_str(), &end, 0);
  bool is_whole = end == found->c_str() + found->size();
  return is_whole && errno == 0 ? number : fallback;
}

bool message::boolean_or(std::string_view path, bool fallback) const {
  auto* found = find(path);
  if (!found) return fallback;
  if (is_one_of(*found, {"1", "yes", "true", "enabled"})) return true;
  if (is_one_of(*found, {"0", "no", "false", "disabled"})) return false;
  return fallback;
}

message message::clone() const {
  message copy;
  for (const auto& one : elements) {
    if (auto* section = std::get_if<std::unique_ptr<message>>(&one.content)) {
      copy.add_section(one.name, (*section)->clone());
    } else if (auto* items = std::get_if<std::vector<std::string>>(&one.content)) {
      copy.add_list(one.name, *items);
    } else {
      copy.add(one.name, std::get<std::string>(one.content));
    }
  }
  return copy;
}

}  // namespace imago::vici
