#include "actors/scheduler_policy.hpp"

#include <algorithm>

#include <caf/actor_system_config.hpp>
#include <caf/scheduler/coordinator.hpp>

namespace imago::actors {

namespace {

// CAF cancels an actor's timeouts when the actor ends, by a message to the thread of its clock: a
// tenth of the engine's time in a handshake. No actor of ours sets one (timer_wheel instead), so
// there is nothing to cancel.
class idle_clock final : public caf::detail::thread_safe_actor_clock {
 public:
  void cancel_timeouts(caf::abstract_actor*) override {}
};

class coordinator final : public caf::scheduler::coordinator<scheduler_policy> {
 public:
  using caf::scheduler::coordinator<scheduler_policy>::coordinator;
  // What config.load looks for; it hides CAF's, which makes the base.
  static caf::actor_system::module* make(caf::actor_system& system, caf::detail::type_list<>) {
    return new coordinator{system};
  }
  idle_clock& clock() noexcept override { return clock_; }

 private:
  idle_clock clock_;
};

}  // namespace

void configure_scheduler(caf::actor_system_config& config, std::size_t thread_count) {
  config.load<coordinator>();
  config.set("scheduler.max-threads", std::max<std::size_t>(thread_count, 1));
  config.set("scheduler.max-throughput", messages_in_a_row_max);
}

}  // namespace imago::actors
