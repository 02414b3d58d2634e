// An engine put together from parts: the live ones in engine.cpp; a virtual clock, a network in
// memory and stepped crypto in tests and worlds. The tree of actors is the same.
#pragma once

#include <caf/actor_system.hpp>

#include "actors/services.hpp"

namespace imago::actors {

// With the options' library, clock and sinks, or the system's. What differs from engine to engine
// is left to the caller before spawn_tree: `crypto` and `net`, and for worlds another `timers`.
services_ptr make_services(const engine_options& options, std::size_t timer_shards = 8);

// Spawns kernel, demux and engine actor. `backend` null: every Child SA fails; else it must outlive
// the actors, and its abilities become the engine's.
void spawn_tree(caf::actor_system& system, const services_ptr& shared, kernel_if::backend* backend);

// KILLs the three roots, with which everything else ends.
void kill_tree(const services& shared);

// Once no actor runs any more: the handles point at actors that point at the services.
void release_tree(services& shared);

// From the back-end's thread to the kernel actor's mailbox.
class kernel_sink final : public kernel_if::backend_sink {
 public:
  explicit kernel_sink(caf::actor kernel) : kernel_{std::move(kernel)} {}
  void on_reply(kernel_if::request_id id, data_plane::reply reply) override;
  void on_event(data_plane::event event) override;

 private:
  caf::actor kernel_;
};

}  // namespace imago::actors
