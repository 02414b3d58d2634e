// Sections that inherit from others: "name : base, other { }". A section is a stack of layers, its
// own first, then what its references name, left to right, each with its own references below it.
// The first layer that has a key decides; sub-sections of one name are merged the same way.
#include <algorithm>
#include <set>
#include <unordered_map>

#include "core/base/limits.hpp"
#include "core/base/secret.hpp"
#include "core/config/raw_section.hpp"

namespace imago::config {

std::string reference::text() const {
  std::string text;
  for (const auto& part : path) text += (text.empty() ? "" : ".") + part;
  return text;
}

raw_section::~raw_section() {
  for (auto& setting : settings) wipe(setting.value.data(), setting.value.size());
}

void raw_section::set(raw_setting setting) {
  auto [entry, is_new] = setting_index_.try_emplace(setting.key, settings.size());
  if (is_new)
    settings.push_back(std::move(setting));
  else
    settings[entry->second] = std::move(setting);
}

raw_section& raw_section::section_named(const std::string& child, const position& where) {
  auto [entry, is_new] = section_index_.try_emplace(child, sections.size());
  if (is_new) {
    sections.push_back(std::make_unique<raw_section>());
    sections.back()->name = child;
    sections.back()->at = where;
  }
  return *sections[entry->second];
}

const raw_section* raw_section::find_section(const std::string& child) const {
  auto entry = section_index_.find(child);
  return entry == section_index_.end() ? nullptr : sections[entry->second].get();
}

namespace {

using layers = std::vector<const raw_section*>;

class resolver {
 public:
  explicit resolver(const raw_section& root) : root_{root} {}

  result<std::unique_ptr<section>> run() {
    auto out = std::make_unique<section>();
    out->at = root_.at;
    if (auto done = expand({&root_}, *out, 0); !done) return done.failure();
    for (auto& child : out->sections) child->is_referenced = referenced_.count(child->name) != 0;
    return out;
  }

 private:
  struct stack {
    layers sections;
    int depth = 1;  // of the chain of references
  };

  result<stack> stack_of(const raw_section& section);
  result<layers> look_up(const reference& to, int& depth);
  status expand(const layers& from, section& out, int depth);
  status expand_settings(const layers& all, section& out);
  // Adds the layers of each of `from`, without repetition.
  status add_layers(const layers& from, layers& to, int& depth);
  status count(std::size_t items, const position& at) {
    count_ += items;
    if (count_ <= limits::config_item_count_max) return {};
    return {errc::limit_exceeded, at.text() + ": references multiply the settings beyond limit"};
  }

  const raw_section& root_;
  std::unordered_map<const raw_section*, stack> known_;
  layers in_progress_;
  std::set<std::string> referenced_;
  std::size_t count_ = 0;
};

status resolver::add_layers(const layers& from, layers& to, int& depth) {
  std::set<const raw_section*> seen(to.begin(), to.end());
  for (const auto* one : from) {
    auto below = stack_of(*one);
    if (!below) return below.failure();
    if (auto done = count(below->sections.size(), one->at); !done) return done;
    depth = std::max(depth, below->depth);
    for (const auto* layer : below->sections)
      if (seen.insert(layer).second) to.push_back(layer);
  }
  return {};
}

result<resolver::stack> resolver::stack_of(const raw_section& section) {
  if (auto known = known_.find(&section); known != known_.end()) return known->second;
  if (std::find(in_progress_.begin(), in_progress_.end(), &section) != in_progress_.end())
    return error{errc::bad_syntax, section.at.text() + ": section '" + escaped(section.name) +
                                       "' inherits from itself"};
  if (in_progress_.size() >= static_cast<std::size_t>(limits::config_section_depth_max))
    return error{errc::limit_exceeded, section.at.text() + ": references chain deeper than 16"};
  in_progress_.push_back(&section);
  stack own{{&section}};
  for (const auto& to : section.references) {
    int depth = 0;
    auto targets = look_up(to, depth);
    if (!targets) return targets.failure();
    if (auto done = add_layers(*targets, own.sections, depth); !done) return done.failure();
    own.depth = std::max(own.depth, depth + 1);
    if (own.depth > limits::config_section_depth_max)
      return error{errc::limit_exceeded, to.at.text() + ": references chain deeper than 16"};
  }
  in_progress_.pop_back();
  known_.emplace(&section, own);
  return own;
}

// What `to` names: each level may itself be inherited, so the search goes by layers.
result<layers> resolver::look_up(const reference& to, int& depth) {
  layers at{&root_};
  referenced_.insert(to.path.front());
  for (const auto& part : to.path) {
    layers all;
    if (auto done = add_layers(at, all, depth); !done) return done.failure();
    at.clear();
    for (const auto* layer : all)
      if (const auto* child = layer->find_section(part)) at.push_back(child);
    if (at.empty())
      return error{errc::not_found,
                   to.at.text() + ": the section '" + escaped(to.text()) + "' that is referred to"};
  }
  return at;
}

status resolver::expand_settings(const layers& all, section& out) {
  std::set<std::string_view> seen;
  for (const auto* layer : all)
    for (const auto& one : layer->settings) {
      if (!seen.insert(one.key).second || one.cleared) continue;
      if (auto done = count(1, one.at); !done) return done;
      out.settings.push_back({one.key, one.value, {}, false, one.at});
    }
  return {};
}

status resolver::expand(const layers& from, section& out, int depth) {
  if (depth > limits::config_section_depth_max)
    return {errc::limit_exceeded, out.at.text() + ": sections nest deeper than 16 by references"};
  layers all;
  int chain = 0;
  if (auto done = add_layers(from, all, chain); !done) return done;
  if (auto done = expand_settings(all, out); !done) return done;

  std::map<std::string_view, std::size_t> index;
  std::vector<layers> children;
  for (const auto* layer : all)
    for (const auto& child : layer->sections) {
      auto [entry, is_new] = index.try_emplace(child->name, children.size());
      if (is_new) children.emplace_back();
      children[entry->second].push_back(child.get());
    }
  for (const auto& child : children) {
    if (auto done = count(1, child.front()->at); !done) return done;
    auto next = std::make_unique<section>();
    next->name = child.front()->name;
    next->at = child.front()->at;
    if (auto done = expand(child, *next, depth + 1); !done) return done;
    out.sections.push_back(std::move(next));
  }
  return {};
}

}  // namespace

result<std::unique_ptr<section>> resolve_references(const raw_section& root) {
  return resolver{root}.run();
}

}  // namespace imago::config
