// The Child SA that IKE_AUTH makes, or does not (RFC 7296 §1.2, §1.3.1, §2.21).
#include <doctest/doctest.h>

#include "tests/support/duo.hpp"

using namespace imago;
using namespace imago::ikev2;
using namespace imago::ikev2::testing;
using namespace imago::testing;

TEST_CASE("ike_auth: the IKE SA lives though the Child SA fails") {
  struct failing {
    const char* name;
    std::function<void(ends&)> change;
    const char* report;
  };
  const failing list[] = {
      {"selectors",
       [](ends& ends) { ends.b.child().local_selectors = {selector_of("10.9.0.0/16")}; },
       "peer sent TS_UNACCEPTABLE"},
      {"proposals",
       [](ends& ends) { ends.b.child().proposals = proposals_of(protocol_id::esp, "aes256gcm16"); },
       "peer sent NO_PROPOSAL_CHOSEN"},
      {"no children", [](ends& ends) { ends.b.connection().children.clear(); },
       "peer sent TS_UNACCEPTABLE"},
      {"transport mode where the responder has tunnel mode",
       [](ends& ends) { ends.a.child().mode = data_plane::mode::transport; },
       "the peer chose another mode"},
      {"tunnel mode where the responder has transport mode",
       [](ends& ends) { ends.b.child().mode = data_plane::mode::transport; },
       "peer sent TS_UNACCEPTABLE"},
  };
  for (const auto& one : list) {
    CAPTURE(std::string{one.name});
    auto ends = shared_key_ends();
    one.change(ends);
    duo both{ends};
    both.a.initiate("moon-sun", "net");
    both.settle();
    both.check_rest(0);
    CHECK(both.a.live().size() == 1);
    CHECK(both.a.has_reported(one.report));
    CHECK(both.a.has_reported("established"));
  }
}

TEST_CASE("ike_auth: a data plane that refuses fails the Child SA only, at either end") {
  for (bool at_a : {true, false})
    for (bool refuses_spi : {true, false}) {
      if (at_a && refuses_spi) continue;  // then there is nothing to ask for
      duo both;
      (at_a ? both.a : both.b).plane.refuses =
          [=](const data_plane::request& request) -> std::optional<error> {
        if (std::holds_alternative<data_plane::allocate_spi>(request) == refuses_spi &&
            !std::holds_alternative<data_plane::remove_sa>(request))
          return error{errc::no_buffer_space, "as the test wants it"};
        return std::nullopt;
      };
      both.a.initiate("moon-sun", "net");
      both.settle();
      both.check_rest(0);
      CHECK(both.a.live().size() == 1);
      CHECK(both.a.has_reported("child failed"));
    }
}

TEST_CASE("ike_auth: transport mode between two hosts") {
  auto ends = shared_key_ends();
  for (auto* end : {&ends.a, &ends.b}) {
    end->child().mode = data_plane::mode::transport;
    end->child().local_selectors.clear();  // dynamic
    end->child().remote_selectors.clear();
  }
  duo both{ends};
  both.establish();
  both.check_rest();
  const auto& child = both.a.current().model.children.front();
  CHECK(child.mode == data_plane::mode::transport);
  CHECK(child.local_selectors == traffic_selectors{traffic_selector::host(both.a.at.address)});
  both.b.add(both.b.rekey_child());
  both.settle();
  both.check_rest();
  CHECK(both.b.current().model.children.front().mode == data_plane::mode::transport);
}

TEST_CASE("ike_auth: a data plane without transport mode makes no Child SA of it") {
  auto ends = shared_key_ends();
  for (auto* end : {&ends.a, &ends.b}) end->child().mode = data_plane::mode::transport;
  ends.b.abilities.transport_mode = false;
  duo both{ends};
  both.a.initiate("moon-sun", "net");
  both.settle();
  both.check_rest(0);
  CHECK(both.a.has_reported("peer sent NO_PROPOSAL_CHOSEN"));
}
