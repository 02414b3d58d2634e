// CREATE_CHILD_SA for Child SAs, and their deletes (RFC 7296 §1.3.1, §1.3.3, §1.4.1, §2.25).
#include <doctest/doctest.h>

#include "tests/support/duo.hpp"

using namespace imago;
using namespace imago::ikev2;
using namespace imago::ikev2::testing;
using data_plane::direction;

namespace {

ends with_esp(std::string_view of_a, std::string_view of_b) {
  auto ends = shared_key_ends();
  ends.a.child().proposals = proposals_of(protocol_id::esp, of_a);
  ends.b.child().proposals = proposals_of(protocol_id::esp, of_b);
  return ends;
}

// A second Child SA "other" beside "net", for other networks.
ends with_two_children() {
  auto ends = shared_key_ends();
  auto add = [](end& to, const char* own, const char* other) {
    auto child = to.child();
    child.name = "other";
    child.local_selectors = {selector_of(own)};
    child.remote_selectors = {selector_of(other)};
    to.connection().children.push_back(child);
  };
  add(ends.a, "10.3.0.0/16", "10.4.0.0/16");
  add(ends.b, "10.4.0.0/16", "10.3.0.0/16");
  return ends;
}

const child_sa_model& only_child(peer& one) {
  REQUIRE(one.current().model.children.size() == 1);
  return one.current().model.children.front();
}

std::function<std::optional<error>(const data_plane::request&)> refuse_inbound(errc code) {
  return [code](const data_plane::request& request) -> std::optional<error> {
    const auto* install = std::get_if<data_plane::install_sa>(&request);
    if (!install || install->sa.id.direction != direction::inbound) return std::nullopt;
    return error{code, "as the test wants it"};
  };
}

task rekey_of(data_plane::spi inbound_spi) {
  auto one = peer::of_kind(task_kind::rekey_child);
  one.inbound_spi = inbound_spi;
  return one;
}

}  // namespace

TEST_CASE("create_child_sa: a second Child SA with its own keys and reqid") {
  duo both{with_two_children()};
  both.establish();
  both.a.add(both.a.create_child("other"));
  both.settle();
  both.check_rest(2);
  const auto& children = both.a.current().model.children;
  CHECK(children[0].config->name == "net");
  CHECK(children[1].config->name == "other");
  const auto* one = both.a.plane.find(direction::outbound, children[0].outbound_spi);
  const auto* other = both.a.plane.find(direction::outbound, children[1].outbound_spi);
  CHECK(one->encryption_key != other->encryption_key);
  both.b.add(both.b.create_child("other"));
  both.settle();
  // What the other end asked for with the same selectors is a twin: one of the two goes.
  CHECK(both.b.child_count() == 2);
  CHECK(both.a.child_count() == 2);
}

TEST_CASE("create_child_sa: perfect forward secrecy if both want it") {
  duo both{with_esp("aes128gcm16-x25519", "aes128gcm16-x25519")};
  both.establish("");
  both.a.add(both.a.create_child("net"));
  both.settle();
  both.check_rest();
  CHECK(only_child(both.a).algorithms.key_exchange == ke_method::curve25519);
  both.b.add(both.b.rekey_child());
  both.settle();
  both.check_rest();
  CHECK(only_child(both.a).algorithms.key_exchange == ke_method::curve25519);
}

TEST_CASE("create_child_sa: a wrong guess of the key exchange is repeated") {
  duo both{with_esp("aes128gcm16-x25519-ecp256", "aes128gcm16-ecp256")};
  both.establish();
  both.a.add(both.a.rekey_child());
  both.settle();
  both.check_rest();
  CHECK(only_child(both.a).algorithms.key_exchange == ke_method::ecp_256);
  CHECK(both.b.has_reported("child failed: Child SA: the key exchange method"));
}

TEST_CASE("create_child_sa: a wrong guess for ever is given up") {
  duo both{with_esp("aes128gcm16-x25519-ecp256", "aes128gcm16-x25519")};
  both.establish("");
  both.b.tampers = [](exchange_type, bool is_response, wire::payloads& payloads) {
    if (!is_response) return;
    wire::notify_payload wanted;
    wanted.type = notify_type::invalid_ke_payload;
    wanted.data = {0, 19};
    payloads = {wanted};
  };
  both.a.add(both.a.create_child("net"));
  both.run();
  both.b.tampers = nullptr;
  CHECK(both.a.has_reported("child failed: INVALID_KE_PAYLOAD"));
  CHECK(both.a.child_count() == 0);
  CHECK(both.a.plane.is_empty());
}

TEST_CASE("create_child_sa: without a common proposal the IKE SA lives on") {
  duo both{with_esp("aes128gcm16", "aes256gcm16")};
  both.establish("");
  both.a.add(both.a.create_child("net"));
  both.settle();
  CHECK(both.a.has_reported("peer sent NO_PROPOSAL_CHOSEN"));
  both.check_rest(0);
  CHECK(both.a.live().size() == 1);
}

TEST_CASE("create_child_sa: selectors that no policy allows give TS_UNACCEPTABLE") {
  auto ends = shared_key_ends();
  ends.b.child().local_selectors = {selector_of("10.9.0.0/16")};
  duo both{ends};
  both.establish("");
  both.a.add(both.a.create_child("net"));
  both.settle();
  CHECK(both.a.has_reported("peer sent TS_UNACCEPTABLE"));
  both.check_rest(0);
  CHECK(both.b.live().size() == 1);
}

TEST_CASE("create_child_sa: the responder narrows, both agree on the narrower selectors") {
  auto ends = shared_key_ends();
  ends.a.child().remote_selectors = {selector_of("10.0.0.0/8")};
  duo both{ends};
  both.establish("");
  both.a.add(both.a.create_child("net"));
  both.settle();
  both.check_rest();
  CHECK(only_child(both.a).remote_selectors ==
        traffic_selectors{selector_of("10.2.0.0/16").selector});
}

TEST_CASE("create_child_sa: a peer that widens the selectors loses the Child SA") {
  duo both;
  both.establish("");
  both.b.tampers = [](exchange_type exchange, bool is_response, wire::payloads& payloads) {
    if (exchange != exchange_type::create_child_sa || !is_response) return;
    for (auto& payload : payloads)
      if (auto* selectors = std::get_if<wire::traffic_selector_payload>(&payload))
        selectors->selectors = {selector_of("10.0.0.0/8").selector};
  };
  both.a.add(both.a.create_child("net"));
  both.settle();
  CHECK(both.a.has_reported("child failed: 10.0.0.0/8"));
  both.check_rest(0);  // what the peer made was deleted there
  CHECK(both.b.live().size() == 1);
}

TEST_CASE("create_child_sa: a refusing data plane of the responder becomes a notify") {
  struct pair {
    errc code;
    const char* notify;
  };
  for (auto [code, notify] : {pair{errc::no_buffer_space, "TEMPORARY_FAILURE"},
                              pair{errc::not_supported, "NO_PROPOSAL_CHOSEN"}}) {
    duo both;
    both.establish("");
    both.b.plane.refuses = refuse_inbound(code);
    both.a.add(both.a.create_child("net"));
    both.settle();
    CHECK(both.a.has_reported(notify));
    CHECK(both.b.plane.refused_count() == 1);
    both.check_rest(0);
  }
}

TEST_CASE("create_child_sa: a responder without SPIs answers TEMPORARY_FAILURE") {
  for (auto* proposal : {"aes128gcm16", "aes128gcm16-x25519"}) {
    duo both{with_esp(proposal, proposal)};
    both.establish("");
    both.b.plane.refuses = [](const data_plane::request&) {
      return std::optional<error>{{errc::no_buffer_space, "SPI"}};
    };
    both.a.add(both.a.create_child("net"));
    both.settle();
    CHECK(both.a.has_reported("TEMPORARY_FAILURE"));
    both.check_rest(0);
  }
}

TEST_CASE("create_child_sa: what the initiator cannot install is deleted at the responder") {
  duo both;
  both.establish("");
  both.a.plane.refuses = refuse_inbound(errc::no_buffer_space);
  both.a.add(both.a.create_child("net"));
  both.settle();
  CHECK(both.a.has_reported("child failed"));
  both.check_rest(0);
  CHECK(both.b.live().size() == 1);
}

TEST_CASE("create_child_sa: a rekey that fails here after it succeeded there is undone there") {
  duo both;
  both.establish();
  auto old = only_child(both.a).inbound_spi;
  both.a.plane.refuses = refuse_inbound(errc::no_buffer_space);
  both.a.add(both.a.rekey_child());
  both.run();
  CHECK(only_child(both.a).inbound_spi == old);
  CHECK(only_child(both.b).outbound_spi == old);
  CHECK(only_child(both.b).state == child_state::installed);
  both.a.plane.refuses = nullptr;
  both.settle();
  both.check_rest();
  CHECK(only_child(both.a).inbound_spi != old);
}

TEST_CASE("create_child_sa: no answer frees the SPI") {
  duo both;
  both.establish("");
  both.a.add(both.a.create_child("net"));
  CHECK(both.a.plane.larval().size() == 1);
  both.drop();
  both.a.time_out(both.a.current());
  CHECK(both.a.plane.is_empty());
  CHECK(both.tally->live == 0);
}

TEST_CASE("create_child_sa: rekey by either side, again and again") {
  duo both;
  both.establish();
  auto reqid_a = only_child(both.a).reqid;
  std::set<data_plane::spi> seen{only_child(both.a).inbound_spi};
  for (auto* one : {&both.a, &both.b, &both.a, &both.b}) {
    one->add(one->rekey_child());
    both.settle();
    both.check_rest();
    CHECK(only_child(both.a).reqid == reqid_a);
    CHECK(seen.insert(only_child(both.a).inbound_spi).second);
  }
}

TEST_CASE("create_child_sa: a rekey responder sends on the old SA until it is deleted") {
  duo both;
  both.establish();
  auto old_outbound = only_child(both.b).outbound_spi;
  both.a.add(both.a.rekey_child());
  both.deliver("a CREATE_CHILD_SA request");
  // The new one can receive already, before the response leaves (§2.8).
  CHECK(both.b.plane.spis(direction::inbound).size() == 2);
  CHECK(both.b.plane.spis(direction::outbound) == std::set{old_outbound});
  both.deliver("b CREATE_CHILD_SA response");
  CHECK(both.a.plane.spis(direction::outbound).size() == 2);
  both.deliver("a INFORMATIONAL request");
  CHECK(both.b.plane.spis(direction::outbound).count(old_outbound) == 0);
  CHECK(both.b.plane.spis(direction::outbound).size() == 1);
  // What was sent on the old one may still arrive for a while.
  CHECK(both.b.plane.spis(direction::inbound).size() == 2);
  both.settle();
  both.check_rest();
}

TEST_CASE("create_child_sa: the same SA is not rekeyed twice") {
  duo both;
  both.establish();
  auto spi = only_child(both.a).inbound_spi;
  both.a.add(rekey_of(spi));
  both.a.add(rekey_of(spi));
  both.settle();
  both.check_rest();
  CHECK(both.a.has_reported("not begun: rekey_child"));
}

TEST_CASE("create_child_sa: a peer that rekeys the same SA twice gets TEMPORARY_FAILURE") {
  duo both;
  both.establish();
  auto spi = only_child(both.a).inbound_spi;
  both.a.add(rekey_of(spi));
  both.deliver("a CREATE_CHILD_SA request");
  both.deliver("b CREATE_CHILD_SA response");
  both.drop();  // its Delete
  // As if it had forgotten, and asked once more.
  auto sa = std::make_shared<const ike_sa_model>(both.b.current().model);
  REQUIRE(sa->children.size() == 2);
  flow_context context;
  context.library = &the_library();
  context.random = &both.b.random;
  context.numbers = &both.b.numbers;
  msg_digest md{both.tally};
  wire::notify_payload rekey;
  rekey.type = notify_type::rekey_sa;
  rekey.protocol = protocol_id::esp;
  auto outbound = sa->children.front().outbound_spi;
  for (int shift = 24; shift >= 0; shift -= 8)
    rekey.spi.push_back(static_cast<std::uint8_t>(outbound >> shift));
  md.payloads = {rekey};
  auto work = process_create_child_sa_request(context, sa, std::move(md));
  work.start();
  REQUIRE(work.done());
  auto outcome = work.take_outcome();
  REQUIRE(outcome.response);
  CHECK(wire::find_notify(*outcome.response, notify_type::temporary_failure) != nullptr);
  work = {};
  CHECK(both.tally->live == 0);
}

TEST_CASE("create_child_sa: rekey of what the peer does not have gives CHILD_SA_NOT_FOUND") {
  duo both;
  both.establish();
  both.a.add(both.a.rekey_child());
  // The responder loses it just before.
  auto lost = only_child(both.b);
  both.b.lose_child(lost.inbound_spi);
  both.settle();
  CHECK(both.a.has_reported("child failed: peer sent CHILD_SA_NOT_FOUND"));
  both.check_rest();  // a new one was made instead (§2.25.1)
  CHECK(only_child(both.a).inbound_spi != lost.outbound_spi);
}

TEST_CASE("create_child_sa: the notify CHILD_SA_NOT_FOUND names the SA that was asked for") {
  duo both;
  both.establish();
  auto spi = only_child(both.a).inbound_spi;
  both.a.add(rekey_of(spi));
  both.b.lose_child(only_child(both.b).inbound_spi);
  bool seen = false;
  both.b.tampers = [&](exchange_type, bool is_response, wire::payloads& payloads) {
    const auto* notify = wire::find_notify(payloads, notify_type::child_sa_not_found);
    if (!is_response || !notify) return;
    seen = true;
    CHECK(notify->protocol == protocol_id::esp);
    CHECK(to_hex(notify->spi) ==
          to_hex(bytes{static_cast<std::uint8_t>(spi >> 24), static_cast<std::uint8_t>(spi >> 16),
                       static_cast<std::uint8_t>(spi >> 8), static_cast<std::uint8_t>(spi)}));
  };
  both.settle();
  CHECK(seen);
  both.b.tampers = nullptr;
}

TEST_CASE("create_child_sa: a rekey that fails for now is tried again later") {
  duo both;
  both.establish();
  both.b.plane.refuses = refuse_inbound(errc::data_plane_busy);
  both.a.add(both.a.rekey_child());
  both.run();
  CHECK(both.a.has_reported("peer sent TEMPORARY_FAILURE"));
  CHECK(both.a.current().delayed.size() == 1);
  CHECK(only_child(both.a).state == child_state::installed);
  both.b.plane.refuses = nullptr;
  both.settle();
  both.check_rest();
  CHECK(both.a.has_reported("child rekeyed"));
}

TEST_CASE("informational: either side deletes a Child SA; the IKE SA lives on") {
  for (bool by_a : {true, false}) {
    duo both;
    both.establish();
    auto& one = by_a ? both.a : both.b;
    one.add(one.delete_child());
    both.settle();
    both.check_rest(0);
    CHECK(both.a.live().size() == 1);
  }
}

TEST_CASE("informational: the answer to a Delete lists the other half of the pair") {
  duo both;
  both.establish();
  auto outbound = only_child(both.a).outbound_spi;
  int answers = 0;
  both.b.tampers = [&](exchange_type, bool is_response, wire::payloads& payloads) {
    if (!is_response) return;
    const auto* gone = wire::find<wire::delete_payload>(payloads);
    REQUIRE(gone != nullptr);
    CHECK(gone->protocol == protocol_id::esp);
    CHECK(gone->spis == std::vector{outbound});
    ++answers;
  };
  both.a.add(both.a.delete_child());
  both.settle();
  CHECK(answers == 1);
}

TEST_CASE("informational: a Delete of an unknown SPI is answered by an empty message") {
  duo both;
  both.establish();
  auto unknown = peer::of_kind(task_kind::delete_child);
  unknown.inbound_spi = 0xdeadbeef;
  unknown.is_only_at_peer = true;
  int answers = 0;
  both.b.tampers = [&](exchange_type, bool is_response, wire::payloads& payloads) {
    if (is_response) CHECK((payloads.empty() && ++answers == 1));
  };
  both.a.add(unknown);
  both.settle();
  CHECK(answers == 1);
  both.check_rest();
}

TEST_CASE("informational: liveness checks pass both ways, and no answer ends the IKE SA") {
  duo both;
  both.establish();
  both.a.add(peer::of_kind(task_kind::check_liveness));
  both.b.add(peer::of_kind(task_kind::check_liveness));
  both.settle();
  both.check_rest();
  both.a.add(peer::of_kind(task_kind::check_liveness));
  both.drop();
  both.a.time_out(both.a.current());
  CHECK(both.a.has_reported("closed: no response"));
  CHECK(both.a.plane.is_empty());
}

TEST_CASE("informational: the Delete of an IKE SA takes its Child SAs along") {
  for (bool by_a : {true, false}) {
    duo both;
    both.establish();
    auto& one = by_a ? both.a : both.b;
    one.add(peer::of_kind(task_kind::delete_ike));
    both.settle();
    both.check_rest(0);
    CHECK(both.a.live().empty());
  }
}

TEST_CASE("informational: an unauthenticated peer cannot have a Child SA closed") {
  duo both;
  both.establish();
  both.a.add(both.a.delete_child());
  both.in_flight.front().datagram.back() ^= 1;
  both.run();
  CHECK(both.b.child_count() == 1);
  both.settle();  // the true one is sent again
  both.check_rest(0);
}
