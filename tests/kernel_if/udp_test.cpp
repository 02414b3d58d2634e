#include <condition_variable>
#include <mutex>

#include <doctest/doctest.h>

#include "kernel_if/udp/udp_reader.hpp"
#include "tests/kernel_if/backend_fixture.hpp"

using namespace imago;
using namespace imago::testing;
using kernel_if::classify_datagram;
using kernel_if::datagram_kind;
using kernel_if::udp_reader;
using kernel_if::udp_socket;

namespace {

struct received {
  endpoint local;
  endpoint remote;
  bytes datagram;
  std::size_t index = 0;
};

class inbox {
 public:
  kernel_if::datagram_handler handler() {
    return [this](const endpoint& local, const endpoint& remote, bytes_view datagram,
                  std::size_t index) {
      std::lock_guard lock{mutex_};
      all_.push_back({local, remote, to_bytes(datagram), index});
      changed_.notify_all();
    };
  }
  std::vector<received> wait_for(std::size_t count) {
    std::unique_lock lock{mutex_};
    changed_.wait_for(lock, hang_limit, [&] { return all_.size() >= count; });
    return all_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<received> all_;
};

udp_socket bound(std::string_view address, std::uint16_t port = 0) {
  auto socket = udp_socket::bind({at(address), port});
  REQUIRE(socket.has_value());
  return std::move(*socket);
}

}  // namespace

TEST_CASE("udp: a datagram tells where it came to, also on a socket bound to any address") {
  auto any = bound("0.0.0.0");
  auto client = bound("127.0.0.1");
  CHECK(any.local().port != 0);
  inbox box;
  udp_reader reader;
  REQUIRE(reader.start({&any}, box.handler()).has_value());
  for (const char* to : {"127.0.0.1", "127.0.0.2"})
    REQUIRE(client.send({}, {at(to), any.local().port}, from_hex("aabb")).has_value());
  auto got = box.wait_for(2);
  REQUIRE(got.size() == 2);
  CHECK(got[0].local == endpoint{at("127.0.0.1"), any.local().port});
  CHECK(got[1].local == endpoint{at("127.0.0.2"), any.local().port});
  CHECK(got[0].remote == client.local());
  CHECK(to_hex(got[0].datagram) == "aabb");
  reader.stop();
  CHECK(reader.received() == 2);
}

TEST_CASE("udp: a reply leaves from the address that was asked") {
  auto any = bound("0.0.0.0");
  auto client = bound("127.0.0.1");
  inbox box;
  udp_reader reader;
  REQUIRE(reader.start({&client}, box.handler()).has_value());
  auto marker = bytes_view{kernel_if::non_esp_marker};
  REQUIRE(any.send(at("127.0.0.7"), client.local(), marker, from_hex("0102")).has_value());
  auto got = box.wait_for(1);
  REQUIRE(got.size() == 1);
  CHECK(got[0].remote == endpoint{at("127.0.0.7"), any.local().port});
  CHECK(to_hex(got[0].datagram) == "000000000102");
}

TEST_CASE("udp: several sockets, IPv6 too, are read by one thread and told apart") {
  auto v4 = bound("127.0.0.1");
  auto v6 = udp_socket::bind({at("::1"), 0});
  if (!v6) {
    MESSAGE("skipped: no IPv6 on this host: ", v6.failure().text());
    return;
  }
  inbox box;
  udp_reader reader;
  REQUIRE(reader.start({&v4, &*v6}, box.handler()).has_value());
  auto client = bound("::1");
  REQUIRE(client.send(at("::1"), v6->local(), from_hex("06")).has_value());
  auto got = box.wait_for(1);
  REQUIRE(got.size() == 1);
  CHECK(got[0].index == 1);
  CHECK(got[0].local == v6->local());
  CHECK(got[0].remote == client.local());
  REQUIRE(v4.send({}, v4.local(), from_hex("04")).has_value());
  got = box.wait_for(2);
  REQUIRE(got.size() == 2);
  CHECK(got[1].index == 0);
}

TEST_CASE("udp: the largest datagram passes, and many at once do") {
  auto server = bound("127.0.0.1");
  auto client = bound("127.0.0.1");
  inbox box;
  udp_reader reader;
  REQUIRE(reader.start({&server}, box.handler()).has_value());
  REQUIRE(client.send({}, server.local(), bytes(65507, 0x5a)).has_value());
  auto got = box.wait_for(1);
  REQUIRE(got.size() == 1);
  CHECK(got[0].datagram == bytes(65507, 0x5a));
  for (std::size_t i = 0; i < 100; ++i)
    REQUIRE(client.send({}, server.local(), bytes(i)).has_value());
  got = box.wait_for(101);
  REQUIRE(got.size() == 101);
  for (std::size_t i = 0; i < 100; ++i) CHECK(got[i + 1].datagram.size() == i);
}

TEST_CASE("udp: a port in use and a wrong family are clear errors") {
  auto first = bound("127.0.0.1");
  auto again = udp_socket::bind(first.local());
  REQUIRE_FALSE(again.has_value());
  CHECK(again.failure().code == errc::already_exists);
  CHECK(again.failure().where.find(first.local().text()) != std::string::npos);
  CHECK(first.send({}, {at("::1"), 9}, from_hex("00")).failure().code == errc::bad_value);
  auto foreign = udp_socket::bind({at("192.0.2.77"), 0});
  REQUIRE_FALSE(foreign.has_value());
  CHECK(foreign.failure().code == errc::system_error);
}

TEST_CASE("udp: a mark is set where the privilege is there, else the socket works without") {
  kernel_if::udp_options options;
  options.mark = 0x1194;
  auto socket = udp_socket::bind({at("127.0.0.1"), 0}, options);
  REQUIRE(socket.has_value());
  std::uint32_t mark = 0;
  socklen_t size = sizeof mark;
  REQUIRE(getsockopt(socket->descriptor(), SOL_SOCKET, SO_MARK, &mark, &size) == 0);
  CHECK(mark == (socket->is_marked() ? 0x1194U : 0U));
  CHECK_FALSE(bound("127.0.0.1").is_marked());
}

TEST_CASE("udp: a reader stops at once and once, and can be started again") {
  auto socket = bound("127.0.0.1");
  udp_reader reader;
  for (int i = 0; i < 2; ++i) {
    inbox box;
    REQUIRE(reader.start({&socket}, box.handler()).has_value());
    CHECK_FALSE(reader.start({&socket}, box.handler()).has_value());
    REQUIRE(socket.send({}, socket.local(), from_hex("01")).has_value());
    CHECK(box.wait_for(1).size() == 1);
    reader.stop();
    reader.stop();
  }
}

TEST_CASE("udp 4500: marker, keepalive, ESP and nothing of these") {
  CHECK(classify_datagram(from_hex("00000000 aabb")) == datagram_kind::ike);
  CHECK(classify_datagram(from_hex("00000000")) == datagram_kind::ike);
  CHECK(classify_datagram(from_hex("ff")) == datagram_kind::keepalive);
  CHECK(classify_datagram(from_hex("00000100 00000001")) == datagram_kind::esp);
  CHECK(classify_datagram(from_hex("00000001")) == datagram_kind::esp);
  CHECK(classify_datagram(from_hex("00")) == datagram_kind::malformed);
  CHECK(classify_datagram(from_hex("ffff")) == datagram_kind::malformed);
  CHECK(classify_datagram({}) == datagram_kind::malformed);
}
