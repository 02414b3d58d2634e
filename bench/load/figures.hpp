// What happened to the requests of one kind.
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include "bench/load/histogram.hpp"

namespace imago::bench {

struct stream_figures {
  std::uint64_t offered = 0;     // at their scheduled times
  std::uint64_t completed = 0;   // at any time
  std::uint64_t in_time = 0;     // within the measured time
  std::uint64_t refused = 0;     // answered with an error
  std::uint64_t unanswered = 0;  // given up, or without an answer at the end
  std::uint64_t retransmitted = 0;
  std::string first_failure;
  // From the scheduled time, not the time it was sent. What had no answer at the end counts with
  // its age: it would have taken longer.
  histogram latency;
};

nlohmann::ordered_json json_of(const stream_figures& figures);

struct flood_figures {
  std::uint64_t sent = 0;
  std::uint64_t cookies = 0;   // challenges that came back
  std::uint64_t admitted = 0;  // half-open at the responder: it answered IKE_SA_INIT
};

nlohmann::ordered_json json_of(const flood_figures& figures);

}  // namespace imago::bench
