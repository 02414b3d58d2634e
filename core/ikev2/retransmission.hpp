// When a request is sent again (RFC 7296 §2.1, §2.4): exponential backoff with jitter.
#pragma once

#include "core/base/random.hpp"
#include "core/base/time.hpp"

namespace imago::ikev2 {

struct retransmission_policy {
  duration first_delay = std::chrono::milliseconds{1000};
  double factor = 1.8;
  unsigned tries_max = 7;  // retransmissions; with the defaults two minutes pass until giving up
  double jitter = 0.2;     // a delay is drawn from [1 - jitter, 1] times the nominal one
  duration delay_max = std::chrono::seconds{60};
};
// The wait before retransmission number `count` (0: the first), or, for count == tries_max, before
// giving up.
duration retransmission_delay(const retransmission_policy& policy, unsigned count,
                              random_source& random);

}  // namespace imago::ikev2
