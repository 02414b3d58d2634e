// What a flow may use beside its parameters: immutable or thread-safe services of its engine, and
// the time at which it began.
#pragma once

#include <atomic>
#include <functional>

#include "core/crypto/job.hpp"
#include "core/ikev2/policy.hpp"

namespace imago::ikev2 {

// Numbers that must be unique in one engine. Thread-safe.
struct number_source {
  std::atomic<std::uint32_t> reqid{0};
  std::uint32_t next_reqid() { return reqid.fetch_add(1, std::memory_order_relaxed) + 1; }
  // Who remembers the reqids of children that always have the same; thread-safe, set before any
  // flow begins. Empty: nobody.
  std::function<std::uint32_t(const config::connection_config&, const config::child_config&)>
      remembered_reqid;
  // Of the Child SAs of that configuration and of its trap policy: the configured one. Else, where
  // only one peer can have them, the remembered one, so that a trap finds the SA that it asked for;
  // where several can, a new one for each.
  std::uint32_t reqid_of(const config::connection_config& connection,
                         const config::child_config& child);
};

// What the data plane can do, as far as negotiation must know.
struct data_plane_abilities {
  bool transport_mode = true;
  bool esn = true;
  bool requires_udp_encapsulation = false;
  std::uint32_t replay_window_max = 4096;
};

// All pointers outlive every flow of the engine.
struct flow_context {
  const crypto::library* library = nullptr;
  random_source* random = nullptr;
  number_source* numbers = nullptr;
  std::shared_ptr<crypto::certificate_cache> certificates;
  data_plane_abilities abilities;
  wall_time now;
};

}  // namespace imago::ikev2
