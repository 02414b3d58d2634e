#include "actors/impair.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include <fmt/format.h>

#include "core/config/values.hpp"
#include "core/wire/message.hpp"

namespace imago::actors {

namespace {

constexpr std::uint32_t matches_max = 1'000'000;  // of nth and count
constexpr double seconds_max = 3600;

constexpr std::string_view request_names[] = {
    "allocate_spi", "install_sa", "remove_sa",      "install_policy", "remove_policy",
    "update_sa",    "query_sa",   "query_activity", "flush",          "any"};
constexpr errc kernel_errors[] = {
    errc::no_buffer_space, errc::no_such_sa,      errc::already_exists, errc::out_of_memory,
    errc::data_plane_busy, errc::data_plane_lost, errc::not_supported,  errc::system_error};

using words = std::vector<std::string_view>;

error wrong(std::string sentence) { return {errc::bad_value, std::move(sentence)}; }

std::string joined(const words& list) { return fmt::format("{}", fmt::join(list, ", ")); }

error unknown(std::string_view what, std::string_view word, const words& known) {
  return wrong(fmt::format("unknown {} '{}'{} (known: {})", what, word,
                           config::suggestion(word, known), joined(known)));
}

const fault_description* find_fault(std::string_view name) {
  for (const auto& one : fault_table)
    if (one.name == name) return &one;
  return nullptr;
}

words arguments_of(const fault_description& fault) {
  words names;
  for (const auto& one : fault.arguments)
    if (!one.name.empty()) names.push_back(one.name);
  return names;
}

struct message_kind {
  std::string text;
  std::optional<exchange_type> exchange;
  std::optional<bool> is_response;
};

const std::vector<message_kind>& message_kinds() {
  static const auto kinds = [] {
    std::vector<message_kind> made{{"any", {}, {}}, {"request", {}, false}, {"response", {}, true}};
#define X(name, number, text)                                    \
  made.push_back({text, exchange_type::name, {}});               \
  made.push_back({text " request", exchange_type::name, false}); \
  made.push_back({text " response", exchange_type::name, true});
    IMAGO_EXCHANGE_TYPES(X)
#undef X
    return made;
  }();
  return kinds;
}

status read_message(impairment& out, std::string_view text) {
  words known;
  for (const auto& one : message_kinds()) {
    if (config::equal_ignoring_case(one.text, text)) {
      out.exchange = one.exchange;
      out.is_response = one.is_response;
      out.what += " " + one.text;
      return {};
    }
    known.push_back(one.text);
  }
  return unknown("message", text, known);
}

status read_direction(impairment& out, std::string_view text) {
  if (text == "both") return {};
  if (text != "sent" && text != "received")
    return unknown("direction", text, {"sent", "received", "both"});
  out.is_sent = text == "sent";
  return {};
}

status read_number(std::uint32_t& out, std::string_view name, std::string_view text) {
  auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (failed != std::errc{} || end != text.data() + text.size() || out == 0 || out > matches_max)
    return wrong(fmt::format("{} '{}': write a number from 1 to {}", name, text, matches_max));
  return {};
}

status read_seconds(impairment& out, const std::string& text) {
  char* end = nullptr;
  auto seconds = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !std::isfinite(seconds) || seconds <= 0 ||
      seconds > seconds_max)
    return wrong(fmt::format("seconds '{}': write a time over 0 and up to {}, for example 0.5",
                             text, seconds_max));
  out.seconds = duration{static_cast<std::int64_t>(seconds * 1e9)};
  return {};
}

status read_request(impairment& out, std::string_view text) {
  words known{std::begin(request_names), std::end(request_names)};
  if (std::find(known.begin(), known.end(), text) == known.end())
    return unknown("kernel request", text, known);
  if (text != "any") out.request = text;
  out.what += fmt::format(" {}", text);
  return {};
}

status read_error(impairment& out, std::string_view text) {
  words known;
  for (auto code : kernel_errors) {
    known.push_back(name_of(code));
    if (known.back() != text) continue;
    out.error = code;
    return {};
  }
  return unknown("error", text, known);
}

std::string ordinal(std::uint32_t number) {
  if (number == 1) return "the next";
  bool is_teen = number % 100 >= 11 && number % 100 <= 13;
  std::string_view ending = "th";
  if (!is_teen && number % 10 == 1) ending = "st";
  if (!is_teen && number % 10 == 2) ending = "nd";
  if (!is_teen && number % 10 == 3) ending = "rd";
  return fmt::format("the {}{}", number, ending);
}

bool is_about_messages(fault_kind kind) {
  return kind == fault_kind::drop || kind == fault_kind::delay || kind == fault_kind::duplicate ||
         kind == fault_kind::corrupt;
}

double seconds_of(duration time) { return std::chrono::duration<double>(time).count(); }

// The rest of the sentence that begins with the fault and what it is about.
void describe(impairment& out) {
  auto kind = out.fault->kind;
  if (kind == fault_kind::fail_kernel) out.what += fmt::format(" with {}", name_of(out.error));
  if (kind == fault_kind::freeze_client) out.what += fmt::format(" {}", out.client);
  if (is_about_messages(kind) || kind == fault_kind::fail_kernel) {
    out.what += ", " + ordinal(out.nth);
    if (out.count > 1) out.what += fmt::format(" and {} more", out.count - 1);
  }
  if (is_about_messages(kind))
    out.what += !out.is_sent ? ", sent or received" : *out.is_sent ? ", sent" : ", received";
  if (out.seconds) out.what += fmt::format(", for {} s", seconds_of(*out.seconds));
}

}  // namespace

status impairments::read(impairment& out, const arguments& given) const {
  auto known = arguments_of(*out.fault);
  for (const auto& [name, value] : given) {
    if (std::find(known.begin(), known.end(), name) == known.end())
      return wrong(fmt::format("{} takes no argument '{}'{} (it takes: {})", out.fault->name, name,
                               config::suggestion(name, known), joined(known)));
    status good;
    if (name == "message") good = read_message(out, value);
    if (name == "direction") good = read_direction(out, value);
    if (name == "nth") good = read_number(out.nth, name, value);
    if (name == "count") good = read_number(out.count, name, value);
    if (name == "seconds") good = read_seconds(out, value);
    if (name == "request") good = read_request(out, value);
    if (name == "error") good = read_error(out, value);
    if (!good) return good;
  }
  for (const auto& one : out.fault->arguments) {
    if (!one.is_required) continue;
    bool is_given = std::any_of(given.begin(), given.end(),
                                [&](const auto& had) { return had.first == one.name; });
    if (!is_given)
      return wrong(fmt::format("{} needs the argument '{}'; for example: {}", out.fault->name,
                               one.name, out.fault->example));
  }
  return {};
}

status impairments::find_client(impairment& out, std::string_view name,
                                std::uint64_t asking) const {
  std::string there;
  for (auto number : clients()) {
    if (number == asking) continue;
    if (name == "newest" || name == std::to_string(number)) out.client = number;
    there += fmt::format("{}{}", there.empty() ? "" : ", ", number);
  }
  if (out.client != 0) return {};
  return wrong(fmt::format("there is no control client '{}' to freeze (besides who asks: {})", name,
                           there.empty() ? "none" : there));
}

result<impairment> impairments::arm(std::string_view name, const arguments& given,
                                    std::uint64_t asking) {
  impairment made;
  made.fault = find_fault(name);
  if (!made.fault) {
    words known;
    for (const auto& one : fault_table) known.push_back(one.name);
    return unknown("fault", name, known);
  }
  made.what = name;
  if (auto good = read(made, given); !good) return good.failure();
  if (made.fault->kind == fault_kind::freeze_client)
    for (const auto& [key, value] : given)
      if (key == "name")
        if (auto found = find_client(made, value, asking); !found) return found.failure();
  describe(made);
  {
    std::lock_guard guard{mutex_};
    if (all_.size() >= impairments_max) {
      auto oldest =
          std::find_if(all_.begin(), all_.end(), [](const auto& one) { return one.is_over; });
      if (oldest == all_.end())
        return error{errc::limit_exceeded,
                     fmt::format("{} impairments are armed already; clear some", impairments_max)};
      all_.erase(oldest);
    }
    made.id = next_id_++;
    all_.push_back(made);
  }
  record("impairment_armed", "impairment {id} armed: {what}", made, made.what);
  begin(made);
  return made;
}

// What acts from now on, instead of at a match.
void impairments::begin(const impairment& one) {
  if (is_about_messages(one.fault->kind) || one.fault->kind == fault_kind::fail_kernel) return;
  {
    std::lock_guard guard{mutex_};
    auto armed = std::find_if(all_.begin(), all_.end(),
                              [&](const auto& other) { return other.id == one.id; });
    if (is_stopped_ || armed == all_.end() || armed->is_over) return;  // cleared already
    armed->met = armed->fired = 1;
    if (one.fault->kind == fault_kind::stall_crypto && control_crypto_) control_crypto_(true);
    for (const auto& [number, channel] : clients_)
      if (auto there = channel.lock(); there && number == one.client) there->freeze(true);
  }
  record("impairment_fired", "impairment {id} fired: {what}", one, one.what);
  if (one.seconds)
    later(*one.seconds, [self = weak_from_this(), id = one.id] {
      if (auto there = self.lock()) (void)there->clear(id);
    });
}

// mutex_ is held. What stands still goes on, unless another one wants it to stand still, too.
void impairments::lift(const impairment& one) {
  auto is_held = [&](const impairment& other) {
    return !other.is_over && other.fault->kind == one.fault->kind && other.client == one.client;
  };
  if (std::any_of(all_.begin(), all_.end(), is_held)) return;
  if (one.fault->kind == fault_kind::stall_crypto && control_crypto_) control_crypto_(false);
  if (one.fault->kind != fault_kind::freeze_client) return;
  for (const auto& [number, channel] : clients_)
    if (auto there = channel.lock(); there && number == one.client) there->freeze(false);
}

std::size_t impairments::clear(std::uint64_t id) {
  std::vector<impairment> cleared;
  {
    std::lock_guard guard{mutex_};
    for (auto& one : all_) {
      if (one.is_over || (id != 0 && one.id != id)) continue;
      one.is_over = true;
      cleared.push_back(one);
    }
    for (const auto& one : cleared) lift(one);
  }
  for (const auto& one : cleared)
    record("impairment_lifted", "impairment {id} lifted: {what}", one, one.what);
  return cleared.size();
}

std::vector<impairment> impairments::list() const {
  std::lock_guard guard{mutex_};
  return all_;
}

std::vector<std::uint64_t> impairments::clients() const {
  std::lock_guard guard{mutex_};
  std::vector<std::uint64_t> numbers;
  for (const auto& [number, channel] : clients_) numbers.push_back(number);
  return numbers;
}

// Its n-th match, or one of the following so many?
bool impairments::fires(impairment& one) {
  ++one.met;
  if (one.met < one.nth) return false;
  ++one.fired;
  one.is_over = one.fired >= one.count;
  return true;
}

// All that match count; the first of them that fires decides.
message_verdict impairments::on_message(bool is_sent, const endpoint& remote, bytes_view message) {
  std::optional<impairment> fired;
  auto header = wire::parse_header(message);
  if (!header) return {};
  {
    std::lock_guard guard{mutex_};
    if (is_stopped_) return {};
    for (auto& one : all_) {
      if (one.is_over || !is_about_messages(one.fault->kind)) continue;
      if (one.exchange && *one.exchange != header->exchange) continue;
      if (one.is_response && *one.is_response != header->is_response) continue;
      if (one.is_sent && *one.is_sent != is_sent) continue;
      if (fires(one) && !fired) fired = one;
    }
  }
  if (!fired) return {};
  record("impairment_fired", "impairment {id} fired: {what}", *fired,
         fmt::format("{} {} {} {}", fired->fault->name, wire::describe(*header),
                     is_sent ? "to" : "from", remote.text()));
  return {fired->fault->kind, fired->seconds.value_or(duration{})};
}

std::optional<errc> impairments::on_kernel_request(std::string_view name) {
  std::optional<impairment> fired;
  {
    std::lock_guard guard{mutex_};
    if (is_stopped_) return {};
    for (auto& one : all_) {
      if (one.is_over || one.fault->kind != fault_kind::fail_kernel) continue;
      if (!one.request.empty() && one.request != name) continue;
      if (fires(one) && !fired) fired = one;
    }
  }
  if (!fired) return {};
  record("impairment_fired", "impairment {id} fired: {what}", *fired,
         fmt::format("{} {} with {}", fired->fault->name, name, name_of(fired->error)));
  return fired->error;
}

void impairments::control_crypto(std::function<void(bool)> control) {
  std::lock_guard guard{mutex_};
  control_crypto_ = std::move(control);
}

void impairments::add_client(std::uint64_t number, const control_channel_ptr& channel) {
  std::lock_guard guard{mutex_};
  clients_.emplace_back(number, channel);
}

void impairments::remove_client(std::uint64_t number) {
  std::lock_guard guard{mutex_};
  std::erase_if(clients_, [&](const auto& one) { return one.first == number; });
}

void impairments::schedule_with(run_later later) {
  std::lock_guard guard{mutex_};
  later_ = std::move(later);
}

void impairments::later(duration delay, std::function<void()> what) {
  run_later schedule;
  {
    std::lock_guard guard{mutex_};
    schedule = later_;
  }
  if (schedule) schedule(delay, std::move(what));
}

void impairments::stop() {
  std::lock_guard guard{mutex_};
  is_stopped_ = true;
  later_ = {};
  // What it holds goes to the pool, which drops it at its own end: keys do not outlive the engine.
  if (control_crypto_) control_crypto_(false);
  control_crypto_ = {};
}

void impairments::record(static_text name, static_text story, const impairment& one,
                         std::string what) const {
  fact told;
  told.level = journal_level::audit;
  told.group = journal_group::engine;
  told.name = name;
  told.fields = {{"id", one.id}, {"fault", one.fault->name}, {"what", std::move(what)}};
  told.story = story;
  facts_->record(std::move(told));
}

}  // namespace imago::actors
