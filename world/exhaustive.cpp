// All orders that differ, each once: source sets and sleep sets, by re-execution.
//
// An event is a delivery. It happens after the delivery during which its letter was sent, and after
// earlier deliveries to the same receiver that it does not commute with. Two such deliveries whose
// order nothing else determines are a race: from the state before the first, something that leads
// to the second without it must be tried as well.
#include <algorithm>

#include "world/commute.hpp"
#include "world/run.hpp"

namespace imago::world {

namespace {

class event_set {
 public:
  void add(std::size_t index) {
    if (index / 64 >= words_.size()) words_.resize(index / 64 + 1);
    words_[index / 64] |= std::uint64_t{1} << (index % 64);
  }
  bool has(std::size_t index) const {
    return index / 64 < words_.size() && (words_[index / 64] >> (index % 64) & 1) != 0;
  }
  void add_all(const event_set& other) {
    if (other.words_.size() > words_.size()) words_.resize(other.words_.size());
    for (std::size_t i = 0; i < other.words_.size(); ++i) words_[i] |= other.words_[i];
  }
  bool meets(const event_set& other) const {
    for (std::size_t i = 0; i < std::min(words_.size(), other.words_.size()); ++i)
      if ((words_[i] & other.words_[i]) != 0) return true;
    return false;
  }

 private:
  std::vector<std::uint64_t> words_;
};

struct node {
  std::vector<choice> choices;
  std::vector<letter_id> backtrack;  // to be tried from here
  std::vector<choice> sleep;         // known from elsewhere
  choice taken;
  std::uint32_t index = 0;      // of it among the choices
  event_set before;             // the events that happened before it
  std::size_t previous = none;  // the last event before it with the same receiver

  static constexpr std::size_t none = SIZE_MAX;
};

bool has(const std::vector<letter_id>& list, letter_id id) {
  return std::find(list.begin(), list.end(), id) != list.end();
}
bool has(const std::vector<choice>& list, letter_id id) {
  return std::any_of(list.begin(), list.end(), [id](const choice& one) { return one.id == id; });
}

class search {
 public:
  search(const scenario& what, const exploration_limits& limits) : what_{what}, limits_{limits} {}

  exploration go() {
    auto end = std::chrono::steady_clock::now() + limits_.time_max;
    do {
      if (auto violated = run_one()) {
        schedule order;
        for (const auto& one : nodes_) order.push_back(one.index);
        result_.found = explain(what_, std::move(order), *violated);
        return result_;
      }
      if (limits_.progress && result_.schedules % 1000 == 0) limits_.progress(result_.schedules);
      if (!turn_back()) {
        result_.is_covered = true;
        return result_;
      }
    } while (result_.schedules < limits_.schedules_max && std::chrono::steady_clock::now() < end);
    return result_;
  }

 private:
  // From the beginning along nodes_, then on to an end.
  std::optional<std::string> run_one() {
    run now{what_, false};
    for (const auto& one : nodes_) now.take(one.taken.id);
    while (true) {
      if (auto broken = now.broken()) return broken;
      const auto& choices = now.choices();
      if (choices.empty()) break;
      auto sleep = sleep_of_next();
      auto at = std::find_if(choices.begin(), choices.end(),
                             [&](const choice& one) { return !has(sleep, one.id); });
      if (at == choices.end()) {
        ++result_.cut_short;
        return std::nullopt;
      }
      node next;
      next.choices = choices;
      next.taken = *at;
      next.index = static_cast<std::uint32_t>(at - choices.begin());
      next.backtrack = {at->id};
      next.sleep = std::move(sleep);
      nodes_.push_back(std::move(next));
      add_races();
      now.take(nodes_.back().taken.id);
    }
    ++result_.schedules;
    result_.deliveries += now.deliveries();
    result_.longest = std::max(result_.longest, nodes_.size());
    auto violated = now.finish();
    if (limits_.at_end) limits_.at_end(now.in());
    return violated;
  }

  std::vector<choice> sleep_of_next() const {
    std::vector<choice> sleep;
    if (nodes_.empty()) return sleep;
    const auto& last = nodes_.back();
    for (const auto& one : last.sleep)
      if (!do_depend(one, last.taken)) sleep.push_back(one);
    return sleep;
  }

  static bool do_depend(const choice& one, const choice& other) {
    if (one.kind == letter_kind::act || other.kind == letter_kind::act)
      return do_acts_depend(one, other);
    if (one.to != other.to) return false;
    if (one.from == other.from && one.is_urgent == other.is_urgent) return true;
    return !do_commute(one, other);
  }

  // Of the last node: what happened before it, and with what it races.
  void add_races() {
    auto last = nodes_.size() - 1;
    auto& now = nodes_[last];
    enter(last);
    std::vector<std::size_t> direct;
    if (now.taken.sent_in != 0) {
      auto sender = static_cast<std::size_t>(now.taken.sent_in) - 1;
      now.before.add(sender);
      now.before.add_all(nodes_[sender].before);
    }
    // From the newest: what is behind an edge already found is no race, and adds nothing.
    auto consider = [&](std::size_t earlier) {
      if (now.before.has(earlier) || !do_depend(nodes_[earlier].taken, now.taken)) return;
      direct.push_back(earlier);
      now.before.add(earlier);
      now.before.add_all(nodes_[earlier].before);
    };
    if (acts_ != 0)  // an act may depend on what others do
      for (auto earlier = last; earlier-- > 0;) consider(earlier);
    else
      for (auto earlier = now.previous; earlier != node::none; earlier = nodes_[earlier].previous)
        consider(earlier);
    for (auto earlier : direct) {
      const auto& first = nodes_[earlier].taken;
      bool is_order = first.kind == letter_kind::start ||
                      (first.from == now.taken.from && first.to == now.taken.to &&
                       first.is_urgent == now.taken.is_urgent);
      if (!is_order) add_backtrack(earlier, last);
    }
  }

  // The events of one receiver are a list through `previous`.
  void enter(std::size_t index) {
    auto& one = nodes_[index];
    if (one.taken.to >= newest_.size()) newest_.resize(one.taken.to + 16, node::none);
    one.previous = std::exchange(newest_[one.taken.to], index);
    if (one.taken.kind == letter_kind::act) ++acts_;
  }
  void leave(const node& last) {
    newest_[last.taken.to] = last.previous;
    if (last.taken.kind == letter_kind::act) --acts_;
  }

  // Something that leads to `second` without `first`.
  void add_backtrack(std::size_t first, std::size_t second) {
    event_set without;  // what follows the first and does not depend on it, then the second
    std::vector<std::size_t> initials;
    for (auto at = first + 1; at <= second; ++at) {
      if (at != second && nodes_[at].before.has(first)) continue;
      if (!nodes_[at].before.meets(without)) initials.push_back(at);
      without.add(at);
    }
    auto& from = nodes_[first];
    for (auto at : initials)
      if (has(from.backtrack, nodes_[at].taken.id)) return;
    for (auto at : initials)
      if (has(from.choices, nodes_[at].taken.id)) {
        from.backtrack.push_back(nodes_[at].taken.id);
        return;
      }
    // Not reached if what is said of events above is right; then everything is tried.
    for (const auto& one : from.choices)
      if (!has(from.backtrack, one.id)) from.backtrack.push_back(one.id);
  }

  // To the deepest node with something left to try. False: there is none.
  bool turn_back() {
    while (!nodes_.empty()) {
      auto& last = nodes_.back();
      leave(last);
      last.sleep.push_back(last.taken);
      auto next = std::find_if(last.backtrack.begin(), last.backtrack.end(),
                               [&](letter_id id) { return !has(last.sleep, id); });
      if (next == last.backtrack.end()) {
        nodes_.pop_back();
        continue;
      }
      auto at = std::find_if(last.choices.begin(), last.choices.end(),
                             [&](const choice& one) { return one.id == *next; });
      last.taken = *at;
      last.index = static_cast<std::uint32_t>(at - last.choices.begin());
      last.before = {};
      add_races();
      return true;
    }
    return false;
  }

  const scenario& what_;
  const exploration_limits& limits_;
  exploration result_;
  std::vector<node> nodes_;
  std::vector<std::size_t> newest_;  // event of each receiver, by party
  std::size_t acts_ = 0;             // among the nodes
};

}  // namespace

exploration explore_exhaustively(const scenario& what, const exploration_limits& limits) {
  return search{what, limits}.go();
}

}  // namespace imago::world
