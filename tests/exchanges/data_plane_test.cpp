// A data plane that refuses, is late, loses and repeats: the peer learns what the RFC says, and
// nothing is left behind.
#include <algorithm>

#include <doctest/doctest.h>

#include "actors/kernel.hpp"
#include "tests/exchanges/ends.hpp"

using namespace imago;
using namespace imago::testing;
using namespace std::chrono_literals;
using imago::testing::pair;
using kernel_if::fault_action;

namespace {

std::ptrdiff_t place_of(const pair& both, std::string_view what, std::size_t nth = 1) {
  for (std::size_t at = 0; at < both.story.size(); ++at)
    if (both.story[at] == what && --nth == 0) return static_cast<std::ptrdiff_t>(at);
  return -1;
}

void close_all(pair& both) {
  both.a.terminate({});
  both.advance(60s);
  both.check_empty();
}

}  // namespace

TEST_CASE("data plane: the response leaves only after the inbound SA is acknowledged") {
  pair both{brisk()};
  both.establish();
  auto installed = place_of(both, "b replies install_sa");
  REQUIRE(installed >= 0);
  CHECK(installed < place_of(both, "b sends IKE_AUTH response 1"));
  both.story.clear();
  both.a.rekey(the_child_sa);
  both.run_until_quiet();
  installed = place_of(both, "b replies install_sa");
  REQUIRE(installed >= 0);
  CHECK(installed < place_of(both, "b sends CREATE_CHILD_SA response 2"));
}

TEST_CASE("data plane: while the acknowledgement is missing nothing is answered") {
  pair both{brisk()};
  both.a.initiate();
  both.run_actors();
  both.deliver();
  both.run_actors();
  both.deliver();
  both.run_actors();
  both.b.plane->inject_fault({"install_sa", 1, fault_action::lose_reply, {}});
  both.deliver();  // IKE_AUTH request
  both.run_actors();
  CHECK(both.b.plane->sas().size() == 1);
  CHECK(both.sent_count(false, "IKE_AUTH response 1") == 0);
  both.on_wire = [](wire_datagram& what) { return !what.from_a; };  // only b's clock matters
  both.advance(60s);
  both.advance(60s);
  both.check_empty();
}

TEST_CASE("data plane: a refused SPI or inbound SA fails the Child SA, not the IKE SA") {
  for (const auto* request : {"allocate_spi", "install_sa"})
    for (bool of_a : {true, false}) {
      INFO(request << " refused by " << (of_a ? "a" : "b"));
      pair both{brisk()};
      auto& side = of_a ? both.a : both.b;
      side.plane->inject_fault({request, 1, fault_action::refuse, errc::no_buffer_space});
      auto command = both.a.initiate();
      both.run_until_quiet();
      CHECK(!both.a.answers->result_of(command));
      both.advance(30s);
      both.check_agreement();
      for (const auto& sa : both.a.list()) CHECK(sa->children.empty());
      CHECK(both.a.plane->is_empty());
      CHECK(both.b.plane->is_empty());
      close_all(both);
    }
}

TEST_CASE("data plane: a refused SA in CREATE_CHILD_SA leaves the other Child SAs alone") {
  for (const auto* request : {"allocate_spi", "install_sa"})
    for (bool of_a : {true, false}) {
      INFO(request << " refused by " << (of_a ? "a" : "b"));
      pair both{brisk(two_children_ends())};
      both.establish();
      auto& side = of_a ? both.a : both.b;
      side.plane->inject_fault({request, 1, fault_action::refuse, errc::no_buffer_space});
      auto command = both.a.initiate("net2");
      both.run_until_quiet();
      CHECK(!both.a.answers->result_of(command));
      both.advance(30s);
      CHECK(both.a.only_child().name == "net");
      both.check_agreement();
      auto again = both.a.initiate("net2");
      both.run_until_quiet();
      CHECK(both.a.answers->result_of(again));
      both.check_agreement();
      close_all(both);
    }
}

TEST_CASE("data plane: a refused outbound SA closes the Child SA on both sides") {
  for (bool of_a : {true, false}) {
    INFO("refused by " << (of_a ? "a" : "b"));
    pair both{brisk()};
    auto& side = of_a ? both.a : both.b;
    side.plane->inject_fault({"install_sa", 2, fault_action::refuse, errc::no_buffer_space});
    auto command = both.a.initiate();
    both.run_until_quiet();
    if (of_a) CHECK(!both.a.answers->result_of(command));
    both.advance(30s);
    CHECK(both.a.only()->children.empty());
    both.check_agreement();
    close_all(both);
  }
}

TEST_CASE("data plane: a refused rekey keeps the old Child SA") {
  for (bool of_a : {true, false}) {
    INFO("refused by " << (of_a ? "a" : "b"));
    pair both{brisk()};
    both.establish();
    auto& side = of_a ? both.a : both.b;
    auto child = both.a.only_child().model.inbound_spi;
    side.plane->inject_fault({"install_sa", 1, fault_action::refuse, errc::no_buffer_space});
    both.a.rekey(the_child_sa);
    both.run_until_quiet();
    both.check_agreement();
    CHECK(both.a.only_child().model.inbound_spi == child);
    both.advance(60s);
    both.check_agreement();
    CHECK(both.a.only()->children.size() == 1);
    close_all(both);
  }
}

TEST_CASE("data plane: a lost reply is given up, and what was done is undone") {
  for (bool of_a : {true, false})
    for (std::uint32_t nth : {1U, 2U}) {
      INFO("install_sa " << nth << " of " << (of_a ? "a" : "b"));
      pair both{brisk()};
      auto& side = of_a ? both.a : both.b;
      side.plane->inject_fault({"install_sa", nth, fault_action::lose_reply, {}});
      auto command = both.a.initiate();
      both.advance(60s);
      CHECK(both.a.answers->is_answered(command));
      both.check_agreement();
      close_all(both);
    }
}

TEST_CASE("data plane: an SPI whose reply is lost is given back") {
  for (bool of_a : {true, false}) {
    INFO("allocate_spi of " << (of_a ? "a" : "b"));
    pair both{brisk()};
    auto& side = of_a ? both.a : both.b;
    side.plane->inject_fault({"allocate_spi", 1, fault_action::lose_reply, {}});
    auto command = both.a.initiate();
    both.run_until_quiet();
    CHECK(side.plane->larval().size() == 1);
    both.advance(60s);
    CHECK(both.a.answers->is_answered(command));
    CHECK(side.plane->larval().empty());
    both.check_agreement();
    close_all(both);
  }
}

TEST_CASE("data plane: an SPI that is taken is replaced by another") {
  pair both{brisk()};
  for (auto* side : {&both.a, &both.b})
    side->plane->inject_fault({"allocate_spi", 1, fault_action::refuse, errc::already_exists});
  both.establish();
  both.check_agreement();
  CHECK(both.a.only()->children.size() == 1);
  close_all(both);
}

TEST_CASE("data plane: a data plane that has no SPI left is believed after some tries") {
  pair both{brisk()};
  both.a.plane->inject_fault({"allocate_spi", 0, fault_action::refuse, errc::already_exists});
  auto command = both.a.initiate();
  both.run_until_quiet();
  CHECK(both.a.answers->is_answered(command));
  CHECK(!both.a.answers->result_of(command));
  both.a.plane->clear_faults();
  both.advance(30s);
  close_all(both);
}

TEST_CASE(
    "data plane: the exchange is killed and the reply to its install_sa lost: all is undone") {
  // What happens to the question whether it was installed.
  for (auto question : {std::optional<fault_action>{}, std::optional{fault_action::lose_request},
                        std::optional{fault_action::lose_reply}})
    for (auto installing : {fault_action::lose_reply, fault_action::lose_request}) {
      INFO("install_sa " << static_cast<int>(installing) << ", query_sa "
                         << (question ? static_cast<int>(*question) : -1));
      pair both{brisk()};
      both.b.plane->inject_fault({"install_sa", 1, installing, {}});
      if (question) both.b.plane->inject_fault({"query_sa", 1, *question, {}});
      both.a.initiate();
      both.run_until_quiet();  // b waits for its data plane
      bool is_installed = installing == fault_action::lose_reply;
      CHECK(both.b.plane->sas().size() == (is_installed ? 1 : 0));
      CHECK(both.b.plane->policies().size() == (is_installed ? 1 : 0));
      both.on_wire = [](wire_datagram&) { return false; };
      for (const auto& one : both.b.living("exchange"))
        caf::anon_send<caf::message_priority::high>(one, actors::kill{});
      both.advance(60s);
      both.check_empty();
    }
}

TEST_CASE("data plane: a lost request is given up") {
  for (const auto* request : {"allocate_spi", "install_sa"})
    for (bool of_a : {true, false}) {
      INFO(request << " lost by " << (of_a ? "a" : "b"));
      pair both{brisk()};
      (of_a ? both.a : both.b).plane->inject_fault({request, 1, fault_action::lose_request, {}});
      auto command = both.a.initiate();
      both.advance(60s);
      CHECK(both.a.answers->is_answered(command));
      both.check_agreement();
      close_all(both);
    }
}

TEST_CASE("data plane: a reply given twice changes nothing") {
  for (const auto* request : {"allocate_spi", "install_sa", "remove_sa"}) {
    INFO(request);
    pair both{brisk()};
    for (auto* side : {&both.a, &both.b})
      side->plane->inject_fault({request, 0, fault_action::repeat_reply, {}});
    both.establish();
    both.a.rekey(the_child_sa);
    both.advance(30s);
    both.check_agreement();
    close_all(both);
  }
}

TEST_CASE("data plane: what is answered after its asker was killed is undone") {
  pair both{brisk()};
  both.a.initiate();
  // Until the data plane holds a reply to b's install_sa.
  auto holds_install = [&] {
    auto held = both.b.plane->held();
    return std::any_of(held.begin(), held.end(),
                       [](const auto& one) { return one.request == "install_sa"; });
  };
  while (!holds_install()) REQUIRE(both.step());
  for (const auto& one : both.b.living("exchange"))
    caf::anon_send<caf::message_priority::high>(one, actors::kill{});
  both.on_wire = [](wire_datagram&) { return false; };
  both.advance(60s);
  both.check_empty();
}

TEST_CASE("data plane: leases pass from exchange to Child SA and go with it") {
  pair both{brisk()};
  both.establish();
  for (auto* side : {&both.a, &both.b}) {
    const auto& kernel = side->look_at<actors::kernel>(side->shared->kernel.actor());
    CHECK(kernel.table_sizes().leases == 2);
    CHECK(kernel.table_sizes().owners == 1);
    CHECK(kernel.table_sizes().pending == 0);
  }
  both.a.terminate(the_child_sa);
  both.run_until_quiet();
  for (auto* side : {&both.a, &both.b}) {
    const auto& kernel = side->look_at<actors::kernel>(side->shared->kernel.actor());
    CHECK(kernel.table_sizes().total() == 0);
    CHECK(side->plane->is_empty());
  }
}

TEST_CASE("data plane: without one, Child SAs fail and say so") {
  auto options = brisk();
  options.has_data_plane = false;
  pair both{std::move(options)};
  auto command = both.a.initiate();
  both.run_until_quiet();
  CHECK(both.a.answers->result_of(command).failure().code == errc::not_supported);
  close_all(both);
}
