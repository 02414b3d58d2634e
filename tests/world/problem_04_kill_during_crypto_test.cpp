// Problem 4 (the report of 2017; libreswan c74c60162b, 2f8d7e4989, issues/1712): a state deleted
// while its crypto is in flight. Kills at every delivery and by chance: kill_sweep_test.cpp.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include "tests/world/hosts.hpp"
#include "world/invariants.hpp"

using namespace imago;
using namespace imago::testing;
using namespace imago::world;
using namespace std::chrono_literals;

namespace {

// When the job of the killed is worked on. Who lives waits for its job, however long.
enum class lateness { at_once, after_all_time_outs, never };

struct held_run {
  bool has_held = false;  // there was such a job
  std::optional<std::string> wrong;
};

// The n-th crypto job of one host is held while its owner is killed.
held_run run_held(const scenario& what, host_number of, std::size_t nth, const char* target,
                  lateness when) {
  auto in = what.make(false);
  invariants watch{*in};
  auto& one = *in->hosts()[of];
  one.set_crypto_mode(crypto_mode::held);
  what.begin(*in);
  held_run result;
  for (std::size_t count = 1;; ++count) {
    (void)in->run_until_quiet();
    if (one.crypto_waiting() == 0) return result;
    if (count == nth) break;
    one.perform_crypto();
  }
  result.has_held = true;
  one.kill(target);
  if (when == lateness::after_all_time_outs) in->advance(long_enough);
  one.set_crypto_mode(crypto_mode::at_once);
  while (when == lateness::never ? one.drop_crypto() : one.perform_crypto()) {
  }
  in->advance(long_enough);
  result.wrong = watch.check_quiet();
  if (!result.wrong) result.wrong = close_all(*in, watch);
  return result;
}

}  // namespace

TEST_CASE(
    "problem 4: a kill while any crypto job waits frees the digest; a late result is nobody's") {
  std::size_t runs = 0;
  for (const auto& what : kill_scenarios())
    for (host_number of : {0U, 1U})
      for (const auto* target : {"exchange", "ike_sa", "connection"})
        for (auto when : {lateness::at_once, lateness::after_all_time_outs, lateness::never})
          for (std::size_t nth = 1;; ++nth) {
            if (target == std::string_view{"connection"} && when == lateness::never) break;
            auto result = run_held(what, of, nth, target, when);
            if (!result.has_held) break;
            ++runs;
            CHECK_MESSAGE(!result.wrong, what.name << ": job " << nth << " of host " << of << ", "
                                                   << target
                                                   << " killed: " << result.wrong.value_or(""));
          }
  say(fmt::format("problem 4: {} kills while a crypto job waits", runs));
  CHECK(runs > 300);
}
