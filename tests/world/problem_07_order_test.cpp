// Problem 7 (strongswan/issues/1458): a DELETE overtook the CREATE_CHILD_SA response that came half
// a millisecond before it, in a pool of threads; the tunnel was left without keys.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include "tests/world/hosts.hpp"

using namespace imago;
using namespace imago::testing;
using namespace imago::world;
using namespace std::chrono_literals;

namespace {

// b answers a's CREATE_CHILD_SA and deletes what it made at once: both datagrams wait at a's door.
void answer_and_delete(imago::world::world& in) {
  auto& b = *in.hosts()[1];
  in.net.holds = true;
  in.hosts()[0]->initiate("moon-sun", "net2");
  (void)in.run_until_quiet();
  (void)in.net.deliver(0);  // the request
  (void)in.run_until_quiet();
  b.terminate({"moon-sun", "net2", 0, 0});
  (void)in.run_until_quiet();
  in.net.holds = false;
}

scenario delete_behind_response(bool overtakes_on_the_wire) {
  scenario made;
  made.name = overtakes_on_the_wire ? "delete-before-response" : "delete-behind-response";
  made.make = swept_scenario("new-child").make;
  made.begin = [overtakes_on_the_wire](imago::world::world& in) {
    answer_and_delete(in);
    if (overtakes_on_the_wire) std::swap(in.net.waiting.at(0), in.net.waiting.at(1));
    while (in.net.deliver(0)) {
    }
  };
  made.settles = long_enough;
  made.expect = [](imago::world::world& in) -> std::optional<std::string> {
    for (const auto& one : in.hosts())
      for (const auto& sa : one->list())
        if (sa->children.size() != 1)
          return fmt::format("{} has {} Child SAs", one->name(), sa->children.size());
    return find_broken_path(in);
  };
  return made;
}

void explore_both_ways(const scenario& what) {
  for (auto how : {strategy::exhaustive, strategy::random, strategy::pct}) {
    exploration_limits limits;
    limits.schedules_max = 1000;
    limits.time_max = 1h;
    auto result = explore(what, how, limits);
    say(fmt::format("problem 7: {:<24} {:<10} {} schedules{}", what.name, name_of(how),
                    result.schedules, result.is_covered ? ", all there are" : ""));
    std::string script = result.found ? result.found->script : "";
    INFO(script);
    CHECK_FALSE(result.found);
  }
}

}  // namespace

TEST_CASE("problem 7: a DELETE right behind the CREATE_CHILD_SA response never overtakes it") {
  explore_both_ways(delete_behind_response(false));
}

TEST_CASE("problem 7: a DELETE that the network delivers before the response does its work") {
  explore_both_ways(delete_behind_response(true));
}
