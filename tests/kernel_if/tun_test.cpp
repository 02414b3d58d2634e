// User-space ESP with real TUN devices, routes, rules and UDP sockets, between two network
// namespaces that a child process makes for itself. Needs root and /dev/net/tun.
#include <doctest/doctest.h>

#include "kernel_if/udp/udp_reader.hpp"
#include "tests/kernel_if/backend_fixture.hpp"
#include "tests/kernel_if/own_namespace.hpp"

using namespace imago;
using namespace imago::testing;
using data_plane::direction;
using kernel_if::udp_reader;
using kernel_if::udp_socket;

namespace {

// One host: a namespace with a back-end and the engine's UDP socket.
struct host {
  const network_namespace& home;
  peer self;
  remembering_sink sink;
  seeded_random random;
  sender_function sender;
  std::optional<udp_socket> socket;
  udp_reader reader;
  std::unique_ptr<kernel_if::user_esp::backend> plane;
  kernel_if::request_id last_id = 0;

  host(const network_namespace& at_home, const endpoint& outer, traffic_selectors inner,
       std::uint64_t seed)
      : home{at_home}, self{outer, std::move(inner), seed}, random{seed} {}
  ~host() { stop(); }
  host(const host&) = delete;
  host& operator=(const host&) = delete;

  std::string start() {
    home.enter();  // threads and sockets made from here on live there
    kernel_if::udp_options marked;
    marked.mark = kernel_if::route_options{}.mark;
    auto bound = udp_socket::bind(self.outer, marked);
    if (!bound) return bound.failure().text();
    if (!bound->is_marked()) return "the socket is not marked";
    socket.emplace(std::move(*bound));
    sender.send = [this](auto& local, auto& remote, bytes_view packet) {
      (void)socket->send(local.address, remote, packet);
    };
    plane = std::make_unique<kernel_if::user_esp::backend>(kernel_if::user_esp::options{}, sender,
                                                           random);
    if (auto started = plane->start(sink); !started) return started.failure().text();
    auto reading = reader.start(
        {&*socket}, [this](auto& local, auto& remote, bytes_view datagram, std::size_t) {
          if (kernel_if::classify_datagram(datagram) == kernel_if::datagram_kind::esp)
            plane->deliver_esp(local, remote, datagram);
        });
    return reading ? "" : reading.failure().text();
  }
  void stop() {
    reader.stop();
    if (plane) plane->stop();
  }
  data_plane::reply ask(data_plane::request request) {
    auto id = ++last_id;
    plane->submit(id, std::move(request));
    return sink.wait_for(id);
  }
};

// SAs and policies both ways. Empty or what failed.
std::string connect(host& a, host& b, plan how, const traffic_selectors& a_to,
                    const traffic_selectors& b_to) {
  for (auto [from, to, selectors, back] :
       {std::tuple{&a, &b, &a_to, &b_to}, std::tuple{&b, &a, &b_to, &a_to}}) {
    auto reply =
        to->ask(data_plane::allocate_spi{to->self.outer.address, from->self.outer.address});
    if (!reply) return "allocate: " + reply.failure().text();
    auto spi = std::get<data_plane::spi_allocated>(*reply).spi;
    how.key_start = static_cast<std::uint8_t>(how.key_start + 1);
    auto inbound = parameters(how, direction::inbound, to->self, from->self, spi);
    inbound.remote_selectors = *back;
    inbound.local_selectors = *selectors;
    reply = to->ask(data_plane::install_sa{std::move(inbound), {}});
    if (!reply) return "inbound: " + reply.failure().text();
    auto outbound = parameters(how, direction::outbound, from->self, to->self, spi);
    auto policy = policy_between(how, from->self, to->self);
    policy.remote_selectors = *selectors;
    policy.local_selectors = *back;
    reply = from->ask(data_plane::install_sa{std::move(outbound), {policy}});
    if (!reply) return "outbound: " + reply.failure().text();
  }
  return "";
}

// A question from `from` to `server` and its answer, with ordinary sockets.
std::string ask_over(const host& from, const host& to, const endpoint& server,
                     const ip_address& expected_source) {
  to.home.enter();
  auto serving = udp_socket::bind(server);
  from.home.enter();
  auto asking = udp_socket::bind({ip_address::any(server.address.family()), 0});
  if (!serving || !asking) return "application sockets";
  timeval limit{hang_limit.count(), 0};
  for (int one : {serving->descriptor(), asking->descriptor()}) {
    fcntl(one, F_SETFL, fcntl(one, F_GETFL) & ~O_NONBLOCK);
    setsockopt(one, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  }
  if (!asking->send({}, server, from_hex("aa55"))) return "asking";
  char buffer[16];
  sockaddr_storage sender{};
  socklen_t size = sizeof sender;
  auto* address = reinterpret_cast<sockaddr*>(&sender);
  if (recvfrom(serving->descriptor(), buffer, sizeof buffer, 0, address, &size) != 2)
    return "the question did not arrive";
  const auto* octets = reinterpret_cast<const std::uint8_t*>(&sender);
  bool is_v4 = sender.ss_family == AF_INET;
  auto source = *ip_address::from_octets({octets + (is_v4 ? 4 : 8), is_v4 ? 4U : 16U});
  if (source != expected_source) return "the question came from " + source.text();
  if (sendto(serving->descriptor(), "answer", 6, 0, address, size) != 6) return "answering";
  if (recv(asking->descriptor(), buffer, sizeof buffer, 0) != 6) return "no answer came";
  return "";
}

std::string prepare(const network_namespace& a, const network_namespace& b) {
  b.enter();
  auto pid = std::to_string(getpid());
  // The peer end moves by the number of this process, whose namespace is a's for the moment.
  a.enter();
  if (!run("ip link add outer type veth peer name far")) return "skip: no veth";
  if (!run("ip link set far netns /proc/self/fd/" + std::to_string(b.descriptor())) &&
      !run("ip link set far netns /proc/" + pid + "/fd/" + std::to_string(b.descriptor())))
    return "skip: cannot move a veth end";
  bool ok = run("ip link set lo up") && run("ip link set outer up") &&
            run("ip addr add 192.0.2.1/24 dev outer") && run("ip addr add 10.1.0.1/32 dev lo") &&
            run("ip addr add fd01::1/128 dev lo nodad");
  b.enter();
  ok = ok && run("ip link set lo up") && run("ip link set far up") &&
       run("ip addr add 192.0.2.2/24 dev far") && run("ip addr add 10.2.0.1/32 dev lo") &&
       run("ip addr add fd02::1/128 dev lo nodad");
  return ok ? "" : "ip addr";
}

std::string leftovers(const network_namespace& where) {
  where.enter();
  return output_of("ip rule show table 4500") + output_of("ip -6 rule show table 4500") +
         output_of("ip route show table 4500") + output_of("ip -6 route show table 4500") +
         output_of("ip -o link show type tun");
}

traffic_selectors join(std::initializer_list<std::string_view> prefixes) {
  traffic_selectors list;
  for (auto one : prefixes) list.push_back(net(one)[0]);
  return list;
}

std::string tunnel_between_two_hosts() {
  network_namespace at_a;
  network_namespace at_b;
  if (!at_a.is_made() || !at_b.is_made()) return "skip: no network namespaces (root only)";
  if (access("/dev/net/tun", R_OK | W_OK) != 0) return "skip: no /dev/net/tun";
  if (auto failed = prepare(at_a, at_b); !failed.empty()) return failed;
  std::string said;
  {
    host a{at_a, {at("192.0.2.1"), 4500}, {}, 1};
    host b{at_b, {at("192.0.2.2"), 4500}, {}, 2};
    if (said = a.start(); !said.empty()) return "a: " + said;
    if (said = b.start(); !said.empty()) return "b: " + said;
    auto to_b = join({"10.2.0.0/16", "fd02::/64"});
    auto to_a = join({"10.1.0.0/16", "fd01::/64"});
    if (said = connect(a, b, plan{}, to_b, to_a); !said.empty()) return said;
    // A second pair of policies holds the outer addresses themselves: nothing may loop.
    plan outer;
    outer.reqid = 8;
    outer.key_start = 0x50;
    said = connect(a, b, outer, net("192.0.2.2/32"), net("192.0.2.1/32"));
    if (!said.empty()) return said;
    at_a.enter();
    auto routes = output_of("ip route show table 4500");
    if (routes.find("10.2.0.0/16 dev imago0") == std::string::npos ||
        routes.find("192.0.2.2 dev imago0") == std::string::npos)
      return "routes: " + routes;
    said = ask_over(a, b, {at("10.2.0.1"), 7777}, at("10.1.0.1"));
    if (!said.empty()) return "IPv4 inside: " + said;
    said = ask_over(b, a, {at("fd01::1"), 7777}, at("fd02::1"));
    if (!said.empty()) return "IPv6 inside: " + said;
    said = ask_over(a, b, {at("192.0.2.2"), 7778}, at("192.0.2.1"));
    if (!said.empty()) return "the peer's own address inside: " + said;
    // Flush takes routes and rules, stop the device.
    if (!b.ask(data_plane::flush{})) return "flush";
    at_b.enter();
    if (!output_of("ip route show table 4500").empty()) return "routes after flush";
    if (!output_of("ip rule show table 4500").empty()) return "a rule after flush";
    a.stop();
    b.stop();
  }
  said = leftovers(at_a) + leftovers(at_b);
  return said.empty() ? "" : "left over: " + said;
}

std::string transport_between_two_hosts() {
  network_namespace at_a;
  network_namespace at_b;
  if (!at_a.is_made() || !at_b.is_made()) return "skip: no network namespaces (root only)";
  if (access("/dev/net/tun", R_OK | W_OK) != 0) return "skip: no /dev/net/tun";
  if (auto failed = prepare(at_a, at_b); !failed.empty()) return failed;
  std::string said;
  host a{at_a, {at("192.0.2.1"), 4500}, {}, 1};
  host b{at_b, {at("192.0.2.2"), 4500}, {}, 2};
  if (said = a.start(); !said.empty()) return "a: " + said;
  if (said = b.start(); !said.empty()) return "b: " + said;
  plan how;
  how.mode = data_plane::mode::transport;
  if (said = connect(a, b, how, net("192.0.2.2/32"), net("192.0.2.1/32")); !said.empty())
    return said;
  said = ask_over(a, b, {at("192.0.2.2"), 7777}, at("192.0.2.1"));
  a.stop();
  b.stop();
  return said + leftovers(at_a) + leftovers(at_b);
}

void check(const std::string& said) {
  if (said.rfind("skip: ", 0) == 0) {
    MESSAGE("skipped: ", said.substr(6));
    return;
  }
  CHECK(said == "");
}

}  // namespace

TEST_CASE("tun: a tunnel between two hosts carries both families and leaves nothing behind") {
  check(in_child(tunnel_between_two_hosts));
}

TEST_CASE("tun: transport mode between two hosts does not loop its own ESP") {
  check(in_child(transport_between_two_hosts));
}

TEST_CASE("tun: without the privilege the error says what is missing") {
  check(in_child([]() -> std::string {
    if (access("/dev/net/tun", R_OK | W_OK) != 0) return "skip: no /dev/net/tun";
    if (getuid() == 0 && setuid(65534) != 0) return "skip: cannot drop privileges";
    auto device = kernel_if::user_esp::open_tun("imago%d", 1400);
    if (device) return "a device without the privilege";
    if (device.failure().code != errc::system_error) return "code";
    auto text = device.failure().text();
    return text.find("CAP_NET_ADMIN") != std::string::npos ? "" : text;
  }));
}

TEST_CASE("udp: a low port without the privilege says which capability it needs") {
  check(in_child([]() -> std::string {
    if (getuid() == 0 && setuid(65534) != 0) return "skip: cannot drop privileges";
    auto socket = udp_socket::bind({at("127.0.0.1"), 500});
    if (socket) return "skip: low ports are open to all on this host";
    auto text = socket.failure().text();
    return text.find("port 500 needs CAP_NET_BIND_SERVICE") != std::string::npos ? "" : text;
  }));
}
