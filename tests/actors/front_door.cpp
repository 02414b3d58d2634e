// Who waits at the front door, in which order, and how the demux is called.
#include "actors/front_door.hpp"

#include <doctest/doctest.h>

#include "core/base/limits.hpp"
#include "tests/actors/infrastructure.hpp"

using namespace imago;
using namespace imago::actors;
using namespace std::chrono_literals;
using line = front_door::line;

namespace {

struct house {
  house() {
    door.call_with([this] { ++calls; });
  }
  void come(line where, std::uint16_t port, duration at = {}) {
    packet one;
    one.remote = {*ip_address::parse("192.0.2.1"), port};
    one.received_at = instant{at};
    door.wait(where, std::make_shared<const packet>(std::move(one)));
  }
  std::vector<int> take(duration at, std::size_t count) {
    std::vector<int> ports;
    for (const auto& one : door.take(instant{at}, count)) ports.push_back(one->remote.port);
    door.taken();
    return ports;
  }
  crypto::library library;
  front_door door{library, library};
  int calls = 0;
};

}  // namespace

TEST_CASE("front door: who returns a cookie goes first; in a line, first come, first served") {
  house of;
  of.come(line::stranger, 1);
  of.come(line::returning, 2);
  of.come(line::stranger, 3);
  of.come(line::returning, 4);
  CHECK(of.take(1ms, 3) == std::vector<int>{2, 4, 1});
  CHECK(of.take(1ms, 3) == std::vector<int>{3});
}

TEST_CASE("front door: when the first has waited too long, the newest is served first") {
  house of;
  for (std::uint16_t port = 1; port <= 4; ++port) of.come(line::stranger, port, port * 1ms);
  CHECK(of.take(13ms, 3) == std::vector<int>{4, 3, 2});  // 1 has waited 12 ms
  CHECK(of.take(13ms, 3) == std::vector<int>{1});
  for (std::uint16_t port = 1; port <= 4; ++port) of.come(line::stranger, port, 20ms);
  CHECK(of.take(30ms, 4) == std::vector<int>{1, 2, 3, 4});
}

TEST_CASE("front door: it is behind while somebody who has returned a cookie waits for long") {
  house of;
  CHECK_FALSE(of.door.is_behind(instant{1s}));
  of.come(line::stranger, 1);
  CHECK_FALSE(of.door.is_behind(instant{1s}));
  of.come(line::returning, 2, 1s);
  CHECK_FALSE(of.door.is_behind(instant{1100ms}));
  CHECK(of.door.is_behind(instant{1101ms}));
  of.take(1101ms, 1);
  CHECK_FALSE(of.door.is_behind(instant{1101ms}));
}

TEST_CASE("front door: a line that is full drops who has waited longest, and counts it") {
  house of;
  auto count = static_cast<std::uint16_t>(limits::new_peers_waiting_max + 2);
  of.come(line::returning, 9999);
  for (std::uint16_t port = 1; port <= count; ++port) of.come(line::stranger, port);
  CHECK(of.door.dropped_count() == 2);
  CHECK(of.door.waiting_count() == limits::new_peers_waiting_max + 1);
  CHECK(of.take(1ms, 2) == std::vector<int>{9999, 3});
}

TEST_CASE("front door: the demux is called once, and again only if somebody is left") {
  house of;
  of.come(line::stranger, 1);
  of.come(line::stranger, 2);
  CHECK(of.calls == 1);
  of.take(1ms, 1);
  CHECK(of.calls == 2);
  of.take(1ms, 1);
  CHECK(of.calls == 2);
  of.come(line::returning, 3);
  CHECK(of.calls == 3);
}

TEST_CASE("front door: a cookie made at the door is accepted at the reception, another is not") {
  house of;
  auto address = *ip_address::parse("192.0.2.1");
  bytes nonce(32, 7);
  auto cookie = of.door.make_cookie(instant{1s}, nonce, address, 5);
  CHECK(of.door.check_cookie(instant{2s}, cookie, nonce, address, 5));
  CHECK_FALSE(of.door.check_cookie(instant{2s}, cookie, nonce, address, 6));
  cookie.back() ^= 1;
  CHECK_FALSE(of.door.check_cookie(instant{2s}, cookie, nonce, address, 5));
}
