#include "world/world.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace imago::world {

std::shared_ptr<crypto::library> entropy_pool::library(host_number host, std::uint64_t seed) {
  auto& source = sources_[host];
  if (!source.context) {
    source.context = std::make_unique<crypto::seeded_context>(seed);
    source.library = std::make_shared<crypto::library>(source.context->get());
  }
  source.context->reseed(seed);
  return source.library;
}

world::world(world_options options)
    : net{options.seed},
      options_{std::move(options)},
      time_{std::make_shared<virtual_clock>(options_.wall)} {
  net.on_link = [this](host_number host, bool is_up) { hosts_[host]->on_link(is_up); };
  if (!options_.entropy) options_.entropy = std::make_shared<entropy_pool>();
}

world::~world() {
  // At the end nobody interferes.
  mail.on_sent = nullptr;
  net.on_wire = nullptr;
  std::vector<letter_id> acts;
  mail.for_each([&](const letter& one) {
    if (one.kind == letter_kind::act) acts.push_back(one.id);
  });
  for (auto one : acts) mail.drop(one);
  // All, before any of them goes: what one sends at its end reaches nobody.
  for (auto& one : hosts_) one->end_all();
}

host& world::add_host(host_options options) {
  auto number = static_cast<host_number>(hosts_.size());
  if (options.seed == 0) options.seed = options_.seed * 1'000'003 + number + 1;
  hosts_.push_back(std::make_unique<host>(*this, number, std::move(options)));
  hosts_.back()->start();
  return *hosts_.back();
}

host* world::find_host(std::string_view name) const {
  for (const auto& one : hosts_)
    if (one->name() == name) return one.get();
  return nullptr;
}

void world::deliver(letter_id id) {
  const auto* what = mail.find(id);
  if (!what) return;
  auto receiver = what->to;
  if (before_delivery) before_delivery(*what);
  seed_for(receiver);
  mail.deliver(id);
  if (options_.merges_journals) note_journal();
  if (after_delivery) after_delivery(receiver);
}

void world::seed_for(party_id receiver) {
  const auto& party = mail.who(receiver);
  options_.entropy->reseed(party.host,
                           hosts_[party.host]->options().seed ^ mail.history_of(receiver));
}

bool world::step() {
  const auto* next = mail.oldest();
  if (!next) return false;
  deliver(next->id);
  return true;
}

status world::run_until_quiet(std::size_t deliveries_max) {
  for (std::size_t count = 0; step(); ++count)
    if (count == deliveries_max)
      return {errc::timed_out, fmt::format("not quiet after {} deliveries", deliveries_max)};
  if (!options_.merges_journals)
    for (auto& one : hosts_) one->shared->facts->drain();
  return {};
}

std::optional<instant> world::next_due() const {
  auto next = net.next_due();
  for (const auto& one : hosts_)
    if (auto due = one->shared->timers->next_due(); due && (!next || *due < *next)) next = due;
  return next;
}

bool world::pass_to_next_due(instant end) {
  auto next = next_due();
  if (!next || *next > end) return false;
  time_->set(*next);
  for (auto& one : hosts_)
    mail.as(one->timers_, [&] { one->shared->timers->advance(time_->now()); });
  net.advance(time_->now());
  return true;
}

void world::advance(duration by) {
  auto end = time_->now() + by;
  (void)run_until_quiet();
  while (pass_to_next_due(end)) (void)run_until_quiet();
  time_->set(end);
}

bool world::run_until(const std::function<bool()>& holds, duration longest) {
  auto end = time_->now() + longest;
  while (!holds())
    if (!step() && !pass_to_next_due(end)) {
      time_->set(end);
      return false;
    }
  return true;
}

void world::happen(const char* name, std::function<void()> act) {
  mail.add_act(mail.add_outside(0, name), std::move(act));
}

std::string world::name_of(party_id who) const {
  if (who == 0) return "nobody";
  const auto& one = mail.who(who);
  const auto& host = one.host < hosts_.size() ? hosts_[one.host]->name() : "?";
  if (one.number == 0) return fmt::format("{}.{}", host, one.kind);
  return fmt::format("{}.{}.{}", host, one.kind, one.number);
}

std::string world::describe(const letter& what) const {
  return fmt::format("{} from {} to {}{}", imago::world::name_of(what), name_of(what.from),
                     name_of(what.to), what.kind == letter_kind::ghost ? " (ended)" : "");
}

void world::note_journal() {
  for (auto& one : hosts_) one->shared->facts->drain();
}

std::string world::journal() const {
  if (options_.merges_journals) return *merged_;
  std::string out;
  for (const auto& one : hosts_) {
    out += "--- " + one->name() + "\n";
    for (const auto& line : one->journal_lines()) out += line + "\n";
  }
  return out;
}

}  // namespace imago::world
