// The live driver, over a socket pair in place of a TUN device.
#include <future>

#include <doctest/doctest.h>

#include "tests/kernel_if/backend_fixture.hpp"

using namespace imago;
using namespace imago::testing;
using data_plane::direction;

namespace {

// Two live back-ends whose ESP goes from one to the other.
struct live_pair {
  peer a{{at("192.0.2.1"), 4500}, net("10.1.0.0/16"), 1};
  peer b{{at("192.0.2.2"), 4500}, net("10.2.0.0/16"), 2};
  plan how;
  remembering_sink sink_a;
  remembering_sink sink_b;
  live_esp live_a{1};
  live_esp live_b{2};
  kernel_if::request_id last_id = 0;

  live_pair() {
    live_a.sender.send = [this](auto& local, auto& remote, bytes_view packet) {
      live_b.plane->deliver_esp(remote, local, packet);
    };
    live_b.sender.send = [this](auto& local, auto& remote, bytes_view packet) {
      live_a.plane->deliver_esp(remote, local, packet);
    };
    REQUIRE(live_a.plane->start(sink_a).has_value());
    REQUIRE(live_b.plane->start(sink_b).has_value());
  }
  ~live_pair() {
    live_a.plane->stop();
    live_b.plane->stop();
  }
  live_pair(const live_pair&) = delete;
  live_pair& operator=(const live_pair&) = delete;

  data_plane::reply ask(live_esp& live, remembering_sink& sink, data_plane::request request) {
    auto id = ++last_id;
    live.plane->submit(id, std::move(request));
    return sink.wait_for(id);
  }
  // A way from `from` to `to`; true if all was taken.
  data_plane::spi allocate_at_b() {
    auto reply = ask(live_b, sink_b, data_plane::allocate_spi{b.outer.address, a.outer.address});
    return std::get<data_plane::spi_allocated>(*reply).spi;
  }
  bool install_at_a(data_plane::spi spi) {
    auto sa = parameters(how, direction::outbound, a, b, spi);
    return ask(live_a, sink_a, data_plane::install_sa{std::move(sa), {policy_between(how, a, b)}})
        .has_value();
  }
  bool install_at_b(data_plane::spi spi) {
    auto sa = parameters(how, direction::inbound, b, a, spi);
    return ask(live_b, sink_b, data_plane::install_sa{std::move(sa), {}}).has_value();
  }
};

}  // namespace

TEST_CASE("live user-esp: packets pass from one device to the other") {
  live_pair pair;
  auto spi = pair.allocate_at_b();
  REQUIRE(pair.install_at_b(spi));
  REQUIRE(pair.install_at_a(spi));
  for (std::uint16_t i = 0; i < 100; ++i) {
    REQUIRE(pair.live_a.write(hello(i)));
    CHECK(to_hex(pair.live_b.read()) == to_hex(hello(i)));
  }
}

TEST_CASE("live user-esp: what comes before the inbound SA waits and comes out in order") {
  live_pair pair;
  pair.how.reports_first_use = true;
  auto spi = pair.allocate_at_b();
  REQUIRE(pair.install_at_a(spi));
  // A second SA, already mature, shows when b has seen everything written before.
  auto marker_spi = pair.allocate_at_b();
  for (std::uint16_t i = 0; i < 5; ++i) REQUIRE(pair.live_a.write(hello(i)));
  pair.how.reqid = 8;
  pair.how.reports_first_use = false;
  REQUIRE(pair.install_at_b(marker_spi));
  auto narrower = parameters(pair.how, direction::outbound, pair.a, pair.b, marker_spi);
  auto policy = policy_between(pair.how, pair.a, pair.b);
  policy.remote_selectors = net("10.2.7.7/32");
  REQUIRE(pair.ask(pair.live_a, pair.sink_a, data_plane::install_sa{std::move(narrower), {policy}})
              .has_value());
  auto marker = udp_packet({at("10.1.0.5"), 1}, {at("10.2.7.7"), 2}, "marker");
  REQUIRE(pair.live_a.write(marker));
  CHECK(to_hex(pair.live_b.read()) == to_hex(marker));
  pair.how.reqid = 7;
  pair.how.reports_first_use = true;
  REQUIRE(pair.install_at_b(spi));
  for (std::uint16_t i = 0; i < 5; ++i) CHECK(to_hex(pair.live_b.read()) == to_hex(hello(i)));
  REQUIRE(pair.sink_b.wait_for_events(1));
  CHECK(std::holds_alternative<data_plane::sa_first_used>(pair.sink_b.events()[0]));
}

TEST_CASE("live user-esp: an unanswered policy asks for an SA") {
  live_pair pair;
  REQUIRE(pair.ask(pair.live_a, pair.sink_a,
                   data_plane::install_policy{policy_between(pair.how, pair.a, pair.b)})
              .has_value());
  REQUIRE(pair.live_a.write(hello()));
  REQUIRE(pair.sink_a.wait_for_events(1));
  CHECK(std::get<data_plane::sa_acquired>(pair.sink_a.events()[0]).reqid == pair.how.reqid);
}

TEST_CASE("live user-esp: the queue before it is bounded, and what is shed is counted") {
  // The sink holds the thread, so that nothing leaves the queue.
  class blocking_sink final : public kernel_if::backend_sink {
   public:
    void on_reply(kernel_if::request_id id, data_plane::reply) override {
      if (id != 1) return second_reply.set_value();
      entered.set_value();
      release.get_future().wait();
    }
    void on_event(data_plane::event) override {}
    std::promise<void> entered;
    std::promise<void> release;
    std::promise<void> second_reply;
  };
  blocking_sink sink;
  live_esp live;
  REQUIRE(live.plane->start(sink).has_value());
  live.plane->submit(1, data_plane::flush{});
  sink.entered.get_future().wait();
  endpoint local{at("192.0.2.1"), 4500};
  endpoint remote{at("192.0.2.2"), 4500};
  for (std::size_t i = 0; i < limits::esp_queue_packets_max + 10; ++i)
    live.plane->deliver_esp(local, remote, from_hex("00001000 00000001 00000000"));
  live.plane->submit(2, data_plane::flush{});
  sink.release.set_value();
  sink.second_reply.get_future().wait();
  live.plane->stop();
  auto drops = live.plane->drops();
  CHECK(drops[static_cast<std::size_t>(drop_reason::queue_full)] == 10);
  CHECK(drops[static_cast<std::size_t>(drop_reason::no_such_sa)] == limits::esp_queue_packets_max);
}

TEST_CASE("live user-esp: a device that cannot be opened is a clear error") {
  seeded_random random;
  sender_function sender;
  remembering_sink sink;
  kernel_if::user_esp::options options;
  options.open_device = [] {
    return result<std::unique_ptr<kernel_if::user_esp::packet_device>>{
        errc::system_error, "TUN device imago0: Operation not permitted (needs CAP_NET_ADMIN)"};
  };
  kernel_if::user_esp::backend plane{std::move(options), sender, random};
  auto started = plane.start(sink);
  REQUIRE_FALSE(started.has_value());
  CHECK(started.failure().text().find("CAP_NET_ADMIN") != std::string::npos);
  plane.stop();
  plane.submit(1, data_plane::flush{});
  CHECK(sink.order().empty());
}

TEST_CASE("live user-esp: a device that goes away ends reading, not the back-end") {
  live_esp live;
  remembering_sink sink;
  REQUIRE(live.plane->start(sink).has_value());
  shutdown(live.application, SHUT_RDWR);
  live.plane->submit(1, data_plane::flush{});
  CHECK(sink.wait_for(1).has_value());
  live.plane->submit(2, data_plane::flush{});
  CHECK(sink.wait_for(2).has_value());
}

TEST_CASE("live user-esp: started again after a stop, it works") {
  seeded_random random;
  sender_function sender;
  kernel_if::user_esp::options options;
  options.manages_routes = false;
  options.open_device = [] {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
      std::abort();
    close(ends[0]);
    return result<std::unique_ptr<kernel_if::user_esp::packet_device>>{
        std::make_unique<paired_device>(ends[1])};
  };
  kernel_if::user_esp::backend plane{std::move(options), sender, random};
  for (kernel_if::request_id id = 1; id <= 2; ++id) {
    remembering_sink sink;
    REQUIRE(plane.start(sink).has_value());
    CHECK(plane.device_name() == "pair");
    plane.submit(id, data_plane::flush{});
    CHECK(sink.wait_for(id).has_value());
    plane.stop();
    CHECK(plane.device_name().empty());
  }
}
