#include <doctest/doctest.h>

#include "core/ikev2/retransmission.hpp"
#include "tests/support/test_random.hpp"

using namespace imago;
using namespace imago::ikev2;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST_CASE("retransmission: delays grow by the factor up to the maximum") {
  constant_random no_jitter{0};
  retransmission_policy policy;
  const int expected_ms[] = {1000, 1800, 3240, 5832, 10497, 18895, 34012, 60000, 60000};
  for (unsigned count = 0; count < std::size(expected_ms); ++count) {
    CAPTURE(count);
    auto delay = retransmission_delay(policy, count, no_jitter);
    CHECK(std::chrono::duration_cast<milliseconds>(delay).count() == expected_ms[count]);
  }
}

TEST_CASE("retransmission: with the defaults two minutes pass until giving up") {
  retransmission_policy policy;
  constant_random least{0}, most{255};
  duration longest{}, shortest{};
  for (unsigned count = 0; count <= policy.tries_max; ++count) {
    longest += retransmission_delay(policy, count, least);
    shortest += retransmission_delay(policy, count, most);
  }
  CHECK(longest < seconds{136});
  CHECK(shortest > seconds{107});
}

TEST_CASE("retransmission: jitter shortens a delay by no more than its share") {
  retransmission_policy policy;
  repeatable_random random;
  bool differs = false;
  duration last{};
  for (int draw = 0; draw < 200; ++draw) {
    auto delay = retransmission_delay(policy, 0, random);
    CHECK(delay >= milliseconds{800});
    CHECK(delay <= milliseconds{1000});
    differs = differs || (draw > 0 && delay != last);
    last = delay;
  }
  CHECK(differs);
}

TEST_CASE("retransmission: odd policies give delays within their bounds") {
  repeatable_random random;
  retransmission_policy policy;
  policy.factor = 1e6;
  CHECK(retransmission_delay(policy, 4000000000U, random) <= policy.delay_max);
  CHECK(retransmission_delay(policy, 4000000000U, random) >= seconds{48});
  policy.factor = 1.0;
  policy.jitter = 0.0;
  CHECK(retransmission_delay(policy, 1000, random) == policy.first_delay);
  policy.jitter = 7.0;
  CHECK(retransmission_delay(policy, 0, random) >= duration{});
  policy.first_delay = seconds{600};
  CHECK(retransmission_delay(policy, 0, random) <= policy.delay_max);
}
