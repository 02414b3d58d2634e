// New peers: half-open IKE SAs cost no Diffie-Hellman, key pairs are shared only under pressure,
// and what comes while the first keys are derived is not lost.
#include <set>

#include <doctest/doctest.h>

#include "actors/demux.hpp"
#include "core/wire/message.hpp"
#include "tests/exchanges/ends.hpp"

using namespace imago;
using namespace imago::testing;
using namespace std::chrono_literals;
using imago::testing::pair;

namespace {

// b with any number of strangers that send what a's IKE_SA_INIT request is, each with an SPI and a
// port of its own.
struct crowd {
  explicit crowd(std::size_t cookie_threshold) : both{options(cookie_threshold)} {
    both.a.initiate();
    both.run_actors();
    first = both.in_flight.front();
    both.drop();
  }
  static pair_options options(std::size_t cookie_threshold) {
    auto made = brisk();
    made.adjust = [adjust = made.adjust, cookie_threshold](bool is_a, engine_options& chosen) {
      adjust(is_a, chosen);
      chosen.cookie_threshold = cookie_threshold;
    };
    return made;
  }
  // The cookie, if it gets one, is returned: a notify in front.
  void come(std::uint8_t number) {
    endpoint from{first.source.address, static_cast<std::uint16_t>(1000 + number)};
    auto octets = first.octets;
    octets[7] = number;
    octets[6] = static_cast<std::uint8_t>(~octets[6]);
    both.inject(from, first.destination, octets);
    both.run_until_quiet();
    auto answer = wire::parse_message(both.sent.back().octets);
    REQUIRE(answer);
    const auto* cookie = wire::find_notify(answer->payloads, notify_type::cookie);
    if (!cookie) return;
    auto request = wire::parse_message(octets);
    REQUIRE(request);
    request->payloads.insert(request->payloads.begin(), *cookie);
    both.inject(from, first.destination, wire::encode_message(request->header, request->payloads));
    both.run_until_quiet();
  }
  std::vector<bytes> public_values() const {
    std::vector<bytes> list;
    for (const auto& one : both.sent) {
      auto message = wire::parse_message(one.octets);
      if (one.from_a || !message) continue;
      if (const auto* ke = wire::find<wire::key_exchange_payload>(message->payloads))
        list.push_back(ke->data);
    }
    return list;
  }

  pair both;
  wire_datagram first;
};

}  // namespace

TEST_CASE("reception: unpressed, every peer gets a key pair of its own, and none is derived with") {
  crowd them{1000};
  for (std::uint8_t number = 1; number <= 40; ++number) them.come(number);
  auto values = them.public_values();
  CHECK(values.size() == 40);
  CHECK(std::set<bytes>{values.begin(), values.end()}.size() == 40);
  CHECK(them.both.b.shared->half_open_count == 40);
  // Batches of key pairs are all the work there was.
  CHECK(them.both.b.crypto->counters().done <= 40 / 8 + 1);
  CHECK(them.both.b.shared->digests->live == 0);
}

TEST_CASE("reception: pressed, a key pair serves all peers of a second, then another does") {
  crowd them{0};
  for (std::uint8_t number = 1; number <= 20; ++number) them.come(number);
  auto first = them.public_values();
  REQUIRE(first.size() == 20);
  CHECK(std::set<bytes>{first.begin(), first.end()}.size() == 1);
  auto jobs = them.both.b.crypto->counters().done;
  them.both.advance(1s);
  for (std::uint8_t number = 21; number <= 40; ++number) them.come(number);
  auto all = them.public_values();
  REQUIRE(all.size() >= 40);  // and one for a, which asks again meanwhile
  CHECK(std::set<bytes>{all.begin(), all.end()}.size() == 2);
  CHECK(them.both.b.crypto->counters().done <= jobs + 1);
}

TEST_CASE("reception: a retransmitted IKE_SA_INIT request gets its response, another one none") {
  crowd them{1000};
  them.come(1);
  auto count = them.both.sent_count(false, "IKE_SA_INIT response 0");
  them.come(1);
  CHECK(them.both.sent_count(false, "IKE_SA_INIT response 0") == count + 1);
  CHECK(them.both.sent.back().octets == them.both.sent[them.both.sent.size() - 2].octets);
  them.first.octets.back() ^= 1;  // the same SPI and endpoint, other content
  them.come(1);
  CHECK(them.both.sent_count(false, "IKE_SA_INIT response 0") == count + 1);
  CHECK(them.both.b.shared->half_open_count == 1);
}

TEST_CASE("reception: requests that come before any key pair is made wait for it") {
  crowd them{1000};
  auto& both = them.both;
  for (std::uint8_t number = 1; number <= 3; ++number) {
    auto octets = them.first.octets;
    octets[7] = number;
    both.inject(them.first.source, them.first.destination, octets);
    both.deliver();
    both.b.run_actor("demux", 1);
  }
  CHECK(both.b.shared->half_open_count == 0);
  CHECK(both.b.crypto->waiting() == 1);  // one order for all
  both.run_actors();
  CHECK(both.b.shared->half_open_count == 3);
}

TEST_CASE("reception: what comes while the first keys are derived is worked on after them") {
  pair both{brisk()};
  both.a.initiate();
  both.run_actors();
  both.deliver();  // IKE_SA_INIT request
  both.run_actors();
  both.deliver();  // its response
  both.run_actors();
  auto request = both.in_flight.front();
  both.deliver();  // IKE_AUTH request
  both.b.run_actor("demux", 1);
  both.b.run_actor("ike_sa", 3);  // suspended: the shared secret is being derived
  CHECK(both.b.crypto->waiting() == 1);
  CHECK(both.b.shared->half_open_count == 0);
  both.inject(request.source, request.destination, request.octets);  // retransmitted meanwhile
  both.deliver(both.in_flight.size() - 1);
  both.b.run_actor("demux", 1);
  both.b.run_actor("ike_sa", 3);
  both.run_until_quiet();
  CHECK(both.sent_count(false, "IKE_AUTH response 1") >= 1);
  both.check_agreement();
  CHECK(both.b.only()->children.size() == 1);
}

TEST_CASE("reception: an ike_sa killed while its first keys are derived leaves nothing") {
  pair both{brisk()};
  both.a.initiate();
  both.run_actors();
  both.deliver();
  both.run_actors();
  both.deliver();
  both.run_actors();
  both.deliver();
  both.b.run_actor("demux", 1);
  both.b.run_actor("ike_sa", 3);
  REQUIRE(both.b.living("ike_sa").size() == 1);
  actors::ike_sa_handle{both.b.living("ike_sa").front()}.tell_kill();
  both.b.run_actor("ike_sa", 1);
  both.run_actors();
  CHECK(both.b.crypto->counters().skipped == 1);
  CHECK(both.b.living("ike_sa").empty());
  both.on_wire = [](wire_datagram&) { return false; };
  both.advance(60s);
  both.check_empty();
}

TEST_CASE("reception: who waited long is served, unless all have for a while") {
  crowd them{1000};
  auto& both = them.both;
  std::uint8_t number = 0;
  auto come_late = [&](duration waited) {
    auto octets = them.first.octets;
    octets[7] = ++number;
    both.b.shared->demux.tell(
        actors::receive_packet{std::make_shared<const actors::packet>(
                                   actors::packet{them.first.destination, them.first.source, octets,
                                                  instant{both.time->now().since_start - waited}}),
                               nullptr});
    both.run_until_quiet();
    return both.b.shared->half_open_count.load();
  };
  CHECK(come_late(50ms) == 1);
  both.advance(90ms);
  CHECK(come_late(50ms) == 2);
  both.advance(90ms);
  CHECK(come_late(50ms) == 2);  // a standing queue
  CHECK(come_late(5ms) == 3);   // it is gone
  CHECK(come_late(50ms) == 4);
  both.advance(2s);
  CHECK(come_late(50ms) == 5);  // another moment
}

TEST_CASE("reception: no protected message but the first IKE_AUTH request ends a half-open state") {
  crowd them{1000};
  them.come(1);
  auto answer = wire::parse_message(them.both.sent.back().octets);
  REQUIRE(answer);
  wire::header header = answer->header;
  header.is_response = false;
  header.from_initiator = true;
  endpoint from{them.first.source.address, 1001};
  for (auto type :
       {exchange_type::informational, exchange_type::create_child_sa, exchange_type::ike_auth}) {
    header.exchange = type;
    header.message_id = type == exchange_type::ike_auth ? 2 : 1;
    them.both.inject(from, them.first.destination, wire::encode_message(header, {}));
    them.both.run_until_quiet();
    CHECK(them.both.b.shared->half_open_count == 1);
    CHECK(them.both.b.shared->counted->live("ike_sa") == 0);
  }
}
