// The world itself: two production engines, stepped.
#include "world/world.hpp"

#include <doctest/doctest.h>

#include "tests/world/hosts.hpp"
#include "world/established.hpp"

using namespace imago;
using namespace imago::testing;
using imago::world::host;
using imago::world::world;
using imago::world::world_options;

TEST_CASE("world: two engines bring up a Child SA, and nothing is left when it is closed") {
  auto in = world_of_two();
  auto& a = *in->hosts()[0];
  auto& b = *in->hosts()[1];
  auto command = a.initiate("moon-sun", "net");
  REQUIRE(in->run_until_quiet());
  INFO(in->journal());
  REQUIRE(a.answers->result_of(command));
  CHECK(*a.answers->result_of(command));
  REQUIRE(a.list().size() == 1);
  REQUIRE(b.list().size() == 1);
  CHECK(a.list().front()->children.size() == 1);
  CHECK(a.fake()->sas().size() == 2);
  auto closing = b.terminate({});
  in->advance(std::chrono::seconds{60});
  CHECK(*b.answers->result_of(closing));
  CHECK(a.list().empty());
  CHECK(a.fake()->is_empty());
  CHECK(b.fake()->is_empty());
}

TEST_CASE("world: the same seed gives the same journal, octet for octet; another seed another") {
  auto run = [](std::uint64_t seed) {
    world_options options;
    options.seed = seed;
    options.merges_journals = true;
    auto in = world_of_two(options, ecdsa_ends());
    in->hosts()[0]->initiate("moon-sun", "net");
    REQUIRE(in->run_until_quiet());
    in->hosts()[1]->rekey({"moon-sun", "net", 0, 0});
    in->advance(std::chrono::seconds{30});
    std::string all = in->journal();
    for (const auto& one : in->net.sent())
      all += one.label() + std::string{one.octets.begin(), one.octets.end()};
    return all;
  };
  auto first = run(7);
  INFO(first);
  CHECK(first.size() > 4000);
  CHECK(first == run(7));
  CHECK(first != run(8));
}

TEST_CASE("world: SAs given as durable models serve as if they had been negotiated") {
  auto made = world_of_two();
  made->hosts()[0]->initiate("moon-sun", "net");
  REQUIRE(made->run_until_quiet());
  auto models = imago::world::established::take(*made->hosts()[0], *made->hosts()[1]);
  REQUIRE(models);
  auto in = world_of_two();
  auto& a = *in->hosts()[0];
  auto& b = *in->hosts()[1];
  models->give(a, b);
  REQUIRE(in->run_until_quiet());
  INFO(in->journal());
  REQUIRE(a.list().size() == 1);
  CHECK(a.list().front()->children.size() == 1);
  CHECK(a.fake()->sas().size() == 2);
  b.rekey({"moon-sun", "net", 0, 0});
  in->advance(std::chrono::seconds{10});
  REQUIRE(a.list().size() == 1);
  CHECK(a.list().front()->children.size() == 1);
  CHECK(a.list().front()->children.front().model.inbound_spi != 0xa0000001);
  CHECK(b.list().front()->children.size() == 1);
  CHECK(a.fake()->sas().size() == 2);
  CHECK(a.problems().empty());
}

// Each answers the other's request with TEMPORARY_FAILURE (RFC 7296 §2.25); with the same wait on
// both sides they would do so for ever.
TEST_CASE("world: rekeys of an IKE SA and of its Child SA that collide soon pass each other") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    world_options options;
    options.seed = seed;
    auto in = world_of_two(options);
    auto& a = *in->hosts()[0];
    auto& b = *in->hosts()[1];
    a.initiate("moon-sun", "net");
    REQUIRE(in->run_until_quiet());
    auto before = in->net.sent_count();
    auto ike = a.rekey({"moon-sun", {}, 0, 0});
    auto child = b.rekey({"moon-sun", "net", 0, 0});
    in->advance(std::chrono::seconds{30});
    INFO("seed ", seed, "\n", in->journal());
    CHECK(a.answers->is_answered(ike));
    CHECK(b.answers->is_answered(child));
    REQUIRE(a.list().size() == 1);
    CHECK(a.list().front()->children.size() == 1);
    // The two that collide, then the two that do not, their Deletes, and seldom a few more.
    CHECK(in->net.sent_count() - before <= 24);
  }
}
