// Clients that do what they should not, and sockets that are not what they should be.
#include <fstream>

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/actors/control_room.hpp"

using namespace imago;
using namespace imago::actors;
using imago::actors::testing::body;
using imago::actors::testing::control_room;
using imago::actors::testing::test_client;
using vici::packet_type;

namespace {

struct served : control_room {
  served() { REQUIRE(start()); }
  bool has_clients(std::int64_t count) {
    return eventually([&] { return parts().shared->counted->live("control_client") == count; });
  }
};

bool is_served(const control_room& room) {
  test_client client{room};
  return client.call("version").value_or("daemon", "") == "imagod";
}

bytes segment(bytes content) {
  auto size = static_cast<std::uint32_t>(content.size());
  bytes out{static_cast<std::uint8_t>(size >> 24), static_cast<std::uint8_t>(size >> 16),
            static_cast<std::uint8_t>(size >> 8), static_cast<std::uint8_t>(size)};
  append(out, content);
  return out;
}

}  // namespace

TEST_CASE("control: octets that mean nothing are ignored, and what follows is served") {
  served room;
  test_client client{room};
  for (const bytes& content :
       {bytes{}, bytes{9}, bytes{1, 2, 3}, bytes{0}, bytes{0, 200, 'x'}, bytes{3, 3, 'a', 1, 'b'},
        bytes{0, 2, 0xc3, 0xa4}, bytes(5000, 0xff)})
    CHECK(client.send_octets(segment(content)));
  CHECK(client.call("version").value_or("daemon", "") == "imagod");
}

TEST_CASE("control: a command whose message is broken is refused, an unknown one unknown") {
  served room;
  test_client client{room};
  CHECK(client.send_octets(segment({0, 7, 'v', 'e', 'r', 's', 'i', 'o', 'n', 2})));
  auto refused = client.receive();
  REQUIRE(refused.has_value());
  CHECK(refused->body.value_or("errmsg", "") == "parsing request failed");
  CHECK(client.send_octets(segment({0, 3, 'v', 'e', 'r', 2})));
  CHECK(client.receive()->type == packet_type::command_unknown);
}

TEST_CASE("control: a segment larger than the protocol's ends the connection at once") {
  served room;
  test_client client{room};
  CHECK(client.send_octets(bytes{0x00, 0x08, 0x00, 0x01}));
  CHECK(client.is_closed());
  CHECK(room.has_clients(0));
  CHECK(is_served(room));
}

TEST_CASE("control: a client that leaves inside a segment leaves nothing") {
  served room;
  {
    test_client client{room};
    CHECK(client.call("version").value_or("daemon", "") == "imagod");
    CHECK(client.send_octets(bytes{0, 0, 1, 0, 0, 7, 'v'}));
  }
  CHECK(room.has_clients(0));
}

TEST_CASE("control: a client that leaves during an initiation leaves nothing but the initiation") {
  served room;
  {
    test_client client{room};
    REQUIRE(client.listen_to("control-log"));
    client.send(packet_type::command_request, "initiate", body({{"child", "slow"}}));
    REQUIRE(room.script().wait_for_initiations(1));
  }
  initiate_sa asked;
  {
    std::lock_guard guard{room.script().mutex};
    asked = std::move(room.script().initiations.front());
    room.script().initiations.clear();
  }
  // Its actor has ended; the last handle is the engine's, which may answer all the same.
  caf::anon_send(asked.reply_to, task_ended{asked.command, {}});
  asked.reply_to = {};
  CHECK(room.has_clients(0));
  CHECK(is_served(room));
}

TEST_CASE("control: a client that does not read loses events, nobody else anything") {
  served room;
  test_client deaf{room};
  REQUIRE(deaf.listen_to("log"));
  const std::string text(1000, 'x');
  for (int batch = 0; batch < 10; ++batch) {
    for (int count = 0; count < 500; ++count) room.record("one", 1, text);
    room.parts().shared->facts->drain();
    CHECK(is_served(room));
  }
  // Still there: what is kept for it can be read, and it is far less than the 5000.
  int told = 0;
  deaf.send(packet_type::command_request, "version");
  auto packet = deaf.receive();
  for (; packet && packet->type == packet_type::event; packet = deaf.receive()) ++told;
  REQUIRE(packet.has_value());
  CHECK(packet->type == packet_type::command_response);
  CHECK(told > 0);
  CHECK(told < 3000);
}

TEST_CASE("control: a client that asks without end and reads nothing is ended") {
  served room;
  test_client greedy{room};
  auto request = *vici::encode_packet({packet_type::command_request, "get-algorithms", {}});
  bytes many;
  for (int count = 0; count < 200; ++count) append(many, request);
  // Each answer is some 500 octets; the bound is reached long before these have gone.
  CHECK(room.eventually([&] {
    if (greedy.send_octets(many)) return false;
    return true;
  }));
  CHECK(room.has_clients(0));
  CHECK(is_served(room));
}

TEST_CASE("control: a stream waits for a client that reads slowly, and loses nothing") {
  served room;
  for (std::uint64_t id = 1; id <= 3000; ++id)
    room.script().sas.push_back(testing::sample_sa(id, "one", "net"));
  test_client client{room};
  REQUIRE(client.listen_to("list-sa"));
  client.call("list-sas");
  REQUIRE(client.events.size() == 3000);  // some 4 MB, more than may wait for a client
  CHECK(client.events.back().body.value_or("one.uniqueid", "") == "3000");
}

TEST_CASE("control: a hundred clients are served, more than the bound are turned away") {
  served room;
  std::vector<std::unique_ptr<test_client>> clients;
  for (int count = 0; count < 100; ++count) clients.push_back(std::make_unique<test_client>(room));
  for (auto& client : clients) client->send(packet_type::command_request, "version");
  for (auto& client : clients) CHECK(client->receive()->body.value_or("daemon", "") == "imagod");
  while (clients.size() < limits::control_clients_max) {
    clients.push_back(std::make_unique<test_client>(room));
    CHECK(clients.back()->call("version").value_or("daemon", "") == "imagod");
  }
  test_client refused{room};
  CHECK(refused.is_closed());
  clients.clear();
  CHECK(room.has_clients(0));
  CHECK(is_served(room));
}

TEST_CASE("control: stop ends clients in the middle of a command and removes the socket") {
  served room;
  test_client client{room};
  client.send(packet_type::command_request, "initiate", body({{"child", "slow"}}));
  REQUIRE(room.script().wait_for_initiations(1));
  room.server->stop();
  CHECK(client.is_closed());
  CHECK(!std::filesystem::exists(room.path()));
}

TEST_CASE("control: the socket is for its owner and group") {
  served room;
  struct stat found {};
  REQUIRE(::stat(room.path().c_str(), &found) == 0);
  CHECK((found.st_mode & 0777) == 0660);
}

TEST_CASE("control: a socket on which a daemon answers is not taken over") {
  served room;
  auto second = control_server::start(room.parts(), room.uri(), {});
  REQUIRE(!second);
  CHECK(second.failure().where.find("another daemon answers") != std::string::npos);
  CHECK(is_served(room));
}

TEST_CASE("control: a socket that was left behind is replaced, a file is not") {
  control_room room;
  int stale = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  room.path().copy(address.sun_path, sizeof address.sun_path - 1);
  REQUIRE(::bind(stale, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  ::close(stale);
  CHECK(room.start());
  CHECK(is_served(room));
  room.server.reset();
  std::ofstream{room.path()} << "precious";
  CHECK(!room.start());
  CHECK(std::filesystem::file_size(room.path()) == 8);
}

TEST_CASE("control: a URI is unix:// and a path") {
  CHECK(*path_of_control_uri("unix:///run/x") == "/run/x");
  CHECK(path_of_control_uri("tcp://127.0.0.1:1").failure().code == errc::not_supported);
  for (const auto& wrong : {std::string{}, std::string{"unix://"}, std::string{"/run/x"},
                            "unix://" + std::string(200, 'x')})
    CHECK(path_of_control_uri(wrong).failure().code == errc::bad_value);
}
