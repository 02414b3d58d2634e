// What clients ask and are answered, with an engine that only pretends.
// lint: long because every command of the control socket has its case here
#include <doctest/doctest.h>

#include "tests/actors/control_room.hpp"
#include "tests/support/certificates.hpp"

using namespace imago;
using namespace imago::actors;
using imago::actors::testing::body;
using imago::actors::testing::control_room;
using imago::actors::testing::sample_sa;
using imago::actors::testing::test_client;
using vici::packet_type;

namespace {

struct served : control_room {
  served() { REQUIRE(start()); }
};

vici::message psk_connection(const char* name, const char* address = "192.0.2.9") {
  vici::message local, remote, child, children, connection, request;
  local.add("auth", "psk").add("id", "a.example");
  remote.add("auth", "psk").add("id", "b.example");
  child.add_list("remote_ts", {"10.2.0.0/16"});
  children.add_section("net", std::move(child)).add_section("slow", {});
  connection.add_list("remote_addrs", {address});
  connection.add_section("local-1", std::move(local)).add_section("remote-1", std::move(remote));
  connection.add_section("children", std::move(children));
  request.add_section(name, std::move(connection));
  return request;
}

}  // namespace

TEST_CASE("control: version and stats are answered, the unknown is said to be") {
  served room;
  test_client client{room};
  auto version = client.call("version");
  CHECK(version.value_or("daemon", "") == "imagod");
  CHECK(!version.value_or("release", "").empty());
  auto stats = client.call("stats");
  CHECK(stats.value_or("ikesas.total", "") == "3");
  CHECK(stats.value_or("ikesas.half-open", "") == "1");
  CHECK(stats.value_or("uptime.running", "") == "1000 seconds");
  CHECK(stats.value_or("living.control_client", "") == "1");
  client.send(packet_type::command_request, "no-such-command");
  CHECK(client.receive()->type == packet_type::command_unknown);
  client.send(packet_type::event_register, "no-such-event");
  CHECK(client.receive()->type == packet_type::event_unknown);
  client.send(packet_type::event_unregister, "log");
  CHECK(client.receive()->type == packet_type::event_unknown);
}

TEST_CASE("control: requests sent ahead are answered in order, more than it takes at once") {
  served room;
  test_client client{room};
  std::vector<packet_type> expected;
  for (int count = 0; count < 200; ++count) {
    switch (count % 4) {
      case 0:
        client.send(packet_type::command_request, "version");
        expected.push_back(packet_type::command_response);
        break;
      case 1:
        client.send(packet_type::command_request, "nonsense");
        expected.push_back(packet_type::command_unknown);
        break;
      case 2:
        client.send(packet_type::event_register, "ike-updown");
        expected.push_back(packet_type::event_confirm);
        break;
      default:
        client.send(packet_type::command_request, "stats");
        expected.push_back(packet_type::command_response);
    }
  }
  for (auto type : expected) {
    auto packet = client.receive();
    REQUIRE(packet.has_value());
    REQUIRE(packet->type == type);
  }
}

TEST_CASE("control: initiate answers as the engine does, in charon's words") {
  served room;
  test_client client{room};
  CHECK(client.call("initiate").value_or("errmsg", "") == "missing configuration name");
  CHECK(client.call("initiate", body({{"child", "good"}})).value_or("success", "") == "yes");
  auto bad = client.call("initiate", body({{"child", "bad"}}));
  CHECK(bad.value_or("success", "") == "no");
  CHECK(bad.value_or("errmsg", "").starts_with("establishing CHILD_SA 'bad' failed"));
  auto nothing = client.call("initiate", body({{"child", "nothing"}}));
  CHECK(nothing.value_or("errmsg", "") == "CHILD_SA config 'nothing' not found");
}

TEST_CASE("control: an initiation that takes too long is answered, its late end is ignored") {
  served room;
  test_client client{room};
  client.send(packet_type::command_request, "initiate",
              body({{"child", "slow"}, {"timeout", "500"}}));
  REQUIRE(room.script().wait_for_initiations(1));
  room.pass(std::chrono::milliseconds{510});
  auto late = client.receive();
  REQUIRE(late.has_value());
  CHECK(late->body.value_or("errmsg", "") == "CHILD_SA 'slow' not established after 500ms");
  auto& asked = room.script().initiations.front();
  caf::anon_send(asked.reply_to, task_ended{asked.command, {}});
  CHECK(client.call("version").value_or("daemon", "") == "imagod");
}

TEST_CASE("control: an initiation with timeout -1 is not waited for") {
  served room;
  test_client client{room};
  auto missing = client.call("initiate", body({{"child", "slow"}, {"timeout", "-1"}}));
  CHECK(missing.value_or("errmsg", "") == "CHILD_SA config 'slow' not found");
  REQUIRE(client.call("load-conn", psk_connection("one")).value_or("success", "") == "yes");
  auto asked = client.call("initiate", body({{"child", "slow"}, {"timeout", "-1"}}));
  CHECK(asked.value_or("success", "") == "yes");
  CHECK(room.script().wait_for_initiations(1));
}

TEST_CASE("control: one request waits for the one before, another client does not") {
  served room;
  test_client waiting{room}, other{room};
  waiting.send(packet_type::command_request, "initiate", body({{"child", "slow"}}));
  waiting.send(packet_type::command_request, "version");
  REQUIRE(room.script().wait_for_initiations(1));
  CHECK(other.call("version").value_or("daemon", "") == "imagod");
  auto& asked = room.script().initiations.front();
  caf::anon_send(asked.reply_to, task_ended{asked.command, {}});
  CHECK(waiting.receive()->body.value_or("success", "") == "yes");
  CHECK(waiting.receive()->body.value_or("daemon", "") == "imagod");
}

TEST_CASE("control: terminate counts what it ended") {
  served room;
  test_client client{room};
  CHECK(client.call("terminate").value_or("errmsg", "") == "missing terminate selector");
  room.script().matches = 3;
  auto ended = client.call("terminate", body({{"ike", "one"}}));
  CHECK(ended.value_or("success", "") == "yes");
  CHECK(ended.value_or("matches", "") == "3");
  CHECK(ended.value_or("terminated", "") == "3");
  room.script().matches = 0;
  auto none = client.call("terminate", body({{"child-id", "7"}}));
  CHECK(none.value_or("errmsg", "") == "no matching SAs to terminate found");
  CHECK(room.script().terminations.back().which.child_id == 7);
}

TEST_CASE("control: terminate with force and a timeout is polite first, then not") {
  served room;
  room.script().ends_politely = false;
  test_client client{room};
  client.send(packet_type::command_request, "terminate",
              body({{"ike", "one"}, {"force", "yes"}, {"timeout", "100"}}));
  REQUIRE(room.eventually([&] {
    std::lock_guard guard{room.script().mutex};
    return room.script().terminations.size() == 1;
  }));
  CHECK(!room.script().terminations[0].force);
  room.pass(std::chrono::milliseconds{110});
  auto ended = client.receive();
  REQUIRE(ended.has_value());
  CHECK(ended->body.value_or("success", "") == "yes");
  REQUIRE(room.script().terminations.size() == 2);
  CHECK(room.script().terminations[1].force);
}

TEST_CASE("control: terminate without force gives up when its time is over") {
  served room;
  room.script().ends_politely = false;
  test_client client{room};
  client.send(packet_type::command_request, "terminate",
              body({{"ike", "one"}, {"timeout", "100"}}));
  REQUIRE(room.eventually([&] {
    std::lock_guard guard{room.script().mutex};
    return room.script().terminations.size() == 1;
  }));
  room.pass(std::chrono::milliseconds{110});
  auto ended = client.receive();
  REQUIRE(ended.has_value());
  CHECK(ended->body.value_or("errmsg", "") == "terminating SA failed");
  CHECK(ended->body.value_or("terminated", "") == "0");
}

TEST_CASE("control: terminate without a timeout does not wait for an SA that is gone") {
  served room;
  room.script().ends_politely = false;
  room.script().sas = {sample_sa(4, "one", "net")};
  test_client client{room};
  client.send(packet_type::command_request, "terminate", body({{"ike", "one"}}));
  auto is_waiting = [&] { return room.parts().shared->timers->pending() == 1; };
  REQUIRE(room.eventually(is_waiting));
  room.pass(std::chrono::seconds{6});  // still there: it looks again later
  REQUIRE(room.eventually(is_waiting));
  {
    std::lock_guard guard{room.script().mutex};
    room.script().sas.clear();
  }
  room.pass(std::chrono::seconds{6});
  auto ended = client.receive();
  REQUIRE(ended.has_value());
  CHECK(ended->body.value_or("success", "") == "yes");
  CHECK(ended->body.value_or("terminated", "") == "1");
}

TEST_CASE("control: rekey and kill say how many they meant") {
  served room;
  room.script().matches = 2;
  test_client client{room};
  CHECK(client.call("rekey", body({{"child", "net"}})).value_or("matches", "") == "2");
  CHECK(room.script().rekeyed.front().child == "net");
  CHECK(client.call("kill", body({{"ike-id", "9"}})).value_or("success", "") == "yes");
  CHECK(room.script().killed.front().ike_id == 9);
  CHECK(client.call("kill").value_or("success", "") == "no");
  room.script().matches = 0;
  CHECK(client.call("rekey", body({{"ike", "x"}})).value_or("errmsg", "") ==
        "no matching SAs to rekey found");
}

TEST_CASE("control: the log of a command comes before its response, and of its connection only") {
  served room;
  test_client client{room};
  REQUIRE(client.call("load-conn", psk_connection("one")).value_or("success", "") == "yes");
  REQUIRE(client.listen_to("control-log"));
  client.send(packet_type::command_request, "initiate", body({{"child", "slow"}}));
  REQUIRE(room.script().wait_for_initiations(1));
  room.record("other", 8, "not this");
  room.record("one", 7, "this\nand this");
  auto& asked = room.script().initiations.front();
  caf::anon_send(asked.reply_to, task_ended{asked.command, {}});
  auto told = client.receive();
  REQUIRE(told.has_value());
  CHECK(told->type == packet_type::event);
  CHECK(told->body.value_or("group", "") == "IKE");
  CHECK(told->body.value_or("ikesa-name", "") == "one");
  CHECK(told->body.value_or("ikesa-uniqueid", "") == "7");
  CHECK(told->body.value_or("msg", "") == "this\\x0aand this");
  // The response waits for the journal's thread, not for the clock.
  CHECK(client.receive()->type == packet_type::command_response);
}

TEST_CASE("control: list-sas shows an SA in vici's words, with its counters") {
  served room;
  room.script().sas = {sample_sa(4, "one", "net"), sample_sa(5, "", "lan")};
  test_client client{room};
  REQUIRE(client.listen_to("list-sa"));
  CHECK(client.call("list-sas").elements.empty());
  REQUIRE(client.events.size() == 2);
  const auto* sa = client.events[0].body.find_section("one");
  REQUIRE(sa);
  const std::pair<const char*, const char*> expected[] = {
      {"uniqueid", "4"},
      {"version", "2"},
      {"state", "ESTABLISHED"},
      {"local-host", "192.0.2.1"},
      {"local-port", "4500"},
      {"local-id", "a.example"},
      {"remote-id", "b.example"},
      {"initiator", "yes"},
      {"initiator-spi", "0000000000000abc"},
      {"encr-alg", "AES_GCM_16"},
      {"encr-keysize", "128"},
      {"prf-alg", "PRF_HMAC_SHA2_256"},
      {"dh-group", "CURVE_25519"},
      {"established", "10"},
      {"rekey-time", "600"},
      {"child-sas.net-104.state", "INSTALLED"},
      {"child-sas.net-104.mode", "TUNNEL"},
      {"child-sas.net-104.reqid", "5"},
      {"child-sas.net-104.encap", "yes"},
      {"child-sas.net-104.spi-in", "c0000001"},
      {"child-sas.net-104.encr-alg", "AES_CBC"},
      {"child-sas.net-104.esn", "1"},
      {"child-sas.net-104.integ-alg", "HMAC_SHA2_256_128"},
      {"child-sas.net-104.dh-group", "ECP_256"},
      {"child-sas.net-104.bytes-in", "3221225473"},
      {"child-sas.net-104.packets-out", "7"},
      {"child-sas.net-104.install-time", "5"},
  };
  for (const auto& one : expected)
    CHECK_MESSAGE(sa->value_or(one.first, "") == one.second, one.first);
  REQUIRE(sa->find_list("child-sas.net-104.remote-ts"));
  CHECK(sa->find_list("child-sas.net-104.remote-ts")->front() == "10.2.0.0/16");
  CHECK(client.events[1].body.find_section("(unnamed)"));
}

TEST_CASE("control: a filter for children leaves the IKE SAs in the list") {
  served room;
  room.script().sas = {sample_sa(4, "one", "net"), sample_sa(5, "two", "lan")};
  test_client client{room};
  REQUIRE(client.listen_to("list-sa"));
  client.call("list-sas", body({{"child", "lan"}, {"noblock", "yes"}}));
  REQUIRE(client.events.size() == 2);
  CHECK(client.events[0].body.find_section("one.child-sas")->elements.empty());
  CHECK(client.events[1].body.find_section("two.child-sas")->elements.size() == 1);
}

TEST_CASE("control: what a silent data plane did not count is listed without") {
  served room;
  room.script().counts_usage = false;
  for (std::uint64_t id = 1; id <= 100; ++id)
    room.script().sas.push_back(sample_sa(id, "one", "net"));
  test_client client{room};
  REQUIRE(client.listen_to("list-sa"));
  client.send(packet_type::command_request, "list-sas");
  REQUIRE(room.eventually([&] { return room.parts().shared->timers->pending() == 1; }));
  room.pass(std::chrono::milliseconds{510});  // once: the second batch is not asked for
  std::size_t listed = 0;
  for (auto packet = client.receive(); packet && packet->type == packet_type::event;
       packet = client.receive()) {
    ++listed;
    CHECK(!packet->body.find_section("one")->find("child-sas.net-101.bytes-in"));
  }
  CHECK(listed == 100);
}

TEST_CASE("control: list-policies shows traps, pass and drop, each if it is asked for") {
  served room;
  data_plane::policy trap, pass, drop;
  trap.reqid = 7;
  trap.mode = data_plane::mode::transport;
  trap.local_selectors = {traffic_selector::host(*ip_address::parse("192.0.2.1"))};
  pass.processing = data_plane::processing::bypass;
  drop.processing = data_plane::processing::discard;
  room.script().policies = {{"one", "net", trap}, {"one", "ssh", pass}, {"two", "rest", drop}};
  test_client client{room};
  REQUIRE(client.listen_to("list-policy"));
  client.call("list-policies");
  CHECK(client.events.empty());
  client.call("list-policies", body({{"trap", "yes"}}));
  REQUIRE(client.events.size() == 1);
  const auto& shown = client.events[0].body;
  CHECK(shown.value_or("one/net.mode", "") == "TRANSPORT");
  CHECK(shown.value_or("one/net.reqid", "") == "7");
  CHECK(shown.value_or("one/net.ike", "") == "one");
  CHECK(shown.value_or("one/net.child", "") == "net");
  CHECK(*shown.find_section("one/net")->find_list("local-ts") ==
        std::vector<std::string>{"192.0.2.1/32"});
  client.events.clear();
  client.call("list-policies", body({{"pass", "no"}, {"drop", "yes"}}));  // presence counts
  REQUIRE(client.events.size() == 2);
  CHECK(client.events[0].body.value_or("one/ssh.mode", "") == "PASS");
  CHECK(client.events[1].body.value_or("two/rest.mode", "") == "DROP");
  CHECK(client.events[1].body.value_or("two/rest.reqid", "none") == "none");
  client.events.clear();
  client.call("list-policies", body({{"trap", "yes"}, {"drop", "yes"}, {"child", "rest"}}));
  CHECK(client.events.size() == 1);
}

TEST_CASE("control: install and uninstall say what became of it") {
  served room;
  test_client client{room};
  CHECK(client.call("install").value_or("errmsg", "") == "missing configuration name");
  for (auto command : {"install", "uninstall"}) {
    CHECK(client.call(command, body({{"child", "net"}, {"ike", "one"}})).value_or("success", "") ==
          "yes");
    auto unknown = client.call(command, body({{"child", "nothing"}}));
    CHECK(unknown.value_or("success", "") == "no");
    CHECK(unknown.value_or("errmsg", "") == "CHILD_SA config 'nothing' not found");
    CHECK(client.call(command, body({{"child", "bad"}})).value_or("errmsg", "").find("policy") !=
          std::string::npos);
  }
  std::lock_guard guard{room.script().mutex};
  CHECK(room.script().policy_changes ==
        std::vector<std::pair<bool, std::string>>{{true, "one/net"}, {false, "one/net"}});
}

TEST_CASE("control: connections come, are listed, change and go") {
  served room;
  test_client client{room};
  CHECK(client.call("load-conn", psk_connection("one")).value_or("success", "") == "yes");
  CHECK(client.call("load-conn", psk_connection("two")).value_or("success", "") == "yes");
  CHECK(client.call("load-conn", psk_connection("two", "192.0.2.10")).value_or("success", "") ==
        "yes");
  CHECK(*client.call("get-conns").find_list("conns") == std::vector<std::string>{"one", "two"});
  REQUIRE(client.listen_to("list-conn"));
  client.call("list-conns", body({{"ike", "two"}}));
  REQUIRE(client.events.size() == 1);
  const auto* two = client.events[0].body.find_section("two");
  REQUIRE(two);
  CHECK(two->find_list("remote_addrs")->front() == "192.0.2.10");
  CHECK(two->value_or("local-1.class", "") == "pre-shared key");
  CHECK(two->value_or("remote-1.id", "") == "b.example");
  CHECK(two->find_list("children.net.remote-ts")->front() == "10.2.0.0/16");
  CHECK(two->find_list("children.net.local-ts")->front() == "dynamic");
  CHECK(client.call("unload-conn", body({{"name", "one"}})).value_or("success", "") == "yes");
  CHECK(client.call("unload-conn", body({{"name", "one"}})).value_or("errmsg", "") ==
        "unload: connection 'one' not found");
  CHECK(client.call("get-conns").find_list("conns")->size() == 1);
}

TEST_CASE("control: a bad connection is refused as a whole, with vici's text") {
  served room;
  test_client client{room};
  auto request = psk_connection("one");
  std::get<std::unique_ptr<vici::message>>(request.elements[0].content)->add("nonsense", "1");
  auto refused = client.call("load-conn", std::move(request));
  CHECK(refused.value_or("success", "") == "no");
  CHECK(refused.value_or("errmsg", "") == "unknown option: nonsense, config discarded");
  CHECK(client.call("get-conns").find_list("conns")->empty());
}

TEST_CASE("control: what a file loaded is the file's") {
  served room;
  ikev2::policy_parts parts;
  auto config = std::make_shared<config::connection_config>();
  config->name = "one";
  parts.connections.push_back(config);
  REQUIRE(room.parts().credentials->replace_files(std::move(parts)));
  test_client client{room};
  auto refused = client.call("load-conn", psk_connection("one"));
  CHECK(refused.value_or("success", "") == "no");
  CHECK(refused.value_or("errmsg", "").find("belongs to the configuration file") !=
        std::string::npos);
  CHECK(client.call("get-conns").find_list("conns")->empty());
  CHECK(client.call("unload-conn", body({{"name", "one"}})).value_or("success", "") == "no");
}

TEST_CASE("control: certificates and keys come, are listed and go") {
  served room;
  test_client client{room};
  auto ca = imago::testing::make_authority("CN=ca");
  auto moon = imago::testing::make_end_entity(ca, {});
  auto load = [&](const char* flag, const bytes& der) {
    auto request = body({{"type", "X509"}, {"flag", flag}});
    request.add("data", to_text(der));
    return client.call("load-cert", std::move(request)).value_or("success", "");
  };
  CHECK(load("CA", ca.certificate) == "yes");
  CHECK(load("CA", moon.certificate) == "yes");  // not believed: it does not say so itself
  CHECK(load("NONE", moon.certificate) == "yes");
  CHECK(load("NONE", to_bytes("rubbish")) == "no");
  auto request = body({{"type", "any"}});
  request.add("data", moon.key.pem());
  auto loaded = client.call("load-key", std::move(request));
  CHECK(loaded.value_or("success", "") == "yes");
  CHECK(loaded.value_or("id", "").size() == 40);
  CHECK(client.call("get-keys").find_list("keys")->front() == loaded.value_or("id", ""));
  REQUIRE(client.listen_to("list-cert"));
  client.call("list-certs");
  REQUIRE(client.events.size() == 2);
  CHECK(client.events[0].body.value_or("flag", "") == "NONE");
  CHECK(client.events[0].body.value_or("has_privkey", "") == "yes");
  CHECK(to_bytes(client.events[0].body.value_or("data", "")) == moon.certificate);
  CHECK(client.events[1].body.value_or("flag", "") == "CA");
  CHECK(!client.events[1].body.find("has_privkey"));
  client.events.clear();
  client.call("list-certs", body({{"type", "X509"}, {"flag", "CA"}}));
  CHECK(client.events.size() == 1);
  CHECK(client.call("unload-key", body({{"id", "00"}})).value_or("errmsg", "") == "key not found");
  auto id = loaded.value_or("id", "");
  CHECK(client.call("unload-key", body({{"id", id.c_str()}})).value_or("success", "") == "yes");
  CHECK(client.call("clear-creds").value_or("success", "") == "yes");
  client.events.clear();
  client.call("list-certs");
  CHECK(client.events.empty());
}

TEST_CASE("control: shared keys are known by their id; the same id replaces") {
  served room;
  test_client client{room};
  for (const char* value : {"first", "second"}) {
    auto request = body({{"type", "IKE"}, {"id", "ike-1"}, {"data", value}});
    request.add_list("owners", {"a.example"});
    CHECK(client.call("load-shared", std::move(request)).value_or("success", "") == "yes");
  }
  CHECK(*client.call("get-shared").find_list("keys") == std::vector<std::string>{"ike-1"});
  auto control = room.parts().credentials->control();
  REQUIRE(control.shared_keys.size() == 1);
  CHECK(control.shared_keys[0]->value == secret{to_bytes("second")});
  auto eap = client.call("load-shared", body({{"type", "EAP"}, {"data", "x"}}));
  CHECK(eap.value_or("success", "") == "no");
  CHECK(client.call("unload-shared", body({{"id", "ike-1"}})).value_or("success", "") == "yes");
  CHECK(client.call("get-shared").find_list("keys")->empty());
}

TEST_CASE("control: authorities go by name") {
  served room;
  test_client client{room};
  auto ca = imago::testing::make_authority("CN=ca");
  vici::message section, request;
  section.add("cacert", to_text(ca.certificate));
  request.add_section("house", std::move(section));
  CHECK(client.call("load-authority", std::move(request)).value_or("success", "") == "yes");
  CHECK(client.call("get-authorities").find_list("authorities")->front() == "house");
  CHECK(room.parts().credentials->control().authorities.size() == 1);
  REQUIRE(client.listen_to("list-authority"));
  client.call("list-authorities");
  REQUIRE(client.events.size() == 1);
  CHECK(client.events[0].body.value_or("house.cacert", "") == "CN=ca");
  CHECK(client.call("unload-authority", body({{"name", "house"}})).value_or("success", "") ==
        "yes");
  CHECK(room.parts().credentials->control().authorities.empty());
  CHECK(client.call("unload-authority", body({{"name", "house"}})).value_or("success", "") == "no");
}

TEST_CASE("control: events of SAs go to those who registered them") {
  served room;
  test_client client{room}, other{room};
  REQUIRE(client.listen_to("ike-updown"));
  REQUIRE(client.listen_to("child-rekey"));
  REQUIRE(room.script().wait_for_subscription());
  auto before = sample_sa(4, "one", "net");
  sa_event up{sa_event_kind::ike_up, before, nullptr, 0, 0, {}, {}};
  room.parts().shared->engine.tell(sa_event_happened{up});
  auto told = client.next_event("ike-updown");
  REQUIRE(told.has_value());
  CHECK(told->body.value_or("up", "") == "yes");
  CHECK(told->body.value_or("one.uniqueid", "") == "4");
  CHECK(!told->body.find_section("one.child-sas"));
  sa_event ignored{sa_event_kind::child_up, before, nullptr, 104, 0, before->children[0], {}};
  room.parts().shared->engine.tell(sa_event_happened{ignored});
  auto after = std::make_shared<ike_sa_status>(*before);
  after->children[0].id = 105;
  sa_event rekeyed{sa_event_kind::child_rekeyed, after, nullptr, 104, 105, before->children[0], {}};
  room.parts().shared->engine.tell(sa_event_happened{rekeyed});
  auto both = client.receive();
  REQUIRE(both.has_value());
  CHECK(both->name == "child-rekey");
  CHECK(both->body.value_or("one.child-sas.net.old.uniqueid", "") == "104");
  CHECK(both->body.value_or("one.child-sas.net.new.uniqueid", "") == "105");
  CHECK(other.call("version").value_or("daemon", "") == "imagod");
  CHECK(other.events.empty());
}

TEST_CASE("control: the log is followed until it is no longer wanted") {
  served room;
  test_client client{room};
  REQUIRE(client.listen_to("log"));
  room.record("one", 3, "hello");
  auto told = client.next_event("log");
  REQUIRE(told.has_value());
  CHECK(told->body.value_or("level", "") == "1");
  CHECK(told->body.value_or("msg", "") == "hello");
  client.send(packet_type::event_unregister, "log");
  auto confirmed = client.receive();
  while (confirmed && confirmed->type == packet_type::event) confirmed = client.receive();
  REQUIRE(confirmed.has_value());
  CHECK(confirmed->type == packet_type::event_confirm);
  client.send(packet_type::event_unregister, "log");
  CHECK(client.receive()->type == packet_type::event_unknown);
}

TEST_CASE("control: reload-settings reads the file again and says what was wrong") {
  served room;
  test_client client{room};
  CHECK(client.call("reload-settings").value_or("success", "") == "yes");
  room.reload = [] { return status{errc::bad_syntax, "imago.conf:3:1"}; };
  auto refused = client.call("reload-settings");
  CHECK(refused.value_or("success", "") == "no");
  CHECK(refused.value_or("errmsg", "").find("imago.conf:3:1") != std::string::npos);
}
