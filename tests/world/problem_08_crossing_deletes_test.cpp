// Problem 8 (libreswan/issues/1587, strongswan/issues/3042): crossing deletes hung; a link that
// bounced in the middle of an IKE rekey cost the new SA, too.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include "tests/world/hosts.hpp"

using namespace imago;
using namespace imago::testing;
using namespace imago::world;
using namespace std::chrono_literals;

namespace {

using act = std::function<void(imago::world::world&)>;

host& a(imago::world::world& in) { return *in.hosts()[0]; }
host& b(imago::world::world& in) { return *in.hosts()[1]; }

// At any moment the link of a goes down, at any later one it is up again.
void bounce_link(imago::world::world& in) {
  in.happen("link", [&in] {
    in.net.set_up(0, false);
    in.happen("link", [&in] { in.net.set_up(0, true); });
  });
}

scenario of(const char* name, act begin, std::size_t ike_sas_min, std::size_t ike_sas_max) {
  scenario made;
  made.name = name;
  made.make = swept_scenario("ike-rekey").make;
  made.begin = std::move(begin);
  made.settles = 2 * long_enough;
  made.expect = [=](imago::world::world& in) -> std::optional<std::string> {
    for (const auto& one : in.hosts()) {
      auto count = one->list().size();
      if (count < ike_sas_min || count > ike_sas_max)
        return fmt::format("{} has {} IKE SAs", one->name(), count);
    }
    return find_broken_path(in);
  };
  return made;
}

void explore_by_chance(const scenario& what, std::uint64_t schedules) {
  for (auto how : {strategy::random, strategy::pct}) {
    exploration_limits limits;
    limits.schedules_max = schedules;
    limits.time_max = 1h;
    auto result = explore(what, how, limits);
    say(fmt::format("problem 8: {:<34} {:<7} {} schedules", what.name, name_of(how),
                    result.schedules));
    std::string script = result.found ? result.found->script : "";
    INFO(script);
    CHECK_FALSE(result.found);
  }
}

}  // namespace

TEST_CASE("problem 8: crossing deletes end with no IKE SA, never stuck") {
  explore_by_chance(of(
                        "delete by both",
                        [](auto& in) {
                          a(in).terminate(the_ike_sa);
                          b(in).terminate(the_ike_sa);
                        },
                        0, 0),
                    500);
  explore_by_chance(of(
                        "delete by both, link bounces",
                        [](auto& in) {
                          a(in).terminate(the_ike_sa);
                          b(in).terminate(the_ike_sa);
                          bounce_link(in);
                        },
                        0, 0),
                    500);
}

TEST_CASE("problem 8: a delete that crosses a rekey ends with none or the new one") {
  explore_by_chance(of(
                        "delete by a, IKE rekey by b",
                        [](auto& in) {
                          a(in).terminate(the_ike_sa);
                          b(in).rekey(the_ike_sa);
                        },
                        0, 1),
                    500);
  explore_by_chance(of(
                        "delete by a, Child SA rekey by b",
                        [](auto& in) {
                          a(in).terminate(the_ike_sa);
                          b(in).rekey(the_child_sa);
                        },
                        0, 0),
                    500);
}

TEST_CASE("problem 8: a link that bounces in the middle of a rekey costs nothing") {
  explore_by_chance(of(
                        "IKE rekey by a, link bounces",
                        [](auto& in) {
                          a(in).rekey(the_ike_sa);
                          bounce_link(in);
                        },
                        1, 1),
                    700);
  explore_by_chance(of(
                        "IKE rekey by both, link bounces",
                        [](auto& in) {
                          a(in).rekey(the_ike_sa);
                          b(in).rekey(the_ike_sa);
                          bounce_link(in);
                        },
                        1, 1),
                    700);
  explore_by_chance(of(
                        "Child SA rekey by both, link bounces",
                        [](auto& in) {
                          a(in).rekey(the_child_sa);
                          b(in).rekey(the_child_sa);
                          bounce_link(in);
                        },
                        1, 1),
                    700);
}
