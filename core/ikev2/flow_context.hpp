// What a flow may use beside its parameters: immutable or thread-safe services of its engine, and
// the time at which it began.
#pragma once

#include <atomic>

#include "core/crypto/job.hpp"
#include "core/ikev2/policy.hpp"

namespace imago::ikev2 {

// Numbers that must be unique in one engine.
struct number_source {
  std::atomic<std::uint32_t> reqid{0};
  std::uint32_t next_reqid() { return reqid.fetch_add(1, std::memory_order_relaxed) + 1; }
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
