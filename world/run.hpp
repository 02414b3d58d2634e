// One schedule of a scenario, step by step; what all strategies share.
#pragma once

#include "world/explorer.hpp"

namespace imago::world {

// What may be delivered, as the strategies see it.
struct choice {
  letter_id id = 0;
  party_id from = 0, to = 0;
  std::uint32_t sent_in = 0;  // number of the delivery of this schedule, from 1; 0: before them
  letter_kind kind{};
  bool is_urgent = false;
  const std::type_info* type = nullptr;
  std::uint32_t host = 0;     // of the receiver
  std::string_view receiver;  // its kind
};

class run {
 public:
  run(const scenario& what, bool with_journal);
  // In the order of their sending. Empty: the schedule is at its end.
  const std::vector<choice>& choices();
  void take(letter_id id);
  // A step's invariant that is broken, else nothing.
  std::optional<std::string> broken() const { return watch_.violated(); }
  // Time passes, the end is checked. Call it once, when there are no choices.
  std::optional<std::string> finish();

  world& in() { return *in_; }
  std::size_t deliveries() const { return taken_; }

 private:
  const scenario& what_;
  std::unique_ptr<world> in_;
  invariants watch_;
  std::vector<choice> choices_;
  std::uint32_t first_delivery_ = 0;
  std::size_t taken_ = 0;
};

// Fewer choices that are not the oldest, and still the same kind of violation. `budget`: schedules
// to try at most.
schedule reduce(const scenario& what, schedule found, const std::string& violated,
                std::size_t budget = 2000);
violation explain(const scenario& what, schedule found, const std::string& violated);

exploration explore_exhaustively(const scenario& what, const exploration_limits& limits);

}  // namespace imago::world
