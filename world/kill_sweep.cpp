#include "world/kill_sweep.hpp"

#include <algorithm>

#include <caf/send.hpp>
#include <fmt/format.h>

#include "actors/messages.hpp"
#include "world/scenarios.hpp"

namespace imago::world {

namespace {

using namespace std::chrono_literals;

// Longer than any time-out of brisk_options(): a silent peer is noticed, then given up.
constexpr auto long_enough = 60s;
// A plan by chance may be longer than the scenario in the order of sending.
constexpr std::size_t deliveries_beyond = 20;

constexpr kill_target all_targets[] = {kill_target::ike_sa,     kill_target::ike_sa_by_command,
                                       kill_target::exchange,   kill_target::child_sa,
                                       kill_target::connection, kill_target::engine};

// Who decides what is delivered next.
class chooser {
 public:
  explicit chooser(const std::optional<std::uint64_t>& seed) {
    if (seed) chance_.emplace(*seed);
  }
  bool step(world& in) {
    if (!chance_) return in.step();
    const auto& letters = in.mail.deliverable();
    if (letters.empty()) return false;
    in.deliver(letters[chance_->below(letters.size())]->id);
    return true;
  }
  void pass(world& in, duration by) {
    auto end = in.time().now() + by;
    do {
      while (step(in)) {
      }
    } while (in.pass_to_next_due(end));
    in.time().set(end);
    (void)in.run_until_quiet();
  }

 private:
  std::optional<seeded_random> chance_;
};

// How many it hit.
std::size_t kill_actors(host& struck, std::string_view kind,
                        const std::optional<std::size_t>& which) {
  if (!which) return struck.kill(kind);
  auto there = struck.living(kind);
  if (there.empty()) return 0;
  return struck.kill(kind, struck.mail().who(there[*which % there.size()]).number);
}

std::size_t strike_at(host& struck, const kill_point& point) {
  switch (point.target) {
    case kill_target::ike_sa: return kill_actors(struck, "ike_sa", point.which);
    case kill_target::exchange: return kill_actors(struck, "exchange", point.which);
    case kill_target::child_sa: return kill_actors(struck, "child_sa", point.which);
    case kill_target::connection: return kill_actors(struck, "connection", point.which);
    case kill_target::ike_sa_by_command: {
      auto count = struck.living("ike_sa").size();
      if (count != 0) struck.kill_sas({});
      return count;
    }
    case kill_target::engine: break;
  }
  struck.stop_engine();
  return 1;
}

class killing {
 public:
  killing(const scenario& what, const kill_plan& plan, bool with_journal)
      : what_{what}, plan_{plan}, in_{what.make(with_journal)}, watch_{*in_}, chooser_{plan.order} {
    connections_.reserve(in_->hosts().size());
    for (const auto& one : in_->hosts())
      connections_.push_back(one->shared->counted->live("connection"));
    what.begin(*in_);
  }

  kill_outcome run() {
    kill_outcome outcome;
    auto next = plan_.points.begin();
    for (; !watch_.violated(); ++outcome.deliveries) {
      for (; next != plan_.points.end() && next->after <= outcome.deliveries; ++next)
        outcome.killed += strike(*next);
      if (!chooser_.step(*in_)) break;
    }
    // What was planned for later than there is anything to deliver.
    for (; next != plan_.points.end(); ++next) outcome.killed += strike(*next);
    if (outcome.killed != 0 || plan_.points.empty()) end();
    outcome.violation = watch_.violated() ? watch_.violated() : violated_;
    if (outcome.violation) {
      outcome.plan = text_of(plan_, *in_);
      outcome.journal = in_->journal();
    }
    return outcome;
  }

 private:
  std::size_t strike(const kill_point& point) {
    auto& struck = *in_->hosts()[point.of];
    auto is_stopped = std::find(stopped_.begin(), stopped_.end(), &struck) != stopped_.end();
    if (point.target == kill_target::engine && !is_stopped) stopped_.push_back(&struck);
    return strike_at(struck, point);
  }

  // What lives on, on both sides alike, is closed; then nothing may be left.
  void end() {
    if (plan_.points.empty() && what_.expect) {
      chooser_.pass(*in_, what_.settles);
      violated_ = what_.expect(*in_);
    }
    chooser_.pass(*in_, long_enough);
    if (watch_.check_quiet()) return;
    for (auto* one : stopped_) check_stopped(*one);
    uninstall_all(*in_);
    for (const auto& one : in_->hosts())
      if (!one->has_ended() && !one->list().empty()) one->terminate({});
    chooser_.pass(*in_, long_enough);
    watch_.check_empty();
    for (const auto& one : in_->hosts()) {
      auto expected = one->has_ended() ? 0 : connections_[one->number()];
      if (auto live = one->shared->counted->live("connection"); live != expected)
        fail(fmt::format("{}: {} connection actors, expected {}", one->name(), live, expected));
    }
  }

  void check_stopped(host& one) {
    // Asked for twice it may be answered twice.
    std::size_t asked = 0;
    for (const auto& point : plan_.points)
      asked += point.target == kill_target::engine && point.of == one.number();
    if (auto count = one.answers->engines_stopped; count == 0 || count > asked)
      fail(fmt::format("{}: engine stopped {} times", one.name(), count));
    for (const auto& command : one.answers->expected)
      if (!one.answers->is_answered(command.first))
        fail(fmt::format("{}: command {} was not answered once", one.name(), command.first));
    one.end_roots();
  }

  void fail(std::string what) {
    if (!violated_) violated_ = std::move(what);
  }

  const scenario& what_;
  const kill_plan& plan_;
  std::unique_ptr<world> in_;
  invariants watch_;
  chooser chooser_;
  std::vector<std::int64_t> connections_;
  std::vector<host*> stopped_;
  std::optional<std::string> violated_;
};

// It happens again, told in full.
std::string describe(const scenario& what, const kill_plan& plan, const kill_outcome& outcome) {
  auto again = kill_at(what, plan, true);
  return fmt::format("{}: {}: {}\n{}", what.name, outcome.plan, *outcome.violation,
                     again.violation ? again.journal : outcome.journal);
}

}  // namespace

std::string_view name_of(kill_target target) {
  static constexpr std::string_view names[] = {"ike_sa",   "ike_sa by kill_sas", "exchange",
                                               "child_sa", "connection",         "engine"};
  return names[static_cast<unsigned>(target)];
}

std::string text_of(const kill_plan& plan, const world& in) {
  std::string out;
  for (const auto& one : plan.points) {
    out += fmt::format("{}{} of {} killed after delivery {}", out.empty() ? "" : ", ",
                       name_of(one.target), in.hosts()[one.of]->name(), one.after);
    if (one.which) out += fmt::format(" (number {})", *one.which);
  }
  if (out.empty()) out = "nobody killed";
  if (plan.order) out += fmt::format(", order {}", *plan.order);
  return out;
}

kill_outcome kill_at(const scenario& what, const kill_plan& plan, bool with_journal) {
  return killing{what, plan, with_journal}.run();
}

kill_sweep_result sweep_kills(const scenario& what) {
  kill_sweep_result result;
  auto whole = kill_at(what, {});
  result.deliveries = whole.deliveries;
  if (whole.violation) {
    result.violation = describe(what, {}, whole);
    return result;
  }
  auto hosts = what.make(false)->hosts().size();
  for (auto target : all_targets)
    for (host_number of = 0; of < hosts; ++of)
      for (std::size_t k = 0; k <= result.deliveries; ++k) {
        kill_plan plan{{{k, of, target, {}}}, {}};
        auto outcome = kill_at(what, plan);
        if (outcome.violation) {
          result.violation = describe(what, plan, outcome);
          return result;
        }
        if (outcome.killed == 0) continue;
        ++result.runs;
        result.killed += outcome.killed;
      }
  return result;
}

random_kills_result kill_by_chance(const std::vector<scenario>& among, std::uint64_t count,
                                   std::uint64_t seed,
                                   const std::function<void(std::uint64_t)>& progress) {
  random_kills_result result;
  std::vector<std::size_t> lengths(among.size());
  for (std::uint64_t number = 0; number < count; ++number) {
    seeded_random chance{(seed + number) * 0x9e3779b97f4a7c15};
    auto index = chance.below(among.size());
    const auto& what = among[index];
    auto& length = lengths[index];
    if (length == 0) length = kill_at(what, {}).deliveries;
    kill_plan plan;
    plan.order = chance.next();
    for (auto kills = 1 + chance.below(3); kills > 0; --kills) {
      kill_point point;
      point.after = chance.below(length + deliveries_beyond);
      point.of = static_cast<host_number>(chance.below(2));
      point.target = all_targets[chance.below(kill_target_count)];
      if (chance.happens(0.5)) point.which = chance.below(8);
      plan.points.push_back(point);
    }
    std::sort(plan.points.begin(), plan.points.end(),
              [](const auto& one, const auto& other) { return one.after < other.after; });
    auto outcome = kill_at(what, plan);
    ++result.runs;
    result.killed += outcome.killed;
    if (progress && result.runs % 100 == 0) progress(result.runs);
    if (outcome.violation) {
      result.failing_seed = seed + number;
      result.violation = describe(what, plan, outcome);
      return result;
    }
  }
  return result;
}

}  // namespace imago::world
