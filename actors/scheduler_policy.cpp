#include "actors/scheduler_policy.hpp"

#include <algorithm>

#include <caf/actor_system_config.hpp>
#include <caf/scheduler/coordinator.hpp>

namespace imago::actors {

void configure_scheduler(caf::actor_system_config& config, std::size_t thread_count) {
  config.load<caf::scheduler::coordinator<scheduler_policy>>();
  config.set("scheduler.max-threads", std::max<std::size_t>(thread_count, 1));
  config.set("scheduler.max-throughput", messages_in_a_row_max);
}

}  // namespace imago::actors
