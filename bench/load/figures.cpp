#include "bench/load/figures.hpp"

#include <nlohmann/json.hpp>

namespace imago::bench {

nlohmann::ordered_json json_of(const stream_figures& figures) {
  const auto& latency = figures.latency;
  nlohmann::ordered_json made{
      {"offered", figures.offered},       {"completed", figures.completed},
      {"in_time", figures.in_time},       {"refused", figures.refused},
      {"unanswered", figures.unanswered}, {"retransmitted", figures.retransmitted},
      {"p50_us", latency.quantile(0.5)},  {"p90_us", latency.quantile(0.9)},
      {"p99_us", latency.quantile(0.99)}, {"p999_us", latency.quantile(0.999)},
      {"highest_us", latency.highest()},  {"mean_us", latency.mean()}};
  if (!figures.first_failure.empty()) made["first_failure"] = figures.first_failure;
  return made;
}

nlohmann::ordered_json json_of(const flood_figures& figures) {
  return {{"sent", figures.sent}, {"cookies", figures.cookies}, {"admitted", figures.admitted}};
}

}  // namespace imago::bench
