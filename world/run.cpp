#include "world/run.hpp"

#include <algorithm>
#include <cctype>

#include <fmt/format.h>

namespace imago::world {

run::run(const scenario& what, bool with_journal)
    : what_{what}, in_{what.make(with_journal)}, watch_{*in_} {
  what.begin(*in_);
  first_delivery_ = in_->mail.delivered();  // what came before is no choice
}

const std::vector<choice>& run::choices() {
  choices_.clear();
  for (const auto* one : in_->mail.deliverable())
    choices_.push_back({one->id, one->from, one->to,
                        one->sent_in > first_delivery_ ? one->sent_in - first_delivery_ : 0,
                        one->kind, one->is_urgent, one->type, in_->mail.who(one->to).host,
                        in_->mail.who(one->to).kind});
  return choices_;
}

void run::take(letter_id id) {
  in_->deliver(id);
  ++taken_;
}

std::optional<std::string> run::finish() {
  if (watch_.violated()) return watch_.violated();
  if (what_.settles > duration{}) in_->advance(what_.settles);
  if (watch_.check_quiet()) return watch_.violated();
  if (what_.expect) return what_.expect(*in_);
  return std::nullopt;
}

namespace {

// Follows the order, the oldest beyond its end. What is violated, if anything.
std::optional<std::string> follow(const scenario& what, const schedule& order) {
  run now{what, false};
  for (std::size_t step = 0; true; ++step) {
    const auto& choices = now.choices();
    if (choices.empty()) return now.finish();
    std::size_t index = step < order.size() ? order[step] : 0;
    if (index >= choices.size()) index = 0;
    now.take(choices[index].id);
    if (auto broken = now.broken()) return broken;
  }
}

// The same thing is wrong, whatever the numbers in it.
bool is_same_kind(const std::string& one, const std::string& other) {
  auto without_numbers = [](const std::string& text) {
    std::string kept;
    for (char letter : text)
      if (std::isxdigit(static_cast<unsigned char>(letter)) == 0) kept += letter;
    return kept;
  };
  return without_numbers(one) == without_numbers(other);
}

void trim(schedule& order) {
  while (!order.empty() && order.back() == 0) order.pop_back();
}

}  // namespace

// First whole halves, then ever smaller parts of what is out of order become the oldest (ddmin).
schedule reduce(const scenario& what, schedule found, const std::string& violated,
                std::size_t budget) {
  trim(found);
  auto still_fails = [&](const schedule& order) {
    if (budget == 0) return false;
    --budget;
    auto broken = follow(what, order);
    return broken && is_same_kind(*broken, violated);
  };
  auto out_of_order = [](const schedule& order) {
    std::vector<std::size_t> places;
    for (std::size_t step = 0; step < order.size(); ++step)
      if (order[step] != 0) places.push_back(step);
    return places;
  };
  for (auto part = std::max<std::size_t>(1, out_of_order(found).size() / 2); true;) {
    auto places = out_of_order(found);
    bool shorter = false;
    // From the end: what came last matters least to what came before.
    for (std::size_t end = places.size(); end > 0 && budget > 0;) {
      auto begin = end > part ? end - part : 0;
      auto candidate = found;
      for (auto at = begin; at < end; ++at) candidate[places[at]] = 0;
      trim(candidate);
      if (still_fails(candidate)) {
        found = std::move(candidate);
        shorter = true;
      }
      end = begin;
    }
    if (budget == 0 || (part == 1 && !shorter)) break;
    if (!shorter) part = std::max<std::size_t>(1, part / 2);
  }
  return found;
}

replay_result replay(const scenario& what, const schedule& order) {
  replay_result result;
  run now{what, true};
  while (!result.violation) {
    const auto& choices = now.choices();
    if (choices.empty()) {
      result.violation = now.finish();
      break;
    }
    auto step = result.steps.size();
    std::size_t index = step < order.size() ? order[step] : 0;
    if (index >= choices.size()) index = 0;
    result.steps.push_back(
        fmt::format("{:4} {}{}", step, now.in().describe(*now.in().mail.find(choices[index].id)),
                    index == 0 ? "" : fmt::format("   <- not the oldest of {}", choices.size())));
    now.take(choices[index].id);
    result.violation = now.broken();
  }
  result.deliveries = now.deliveries();
  result.journal = now.in().journal();
  return result;
}

violation explain(const scenario& what, schedule found, const std::string& violated) {
  violation made;
  made.found = found;
  made.reduced = reduce(what, std::move(found), violated);
  auto again = replay(what, made.reduced);
  made.what = again.violation.value_or(violated);
  made.script = fmt::format("scenario {}\nviolation {}\nschedule {}\n", what.name, made.what,
                            text_of(made.reduced));
  for (const auto& step : again.steps) made.script += step + "\n";
  return made;
}

std::string text_of(const schedule& order) {
  std::string out;
  for (std::size_t step = 0; step < order.size(); ++step)
    if (order[step] != 0) out += fmt::format("{}{}:{}", out.empty() ? "" : " ", step, order[step]);
  return out.empty() ? "in-order" : out;
}

result<schedule> parse_schedule(std::string_view text) {
  constexpr std::size_t steps_max = 1'000'000;
  schedule made;
  if (text == "in-order") return made;
  std::size_t at = 0;
  auto number = [&]() -> std::optional<std::size_t> {
    std::size_t value = 0, begin = at;
    while (at < text.size() && text[at] >= '0' && text[at] <= '9' && value <= steps_max)
      value = value * 10 + static_cast<std::size_t>(text[at++] - '0');
    if (at == begin || value > steps_max) return std::nullopt;
    return value;
  };
  while (at < text.size()) {
    auto step = number();
    bool has_colon = step && at < text.size() && text[at++] == ':';
    auto index = has_colon ? number() : std::nullopt;
    if (!index)
      return {errc::bad_syntax,
              fmt::format("schedule, column {}: STEP:CHOICE is expected", at + 1)};
    if (*step >= made.size()) made.resize(*step + 1);
    made[*step] = static_cast<std::uint32_t>(*index);
    while (at < text.size() && text[at] == ' ') ++at;
  }
  return made;
}

}  // namespace imago::world
