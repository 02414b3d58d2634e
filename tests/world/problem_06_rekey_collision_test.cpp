// Problem 6 (strongswan/issues/1896, 2477, 2945): a rekey collision with a message lost, late, out
// of order or doubled left an outbound SA that was never installed.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include "tests/world/hosts.hpp"

using namespace imago;
using namespace imago::testing;
using namespace imago::world;
using namespace std::chrono_literals;

namespace {

enum class wire_fault { lost, late, out_of_order, doubled };
constexpr wire_fault all_faults[] = {wire_fault::lost, wire_fault::late, wire_fault::out_of_order,
                                     wire_fault::doubled};
constexpr const char* fault_names[] = {"lost", "late", "out of order", "doubled"};

struct spoilt_datagram {
  std::uint64_t number = 0;  // of those that the scenario sends, from 1
  wire_fault how{};
};

link_conditions conditions_of(wire_fault how) {
  link_conditions made;
  switch (how) {
    case wire_fault::lost: made.loss = 1; break;
    case wire_fault::late: made.delay = 3s; break;           // after its retransmission
    case wire_fault::out_of_order: made.delay = 1ms; break;  // after all that is sent at once
    case wire_fault::doubled: made.duplication = 1; break;
  }
  return made;
}

struct spoilt_run {
  std::uint64_t datagrams = 0;  // until it was quiet for the first time
  std::optional<std::string> wrong;
};

spoilt_run run_spoilt(const scenario& what, const std::vector<spoilt_datagram>& spoilt) {
  auto in = what.make(false);
  auto before = in->net.sent_count();
  in->net.on_wire = [&](datagram& one) {
    in->net.everywhere = {};
    for (const auto& each : spoilt)
      if (one.id == before + each.number) in->net.everywhere = conditions_of(each.how);
    return true;
  };
  invariants watch{*in};
  what.begin(*in);
  (void)in->run_until_quiet();
  spoilt_run result;
  result.datagrams = in->net.sent_count() - before;
  in->advance(long_enough);
  if (what.expect) result.wrong = what.expect(*in);
  if (!result.wrong) result.wrong = watch.check_quiet();
  if (!result.wrong) result.wrong = find_broken_path(*in);
  if (!result.wrong) result.wrong = close_all(*in, watch);
  return result;
}

// `count` datagrams of each run are spoilt, in all combinations.
std::size_t spoil_each(const scenario& what, unsigned count) {
  auto whole = run_spoilt(what, {});
  CHECK_MESSAGE(!whole.wrong, what.name << ": " << whole.wrong.value_or(""));
  std::size_t runs = 0;
  std::vector<spoilt_datagram> spoilt;
  std::function<void(std::uint64_t)> choose = [&](std::uint64_t from) {
    if (spoilt.size() == count) {
      ++runs;
      auto result = run_spoilt(what, spoilt);
      std::string story;
      for (const auto& one : spoilt)
        story += fmt::format(", datagram {} {}", one.number,
                             fault_names[static_cast<unsigned>(one.how)]);
      CHECK_MESSAGE(!result.wrong, what.name << story << ": " << result.wrong.value_or(""));
      return;
    }
    for (auto number = from; number <= whole.datagrams; ++number)
      for (auto how : all_faults) {
        spoilt.push_back({number, how});
        choose(number + 1);
        spoilt.pop_back();
      }
  };
  choose(1);
  say(fmt::format("problem 6: {:<24} {} datagrams, {} runs with {} of them spoilt", what.name,
                  whole.datagrams, runs, count));
  return runs;
}

}  // namespace

TEST_CASE("problem 6: every exchange survives any one datagram lost, late, out of order, doubled") {
  for (const auto* name :
       {"child-rekey", "child-rekey-with-ke", "child-rekey-collision", "child-rekey-and-delete",
        "ike-rekey", "ike-rekey-collision", "ike-and-child-rekey", "new-child", "new-child-by-both",
        "child-delete", "child-delete-by-both", "ike-delete", "ike-delete-by-both", "handshake",
        "handshake-with-cookie", "handshake-with-invalid-ke"})
    CHECK(spoil_each(swept_scenario(name), 1) > 0);
}

TEST_CASE("problem 6: a rekey collision survives any two datagrams spoilt") {
  CHECK(spoil_each(swept_scenario("child-rekey-collision"), 2) > 100);
  CHECK(spoil_each(swept_scenario("ike-rekey-collision"), 2) > 100);
}
