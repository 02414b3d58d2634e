// Faults on demand: each fires on its n-th match and only then, nothing does where it is not
// allowed.
#include <doctest/doctest.h>

#include "actors/impaired.hpp"
#include "core/wire/message.hpp"
#include "kernel_if/fake/fake_backend.hpp"
#include "tests/actors/control_room.hpp"
#include "tests/actors/infrastructure.hpp"

using namespace imago;
using namespace imago::actors;
using namespace std::chrono_literals;
using imago::actors::testing::body;
using imago::actors::testing::control_room;
using imago::actors::testing::test_client;

namespace {

// Keeps what is sent.
class recording_network final : public network {
 public:
  void send_ike(const endpoint&, const endpoint&, bytes_view message) override {
    sent.push_back(to_bytes(message));
  }
  void send_keepalive(const endpoint&, const endpoint&) override { ++keepalives; }
  result<endpoint> local_for(const endpoint& remote,
                             const std::vector<config::address_pattern>&) override {
    return remote;
  }
  endpoint on_nat_port(const endpoint& local) const override { return local; }
  bool is_nat_port(const endpoint&) const override { return true; }

  std::vector<bytes> sent;
  std::size_t keepalives = 0;
};

class recording_sink final : public kernel_if::backend_sink {
 public:
  void on_reply(kernel_if::request_id id, data_plane::reply reply) override {
    replies.emplace_back(id, std::move(reply));
  }
  void on_event(data_plane::event) override {}
  std::vector<std::pair<kernel_if::request_id, data_plane::reply>> replies;
};

bytes message_of(exchange_type exchange, bool is_response, std::uint32_t id = 1) {
  wire::header header;
  header.initiator_spi = 1;
  header.responder_spi = 2;
  header.exchange = exchange;
  header.is_response = is_response;
  header.message_id = id;
  header.length = wire::header_size;
  return wire::encode_header(header);
}

const endpoint peer{*ip_address::parse("192.0.2.2"), 4500};

// Impairments over interfaces that only record; time passes by hand.
struct impaired_room {
  impaired_room() {
    facts->add_sink(ring, journal_filter::up_to(journal_level::audit));
    faults->schedule_with([this](duration delay, std::function<void()> what) {
      later.emplace_back(delay, std::move(what));
    });
  }
  impairment arm(std::string_view fault, const impairments::arguments& given) {
    auto armed = faults->arm(fault, given);
    REQUIRE_MESSAGE(armed.has_value(), (armed ? std::string{} : armed.failure().where));
    return *armed;
  }
  std::string refused(std::string_view fault, const impairments::arguments& given) {
    auto armed = faults->arm(fault, given);
    REQUIRE(!armed);
    return armed.failure().where;
  }
  void send(const bytes& message) { net->send_ike(peer, peer, message); }
  void let_time_pass() {
    for (auto& [delay, what] : std::exchange(later, {})) what();
  }
  std::size_t told(std::string_view name) {
    facts->drain();
    return ring->count(name);
  }

  std::shared_ptr<actors::testing::virtual_clock> time =
      std::make_shared<actors::testing::virtual_clock>();
  std::shared_ptr<journal> facts = std::make_shared<journal>(time);
  std::shared_ptr<ring_sink> ring = std::make_shared<ring_sink>(100);
  impairments_ptr faults = std::make_shared<impairments>(facts);
  std::shared_ptr<recording_network> wire = std::make_shared<recording_network>();
  std::shared_ptr<network> net = impaired(faults, wire);
  std::vector<std::pair<duration, std::function<void()>>> later;
};

const auto auth_request = message_of(exchange_type::ike_auth, false);
const auto auth_response = message_of(exchange_type::ike_auth, true);
const auto rekey_request = message_of(exchange_type::create_child_sa, false);

}  // namespace

TEST_CASE("impair: where it is not allowed the interfaces are the ones that were given") {
  auto wire = std::make_shared<recording_network>();
  CHECK(impaired(nullptr, std::shared_ptr<network>{wire}) == wire);
  std::shared_ptr<crypto_executor> pool =
      std::make_shared<inline_crypto_executor>([](crypto::job&&) { return errc::cancelled; });
  CHECK(impaired(nullptr, pool) == pool);
  std::unique_ptr<kernel_if::backend> plane = std::make_unique<kernel_if::fake_backend>();
  const auto* before = plane.get();
  CHECK(impaired(nullptr, std::move(plane)).get() == before);
}

TEST_CASE("impair: the n-th message of a kind is dropped, no other") {
  impaired_room room;
  auto armed = room.arm("drop", {{"message", "IKE_AUTH response"}, {"nth", "2"}});
  CHECK(armed.what == "drop IKE_AUTH response, the 2nd, sent or received");
  room.send(auth_request);
  room.send(rekey_request);
  room.send(auth_response);
  CHECK(room.told("impairment_fired") == 0);
  CHECK(room.wire->sent.size() == 3);
  room.send(auth_response);
  CHECK(room.wire->sent.size() == 3);
  CHECK(room.told("impairment_fired") == 1);
  room.send(auth_response);
  CHECK(room.wire->sent.size() == 4);
  CHECK(room.told("impairment_fired") == 1);
  auto listed = room.faults->list();
  REQUIRE(listed.size() == 1);
  CHECK(listed[0].met == 2);
  CHECK(listed[0].fired == 1);
  CHECK(listed[0].is_over);
  auto fired = room.ring->named("impairment_fired");
  REQUIRE(fired.size() == 1);
  CHECK(fired[0].level == journal_level::audit);
  CHECK(story_of(fired[0]) == "impairment 1 fired: drop IKE_AUTH response 1 to " + peer.text());
}

TEST_CASE("impair: several in a row, of any kind, in one direction") {
  impaired_room room;
  room.arm("drop", {{"message", "any"}, {"count", "2"}, {"direction", "sent"}});
  CHECK(!room.faults->on_message(false, peer, auth_request).fault);  // received
  room.send(auth_request);
  room.send(auth_response);
  CHECK(room.wire->sent.empty());
  room.send(auth_request);
  CHECK(room.wire->sent.size() == 1);

  room.arm("corrupt", {{"message", "request"}, {"direction", "received"}});
  room.send(auth_request);
  CHECK(room.wire->sent.back() == auth_request);
  CHECK(!room.faults->on_message(false, peer, auth_response).fault);
  CHECK(room.faults->on_message(false, peer, auth_request).fault == fault_kind::corrupt);
  CHECK(!room.faults->on_message(false, peer, auth_request).fault);
  room.net->send_keepalive(peer, peer);
  CHECK(room.wire->keepalives == 1);
  CHECK(!room.faults->on_message(true, peer, bytes(5)).fault);  // is no IKE message
}

TEST_CASE("impair: a message comes twice, spoilt, or later") {
  impaired_room room;
  room.arm("duplicate", {{"message", "IKE_AUTH"}});
  room.send(auth_response);
  CHECK(room.wire->sent == std::vector<bytes>{auth_response, auth_response});

  room.arm("corrupt", {{"message", "ike_auth request"}});
  room.send(auth_request);
  auto spoilt = room.wire->sent.back();
  CHECK(spoilt != auth_request);
  spoilt.back() ^= 0xff;
  CHECK(spoilt == auth_request);

  room.arm("delay", {{"message", "CREATE_CHILD_SA request"}, {"seconds", "0.5"}});
  room.send(rekey_request);
  room.send(auth_request);
  CHECK(room.wire->sent.back() == auth_request);
  REQUIRE(room.later.size() == 1);
  CHECK(room.later[0].first == 500ms);
  room.let_time_pass();
  CHECK(room.wire->sent.back() == rekey_request);
  CHECK(room.wire->sent.size() == 5);
  CHECK(room.told("impairment_fired") == 3);
}

TEST_CASE("impair: a stalled crypto pool takes jobs, begins none, and then does all") {
  impaired_room room;
  auto inner =
      std::make_shared<inline_crypto_executor>([](crypto::job&&) { return errc::cancelled; });
  auto pool = impaired(room.faults, std::shared_ptr<crypto_executor>{inner});
  CHECK(pool->submit({}));
  CHECK(inner->waiting() == 1);
  room.arm("stall-crypto", {});
  auto second = room.arm("stall-crypto", {{"seconds", "5"}});
  CHECK(pool->submit({}));
  CHECK(pool->submit({}));
  CHECK(inner->waiting() == 1);
  CHECK(pool->counters().waiting == 3);
  REQUIRE(room.later.size() == 1);
  CHECK(room.later[0].first == 5s);
  room.let_time_pass();  // the other one still holds it
  CHECK(inner->waiting() == 1);
  CHECK(room.faults->clear(second.id) == 0);
  CHECK(room.faults->clear() == 1);
  CHECK(inner->waiting() == 3);
  CHECK(pool->submit({}));
  CHECK(inner->waiting() == 4);
  CHECK(room.told("impairment_lifted") == 2);
}

TEST_CASE("impair: a stalled crypto pool is bounded as the pool itself") {
  impaired_room room;
  auto inner =
      std::make_shared<inline_crypto_executor>([](crypto::job&&) { return errc::cancelled; });
  auto pool = impaired(room.faults, std::shared_ptr<crypto_executor>{inner});
  room.arm("stall-crypto", {});
  for (std::size_t count = 0; count < limits::crypto_queue_max; ++count) REQUIRE(pool->submit({}));
  CHECK(!pool->submit({}));
  CHECK(pool->counters().shed == 1);
}

TEST_CASE("impair: the n-th kernel request of a name fails, and the data plane does not see it") {
  impaired_room room;
  auto made = std::make_unique<kernel_if::fake_backend>();
  auto* inner = made.get();
  auto plane = impaired(room.faults, std::unique_ptr<kernel_if::backend>{std::move(made)});
  recording_sink sink;
  REQUIRE(plane->start(sink));
  CHECK(plane->name() == "fake");
  auto ask = [&](kernel_if::request_id id, data_plane::spi spi) {
    plane->submit(id, data_plane::allocate_spi{peer.address, peer.address, spi});
    REQUIRE(sink.replies.back().first == id);
    return sink.replies.back().second.has_value();
  };
  room.arm("fail-kernel", {{"request", "allocate_spi"}, {"error", "out_of_memory"}, {"nth", "2"}});
  plane->submit(1, data_plane::flush{});
  CHECK(sink.replies.back().second.has_value());
  CHECK(ask(2, 1000));
  CHECK(!ask(3, 1001));
  CHECK(sink.replies.back().second.failure().code == errc::out_of_memory);
  CHECK(ask(4, 1001));  // so the one before was not carried out
  CHECK(sink.replies.size() == 4);
  CHECK(inner->larval().size() == 2);
  plane->stop();
}

TEST_CASE("impair: what is wrong with a fault is said, with what would be right") {
  impaired_room room;
  CHECK(room.refused("dorp", {}).find("unknown fault 'dorp'; did you mean 'drop'?") == 0);
  CHECK(room.refused("drop", {}).find("drop needs the argument 'message'; for example: imagoctl") ==
        0);
  CHECK(
      room.refused("drop", {{"message", "IKE_AUT response"}}).find("did you mean 'IKE_AUTH resp") !=
      std::string::npos);
  CHECK(room.refused("drop", {{"message", "any"}, {"nht", "1"}}).find("did you mean 'nth'?") !=
        std::string::npos);
  CHECK(room.refused("drop", {{"message", "any"}, {"seconds", "1"}}).find("takes no argument") !=
        std::string::npos);
  for (const auto* number : {"0", "-1", "x", "", "1x", "99999999999"})
    CHECK(room.refused("drop", {{"message", "any"}, {"nth", number}}).find("from 1 to 1000000") !=
          std::string::npos);
  for (const auto* time : {"0", "-1", "nan", "inf", "", "4000", "1s"})
    CHECK(room.refused("stall-crypto", {{"seconds", time}}).find("write a time over 0") !=
          std::string::npos);
  CHECK(room.refused("drop", {{"message", "any"}, {"direction", "up"}}).find("sent, received") !=
        std::string::npos);
  CHECK(room.refused("fail-kernel", {{"request", "instal_sa"}}).find("'install_sa'") !=
        std::string::npos);
  CHECK(room.refused("fail-kernel", {{"request", "any"}, {"error", "no_bufer_space"}})
            .find("did you mean 'no_buffer_space'?") != std::string::npos);
  CHECK(room.refused("freeze-client", {{"name", "newest"}}).find("there is no control client") ==
        0);
  CHECK(room.faults->list().empty());
}

TEST_CASE("impair: the table of impairments is bounded; those that are over make room") {
  impaired_room room;
  for (std::size_t count = 0; count < impairments_max; ++count)
    room.arm("drop", {{"message", "IKE_AUTH"}, {"nth", "2"}});
  CHECK(room.refused("drop", {{"message", "any"}}).find("clear some") != std::string::npos);
  CHECK(room.faults->clear(7) == 1);
  CHECK(room.faults->clear(7) == 0);
  room.arm("drop", {{"message", "any"}});
  CHECK(room.faults->list().size() == impairments_max);
  CHECK(room.faults->clear() == impairments_max);
  room.send(auth_request);
  CHECK(room.wire->sent.size() == 1);
}

TEST_CASE("impair: nothing fires when the engine ends") {
  impaired_room room;
  room.arm("drop", {{"message", "any"}});
  auto inner =
      std::make_shared<inline_crypto_executor>([](crypto::job&&) { return errc::cancelled; });
  auto pool = impaired(room.faults, std::shared_ptr<crypto_executor>{inner});
  room.arm("stall-crypto", {});
  CHECK(pool->submit({}));
  CHECK(inner->waiting() == 0);
  room.faults->stop();
  CHECK(inner->waiting() == 1);  // the pool's own end drops it
  room.send(auth_request);
  CHECK(room.wire->sent.size() == 1);
  room.faults->later(1s, [] { FAIL("is not run"); });
  CHECK(room.later.empty());
}

TEST_CASE("control: impair is refused where it is not allowed, and says what would allow it") {
  control_room room;
  REQUIRE(room.start());
  test_client client{room};
  for (const auto* command : {"impair", "impair-clear"}) {
    auto answer = client.call(command, body({{"fault", "drop"}, {"message", "any"}}));
    CHECK(answer.value_or("success", "") == "no");
    CHECK(answer.value_or("errmsg", "").find("start imagod with --allow-impair") !=
          std::string::npos);
  }
  auto listed = client.call("impair-list");
  CHECK(listed.value_or("allowed", "") == "no");
  CHECK(listed.value_or("faults.drop.arguments.message.required", "") == "yes");
}

TEST_CASE("control: impairments are armed, listed and cleared") {
  control_room room;
  room.parts().faults = std::make_shared<impairments>(room.parts().shared->facts);
  REQUIRE(room.start());
  test_client client{room};
  auto armed = client.call(
      "impair", body({{"fault", "drop"}, {"message", "IKE_AUTH response"}, {"nth", "3"}}));
  CHECK(armed.value_or("success", "") == "yes");
  CHECK(armed.value_or("id", "") == "1");
  (void)room.parts().faults->on_message(true, peer, auth_response);
  auto listed = client.call("impair-list");
  CHECK(listed.value_or("allowed", "") == "yes");
  CHECK(listed.value_or("impairments.1.state", "") == "armed");
  CHECK(listed.value_or("impairments.1.met", "") == "1");
  CHECK(listed.value_or("impairments.1.fired", "") == "0");
  CHECK(client.call("impair", body({{"fault", "dorp"}})).value_or("errmsg", "").find("'drop'") !=
        std::string::npos);
  CHECK(client.call("impair-clear", body({{"id", "9"}})).value_or("success", "") == "no");
  CHECK(client.call("impair-clear", body({{"id", "x"}})).value_or("success", "") == "no");
  CHECK(client.call("impair-clear").value_or("cleared", "") == "1");
  CHECK(client.call("impair-list").value_or("impairments.1.state", "") == "over");
}

TEST_CASE("control: a frozen client is not served until it is lifted; the others are") {
  control_room room;
  room.parts().faults = std::make_shared<impairments>(room.parts().shared->facts);
  REQUIRE(room.start());
  test_client frozen{room};
  CHECK(frozen.call("version").value_or("daemon", "") == "imagod");
  test_client other{room};
  auto armed = other.call("impair", body({{"fault", "freeze-client"}, {"name", "newest"}}));
  REQUIRE(armed.value_or("success", "") == "yes");
  frozen.send(vici::packet_type::command_request, "version");
  // Each of these answers comes after a turn of the thread that would serve the frozen one, too.
  for (int count = 0; count < 20; ++count)
    CHECK(other.call("version").value_or("daemon", "") == "imagod");
  CHECK(!frozen.has_input());
  CHECK(other.call("impair-clear").value_or("cleared", "") == "1");
  auto answer = frozen.receive();
  REQUIRE(answer);
  CHECK(answer->body.value_or("daemon", "") == "imagod");
}

TEST_CASE("control: what waits for a frozen client is bounded, and it may leave") {
  control_room room;
  room.parts().faults = std::make_shared<impairments>(room.parts().shared->facts);
  REQUIRE(room.start());
  test_client frozen{room};
  CHECK(frozen.listen_to("log"));
  test_client other{room};
  auto number = other.call("impair-list").find_list("clients")->front();
  REQUIRE(other.call("impair", body({{"fault", "freeze-client"}, {"name", number.c_str()}}))
              .value_or("success", "") == "yes");
  for (int count = 0; count < 100; ++count) room.record("c", 1, std::string(20000, 'x'));
  CHECK(other.call("version").value_or("daemon", "") == "imagod");
  frozen.disconnect();
  CHECK(room.eventually([&] { return room.parts().faults->clients().size() == 1; }));
}
