// bench_idle: messages and CPU of SAs that nobody uses and of SAs in use; see bench/driver/idle.py.
#include "bench/idle/idle.hpp"

#include <CLI/CLI.hpp>

int main(int argc, char** argv) {
  imago::bench::kernel_plan plan;
  std::string configuration, address;
  CLI::App program{"What it costs to know which SAs are in use."};
  auto* engine = program.add_option("--engine", configuration,
                                    "an engine over the fake data plane, with this configuration");
  program.add_option("--address", address, "where it answers")->needs(engine);
  program.add_option("--sizes", plan.sizes, "numbers of SAs in this host's kernel")
      ->delimiter(',')
      ->excludes(engine)
      ->check(CLI::Range(1, 100'000));
  program.add_option("--period", plan.period_seconds, "seconds between an active SA's events")
      ->check(CLI::Range(0.5, 3600.0));
  program.add_option("--idle", plan.idle_seconds, "seconds to leave them alone")
      ->check(CLI::Range(0.1, 3600.0));
  program.add_option("--periods", plan.periods, "of activity")->check(CLI::Range(1, 100));
  CLI11_PARSE(program, argc, argv);
  if (!configuration.empty()) return imago::bench::measure_engine(configuration, address);
  if (plan.sizes.empty()) plan.sizes = {100, 1000};
  return imago::bench::measure_kernel(plan);
}
