// What it costs to know which SAs are in use: by events (NEWAE) and by asking for each.
#pragma once

#include <string>
#include <vector>

namespace imago::bench {

// A real engine over the fake data plane, which answers on `address`; told on standard input what
// to measure: "idle SECONDS", "active SECONDS PERIOD". Ends with standard input. Answers as JSON, a
// line each. Returns the exit code.
int measure_engine(const std::string& configuration, const std::string& address);

struct kernel_plan {
  std::vector<std::size_t> sizes;
  double period_seconds = 5;      // the SAs' activity_interval
  double idle_seconds = 5;        // how long they are left alone
  unsigned periods = 2;           // of activity
  unsigned packets_a_period = 4;  // on each SA
};

// The kernel's own SAs in a network namespace of our own. Where it has no ESP, larval SAs: then
// only what one GETSA for each and one dump of all cost is measured. A JSON line a size.
int measure_kernel(const kernel_plan& plan);

}  // namespace imago::bench
