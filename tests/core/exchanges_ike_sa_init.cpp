// IKE_SA_INIT between two peers (RFC 7296 §1.2, §2.6, §2.7, §2.23).
#include <doctest/doctest.h>

#include "tests/support/duo.hpp"

using namespace imago;
using namespace imago::ikev2;
using namespace imago::ikev2::testing;

namespace {

// The first payload of that kind among those of a message in flight.
wire::payloads payloads_of(const packet& one) {
  auto message = wire::parse_message(one.datagram);
  REQUIRE(message);
  return message->payloads;
}

void replace_data(wire::payloads& payloads, notify_type type, const bytes& data) {
  for (auto& payload : payloads)
    if (auto* notify = std::get_if<wire::notify_payload>(&payload))
      if (notify->type == type) notify->data = data;
}

}  // namespace

TEST_CASE("ike_sa_init: two peers with a shared key come to an IKE SA with a Child SA") {
  duo both;
  both.establish();
  both.check_rest();
  const auto& a = both.a.current().model;
  const auto& b = both.b.current().model;
  CHECK(a.initiator_spi == b.initiator_spi);
  CHECK(a.responder_spi == b.responder_spi);
  CHECK(a.algorithms == b.algorithms);
  CHECK(a.keys->sk_d == b.keys->sk_d);
  CHECK(a.remote_identity == b.local_identity);
  CHECK(b.remote_identity == a.local_identity);
  CHECK(a.authenticated_by == "PSK");
}

TEST_CASE("ike_sa_init: the responder's cookie comes back in front of the same request") {
  duo both;
  both.b.wants_cookies = true;
  both.a.initiate("moon-sun", "net");
  auto first = payloads_of(both.in_flight.at(0));
  both.deliver("a IKE_SA_INIT request");
  CHECK(both.b.ikes.empty());  // nothing is kept for who did not answer yet
  both.deliver("b IKE_SA_INIT response");
  auto second = payloads_of(both.in_flight.at(0));
  const auto* cookie = std::get_if<wire::notify_payload>(&second.front());
  REQUIRE(cookie);
  CHECK(cookie->type == notify_type::cookie);  // §2.6: the first payload
  second.erase(second.begin());
  CHECK(second == first);  // nothing else differs
  both.run();
  both.check_rest();
}

TEST_CASE("ike_sa_init: a cookie too long or empty ends the attempt") {
  for (std::size_t size : {std::size_t{0}, std::size_t{65}}) {
    duo both;
    both.b.wants_cookies = true;
    both.a.initiate("moon-sun", "net");
    both.deliver();
    auto message = wire::parse_message(both.in_flight.at(0).datagram);
    REQUIRE(message);
    replace_data(message->payloads, notify_type::cookie, bytes(size));
    both.in_flight.at(0).datagram = wire::encode_message(message->header, message->payloads);
    both.run();
    CHECK(both.a.has_reported("closed: COOKIE"));
    both.check_rest(0);
  }
}

TEST_CASE("ike_sa_init: a wrong guess of the key exchange is repeated with what the peer wants") {
  auto ends = shared_key_ends();
  ends.a.connection().proposals =
      proposals_of(protocol_id::ike, "aes128gcm16-prfsha256-x25519-ecp256");
  ends.b.connection().proposals = proposals_of(protocol_id::ike, "aes128gcm16-prfsha256-ecp256");
  for (bool with_cookies : {false, true}) {
    duo both{ends};
    both.b.wants_cookies = with_cookies;
    both.a.initiate("moon-sun", "net");
    both.run();
    both.check_rest();
    CHECK(both.a.current().model.algorithms.key_exchange == ke_method::ecp_256);
    CHECK(both.b.has_reported("peer guessed CURVE_25519"));
  }
}

TEST_CASE("ike_sa_init: a peer that wants a key exchange not offered gets none") {
  duo both;
  both.b.tampers = [](exchange_type, bool, wire::payloads& payloads) {
    wire::notify_payload wanted;
    wanted.type = notify_type::invalid_ke_payload;
    wanted.data = {0, 14};
    payloads = {wanted};
  };
  both.a.initiate("moon-sun", "net");
  both.run();
  CHECK(both.a.has_reported("peer wants MODP_2048, not offered"));
  CHECK(both.a.live().empty());
}

TEST_CASE("ike_sa_init: a peer that refuses what it asked for is not asked for ever") {
  duo both;
  both.b.tampers = [](exchange_type, bool, wire::payloads& payloads) {
    wire::notify_payload wanted;
    wanted.type = notify_type::invalid_ke_payload;
    wanted.data = {0, 31};
    payloads = {wanted};
  };
  both.a.initiate("moon-sun", "net");
  both.run();
  CHECK(both.a.has_reported("peer refuses its own choice"));
  CHECK(both.a.live().empty());
}

TEST_CASE("ike_sa_init: without a common proposal both ends give up") {
  auto ends = shared_key_ends();
  ends.b.connection().proposals = proposals_of(protocol_id::ike, "aes256gcm16-prfsha384-ecp384");
  duo both{ends};
  both.a.initiate("moon-sun", "net");
  both.run();
  CHECK(both.a.has_reported("peer sent NO_PROPOSAL_CHOSEN"));
  both.check_rest(0);
}

TEST_CASE("ike_sa_init: a peer from an address of no connection gets NO_PROPOSAL_CHOSEN") {
  duo both;
  both.a.seen_at = endpoint{*ip_address::parse("203.0.113.9"), 500};
  both.a.initiate("moon-sun", "net");
  both.run();
  CHECK(both.a.has_reported("peer sent NO_PROPOSAL_CHOSEN"));
  CHECK(both.b.has_reported("203.0.113.9"));
  both.check_rest(0);
}

TEST_CASE("ike_sa_init: without a NAT nothing is encapsulated") {
  duo both;
  both.establish();
  for (auto* one : {&both.a, &both.b}) {
    const auto& peer = one->current().model.peer;
    CHECK(peer.nat_traversal);
    CHECK(!peer.local_behind_nat);
    CHECK(!peer.remote_behind_nat);
    CHECK(!peer.udp_encapsulation);
    CHECK(!one->current().model.children.front().is_encapsulated);
  }
}

TEST_CASE("ike_sa_init: a NAT before the initiator is seen by both, and ESP goes in UDP") {
  auto ends = shared_key_ends();
  ends.b.connection().remote_addresses.front().any = true;
  duo both{ends};
  both.a.seen_at = endpoint{*ip_address::parse("203.0.113.9"), 4711};
  both.establish();
  const auto& a = both.a.current().model;
  const auto& b = both.b.current().model;
  CHECK(a.peer.local_behind_nat);
  CHECK(!a.peer.remote_behind_nat);
  CHECK(b.peer.remote_behind_nat);
  CHECK(!b.peer.local_behind_nat);
  for (auto* one : {&both.a, &both.b}) {
    const auto& child = one->current().model.children.front();
    CHECK(child.is_encapsulated);
    CHECK(one->plane.find(data_plane::direction::inbound, child.inbound_spi)->is_encapsulated);
  }
  both.check_rest();
}

TEST_CASE("ike_sa_init: either end can feign a NAT so that both encapsulate") {
  for (bool a_feigns : {true, false}) {
    auto ends = shared_key_ends();
    (a_feigns ? ends.a : ends.b).connection().force_encapsulation = true;
    duo both{ends};
    both.establish();
    CHECK(both.a.current().model.children.front().is_encapsulated);
    CHECK(both.b.current().model.children.front().is_encapsulated);
    both.check_rest();
  }
}

TEST_CASE("ike_sa_init: what the peer can do is remembered") {
  auto ends = shared_key_ends();
  ends.b.connection().fragmentation = config::fragmentation::no;
  duo both{ends};
  both.establish();
  const auto& a = both.a.current().model.peer;
  const auto& b = both.b.current().model.peer;
  CHECK(!a.fragmentation);
  CHECK(b.fragmentation);
  CHECK(a.childless);
  CHECK(a.signature_hashes == std::vector{hash_algorithm::sha2_256, hash_algorithm::sha2_384,
                                          hash_algorithm::sha2_512, hash_algorithm::identity});
  CHECK(b.signature_hashes == a.signature_hashes);
}

TEST_CASE("ike_sa_init: a key exchange value that is none is refused, and nothing stays") {
  duo both;
  both.a.tampers = [](exchange_type exchange, bool, wire::payloads& payloads) {
    if (exchange != exchange_type::ike_sa_init) return;
    for (auto& payload : payloads)
      if (auto* ke = std::get_if<wire::key_exchange_payload>(&payload)) ke->data.assign(32, 0);
  };
  both.a.initiate("moon-sun", "net");
  both.run();
  CHECK(both.a.has_reported("peer sent INVALID_SYNTAX"));
  both.check_rest(0);
}

TEST_CASE("ike_sa_init: a responder that changes the proposal is not followed") {
  duo both;
  both.b.tampers = [](exchange_type, bool, wire::payloads& payloads) {
    for (auto& payload : payloads)
      if (auto* sa = std::get_if<wire::security_association_payload>(&payload))
        sa->proposals.front().transforms.front().key_bits = 256;
  };
  both.a.initiate("moon-sun", "net");
  both.run();
  CHECK(both.a.has_reported("closed: not what was offered"));
  CHECK(both.a.live().empty());
}

TEST_CASE("ike_sa_init: one that is sent twice gets the same answer twice") {
  duo both;
  both.a.initiate("moon-sun", "net");
  both.duplicate();
  both.deliver();
  both.deliver("a IKE_SA_INIT request");
  REQUIRE(both.in_flight.size() == 2);
  CHECK(both.in_flight.at(0).datagram == both.in_flight.at(1).datagram);
  CHECK(both.b.ikes.size() == 1);
  both.run();
  both.check_rest();
}

TEST_CASE("ike_sa_init: what changes on the way is noticed by AUTH") {
  duo both;
  both.a.initiate("moon-sun", "net");
  auto message = wire::parse_message(both.in_flight.at(0).datagram);
  REQUIRE(message);
  wire::vendor_id_payload stowaway{{1, 2, 3}};
  message->payloads.push_back(stowaway);
  both.in_flight.at(0).datagram = wire::encode_message(message->header, message->payloads);
  both.run();
  CHECK(both.b.has_reported("closed: shared key"));
  both.check_rest(0);
}

TEST_CASE("ike_sa_init: no answer ends the attempt, and what it held is freed") {
  duo both;
  both.a.initiate("moon-sun", "net");
  both.drop();
  both.a.time_out(*both.a.ikes.front());
  CHECK(both.a.has_reported("closed: no response"));
  both.check_rest(0);
}
