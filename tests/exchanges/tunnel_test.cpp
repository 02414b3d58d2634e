// Whole tunnels between two engines of production actors: up, commands, deleted.
#include <algorithm>

#include <doctest/doctest.h>

#include "tests/exchanges/ends.hpp"

using namespace imago;
using namespace imago::testing;
using namespace std::chrono_literals;
using imago::testing::pair;

TEST_CASE("tunnel: up with a shared key, both agree, nothing is left when it is closed") {
  pair both{brisk()};
  both.establish();
  both.check_agreement();
  CHECK(both.a.only_child().state == "INSTALLED");
  CHECK(both.a.only()->role == ikev2::role::initiator);
  CHECK(both.b.only()->role == ikev2::role::responder);
  CHECK(both.b.only()->authenticated_by.find("PSK") != std::string::npos);
  auto closing = both.a.terminate(the_ike_sa);
  both.run_until_quiet();
  CHECK(both.a.answers->result_of(closing));
  both.check_empty();
}

TEST_CASE("tunnel: up with certificates") {
  pair both{brisk(ecdsa_ends())};
  both.establish();
  both.check_agreement();
  CHECK(both.b.only()->authenticated_by.find("ECDSA") != std::string::npos);
  both.b.terminate(the_ike_sa);
  both.run_until_quiet();
  both.check_empty();
}

TEST_CASE("tunnel: what the peer does not accept fails the command with the reason") {
  auto ends = shared_key_ends();
  ends.b.credentials.shared_keys = {shared_key_of("another key", {"moon.example", "sun.example"})};
  pair both{brisk(ends)};
  auto command = both.a.initiate();
  both.run_until_quiet();
  auto result = both.a.answers->result_of(command);
  REQUIRE(!result);
  CHECK(result.failure().code == errc::authentication_failed);
  both.advance(60s);
  both.check_empty();
}

TEST_CASE("tunnel: without a common proposal there is no IKE SA") {
  auto ends = shared_key_ends();
  ends.b.connection().proposals = proposals_of(protocol_id::ike, "aes256gcm16-prfsha384-ecp384");
  pair both{brisk(ends)};
  auto command = both.a.initiate();
  both.run_until_quiet();
  CHECK(!both.a.answers->result_of(command));
  both.check_empty();
}

TEST_CASE("tunnel: a second child on the same IKE SA, then one of them deleted") {
  pair both{brisk(two_children_ends())};
  both.establish("net");
  auto second = both.a.initiate("net2");
  both.run_until_quiet();
  CHECK(both.a.answers->result_of(second));
  CHECK(both.a.only()->children.size() == 2);
  both.check_agreement();

  auto closing = both.b.terminate({"", "net2", 0, 0});
  both.run_until_quiet();
  CHECK(both.b.answers->result_of(closing));
  CHECK(both.a.only_child().name == "net");
  both.check_agreement();
}

TEST_CASE("tunnel: the responder initiates a Child SA on the IKE SA that is there") {
  pair both{brisk(two_children_ends())};
  both.establish("net");
  auto second = both.b.initiate("net2");
  both.run_until_quiet();
  CHECK(both.b.answers->result_of(second));
  CHECK(both.b.only()->children.size() == 2);
  CHECK(both.sent_count(false, "CREATE_CHILD_SA request 0") == 1);
  both.check_agreement();
}

TEST_CASE("tunnel: asked for twice at once, there is one IKE SA") {
  pair both{brisk(two_children_ends())};
  auto first = both.a.initiate("net");
  auto second = both.a.initiate("net2");
  both.run_until_quiet();
  CHECK(both.a.answers->result_of(first));
  CHECK(both.a.answers->result_of(second));
  CHECK(both.a.only()->children.size() == 2);
  both.check_agreement();
}

TEST_CASE("tunnel: one command closes several Child SAs and is answered for each") {
  pair both{brisk(two_children_ends())};
  both.establish("net");
  both.a.initiate("net2");
  both.run_until_quiet();
  auto sa = both.a.only()->id;
  auto closing = both.a.terminate({"", "net", sa, 0});
  auto closing_other = both.a.terminate({"", "net2", sa, 0});
  both.run_until_quiet();
  CHECK(both.a.answers->result_of(closing));
  CHECK(both.a.answers->result_of(closing_other));
  CHECK(both.a.only()->children.empty());
  both.check_agreement();
}

TEST_CASE("tunnel: deletes that cross") {
  pair both{brisk()};
  both.establish();
  SUBCASE("of the IKE SA") {
    auto by_a = both.a.terminate(the_ike_sa);
    auto by_b = both.b.terminate(the_ike_sa);
    both.run_actors();
    CHECK(both.in_flight.size() == 2);
    both.run_until_quiet();
    CHECK(both.a.answers->result_of(by_a));
    CHECK(both.b.answers->result_of(by_b));
    both.advance(60s);
    both.check_empty();
  }
  SUBCASE("of the Child SA") {
    auto by_a = both.a.terminate(the_child_sa);
    auto by_b = both.b.terminate(the_child_sa);
    both.run_actors();
    CHECK(both.in_flight.size() == 2);
    both.run_until_quiet();
    CHECK(both.a.answers->is_answered(by_a));
    CHECK(both.b.answers->is_answered(by_b));
    CHECK(both.a.only()->children.empty());
    both.check_agreement();
  }
}

TEST_CASE("tunnel: closed by force, the peer is told once and not waited for") {
  pair both{brisk()};
  both.establish();
  auto closing = both.a.terminate(the_ike_sa, true);
  both.run_actors();
  CHECK(both.a.answers->result_of(closing));
  CHECK(both.a.shared->counted->live("ike_sa") == 0);
  both.run_until_quiet();
  both.check_empty();
}

TEST_CASE("tunnel: commands that match nothing are answered") {
  pair both{brisk()};
  auto unknown = both.a.initiate("nothing");
  auto no_connection = both.a.initiate("net", "no-such");
  auto closing = both.a.terminate(the_ike_sa);
  auto rekeying = both.a.rekey(the_child_sa);
  both.run_until_quiet();
  CHECK(both.a.answers->result_of(unknown).failure().code == errc::not_found);
  CHECK(both.a.answers->result_of(no_connection).failure().code == errc::not_found);
  CHECK(both.a.answers->selected.at(closing) == 0);
  CHECK(both.a.answers->is_answered(closing));
  CHECK(both.a.answers->selected.at(rekeying) == 0);
}

TEST_CASE("tunnel: terminated before it is established") {
  pair both{brisk()};
  auto command = both.a.initiate();
  both.run_actors();
  both.drop();
  auto closing = both.a.terminate({});
  both.run_until_quiet();
  CHECK(both.a.answers->selected.at(closing) == 1);
  CHECK(!both.a.answers->result_of(command));
  CHECK(both.a.answers->result_of(closing));
  both.check_empty();
}

TEST_CASE("tunnel: a changed configuration leaves living SAs alone and serves the next") {
  pair both{brisk()};
  both.establish();
  auto sa = both.a.only()->id;
  auto changed = brisk(two_children_ends()).ends;
  for (auto* side : {&both.a, &both.b}) {
    side->self.connections = side->is_a ? changed.a.connections : changed.b.connections;
    side->load();
  }
  both.run_until_quiet();
  CHECK(both.a.only()->id == sa);
  auto second = both.a.initiate("net2");
  both.run_until_quiet();
  INFO(both.text());
  CHECK(both.a.answers->result_of(second));
  CHECK(both.a.only()->id == sa);
  CHECK(both.a.only()->children.size() == 2);
  both.check_agreement();
}

TEST_CASE("tunnel: a connection taken out of the configuration closes what it began") {
  for (bool is_commanded : {false, true}) {
    CAPTURE(is_commanded);
    auto ends = shared_key_ends();
    if (!is_commanded) ends.a.child().start_action = config::start_action::start;
    pair both{brisk(ends)};
    if (is_commanded) both.establish();
    both.run_until_quiet();
    REQUIRE(both.a.list().size() == 1);
    both.a.self.connections.clear();
    both.a.load();
    both.run_until_quiet();
    if (is_commanded) {
      // Loading did not begin it, so unloading does not end it.
      CHECK(both.a.list().size() == 1);
      both.a.terminate({});
      both.run_until_quiet();
    }
    both.check_empty();
  }
}

TEST_CASE("tunnel: the engine stops with Deletes, and answers when they are through") {
  pair both{brisk()};
  both.establish();
  both.a.stop_engine();
  both.run_actors();
  CHECK(both.a.answers->engines_stopped == 0);
  both.run_until_quiet();
  CHECK(both.a.answers->engines_stopped == 1);
  auto refused = both.a.initiate();
  both.run_until_quiet();
  CHECK(both.a.answers->result_of(refused).failure().code == errc::shutting_down);
  both.a.end_roots();
  both.run_until_quiet();
  both.check_empty();
}

TEST_CASE("tunnel: the engine stops though the peer is silent") {
  pair both{brisk()};
  both.establish();
  both.on_wire = [](wire_datagram&) { return false; };
  both.a.stop_engine();
  both.advance(5s);
  CHECK(both.a.answers->engines_stopped == 1);
  both.a.end_roots();
  both.advance(60s);
  both.check_empty();
}

TEST_CASE("tunnel: a command is answered when its connection is removed meanwhile") {
  auto removed = [](pair& both) {
    both.a.self.connections.clear();
    both.a.load();
  };
  SUBCASE("before anything was sent") {
    pair both{brisk()};
    auto up = both.a.initiate();
    removed(both);
    both.on_wire = [](wire_datagram&) { return false; };
    both.advance(60s);
    CHECK(!both.a.answers->result_of(up));
    both.check_empty();
  }
  SUBCASE("while the peer is silent") {
    pair both{brisk()};
    both.on_wire = [](wire_datagram&) { return false; };
    auto up = both.a.initiate();
    auto second = both.a.initiate("");
    both.run_until_quiet();
    removed(both);
    both.advance(60s);
    CHECK(!both.a.answers->result_of(up));
    CHECK(both.a.answers->is_answered(second));
    both.check_empty();
  }
  SUBCASE("while a Child SA is asked for, by initiator and responder") {
    for (bool of_a : {true, false}) {
      pair both{brisk(two_children_ends())};
      both.establish();
      auto& side = of_a ? both.a : both.b;
      both.on_wire = [](wire_datagram&) { return false; };
      auto up = side.initiate("net2");
      side.run_actor("engine", 1);
      side.self.connections.clear();
      side.load();
      both.run_until_quiet();
      both.advance(60s);
      CHECK(side.answers->is_answered(up));
      both.check_empty();
    }
  }
}

TEST_CASE("tunnel: an IKE SA alone is an error if the peer does not announce RFC 6023") {
  pair both{brisk()};
  SUBCASE("it does") {
    auto up = both.a.initiate("");
    both.run_until_quiet();
    CHECK(both.a.answers->result_of(up));
    CHECK(both.a.only()->children.empty());
    both.check_agreement();
  }
  SUBCASE("it does not") {
    // Its notify becomes one that nobody knows.
    both.on_wire = [](wire_datagram& what) {
      const bytes childless{0x40, 0x22}, unknown{0xa0, 0x22};
      auto at =
          std::search(what.octets.begin(), what.octets.end(), childless.begin(), childless.end());
      if (what.label() == "IKE_SA_INIT response 0" && at != what.octets.end())
        std::copy(unknown.begin(), unknown.end(), at);
      return true;
    };
    auto up = both.a.initiate("");
    both.run_until_quiet();
    auto result = both.a.answers->result_of(up);
    REQUIRE(!result);
    CHECK(result.failure().code == errc::not_supported);
    CHECK(result.failure().where.find("RFC 6023") != std::string::npos);
    CHECK(both.sent_count(true, "IKE_AUTH request 1") == 0);
    both.advance(60s);
    both.check_empty();
  }
}

TEST_CASE("tunnel: the responder's log names the Child SA that was not created, if it can") {
  auto said = [](pair& both) {
    both.b.shared->facts->drain();
    auto found = both.b.ring->named("child_sa_failed");
    REQUIRE(found.size() == 1);
    return actors::line_of(found.front());
  };
  auto ends = two_children_ends();
  SUBCASE("in IKE_AUTH") {
    pair both{brisk(ends)};
    both.b.plane->inject_fault({"install_sa", 1, kernel_if::fault_action::refuse});
    both.a.initiate();
    both.run_until_quiet();
    CHECK(said(both).find("Child SA net not created: ") != std::string::npos);
  }
  SUBCASE("in CREATE_CHILD_SA") {
    pair both{brisk(ends)};
    both.establish();
    both.b.plane->inject_fault({"allocate_spi", 1, kernel_if::fault_action::refuse});
    both.a.initiate("net2");
    both.run_until_quiet();
    CHECK(said(both).find("Child SA net2 not created: ") != std::string::npos);
  }
  SUBCASE("in a rekey") {
    pair both{brisk(ends)};
    both.establish();
    both.b.plane->inject_fault({"install_sa", 1, kernel_if::fault_action::refuse});
    both.a.rekey(the_child_sa);
    both.run_until_quiet();
    CHECK(said(both).find("Child SA net not created: ") != std::string::npos);
  }
  SUBCASE("none of ours") {
    ends.b.connection().children.pop_back();
    pair both{brisk(ends)};
    both.establish();
    both.a.initiate("net2");
    both.run_until_quiet();
    CHECK(said(both).find("a Child SA that the peer asked for not created: ") != std::string::npos);
  }
}
