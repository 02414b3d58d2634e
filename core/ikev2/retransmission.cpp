#include "core/ikev2/retransmission.hpp"

#include <algorithm>
#include <cmath>

namespace imago::ikev2 {

duration retransmission_delay(const retransmission_policy& policy, unsigned count,
                              random_source& random) {
  // RFC 7296 §2.1, §2.4: intervals grow exponentially. In floating point, since the power may pass
  // every integer before the maximum cuts it.
  auto limit = static_cast<double>(policy.delay_max.count());
  auto nominal = std::min(
      limit, static_cast<double>(policy.first_delay.count()) * std::pow(policy.factor, count));
  // Jitter only shortens, so that delay_max holds; it keeps peers from marching in step.
  constexpr double two_to_64 = 18446744073709551616.0;
  auto share = static_cast<double>(random.number()) / two_to_64;
  auto jitter = std::clamp(policy.jitter, 0.0, 1.0);
  return duration{static_cast<duration::rep>(nominal * (1.0 - jitter * share))};
}

}  // namespace imago::ikev2
