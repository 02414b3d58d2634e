// The wire between two engines loses, doubles, delays and forges; peers fall silent.
#include <doctest/doctest.h>

#include "actors/demux.hpp"
#include "core/base/limits.hpp"
#include "tests/exchanges/ends.hpp"

using namespace imago;
using namespace imago::testing;
using namespace std::chrono_literals;
using imago::testing::pair;

namespace {

// Everything a tunnel goes through; each stage has time to mend what was lost.
void live_a_life(pair& both) {
  auto up = both.a.initiate();
  both.advance(5s);
  INFO(both.text());
  REQUIRE(both.a.answers->is_answered(up));
  CHECK(both.a.answers->result_of(up));
  both.a.rekey(the_child_sa);
  both.advance(5s);
  both.b.rekey(the_ike_sa);
  both.advance(5s);
  both.check_agreement();
  CHECK(both.a.only()->children.size() == 1);
  auto down = both.b.terminate(the_ike_sa);
  both.advance(5s);
  CHECK(both.b.facts("peer_unreachable") == 0);
  CHECK(both.b.answers->result_of(down));
  both.advance(60s);
  both.check_empty();
}

std::size_t datagram_count(const ends& ends) {
  pair both{brisk(ends)};
  live_a_life(both);
  return both.sent.size();
}

// A response to one request is the same octets however often it is sent (RFC 7296 §2.1).
void check_responses(const pair& both) {
  std::map<std::tuple<bool, bytes, std::string>, bytes> seen;
  for (const auto& one : both.sent) {
    auto header = wire::parse_header(one.octets);
    if (!header || !header->is_response) continue;
    bytes spis{one.octets.begin(), one.octets.begin() + 16};
    auto [at, is_new] = seen.try_emplace({one.from_a, spis, one.label()}, one.octets);
    INFO(one.label());
    CHECK((is_new || at->second == one.octets));
  }
}

std::size_t submitted(const engine_side& side, std::string_view name) {
  std::size_t count = 0;
  for (const auto& one : side.plane->submitted()) count += one == name;
  return count;
}

}  // namespace

TEST_CASE("wire: any one datagram lost, everything comes about all the same") {
  auto count = datagram_count(shared_key_ends());
  CHECK(count >= 12);
  for (std::size_t lost = 0; lost < count; ++lost) {
    INFO("lost: datagram " << lost);
    pair both{brisk()};
    std::size_t number = 0;
    both.on_wire = [&](wire_datagram&) { return number++ != lost; };
    live_a_life(both);
    check_responses(both);
  }
}

TEST_CASE("wire: any one datagram doubled, nothing is done twice") {
  auto count = datagram_count(shared_key_ends());
  pair undisturbed{brisk()};
  live_a_life(undisturbed);
  for (std::size_t doubled = 0; doubled < count; ++doubled) {
    INFO("doubled: datagram " << doubled);
    pair both{brisk()};
    std::size_t number = 0;
    both.on_wire = [&](wire_datagram& what) {
      if (number++ == doubled) both.in_flight.push_back(what);
      return true;
    };
    live_a_life(both);
    check_responses(both);
    for (const auto* name : {"install_sa", "allocate_spi"}) {
      CHECK(submitted(both.a, name) == submitted(undisturbed.a, name));
      CHECK(submitted(both.b, name) == submitted(undisturbed.b, name));
    }
  }
}

TEST_CASE("wire: each datagram comes again long after, and changes nothing") {
  pair both{brisk()};
  both.establish();
  both.a.rekey(the_child_sa);
  both.run_until_quiet();
  both.advance(6s);
  auto installed = submitted(both.a, "install_sa") + submitted(both.b, "install_sa");
  auto child = both.a.only_child().model.inbound_spi;
  auto all = both.sent;
  for (const auto& one : all)
    if (!one.octets.empty()) both.inject(one.source, one.destination, one.octets);
  both.run_until_quiet();
  both.advance(11s);  // what an old IKE_SA_INIT request began is half-open
  CHECK(both.a.only_child().model.inbound_spi == child);
  CHECK(submitted(both.a, "install_sa") + submitted(both.b, "install_sa") == installed);
  check_responses(both);
  both.check_agreement();
}

TEST_CASE("wire: the stored response is resent, byte for byte, though the peer's request is old") {
  pair both{brisk()};
  both.establish();
  both.a.rekey(the_child_sa);
  both.run_actors();
  auto request = both.in_flight.front();
  both.deliver();
  both.run_actors();
  both.drop();  // the response
  auto installed = submitted(both.b, "install_sa");
  both.inject(request.source, request.destination, request.octets);
  both.deliver(both.in_flight.size() - 1);
  both.run_actors();
  CHECK(both.sent_count(false, both.sent.back().label()) == 2);
  CHECK(submitted(both.b, "install_sa") == installed);
  check_responses(both);
  both.run_until_quiet();
  both.advance(10s);
  both.check_agreement();
}

TEST_CASE("wire: a half-open IKE SA is given up after its time") {
  pair both{brisk()};
  both.a.initiate();
  both.run_actors();
  both.deliver();  // IKE_SA_INIT request
  both.run_actors();
  both.on_wire = [](wire_datagram& what) { return !what.from_a; };
  const auto& demux = both.b.look_at<actors::demux>(both.b.shared->demux.actor());
  CHECK(demux.table_sizes().half_open == 1);
  CHECK(both.b.shared->counted->live("ike_sa") == 0);  // no actor before its peer has come back
  both.in_flight.clear();
  both.advance(11s);
  CHECK(demux.table_sizes().half_open == 0);
  both.advance(60s);
  both.check_empty();
}

TEST_CASE("wire: a peer that never answers fails the command, after the tries agreed") {
  pair both{brisk()};
  both.on_wire = [](wire_datagram&) { return false; };
  auto command = both.a.initiate();
  both.run_until_quiet();
  CHECK(!both.a.answers->is_answered(command));
  both.advance(30s);
  CHECK(both.a.answers->result_of(command).failure().code == errc::peer_unreachable);
  CHECK(both.sent_count(true, "IKE_SA_INIT request 0") == 4);
  both.check_empty();
}

TEST_CASE("wire: a peer that falls silent is noticed, and what waits is answered") {
  pair both{brisk(two_children_ends())};
  both.establish();
  both.on_wire = [](wire_datagram&) { return false; };
  auto command = both.a.initiate("net2");
  both.advance(60s);
  CHECK(both.a.answers->result_of(command).failure().code == errc::peer_unreachable);
  both.check_empty();
}

TEST_CASE("wire: liveness is asked only when it is quiet") {
  pair both{brisk()};
  both.establish();
  both.advance(9s);
  CHECK(both.sent_count(true, "INFORMATIONAL request 2") == 0);
  // Traffic on the Child SA is proof of life.
  both.a.plane->inject_event(data_plane::sa_first_used{both.a.only_child().inbound});
  both.b.plane->inject_event(data_plane::sa_first_used{both.b.only_child().inbound});
  both.advance(5s);
  CHECK(both.sent_count(true, "INFORMATIONAL request 2") == 0);
  both.advance(10s);
  CHECK(both.sent_count(true, "INFORMATIONAL request 2") +
            both.sent_count(false, "INFORMATIONAL request 0") >=
        1);
  both.advance(120s);
  both.check_agreement();
  CHECK(both.a.only()->children.size() == 1);
}

TEST_CASE("wire: garbage, truncated and altered datagrams are dropped without a trace") {
  pair both{brisk()};
  both.establish();
  auto sent_before = both.sent.size();
  endpoint at_a{both.a.self.address, 500}, at_b{both.b.self.address, 500};
  auto genuine = both.sent.back().octets;
  for (const auto& [source, destination] : {std::pair{at_a, at_b}, std::pair{at_b, at_a}}) {
    both.inject(source, destination, {});
    both.inject(source, destination, bytes(28, 0));
    both.inject(source, destination, bytes(1000, 0xff));
    for (std::size_t size = 1; size < genuine.size(); size += 7)
      both.inject(source, destination,
                  bytes{genuine.begin(), genuine.begin() + static_cast<long>(size)});
    for (std::size_t at = 16; at < genuine.size(); at += 3) {
      auto altered = genuine;
      altered[at] ^= 0x55;
      both.inject(source, destination, altered);
    }
  }
  both.run_until_quiet();
  both.advance(5s);
  INFO(both.text());
  // A message of a higher major version is told so (§2.5); nothing else is answered.
  for (auto at = sent_before; at < both.sent.size(); ++at) {
    auto message = wire::parse_message(both.sent[at].octets);
    REQUIRE(message);
    CHECK(wire::find_notify(message->payloads, notify_type::invalid_major_version));
  }
  both.check_agreement();
  CHECK(both.a.only()->children.size() == 1);
  CHECK(both.a.problems().empty());
  CHECK(both.b.problems().empty());
}

TEST_CASE("wire: of more half-open IKE SAs than allowed the oldest gives way") {
  auto options = brisk();
  options.adjust = [adjust = options.adjust](bool is_a, engine_options& chosen) {
    adjust(is_a, chosen);
    chosen.half_open_count_max = 3;
  };
  pair both{std::move(options)};
  both.a.initiate();
  both.run_actors();
  auto request = both.in_flight.front();
  both.drop();
  for (std::uint8_t number = 1; number <= 10; ++number) {
    auto other = request.octets;
    other[6] = static_cast<std::uint8_t>(~other[6]);  // none of them is a's own SPI
    other[7] = number;
    both.inject({request.source.address, static_cast<std::uint16_t>(1000 + number)},
                request.destination, other);
  }
  both.run_until_quiet();
  const auto& demux = both.b.look_at<actors::demux>(both.b.shared->demux.actor());
  CHECK(demux.dropped_count() == 0);
  CHECK(demux.table_sizes().half_open == 3);
  CHECK(both.sent_count(false, "IKE_SA_INIT response 0") == 10);
  // The newest are still known: asked again, they get the same answer.
  for (std::uint8_t number = 8; number <= 10; ++number) {
    auto other = request.octets;
    other[6] = static_cast<std::uint8_t>(~other[6]);
    other[7] = number;
    both.inject({request.source.address, static_cast<std::uint16_t>(1000 + number)},
                request.destination, other);
  }
  both.run_until_quiet();
  CHECK(demux.table_sizes().half_open == 3);
  std::vector<bytes> answers;
  for (const auto& one : both.sent)
    if (!one.from_a) answers.push_back(one.octets);
  REQUIRE(answers.size() == 13);
  for (std::size_t i = 7; i < 10; ++i) CHECK(answers[i] == answers[i + 3]);
  both.on_wire = [](wire_datagram&) { return false; };
  both.advance(60s);
  both.check_empty();
}

TEST_CASE("wire: an IKE SA's inbox is bounded, what is shed is counted") {
  pair both{brisk()};
  both.establish();
  const auto& demux = both.b.look_at<actors::demux>(both.b.shared->demux.actor());
  auto before = demux.dropped_count();
  auto one = both.sent.front();
  for (const auto& each : both.sent)
    if (each.from_a && each.label() == "IKE_AUTH request 1") one = each;
  // The demux is let run, the IKE SA is not: its place in the queue is behind all of these.
  constexpr std::size_t count = limits::ike_sa_inbox_max + 50;
  for (std::size_t i = 0; i < count; ++i) {
    both.inject(one.source, one.destination, one.octets);
    both.deliver(both.in_flight.size() - 1);
  }
  both.b.run_actor("demux", count);
  CHECK(demux.dropped_count() - before == 50);
  both.run_until_quiet();
  both.check_agreement();
}
