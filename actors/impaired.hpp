// The engine's interfaces with faults on the way: decorators that ask `impairments` and otherwise
// pass on. They exist only where impairments are allowed.
#pragma once

#include "actors/engine_parts.hpp"
#include "actors/impair.hpp"

namespace imago::actors {

// The message to the actor that has the time for delays.
struct run_impairment_later {
  duration delay{};
  std::function<void()> what;
};

// What stands behind `faults`, or, where it is null, `inner` itself.
std::shared_ptr<network> impaired(const impairments_ptr& faults, std::shared_ptr<network> inner);
std::shared_ptr<crypto_executor> impaired(const impairments_ptr& faults,
                                          std::shared_ptr<crypto_executor> inner);
// The caller's back-end is then inside another: engine::backend() gives the outer one.
std::unique_ptr<kernel_if::backend> impaired(const impairments_ptr& faults,
                                             std::unique_ptr<kernel_if::backend> inner);

// The received half of the network, and time. Once the actor system is there; nothing if no
// impairments are allowed.
void start_impairments(engine_parts& parts);
// Before the actors are awaited.
void stop_impairments(engine_parts& parts);

}  // namespace imago::actors

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(imago::actors::run_impairment_later)
