// Problem 12 (strongswan/issues/1757, libreswan/issues/79, 1675): a kernel that answered late,
// twice, never or with ENOBUFS left daemons spinning, hanging, or with other SAs than the kernel.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include "tests/world/hosts.hpp"

using namespace imago;
using namespace imago::testing;
using namespace imago::world;
using namespace std::chrono_literals;
using kernel_if::fault_action;

namespace {

struct trouble {
  const char* name;
  fault_action action;
  errc code;
  duration held_for{};
};

constexpr trouble troubles[] = {
    {"EBUSY", fault_action::refuse, errc::data_plane_busy},
    {"ENOBUFS", fault_action::refuse, errc::no_buffer_space},
    {"ENOMEM", fault_action::refuse, errc::out_of_memory},
    {"ENOBUFS although done", fault_action::fail_late, errc::no_buffer_space},
    {"late", fault_action::hold, {}, 3s},
    {"too late", fault_action::hold, {}, 30s},
    {"twice", fault_action::repeat_reply, {}},
    {"done, never answered", fault_action::lose_reply, {}},
    {"never done", fault_action::lose_request, {}},
};

struct troubled_run {
  std::size_t requests = 0;  // to that host's data plane, until it was quiet for the first time
  std::string request;       // that was spoilt
  std::optional<std::string> wrong;
};

// `nth` 0: none is spoilt.
troubled_run run_troubled(const scenario& what, host_number of, std::uint32_t nth,
                          const trouble& how) {
  auto in = what.make(false);
  auto& plane = *in->hosts()[of]->fake();
  auto before = plane.submitted().size();
  if (nth != 0) plane.inject_fault({"", nth, how.action, how.code});
  invariants watch{*in};
  what.begin(*in);
  (void)in->run_until_quiet();
  troubled_run result;
  result.requests = plane.submitted().size() - before;
  in->advance(how.held_for);
  plane.step_all();
  in->advance(long_enough);
  if (nth != 0 && plane.submitted().size() >= before + nth)
    result.request = plane.submitted()[before + nth - 1];
  plane.clear_faults();
  result.wrong = watch.check_quiet();
  if (!result.wrong) result.wrong = close_all(*in, watch);
  return result;
}

}  // namespace

TEST_CASE("problem 12: whatever a data plane does to any request, SA state is kernel state") {
  std::size_t runs = 0;
  for (const auto& what : kill_scenarios())
    for (host_number of : {0U, 1U}) {
      auto requests = run_troubled(what, of, 0, troubles[0]).requests;
      for (std::uint32_t nth = 1; nth <= requests; ++nth)
        for (const auto& how : troubles) {
          ++runs;
          auto result = run_troubled(what, of, nth, how);
          CHECK_MESSAGE(!result.wrong, what.name << ": request " << nth << " (" << result.request
                                                 << ") of " << (of == 0 ? "a" : "b") << ": "
                                                 << std::string{how.name} << ": "
                                                 << result.wrong.value_or(""));
        }
    }
  say(fmt::format("problem 12: {} runs with one request spoilt", runs));
  CHECK(runs > 500);
}

TEST_CASE(
    "problem 12: a data plane that refuses everything for a while is served as before after") {
  for (auto code : {errc::data_plane_busy, errc::no_buffer_space, errc::out_of_memory})
    for (host_number of : {0U, 1U}) {
      const auto& what = swept_scenario("handshake");
      auto in = what.make(false);
      auto& plane = *in->hosts()[of]->fake();
      plane.inject_fault({"", 0, fault_action::refuse, code});
      invariants watch{*in};
      auto refused = in->hosts()[0]->initiate("moon-sun", "net");
      in->advance(long_enough);
      CHECK(in->hosts()[0]->answers->is_answered(refused));
      CHECK_FALSE(*in->hosts()[0]->answers->result_of(refused));
      CHECK(plane.is_empty());
      plane.clear_faults();
      auto served = in->hosts()[0]->initiate("moon-sun", "net");
      in->advance(long_enough);
      auto result = in->hosts()[0]->answers->result_of(served);
      REQUIRE(result);
      CHECK(*result);
      CHECK_FALSE(find_broken_path(*in));
      auto wrong = close_all(*in, watch);
      CHECK_MESSAGE(!wrong, wrong.value_or(""));
    }
}
