#include "actors/journal_sinks.hpp"

#include <algorithm>
#include <cerrno>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

namespace imago::actors {

namespace {

template <class... Functions>
struct overloaded : Functions... {
  using Functions::operator()...;
};
template <class... Functions>
overloaded(Functions...) -> overloaded<Functions...>;

// A peer must not fill the disk with one long identity either.
std::string peer_text(const peer_bytes& chosen) {
  bytes_view octets{chosen.octets};
  if (octets.size() <= limits::journal_peer_octets_max) return escaped(octets);
  return fmt::format("{}...({} octets)", escaped(octets.first(limits::journal_peer_octets_max)),
                     octets.size());
}

std::string value_text(const fact_value::variant& value) {
  return std::visit(overloaded{[](bool flag) -> std::string { return flag ? "yes" : "no"; },
                               [](const std::string& text) { return escaped(text); },
                               [](const peer_bytes& chosen) { return peer_text(chosen); },
                               [](const endpoint& at) { return at.text(); },
                               [](const ip_address& address) { return address.text(); },
                               [](errc code) { return std::string{imago::text_of(code)}; },
                               [](const deferred_text& text) { return escaped(text()); },
                               [](auto number) { return fmt::format("{}", number); }},
                    value);
}

nlohmann::json value_json(const fact_value::variant& value) {
  return std::visit(
      overloaded{[](const std::string& text) -> nlohmann::json { return text; },
                 [](const peer_bytes& chosen) -> nlohmann::json { return peer_text(chosen); },
                 [](const endpoint& at) -> nlohmann::json { return at.text(); },
                 [](const ip_address& address) -> nlohmann::json { return address.text(); },
                 [](errc code) -> nlohmann::json { return std::string{name_of(code)}; },
                 [](const deferred_text& text) -> nlohmann::json { return text(); },
                 [](double number) -> nlohmann::json {
                   return std::isfinite(number) ? nlohmann::json(number) : nlohmann::json(nullptr);
                 },
                 [](auto other) -> nlohmann::json { return other; }},
      value);
}

// Days since 1970-01-01 to year, month, day of the proleptic Gregorian calendar.
std::chrono::year_month_day date_of(std::int64_t days) {
  return std::chrono::year_month_day{
      std::chrono::sys_days{std::chrono::days{static_cast<int>(days)}}};
}

}  // namespace

std::string text_of(const fact_value& value) { return value_text(value.get()); }

std::string story_of(const fact& what) {
  std::string out;
  if (what.story.view().empty()) {
    out = what.name.view();
    for (const auto& field : what.fields) {
      out += fmt::format(" {}=", field.key.view());
      out += text_of(field.value);
    }
    return out;
  }
  auto rest = what.story.view();
  while (!rest.empty()) {
    const auto open = rest.find('{');
    out += rest.substr(0, open);
    if (open == rest.npos) break;
    const auto close = rest.find('}', open);
    if (close == rest.npos) {
      out += rest.substr(open);
      break;
    }
    const auto* value = what.find(rest.substr(open + 1, close - open - 1));
    out += value ? text_of(*value) : std::string{rest.substr(open, close - open + 1)};
    rest.remove_prefix(close + 1);
  }
  return out;
}

std::string time_text_of(const fact& what) {
  constexpr std::int64_t day = 86400;
  auto days = what.wall.seconds / day;
  auto seconds = what.wall.seconds % day;
  if (seconds < 0) {
    seconds += day;
    --days;
  }
  const auto date = date_of(days);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     seconds / 3600, seconds / 60 % 60, seconds % 60, what.wall_ms);
}

std::string line_of(const fact& what) {
  auto about = escaped(what.connection);
  if (what.ike_sa) about += fmt::format("#{}", what.ike_sa);
  if (about.empty()) about = "-";
  return fmt::format("{} {:<7} {}  {}", time_text_of(what), text_of(what.group), about,
                     story_of(what));
}

std::string json_of(const fact& what) {
  nlohmann::json fields = nlohmann::json::object();
  for (const auto& field : what.fields)
    fields[std::string{field.key.view()}] = value_json(field.value.get());
  nlohmann::json out = {{"time", time_text_of(what)},
                        {"at_ns", what.at.since_start.count()},
                        {"level", std::string{text_of(what.level)}},
                        {"group", std::string{text_of(what.group)}},
                        {"name", std::string{what.name.view()}},
                        {"fields", std::move(fields)}};
  if (!what.connection.empty()) out["connection"] = what.connection;
  if (what.ike_sa) out["ike_sa"] = what.ike_sa;
  // ASCII only and never a failure: octets that are not UTF-8 are replaced.
  return out.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

void line_sink::write(const fact& what) {
  pending_ += format_(what);
  pending_ += '\n';
}

void line_sink::flush() {
  std::string_view rest = pending_;
  while (!rest.empty()) {
    const auto count = ::write(fd_, rest.data(), rest.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      failed_ += static_cast<std::uint64_t>(std::count(rest.begin(), rest.end(), '\n'));
      break;
    }
    rest.remove_prefix(static_cast<std::size_t>(count));
  }
  pending_.clear();
}

void ring_sink::write(const fact& what) {
  std::lock_guard guard{mutex_};
  if (facts_.size() >= capacity_) facts_.pop_front();
  if (capacity_) facts_.push_back(what);
}

std::vector<fact> ring_sink::facts() const {
  std::lock_guard guard{mutex_};
  return {facts_.begin(), facts_.end()};
}

std::vector<fact> ring_sink::named(std::string_view name) const {
  std::lock_guard guard{mutex_};
  std::vector<fact> found;
  for (const auto& each : facts_)
    if (each.name.view() == name) found.push_back(each);
  return found;
}

void ring_sink::clear() {
  std::lock_guard guard{mutex_};
  facts_.clear();
}

}  // namespace imago::actors
