// The strategies of chance, and the door to all of them.
#include "world/explorer.hpp"

#include <algorithm>
#include <map>

#include "world/run.hpp"

namespace imago::world {

std::string_view name_of(strategy chosen) {
  static constexpr std::string_view names[] = {"exhaustive", "random", "pct"};
  return names[static_cast<unsigned>(chosen)];
}

namespace {

class picker {
 public:
  virtual ~picker() = default;
  virtual std::size_t pick(const std::vector<choice>& choices) = 0;
};

class any_picker final : public picker {
 public:
  explicit any_picker(std::uint64_t seed) : chance_{seed} {}
  std::size_t pick(const std::vector<choice>& choices) override {
    return chance_.below(choices.size());
  }

 private:
  seeded_random chance_;
};

// Channels are the threads of the paper: what they hold is delivered in order.
class priority_picker final : public picker {
 public:
  priority_picker(std::uint64_t seed, unsigned depth, std::size_t length) : chance_{seed} {
    for (unsigned change = 1; change < depth; ++change)
      changes_.push_back(chance_.below(std::max<std::size_t>(length, 1)));
  }
  std::size_t pick(const std::vector<choice>& choices) override {
    std::size_t best = 0;
    for (std::size_t index = 1; index < choices.size(); ++index)
      if (priority_of(choices[index]) > priority_of(choices[best])) best = index;
    for (std::size_t change = 0; change < changes_.size(); ++change)
      if (changes_[change] == step_)  // the one that leads falls behind all
        priorities_[channel_of(choices[best])] = change;
    ++step_;
    return best;
  }

 private:
  using channel = std::tuple<party_id, party_id, bool>;
  static channel channel_of(const choice& one) { return {one.from, one.to, one.is_urgent}; }
  std::uint64_t priority_of(const choice& one) {
    auto [at, is_new] = priorities_.try_emplace(channel_of(one));
    if (is_new) at->second = 1000 + chance_.next() / 2;
    return at->second;
  }

  seeded_random chance_;
  std::vector<std::size_t> changes_;
  std::map<channel, std::uint64_t> priorities_;
  std::size_t step_ = 0;
};

exploration explore_by_chance(const scenario& what, strategy how, const exploration_limits& limits,
                              std::chrono::steady_clock::time_point began) {
  exploration result;
  while (result.schedules < limits.schedules_max &&
         std::chrono::steady_clock::now() - began < limits.time_max) {
    auto seed = limits.seed * 0x9e3779b97f4a7c15 + result.schedules;
    std::unique_ptr<picker> chance;
    if (how == strategy::random)
      chance = std::make_unique<any_picker>(seed);
    else
      chance = std::make_unique<priority_picker>(seed, limits.pct_depth, result.longest);
    run now{what, false};
    schedule order;
    std::optional<std::string> violated;
    while (!violated) {
      const auto& choices = now.choices();
      if (choices.empty()) {
        violated = now.finish();
        if (limits.at_end) limits.at_end(now.in());
        break;
      }
      auto index = chance->pick(choices);
      order.push_back(static_cast<std::uint32_t>(index));
      now.take(choices[index].id);
      violated = now.broken();
    }
    ++result.schedules;
    result.deliveries += now.deliveries();
    result.longest = std::max(result.longest, order.size());
    if (limits.progress && result.schedules % 1000 == 0) limits.progress(result.schedules);
    if (violated) {
      result.found = explain(what, std::move(order), *violated);
      break;
    }
  }
  return result;
}

}  // namespace

exploration explore(const scenario& what, strategy how, const exploration_limits& limits) {
  auto began = std::chrono::steady_clock::now();
  auto result = how == strategy::exhaustive ? explore_exhaustively(what, limits)
                                            : explore_by_chance(what, how, limits, began);
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  return result;
}

}  // namespace imago::world
