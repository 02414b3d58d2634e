// The network, the crypto pool, the data plane and the clock of a world, as they may go wrong.
#include <doctest/doctest.h>

#include "tests/world/hosts.hpp"
#include "world/invariants.hpp"

using namespace imago;
using namespace imago::testing;
using namespace std::chrono_literals;
using imago::world::crypto_mode;
using imago::world::invariants;
using imago::world::link_conditions;

namespace {

struct two {
  explicit two(world::world_options options = {}, const ends& both = shared_key_ends())
      : in{world_of_two(options, both)}, a{*in->hosts()[0]}, b{*in->hosts()[1]}, watch{*in} {}

  bool is_up() {
    return a.list().size() == 1 && b.list().size() == 1 && a.list().front()->children.size() == 1;
  }
  void check_holds() {
    auto broken = watch.check_quiet();
    INFO(in->journal());
    CHECK_MESSAGE(!broken, broken.value_or(""));
  }

  std::unique_ptr<world::world> in;
  world::host &a, &b;
  invariants watch;
};

world::world_options seeded(std::uint64_t seed) {
  world::world_options options;
  options.seed = seed;
  return options;
}

}  // namespace

TEST_CASE(
    "world: through loss, duplication, delay, reordering and corruption an SA comes up and is "
    "rekeyed") {
  std::size_t retransmitted = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    two both{seeded(seed)};
    both.in->net.everywhere = {20ms, 80ms, 0.15, 0.15, 0.1, 0};
    auto up = both.a.initiate("moon-sun", "net");
    both.in->advance(200s);
    INFO("seed " << seed << "\n" << both.in->journal());
    REQUIRE(both.a.answers->result_of(up));
    if (!*both.a.answers->result_of(up)) continue;  // every retransmission was lost: it may be
    both.b.rekey({"moon-sun", "net", 0, 0});
    both.in->advance(200s);
    both.check_holds();
    retransmitted += both.a.facts("request_retransmitted") + both.b.facts("request_retransmitted");
  }
  CHECK(retransmitted > 10);
}

TEST_CASE("world: a partition ends in giving up, and what is left is closed on both sides") {
  two both;
  both.a.initiate("moon-sun", "net");
  REQUIRE(both.in->run_until_quiet());
  REQUIRE(both.is_up());
  both.in->net.partition({{0}, {1}});
  auto closing = both.a.terminate({});
  both.in->advance(1000s);
  CHECK(both.a.list().empty());
  CHECK(both.a.answers->is_answered(closing));
  CHECK(both.a.fake()->is_empty());
  CHECK(both.b.list().size() == 1);  // it has no DPD here, so nothing told it
}

TEST_CASE("world: a link that is down loses, and a retransmission comes through when it is up") {
  two both;
  both.in->net.set_up(1, false);
  auto up = both.a.initiate("moon-sun", "net");
  both.in->advance(5s);
  CHECK_FALSE(both.a.answers->result_of(up));
  both.in->net.set_up(1, true);
  both.in->advance(60s);
  REQUIRE(both.a.answers->result_of(up));
  CHECK(*both.a.answers->result_of(up));
  both.check_holds();
}

TEST_CASE("world: datagrams over the path's size are lost; fragments are not") {
  two both{{}, large_certificate_ends()};
  both.in->net.everywhere.datagram_size_max = 1300;
  auto up = both.a.initiate("moon-sun", "net");
  both.in->advance(60s);
  INFO(both.in->journal());
  REQUIRE(both.a.answers->result_of(up));
  CHECK(*both.a.answers->result_of(up));
  std::size_t largest = 0;
  for (const auto& one : both.in->net.sent()) largest = std::max(largest, one.octets.size());
  CHECK(largest <= 1300);
  CHECK(largest > 1000);
}

TEST_CASE("world: behind a NAT both move to the NAT port, and follow when it remaps") {
  auto ends = shared_key_ends();
  ends.b.connection().remote_addresses.clear();  // anybody: a comes from the NAT's address
  two both{{}, ends};
  both.in->net.add_nat(0, *ip_address::parse("203.0.113.9"));
  auto up = both.a.initiate("moon-sun", "net");
  both.in->advance(10s);
  INFO(both.in->journal());
  REQUIRE(both.a.answers->result_of(up));
  REQUIRE(*both.a.answers->result_of(up));
  REQUIRE(both.b.list().size() == 1);
  auto seen = both.b.list().front()->remote;
  CHECK(seen.address == *ip_address::parse("203.0.113.9"));
  CHECK(both.a.list().front()->local.port == 4500);
  CHECK(both.a.list().front()->local_behind_nat);
  both.in->net.remap(0);
  auto rekeyed = both.a.rekey({"moon-sun", "net", 0, 0});
  both.in->advance(60s);
  CHECK(both.a.answers->is_answered(rekeyed));
  auto moved = both.b.list().front()->remote;
  CHECK(moved.address == seen.address);
  CHECK(moved.port != seen.port);
}

TEST_CASE("world: a crypto result that never comes leaves nothing behind when it is given up") {
  two both;
  both.b.set_crypto_mode(crypto_mode::held);
  auto up = both.a.initiate("moon-sun", "net");
  both.in->advance(1s);
  REQUIRE(both.b.crypto_waiting() == 1);
  CHECK(both.b.drop_crypto());
  both.in->advance(1000s);
  CHECK(both.a.answers->is_answered(up));
  CHECK(both.b.list().empty());
  CHECK(both.b.shared->digests->live == 0);
}

TEST_CASE("world: a crypto result may come late, after retransmissions") {
  two both;
  both.b.set_crypto_mode(crypto_mode::held);
  auto up = both.a.initiate("moon-sun", "net");
  both.in->advance(9s);
  CHECK_FALSE(both.a.answers->result_of(up));
  CHECK(both.b.perform_crypto());
  both.b.set_crypto_mode(crypto_mode::at_once);
  both.in->advance(60s);
  CHECK(*both.a.answers->result_of(up));
  both.check_holds();
}

TEST_CASE(
    "world: the data plane refuses, is out of memory, loses and repeats; both ends agree "
    "afterwards") {
  using kernel_if::fault_action;
  struct trouble {
    const char* request;
    fault_action action;
    errc code;
  };
  for (const auto& one : {trouble{"allocate_spi", fault_action::refuse, errc::data_plane_busy},
                          trouble{"allocate_spi", fault_action::lose_reply, errc::no_buffer_space},
                          trouble{"install_sa", fault_action::refuse, errc::out_of_memory},
                          trouble{"install_sa", fault_action::refuse, errc::no_buffer_space},
                          trouble{"install_sa", fault_action::lose_request, errc::no_buffer_space},
                          trouble{"install_sa", fault_action::lose_reply, errc::no_buffer_space},
                          trouble{"install_sa", fault_action::repeat_reply, errc::no_buffer_space},
                          trouble{"remove_sa", fault_action::lose_reply, errc::no_buffer_space}})
    for (bool of_a : {true, false}) {
      two both;
      both.a.initiate("moon-sun", "net");
      REQUIRE(both.in->run_until_quiet());
      auto& troubled = of_a ? both.a : both.b;
      troubled.fake()->inject_fault({one.request, 1, one.action, one.code});
      both.a.rekey({"moon-sun", "net", 0, 0});
      both.in->advance(300s);
      INFO(one.request << " " << static_cast<int>(one.action) << " of " << (of_a ? "a" : "b"));
      both.check_holds();
    }
}

TEST_CASE("world: the wall clock steps, and no timer notices") {
  two both;
  both.a.initiate("moon-sun", "net");
  REQUIRE(both.in->run_until_quiet());
  auto before = both.in->time().now();
  both.in->time().step_wall(std::chrono::hours{24 * 365});
  CHECK(both.in->time().now() == before);
  both.in->advance(100s);
  CHECK(both.is_up());
  both.in->time().step_wall(-std::chrono::hours{48 * 365});
  both.in->advance(100s);
  CHECK(both.is_up());
  both.check_holds();
}
