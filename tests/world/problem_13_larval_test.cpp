// Problem 13 (strongswan/issues/1855, 2778, libreswan/issues/1110, the Solaris report): ESP that
// comes before the message it depends on; larval SAs looked at, then changed; larval SAs left over.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include "core/base/limits.hpp"
#include "tests/world/fleet.hpp"
#include "tests/world/hosts.hpp"
#include "world/invariants.hpp"
#include "world/scenarios.hpp"

using namespace imago;
using namespace imago::testing;
using namespace imago::world;
using namespace std::chrono_literals;
using kernel_if::fault_action;

namespace {

std::unique_ptr<imago::world::world> esp_pair(
    config::start_action of_a = config::start_action::none) {
  auto in = std::make_unique<imago::world::world>();
  auto both = shared_key_ends();
  both.a.child().start_action = of_a;
  for (bool is_a : {true, false}) {
    auto made = host_of(is_a ? "a" : "b", is_a ? both.a : both.b);
    made.data_plane = data_plane_kind::user_esp;
    made.engine = brisk_options();
    in->add_host(std::move(made));
  }
  (void)in->run_until_quiet();
  return in;
}

// The place among what waits on the wire; fails the test if there is none.
std::size_t place_of(const imago::world::world& in, bool is_esp) {
  for (std::size_t at = 0; at < in.net.waiting.size(); ++at)
    if (in.net.waiting[at].is_esp == is_esp) return at;
  FAIL("nothing such is on the wire");
  return 0;
}

void deliver_all(imago::world::world& in, bool of_esp) {
  auto is_there = [&] {
    return std::any_of(in.net.waiting.begin(), in.net.waiting.end(),
                       [&](const auto& one) { return one.is_esp == of_esp; });
  };
  while (is_there()) (void)in.net.deliver(place_of(in, of_esp));
  (void)in.run_until_quiet();
}

}  // namespace

TEST_CASE("problem 13: ESP that overtakes the response waits in the larval SA, and comes once") {
  for (std::size_t count :
       {std::size_t{1}, limits::larval_queue_packets_max, limits::larval_queue_packets_max + 10}) {
    INFO(count << " packets");
    auto in = esp_pair();
    auto& a = *in->hosts()[0];
    auto& b = *in->hosts()[1];
    in->net.holds = true;
    a.initiate("moon-sun", "net");
    (void)in->run_until_quiet();
    for (int messages = 0; messages < 3; ++messages) deliver_all(*in, false);
    // IKE_AUTH's response is on its way; b may send already.
    for (std::size_t number = 0; number < count; ++number)
      b.send_inner(inner_packet("10.2.0.1", "10.1.0.1", static_cast<std::uint16_t>(number)));
    deliver_all(*in, true);
    CHECK(a.received_inner.empty());
    CHECK(a.esp()->processor().larval_count() == 1);
    deliver_all(*in, false);
    CHECK(a.esp()->processor().larval_count() == 0);
    auto kept = std::min(count, limits::larval_queue_packets_max);
    REQUIRE(a.received_inner.size() == kept);
    for (std::size_t number = 0; number < kept; ++number)
      CHECK(a.received_inner[number] ==
            inner_packet("10.2.0.1", "10.1.0.1", static_cast<std::uint16_t>(number)));
    in->net.holds = false;
    b.send_inner(inner_packet("10.2.0.1", "10.1.0.1", 999));
    a.send_inner(inner_packet("10.1.0.1", "10.2.0.1", 999));
    (void)in->run_until_quiet();
    CHECK(a.received_inner.size() == kept + 1);
    CHECK(b.received_inner.size() == 1);
  }
}

TEST_CASE(
    "problem 13: packets that meet a trap of user-space ESP wait for its SA, in their order") {
  constexpr std::size_t count = 20;
  auto packet = [](std::size_t number) {
    return inner_packet("10.1.0.1", "10.2.0.1", static_cast<std::uint16_t>(number));
  };
  for (bool peer_answers : {true, false}) {
    CAPTURE(peer_answers);
    auto in = esp_pair(config::start_action::trap);
    invariants watch{*in};
    auto& a = *in->hosts()[0];
    auto& b = *in->hosts()[1];
    const auto& processor = a.esp()->processor();
    in->net.set_up(b.number(), peer_answers);
    for (std::size_t number = 0; number < count; ++number)
      CHECK_FALSE(a.send_inner(packet(number)));
    CHECK(processor.waiting_count() == count);
    in->advance(50s);
    if (peer_answers) {
      REQUIRE(b.received_inner.size() == count);
      for (std::size_t number = 0; number < count; ++number)
        CHECK(b.received_inner[number] == packet(number));
    } else {
      // Nobody came. What is sent a minute later finds those before it too old.
      CHECK(processor.waiting_count() == count);
      in->advance(20s);
      CHECK_FALSE(a.send_inner(packet(count)));
      CHECK(processor.waiting_count() == 1);
      CHECK(processor.drops(kernel_if::user_esp::drop_reason::no_outbound_sa) == count);
      CHECK(b.received_inner.empty());
    }
    CHECK(processor.waiting_count() == (peer_answers ? 0 : 1));
    uninstall_all(*in);
    in->advance(1s);
    CHECK(processor.waiting_count() == 0);
    if (watch.violated()) FAIL_CHECK(*watch.violated());
  }
}

TEST_CASE("problem 13: the response leaves only when the inbound SA is installed") {
  for (const auto* name : {"handshake", "new-child", "new-child-by-b", "child-rekey",
                           "child-rekey-with-ke", "child-rekey-by-b"}) {
    INFO(name);
    const auto& what = swept_scenario(name);
    auto in = what.make(false);
    auto base = in->net.sent_count();
    in->net.keeps_sent = true;
    // Of both, so that the responder is meant whoever it is.
    for (const auto& one : in->hosts())
      one->fake()->inject_fault({"install_sa", 1, fault_action::hold, {}});
    invariants watch{*in};
    what.begin(*in);
    (void)in->run_until_quiet();
    const datagram& last = in->net.sent().back();
    CHECK(in->net.sent_count() > base);
    CHECK(last.label().find("request") != std::string::npos);
    for (const auto& one : in->hosts()) {
      one->fake()->step_all();
      (void)in->run_until_quiet();
    }
    for (const auto& one : in->hosts()) one->fake()->step_all();
    in->advance(30s);
    if (what.expect) CHECK_FALSE(what.expect(*in));
    auto wrong = close_all(*in, watch);
    CHECK_MESSAGE(!wrong, wrong.value_or(""));
  }
}

TEST_CASE("problem 13: no larval SA outlives what asked for it") {
  for (const auto* name : {"handshake", "new-child", "child-rekey"})
    for (bool is_killed : {true, false})
      for (host_number of : {0U, 1U}) {
        INFO(name << (is_killed ? ": killed" : ": the peer is silent") << ", host " << of);
        const auto& what = swept_scenario(name);
        auto in = what.make(false);
        invariants watch{*in};
        auto& one = *in->hosts()[of];
        auto before = one.fake()->submitted().size();
        what.begin(*in);
        while (one.fake()->larval().empty() && in->step()) {
        }
        CHECK(one.fake()->submitted().size() > before);
        REQUIRE(one.fake()->larval().size() == 1);
        if (is_killed)
          one.kill("exchange");
        else
          in->net.set_up(1 - of, false);
        in->advance(long_enough);
        CHECK(one.fake()->larval().empty());
        in->net.set_up(1 - of, true);
        in->advance(long_enough);
        auto wrong = close_all(*in, watch);
        CHECK_MESSAGE(!wrong, wrong.value_or(""));
      }
}
