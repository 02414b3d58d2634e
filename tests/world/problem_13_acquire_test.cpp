// Problem 13, its first half (libreswan/issues/1110, 1192): traps. Packets that meet a policy
// without an SA ask for one; however many ask, one negotiation follows, and the trap outlives what
// it brought up.
#include <set>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "tests/world/fleet.hpp"
#include "tests/world/hosts.hpp"
#include "world/invariants.hpp"
#include "world/scenarios.hpp"

using namespace imago;
using namespace imago::testing;
using namespace imago::world;
using namespace std::chrono_literals;

namespace {

traffic_selector host_at(const std::string& address) {
  return traffic_selector::host(*ip_address::parse(address));
}

const traffic_selector inside = host_at("10.1.0.5");

// IKE_SA_INIT requests and CREATE_CHILD_SA exchanges that a host began.
struct begun {
  std::size_t ike_sas = 0, children = 0;
};
std::shared_ptr<begun> count_begun(imago::world::world& in, const host& by) {
  auto counts = std::make_shared<begun>();
  in.net.on_wire = [counts, from = by.number()](datagram& what) {
    if (what.from != from) return true;
    auto header = wire::parse_header(what.octets);
    if (!header || header->is_response) return true;
    if (header->exchange == exchange_type::ike_sa_init && header->responder_spi == 0)
      ++counts->ike_sas;
    if (header->exchange == exchange_type::create_child_sa) ++counts->children;
    return true;
  };
  return counts;
}

}  // namespace

TEST_CASE("problem 13: 10,000 acquires to 200 peers are 200 negotiations") {
  constexpr std::size_t peers = 200, acquires = 10'000;
  fleet_options options;
  options.peers = peers;
  options.start_action = "trap";
  auto in = make_fleet(options);
  auto& gateway = *in->find_host("gateway");
  REQUIRE(gateway.fake()->policies().size() == peers);
  REQUIRE(gateway.fake()->sas().empty());
  auto counted = count_begun(*in, gateway);
  // Some while nothing runs, the rest while negotiations are under way.
  for (std::size_t number = 0; number < acquires; ++number) {
    auto to = host_at(fleet_address(options, number % peers, 0, 7));
    auto met = gateway.fake()->send_packet(inside, to);
    REQUIRE(met.has_value());
    if (number > acquires / 4) in->step();
  }
  REQUIRE(in->run_until_quiet());
  CHECK(counted->ike_sas == peers);
  CHECK(counted->children == 0);
  CHECK(gateway.list().size() == peers);
  CHECK(gateway.fake()->sas().size() == 2 * peers);
  // Trap and Child SA are one policy of the data plane.
  CHECK(gateway.fake()->policies().size() == peers);
  // What is up is not asked for.
  for (std::size_t index = 0; index < peers; ++index)
    (void)gateway.fake()->send_packet(inside, host_at(fleet_address(options, index, 0, 7)));
  REQUIRE(in->run_until_quiet());
  CHECK(counted->ike_sas == peers);

  // The trap is still there when its Child SA has gone, and works once more.
  gateway.terminate({});
  in->advance(long_enough);
  CHECK(gateway.list().empty());
  CHECK(gateway.fake()->sas().empty());
  CHECK(gateway.fake()->policies().size() == peers);
  for (int packet = 0; packet < 3; ++packet)
    (void)gateway.fake()->send_packet(inside, host_at(fleet_address(options, 3, 0, 9)));
  REQUIRE(in->run_until_quiet());
  CHECK(counted->ike_sas == peers + 1);
  CHECK(gateway.list().size() == 1);
  say(fmt::format("problem 13: {} acquires, {} negotiations", acquires, counted->ike_sas - 1));
}

TEST_CASE("problem 13: two children of one peer are one IKE SA, each asked for once") {
  fleet_options options;
  options.peers = 1;
  options.children = 2;
  options.start_action = "trap";
  auto in = make_fleet(options);
  auto& gateway = *in->find_host("gateway");
  auto counted = count_begun(*in, gateway);
  for (int packet = 0; packet < 20; ++packet)
    for (std::size_t child : {0U, 1U})
      (void)gateway.fake()->send_packet(inside, host_at(fleet_address(options, 0, child, 1)));
  REQUIRE(in->run_until_quiet());
  CHECK(counted->ike_sas == 1);
  CHECK(counted->children == 1);
  CHECK(gateway.fake()->sas().size() == 4);
}

TEST_CASE("problem 13: a trap whose peer does not answer asks again as keyingtries says") {
  for (unsigned tries : {1U, 3U}) {
    fleet_options options;
    options.peers = 0;
    options.black_holes = 1;
    options.start_action = "trap";
    options.more = fmt::format("keyingtries = {}", tries);
    auto in = make_fleet(options);
    auto& gateway = *in->find_host("gateway");
    std::set<std::uint64_t> spis;
    in->net.on_wire = [&](datagram& what) {
      if (auto header = wire::parse_header(what.octets)) spis.insert(header->initiator_spi);
      return true;
    };
    (void)gateway.fake()->send_packet(inside, host_at(fleet_address(options, 0, 0, 1)));
    in->advance(600s);
    CHECK(spis.size() == tries);
    CHECK(gateway.living("ike_sa").empty());
    CHECK(gateway.fake()->policies().size() == 1);
    // Then a packet may ask anew.
    (void)gateway.fake()->send_packet(inside, host_at(fleet_address(options, 0, 0, 1)));
    REQUIRE(in->run_until_quiet());
    CHECK(spis.size() == tries + 1);
  }
}

TEST_CASE("problem 13: unloading takes the traps away, and what start actions began, no more") {
  for (std::string action : {"trap", "start", "trap|start", "none"}) {
    CAPTURE(action);
    fleet_options options;
    options.peers = 3;
    options.start_action = action;
    auto in = make_fleet(options);
    auto& gateway = *in->find_host("gateway");
    bool traps = action.find("trap") != action.npos, starts = action.find("start") != action.npos;
    CHECK(gateway.fake()->policies().size() == (traps || starts ? 3 : 0));
    CHECK(gateway.fake()->sas().size() == (starts ? 6 : 0));
    CHECK(gateway.list_policies().size() == (traps ? 3 : 0));
    // One more that a command brings up: load did not do it.
    if (!starts) gateway.initiate(fleet_connection(0), "net0");
    REQUIRE(in->run_until_quiet());
    auto nothing = world::policy_of("connections {}\nsecrets {}\n");
    REQUIRE(nothing);
    gateway.use_policy(*nothing);
    in->advance(10s);
    CHECK(gateway.list_policies().empty());
    CHECK(gateway.list().size() == (starts ? 0 : 1));
    CHECK(gateway.fake()->policies().size() == (starts ? 0 : 1));
    gateway.terminate({});
    in->advance(long_enough);
    CHECK(gateway.fake()->is_empty());
  }
}

TEST_CASE("problem 13: a connection that is killed leaves no trap behind, its successor has it") {
  fleet_options options;
  options.peers = 4;
  options.start_action = "trap";
  auto in = make_fleet(options);
  auto& gateway = *in->find_host("gateway");
  auto before = gateway.fake()->policies();
  CHECK(gateway.kill("connection") == 4);
  in->advance(5s);
  CHECK(gateway.fake()->policies() == before);
  CHECK(gateway.list_policies().size() == 4);
  (void)gateway.fake()->send_packet(inside, host_at(fleet_address(options, 1, 0, 1)));
  REQUIRE(in->run_until_quiet());
  CHECK(gateway.list().size() == 1);
  // The whole engine: nothing is left.
  gateway.stop_engine();
  in->advance(long_enough);
  CHECK(gateway.fake()->is_empty());
}

TEST_CASE("problem 13: whatever a data plane does to a trap's request, nothing stays for ever") {
  using kernel_if::fault_action;
  for (auto action : {fault_action::refuse, fault_action::lose_request, fault_action::lose_reply,
                      fault_action::repeat_reply, fault_action::fail_late})
    for (std::string request : {"install_policy", "remove_policy"}) {
      CAPTURE(static_cast<int>(action));
      CAPTURE(request);
      fleet_options options;
      options.peers = 1;
      options.start_action = "none";
      auto in = make_fleet(options);
      auto& gateway = *in->find_host("gateway");
      gateway.fake()->inject_fault({request, 1, action, errc::no_buffer_space});
      auto ask = [&](auto message) {
        gateway.as_user([&] { gateway.shared->engine.tell(std::move(message)); });
        in->advance(15s);
      };
      ask(actors::install_child_policy{fleet_connection(0), "net0", {}});
      bool is_there = gateway.fake()->has_policies();
      bool is_failed = request == "install_policy" && action != fault_action::repeat_reply;
      CHECK(is_there != is_failed);
      CHECK(gateway.list_policies().size() == (is_failed ? 0 : 1));
      ask(actors::uninstall_child_policy{fleet_connection(0), "net0", {}});
      in->advance(60s);
      CHECK(gateway.fake()->is_empty());
      CHECK(gateway.list_policies().empty());
    }
}

TEST_CASE("problem 13: an SA that vanished unheard is deleted at both ends, the trap stays") {
  using data_plane::direction;
  for (auto lost : {direction::inbound, direction::outbound}) {
    fleet_options options;
    options.peers = 1;
    options.start_action = "trap";
    auto in = make_fleet(options);
    auto& gateway = *in->find_host("gateway");
    auto& peers = *in->find_host("peers");
    auto packet = [&] {
      return gateway.fake()->send_packet(inside, host_at(fleet_address(options, 0, 0, 1)));
    };
    REQUIRE(packet());
    REQUIRE(in->run_until_quiet());
    for (const auto& sa : gateway.fake()->sas())
      if (sa.id.direction == lost) CHECK(gateway.fake()->lose_sa(sa.id));
    in->advance(long_enough);
    CHECK(gateway.facts("data_plane_events_lost") == 1);
    CHECK(gateway.fake()->sas().empty());
    CHECK(peers.fake()->sas().empty());
    REQUIRE(packet());
    in->advance(10s);
    CHECK(gateway.fake()->sas().size() == 2);
    CHECK(peers.fake()->sas().size() == 2);
  }
}

TEST_CASE("problem 13: shunts let pass and drop without a peer, in this order") {
  auto text = R"(connections { local {
      children {
        lan { mode = pass
              start_action = trap
              local_ts = 10.1.0.0/16
              remote_ts = 10.1.0.0/16 }
        rest { mode = drop
               start_action = start
               remote_ts = 10.0.0.0/8 }
        later { mode = drop
                remote_ts = 192.168.0.0/16 } } } })";
  auto policy = world::policy_of(text);
  REQUIRE_MESSAGE(policy, (policy ? "" : policy.failure().text()));
  auto in = std::make_unique<imago::world::world>();
  host_options made;
  made.addresses = {*ip_address::parse("192.0.2.1")};
  made.policy = *policy;
  auto& one = in->add_host(std::move(made));
  REQUIRE(in->run_until_quiet());
  auto met = [&](const char* remote) {
    auto found = one.fake()->send_packet(inside, host_at(remote));
    return found ? std::optional{found->processing} : std::nullopt;
  };
  CHECK(met("10.1.0.9") == data_plane::processing::bypass);
  CHECK(met("10.2.0.9") == data_plane::processing::discard);
  CHECK_FALSE(met("192.168.0.1"));
  CHECK(one.list_policies().size() == 2);
  auto refused = one.initiate("local", "rest");
  REQUIRE(in->run_until_quiet());
  CHECK_FALSE(*one.answers->result_of(refused));
  CHECK(in->net.sent_count() == 0);
}

// --- what ends: dpd_action and close_action
// -------------------------------------------------------

namespace {

constexpr const char* gateway_form = R"(connections { g {
    local_addrs = 192.0.2.1
    remote_addrs = @REMOTE@
    dpd_delay = 20s
    local { auth = psk
            id = gateway.example }
    remote { auth = psk
             id = client.example }
    children { net { local_ts = 10.1.0.0/16
                     remote_ts = 10.2.0.0/16
                     @CHILD@ } } } }
secrets { ike-1 { secret = "a key for both" } })";

constexpr const char* client_text = R"(connections { c {
    local_addrs = 198.18.0.1
    remote_addrs = 192.0.2.1
    local { auth = psk
            id = client.example }
    remote { auth = psk
             id = gateway.example }
    children { net { local_ts = 10.2.0.0/16
                     remote_ts = 10.1.0.0/16 } } } }
secrets { ike-1 { secret = "a key for both" } })";

std::string replaced(std::string text, std::string_view what, std::string_view with) {
  auto at = text.find(what);
  REQUIRE(at != text.npos);
  return text.replace(at, what.size(), with);
}

// A gateway to which a client has come: one Child SA. Of the gateway's: its child's settings.
struct visited {
  explicit visited(std::string_view child, std::string_view remote = "198.18.0.1") {
    auto text = replaced(replaced(gateway_form, "@CHILD@", child), "@REMOTE@", remote);
    gateway = &add("gateway", "192.0.2.1", text);
    client = &add("client", "198.18.0.1", client_text);
    come();
  }
  host& add(std::string name, const char* address, const std::string& text) {
    auto policy = world::policy_of(text);
    REQUIRE_MESSAGE(policy, (policy ? "" : policy.failure().text()));
    host_options made;
    made.name = std::move(name);
    made.addresses = {*ip_address::parse(address)};
    made.engine = brisk_options();
    made.policy = *policy;
    return in->add_host(std::move(made));
  }
  void come() {
    REQUIRE(in->run_until_quiet());
    client->initiate("c", "net");
    REQUIRE(in->run_until_quiet());
    REQUIRE(is_up());
  }
  // One IKE SA with one Child SA at both ends.
  bool is_up() {
    auto has_one = [](host& one) {
      auto all = one.list();
      return all.size() == 1 && all[0]->state == "ESTABLISHED" && all[0]->children.size() == 1;
    };
    return has_one(*gateway) && has_one(*client);
  }
  bool began() {
    return !gateway->list().empty() && gateway->list()[0]->role == ikev2::role::initiator;
  }

  std::unique_ptr<imago::world::world> in = std::make_unique<imago::world::world>();
  host* gateway = nullptr;
  host* client = nullptr;
};

}  // namespace

TEST_CASE("dpd_action: restart works for who answered, with an address configured or last seen") {
  for (std::string remote : {"198.18.0.1", "%any"}) {
    CAPTURE(remote);
    visited two{"dpd_action = restart", remote};
    CHECK_FALSE(two.began());
    CHECK(two.client->kill("ike_sa") == 1);  // it has forgotten all, and says nothing
    two.in->advance(2 * long_enough);
    CHECK(two.is_up());
    CHECK(two.began());
  }
}

TEST_CASE("dpd_action: clear leaves nothing, trap waits for a packet") {
  for (std::string action : {"clear", "trap"}) {
    CAPTURE(action);
    visited two{"dpd_action = " + action};
    CHECK(two.client->kill("ike_sa") == 1);
    two.in->advance(2 * long_enough);
    CHECK(two.gateway->list().empty());
    CHECK(two.gateway->fake()->sas().empty());
    bool is_trap = action == "trap";
    CHECK(two.gateway->list_policies().size() == (is_trap ? 1 : 0));
    CHECK(two.gateway->fake()->has_policies() == is_trap);
    (void)two.gateway->fake()->send_packet(inside, host_at("10.2.0.7"));
    two.in->advance(10s);
    CHECK(two.is_up() == is_trap);
  }
}

TEST_CASE("close_action: what the peer deletes stays away, comes back, or waits for a packet") {
  for (std::string action : {"none", "start", "trap"})
    for (bool only_child : {true, false}) {
      CAPTURE(action);
      CAPTURE(only_child);
      visited two{"close_action = " + action};
      actors::sa_selector all;
      if (only_child) all.child = "net";
      two.client->terminate(all);
      two.in->advance(10s);
      CHECK(two.is_up() == (action == "start"));
      CHECK(two.gateway->list_policies().size() == (action == "trap" ? 1 : 0));
      (void)two.gateway->fake()->send_packet(inside, host_at("10.2.0.7"));
      two.in->advance(10s);
      CHECK(two.is_up() == (action != "none"));
      // A command of ours is no Delete of the peer's: the configuration says nothing about it.
      two.gateway->terminate(all);
      two.in->advance(long_enough);
      CHECK_FALSE(two.is_up());
    }
}
