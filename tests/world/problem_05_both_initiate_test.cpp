// Problem 5 (libreswan/issues/2445, 2184, 1903, 1989): both ends initiated at once, each kept
// another pair of SAs, and packets were lost until the next rekey.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include "tests/world/fleet.hpp"
#include "tests/world/hosts.hpp"
#include "world/invariants.hpp"

using namespace imago;
using namespace imago::testing;
using namespace imago::world;
using namespace std::chrono_literals;

namespace {

// Every host initiates to every other, and what can be delivered is delivered in any order.
void start_all(imago::world::world& in, std::uint64_t seed) {
  seeded_random chance{seed};
  auto count = in.hosts().size();
  for (std::size_t from = 0; from < count; ++from)
    for (std::size_t to = 0; to < count; ++to)
      if (from != to) in.hosts()[from]->initiate(fmt::format("to-{}", to), "net");
  for (;;) {
    const auto& letters = in.mail.deliverable();
    if (letters.empty()) break;
    in.deliver(letters[chance.below(letters.size())]->id);
  }
}

// After it came to rest each pair has one IKE SA with one Child SA.
void check_single(imago::world::world& in) {
  for (const auto& one : in.hosts()) {
    std::map<ip_address, std::size_t> count;
    for (const auto& sa : one->list()) {
      ++count[sa->remote.address];
      CHECK(sa->children.size() == 1);
    }
    CHECK(count.size() == in.hosts().size() - 1);
    for (const auto& entry : count)
      CHECK_MESSAGE(entry.second == 1, one->name() << " has " << entry.second << " IKE SAs with "
                                                   << entry.first.text());
    for (const auto& entry : one->answers->ended)
      for (const auto& result : entry.second)
        CHECK_MESSAGE(result, one->name() << ": " << (result ? "" : result.failure().text()));
  }
}

void check_pings(imago::world::world& in) {
  auto count = in.hosts().size();
  for (const auto& one : in.hosts()) one->received_inner.clear();
  for (std::size_t from = 0; from < count; ++from)
    for (std::size_t to = 0; to < count; ++to)
      if (from != to)
        in.hosts()[from]->send_inner(inner_packet(fmt::format("10.{}.0.1", from),
                                                  fmt::format("10.{}.0.1", to),
                                                  static_cast<std::uint16_t>(from)));
  (void)in.run_until_quiet();
  for (const auto& one : in.hosts()) CHECK(one->received_inner.size() == count - 1);
}

}  // namespace

TEST_CASE("problem 5: both ends initiate at once in a mesh of 20: one matching pair each, pings") {
  constexpr std::uint64_t seeds = 2;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    auto in = make_mesh(20, seed, data_plane_kind::user_esp);
    invariants watch{*in};
    start_all(*in, seed);
    check_pings(*in);  // while both are there
    in->advance(10s);
    check_single(*in);
    check_pings(*in);
    auto wrong = close_all(*in, watch);
    CHECK_MESSAGE(!wrong, "seed " << seed << ": " << wrong.value_or(""));
    say(fmt::format("problem 5: mesh of 20, seed {}", seed));
  }
}

TEST_CASE("problem 5: both ends initiate at once in a mesh of 3, a hundred orders") {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    INFO("seed " << seed);
    auto in = make_mesh(3, seed, data_plane_kind::fake);
    invariants watch{*in};
    start_all(*in, seed);
    CHECK_FALSE(find_broken_path(*in));
    in->advance(10s);
    check_single(*in);
    auto broken = find_broken_path(*in);
    CHECK_MESSAGE(!broken, broken.value_or(""));
    auto wrong = close_all(*in, watch);
    CHECK_MESSAGE(!wrong, wrong.value_or(""));
  }
}

TEST_CASE("problem 5: both ends initiate at once over a network that loses and reorders") {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    INFO("seed " << seed);
    auto in = make_mesh(3, seed, data_plane_kind::fake);
    in->net.everywhere.loss = 0.1;
    in->net.everywhere.jitter = 50ms;
    invariants watch{*in};
    start_all(*in, seed);
    in->advance(30s);
    in->net.everywhere = {};
    in->advance(long_enough);
    CHECK_FALSE(watch.check_quiet());
    auto broken = find_broken_path(*in);
    CHECK_MESSAGE(!broken, broken.value_or(""));
    auto wrong = close_all(*in, watch);
    CHECK_MESSAGE(!wrong, wrong.value_or(""));
  }
}

TEST_CASE("problem 5: different Child SAs asked for at once by both ends are both kept") {
  auto in = brisk_world_of_two({}, two_children_ends());
  invariants watch{*in};
  auto& a = *in->hosts()[0];
  auto& b = *in->hosts()[1];
  auto of_a = a.initiate("moon-sun", "net");
  auto of_b = b.initiate("moon-sun", "net2");
  in->advance(10s);
  CHECK(*a.answers->result_of(of_a));
  CHECK(*b.answers->result_of(of_b));
  for (auto* one : {&a, &b}) {
    std::set<std::string> names;
    for (const auto& sa : one->list())
      for (const auto& child : sa->children) names.insert(child.name);
    CHECK(names == std::set<std::string>{"net", "net2"});
  }
  CHECK_FALSE(find_broken_path(*in));
  auto wrong = close_all(*in, watch);
  CHECK_MESSAGE(!wrong, wrong.value_or(""));
}
