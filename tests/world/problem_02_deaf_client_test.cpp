// Problem 2 (libreswan/issues/1859, strongswan/issues/566, 268): a control client that does not
// read froze everything. Over sockets: tests/actors/control_hostile.cpp.
#include <caf/send.hpp>
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include "actors/callbacks.hpp"
#include "actors/control_client.hpp"
#include "actors/live_network.hpp"
#include "core/base/limits.hpp"
#include "tests/world/fleet.hpp"
#include "tests/world/hosts.hpp"
#include "world/invariants.hpp"

using namespace imago;
using namespace imago::testing;
using namespace imago::world;
using namespace std::chrono_literals;

namespace {

// A client's actor in a world, without a socket: what it says stays in its channel.
class client {
 public:
  client(host& of, std::uint64_t number)
      : of_{of}, channel_{std::make_shared<actors::control_channel>(number, waker_)} {
    parts_.shared = of.shared;
    parts_.credentials = std::make_unique<actors::engine_parts::credentials_store>(of.shared);
    context_ = std::make_shared<actors::control_context>(parts_, [] { return status{}; });
    of.as_user(
        [&] { actor_ = of.system().spawn<actors::control_client>(context_, channel_, number); });
  }
  void ask(vici::packet_type type, std::string name) {
    channel_->request_taken();
    vici::packet packet{type, std::move(name), {}};
    of_.as_user([&] {
      caf::anon_send(actor_,
                     actors::control_request_received{actors::own(std::move(packet)), false});
    });
  }
  void leave() {
    of_.as_user([&] { caf::anon_send(actor_, actors::control_client_gone{}); });
    actor_ = {};
  }
  // Octets that wait for it, now read.
  std::string read() {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    std::string all;
    for (auto state = actors::control_channel::flushed::not_everything;
         state == actors::control_channel::flushed::not_everything;) {
      state = channel_->flush(ends[0]);
      char buffer[65536];
      for (;;) {
        auto count = ::recv(ends[1], buffer, sizeof buffer, MSG_DONTWAIT);
        if (count <= 0) break;
        all.append(buffer, static_cast<std::size_t>(count));
      }
    }
    ::close(ends[0]);
    ::close(ends[1]);
    return all;
  }
  std::uint64_t lost_events() const { return channel_->dropped_events(); }

 private:
  host& of_;
  std::shared_ptr<actors::control_waker> waker_ = std::make_shared<actors::control_waker>();
  actors::engine_parts parts_;
  actors::control_context_ptr context_;
  actors::control_channel_ptr channel_;
  caf::actor actor_;
};

}  // namespace

TEST_CASE("problem 2: a client with a full log and list-sas that never reads stops nobody") {
  fleet_options options;
  options.peers = 400;
  auto in = make_fleet(options);
  invariants watch{*in};
  auto& gateway = *in->find_host("gateway");
  {
    client deaf{gateway, 1}, other{gateway, 2};
    for (const auto* event : {"log", "log-debug", "ike-updown", "child-updown", "list-sa"})
      deaf.ask(vici::packet_type::event_register, event);
    (void)in->run_until_quiet();
    std::size_t up = 0;
    for (std::size_t index = 0; index < options.peers; ++index) {
      auto command = gateway.initiate(fleet_connection(index), "net0");
      if (index % 100 == 99) deaf.ask(vici::packet_type::command_request, "list-sas");
      (void)in->run_until_quiet();
      auto result = gateway.answers->result_of(command);
      up += result && *result;
    }
    CHECK(up == options.peers);
    // Until it has missed something: each tunnel is rekeyed, again and again.
    for (std::size_t round = 0; round < 20 && deaf.lost_events() == 0; ++round) {
      gateway.rekey(actors::sa_selector{});
      in->advance(1s);
    }
    other.ask(vici::packet_type::command_request, "version");
    other.ask(vici::packet_type::command_request, "stats");
    (void)in->run_until_quiet();
    auto heard = other.read();
    CHECK(heard.find("imagod") != std::string::npos);
    CHECK(heard.find("ikesas") != std::string::npos);
    // It lost events, and what is kept for it is bounded.
    CHECK(deaf.lost_events() > 0);
    auto kept = deaf.read();
    CHECK(kept.size() > limits::control_stream_max);
    CHECK(kept.size() <= limits::control_output_max);
    say(
        fmt::format("problem 2: {} tunnels beside a deaf client, {} octets kept for it, {} events "
                    "lost",
                    up, kept.size(), deaf.lost_events()));
    deaf.leave();
    other.leave();
    (void)in->run_until_quiet();
    CHECK(gateway.shared->counted->live("control_client") == 0);
  }
  auto wrong = close_all(*in, watch);
  CHECK_MESSAGE(!wrong, wrong.value_or(""));
}
