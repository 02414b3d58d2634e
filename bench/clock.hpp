// CPU time and a loop that is long enough to measure.
#pragma once

#include <cstdint>

#include <time.h>

namespace imago::bench {

// Nanoseconds of CPU time: of this thread, or of the whole process.
inline double cpu_ns(clockid_t clock = CLOCK_THREAD_CPUTIME_ID) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

// CPU nanoseconds of one call: the lowest mean of some rounds, since others use the machine too.
template <class work>
double ns_of(work&& once, std::size_t calls = 2000, int rounds = 7) {
  double lowest = 0;
  for (int round = 0; round < rounds; ++round) {
    auto begun = cpu_ns();
    for (std::size_t call = 0; call < calls; ++call) once();
    auto mean = (cpu_ns() - begun) / static_cast<double>(calls);
    if (round == 0 || mean < lowest) lowest = mean;
  }
  return lowest;
}

// Keeps what is computed from being left out.
template <class value>
void keep(const value& computed) {
  asm volatile("" : : "g"(&computed) : "memory");
}

}  // namespace imago::bench
