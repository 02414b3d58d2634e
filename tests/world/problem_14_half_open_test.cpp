// Problem 14 (strongswan/issues/853, 2193): memory and timers followed SAs that were long dead.
#include <algorithm>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "actors/demux.hpp"
#include "tests/world/hosts.hpp"
#include "world/invariants.hpp"

using namespace imago;
using namespace imago::testing;
using namespace imago::world;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t flood_count = 100'000, flood_per_second = 2'000;
constexpr auto half_open_lifetime = 10s;
// The reception's, and those of the one honest IKE SA: lifetimes, liveness, keepalive, Child SA.
constexpr std::size_t timers_max = 8;

struct flooded {
  std::unique_ptr<imago::world::world> in;
  datagram first;  // an IKE_SA_INIT request that b takes
  std::size_t sas_peak = 0, timers_peak = 0;
};

flooded make_flooded(std::size_t cookie_threshold, std::size_t half_open_count_max) {
  flooded made;
  made.in = std::make_unique<imago::world::world>();
  auto both = shared_key_ends();
  config::address_pattern anybody;
  anybody.any = true;
  both.b.connection().remote_addresses = {anybody};
  for (bool is_a : {true, false}) {
    auto one = host_of(is_a ? "a" : "b", is_a ? both.a : both.b);
    one.engine = brisk_options();
    one.engine.half_open_lifetime = half_open_lifetime;
    one.engine.cookie_threshold = cookie_threshold;
    one.engine.half_open_count_max = half_open_count_max;
    one.journal = actors::journal_level::audit;
    made.in->add_host(std::move(one));
  }
  (void)made.in->run_until_quiet();
  made.in->net.keeps_sent = false;
  made.in->net.on_wire = [&made](datagram& what) {
    if (made.first.id == 0) made.first = what;
    return false;
  };
  made.in->hosts()[0]->initiate("moon-sun", "net");
  (void)made.in->run_until_quiet();
  made.in->hosts()[0]->terminate({});
  (void)made.in->run_until_quiet();
  made.in->net.on_wire = nullptr;
  REQUIRE(made.first.label() == "IKE_SA_INIT request 0");
  return made;
}

// From another address each, with another SPI and another nonce.
datagram forged(const flooded& from, std::size_t number) {
  auto made = from.first;
  auto address = fmt::format("10.{}.{}.{}", number >> 16 & 255, number >> 8 & 255, number & 255);
  made.source.address = *ip_address::parse(address);
  for (int shift = 0; shift < 32; shift += 8)
    made.octets[static_cast<std::size_t>(shift / 8)] =
        static_cast<std::uint8_t>((number + 1) >> shift);
  return made;
}

void look(flooded& at) {
  auto& b = *at.in->hosts()[1];
  const auto& demux = b.look_at<actors::demux>(b.shared->demux.actor());
  auto sas = demux.table_sizes().half_open;
  auto timers = b.shared->timers->pending();
  at.sas_peak = std::max(at.sas_peak, sas);
  at.timers_peak = std::max(at.timers_peak, timers);
  // Half-open IKE SAs are values: no actor, no digest, one timer for all of them.
  CHECK(timers <= timers_max);
  CHECK(b.shared->counted->live("ike_sa") <= 1);
  CHECK(b.shared->digests->live == 0);
}

void check_base(flooded& at) {
  at.in->advance(half_open_lifetime + 12s);
  auto& b = *at.in->hosts()[1];
  CHECK(b.living("ike_sa").empty());
  CHECK(b.living("exchange").empty());
  CHECK(b.shared->timers->pending() == 0);
  CHECK(b.shared->digests->live == 0);
  CHECK(b.look_at<actors::demux>(b.shared->demux.actor()).table_sizes().total() == 0);
}

}  // namespace

TEST_CASE("problem 14: a flood of half-open IKE SAs is bounded, its memory comes back") {
  constexpr std::size_t threshold = 500;
  auto flood = make_flooded(threshold, 100'000);
  auto& in = *flood.in;
  auto& a = *in.hosts()[0];
  std::optional<std::uint64_t> honest;
  for (std::size_t number = 0; number < flood_count; ++number) {
    in.net.inject(forged(flood, number));
    if (number % 100 == 0) (void)in.run_until_quiet();  // a burst is worked on
    if (number % (flood_per_second / 10) == 0) {
      look(flood);
      in.advance(100ms);
    }
    // An honest peer comes in the middle of it, and must come through.
    if (number == flood_count / 2) honest = a.initiate("moon-sun", "net");
  }
  REQUIRE(honest);
  auto result = a.answers->result_of(*honest);
  REQUIRE(result);
  CHECK(*result);
  // Who waits for a key pair counts, too: cookies are asked a little before so many are half-open.
  CHECK(flood.sas_peak >= threshold - threshold / 4);
  CHECK(flood.sas_peak <= threshold + 2);
  say(fmt::format("problem 14: {} IKE_SA_INITs, at most {} IKE SAs and {} timers at once",
                  flood_count, flood.sas_peak, flood.timers_peak));
  a.terminate({});
  check_base(flood);
}

TEST_CASE("problem 14: without cookies the number of half-open IKE SAs is bounded all the same") {
  constexpr std::size_t count_max = 1000;
  auto flood = make_flooded(1'000'000, count_max);
  auto& in = *flood.in;
  for (std::size_t number = 0; number < 6000; ++number) {
    in.net.inject(forged(flood, number));
    if (number % (flood_per_second / 10) == 0) in.advance(100ms);
    if (number % 500 == 0) look(flood);
  }
  CHECK(flood.sas_peak == count_max);
  check_base(flood);
}
