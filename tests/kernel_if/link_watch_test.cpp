// Interfaces as rtnetlink tells of them: octets, then a kernel's own.
#include "kernel_if/route/link_watch.hpp"

#include <condition_variable>
#include <cstring>
#include <mutex>

#include <doctest/doctest.h>
#include <linux/if.h>
#include <linux/rtnetlink.h>

#include "tests/kernel_if/backend_fixture.hpp"
#include "tests/kernel_if/own_namespace.hpp"
#include "tests/kernel_if/xfrm_fixture.hpp"

using namespace imago;
using namespace imago::testing;
using kernel_if::link_table;
using kernel_if::link_watch;

namespace {

bytes link_message(std::uint16_t type, int index, unsigned flags, std::string_view name) {
  ifinfomsg info{};
  info.ifi_index = index;
  info.ifi_flags = flags;
  auto named = to_bytes(name);
  named.push_back(0);
  return kernel_message{type, 0}.put(info).attribute(IFLA_IFNAME, bytes_view{named}).octets();
}

bytes address_message(std::uint16_t type, int index, std::string_view address,
                      std::uint8_t scope = RT_SCOPE_UNIVERSE) {
  ifaddrmsg info{};
  info.ifa_index = static_cast<std::uint32_t>(index);
  info.ifa_scope = scope;
  auto octets = at(address);
  return kernel_message{type, 0}
      .put(info)
      .attribute(IFA_ADDRESS, bytes_view{octets.octets().data(), octets.size()})
      .octets();
}

constexpr unsigned running = IFF_UP | IFF_RUNNING | IFF_LOWER_UP;

}  // namespace

TEST_CASE("links: up means set up and with carrier; addresses come and go; the name may change") {
  link_table table;
  CHECK(table.apply(link_message(RTM_NEWLINK, 3, running, "eth0")).has_links);
  CHECK_FALSE(table.apply(link_message(RTM_NEWLINK, 3, running, "eth0")).has_links);
  CHECK(table.apply(address_message(RTM_NEWADDR, 3, "192.0.2.1")).has_links);
  CHECK_FALSE(table.apply(address_message(RTM_NEWADDR, 3, "fe80::1", RT_SCOPE_LINK)).has_links);
  REQUIRE(table.links().size() == 1);
  CHECK(table.links()[0] == kernel_if::link{3, "eth0", true, {at("192.0.2.1")}});
  CHECK(table.apply(link_message(RTM_NEWLINK, 3, IFF_UP, "eth0")).has_links);  // no carrier
  CHECK_FALSE(table.links()[0].is_up);
  // The carrier is there at once; IFF_RUNNING is told up to a second later.
  CHECK(table.apply(link_message(RTM_NEWLINK, 3, IFF_UP | IFF_LOWER_UP, "eth0")).has_links);
  CHECK(table.links()[0].is_up);
  CHECK(table.apply(link_message(RTM_NEWLINK, 3, running, "wan")).has_links);
  CHECK(table.links()[0].name == "wan");
  CHECK(table.apply(address_message(RTM_DELADDR, 3, "192.0.2.1")).has_links);
  CHECK(table.links()[0].addresses.empty());
  CHECK(table.apply(link_message(RTM_DELLINK, 3, 0, "wan")).has_links);
  CHECK(table.links().empty());
  CHECK_FALSE(table.apply(link_message(RTM_DELLINK, 3, 0, "wan")).has_links);
}

TEST_CASE("links: an address that is told before its link waits for it") {
  link_table table;
  CHECK(table.apply(address_message(RTM_NEWADDR, 5, "2001:db8::1")).has_links);
  CHECK(table.links().empty());
  CHECK(table.apply(link_message(RTM_NEWLINK, 5, running, "eth1")).has_links);
  REQUIRE(table.links().size() == 1);
  CHECK(table.links()[0].addresses.count(at("2001:db8::1")) == 1);
}

TEST_CASE("links: of routes only those of the main table are told") {
  auto route = [](std::uint8_t number) {
    rtmsg message{};
    message.rtm_table = number;
    message.rtm_type = RTN_UNICAST;
    return kernel_message{RTM_NEWROUTE, 0}.put(message).octets();
  };
  link_table table;
  CHECK(table.apply(route(RT_TABLE_MAIN)).has_routes);
  CHECK_FALSE(table.apply(route(RT_TABLE_LOCAL)).has_routes);
}

TEST_CASE("links: what is cut off is said to be broken, and nothing is read past its end") {
  for (const auto& whole : {link_message(RTM_NEWLINK, 3, running, "eth0"),
                            address_message(RTM_NEWADDR, 3, "192.0.2.1")}) {
    for (std::size_t size = 1; size < whole.size(); ++size) {
      bytes cut{whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)};
      link_table table;
      CHECK(table.apply(cut).is_broken);
      if (size < sizeof(nlmsghdr)) continue;
      auto length = static_cast<std::uint32_t>(size);
      std::memcpy(cut.data(), &length, sizeof length);
      link_table honest;
      CHECK_FALSE(honest.apply(cut).is_broken);
      CHECK(honest.links().size() <= 1);
    }
  }
}

TEST_CASE("link watch: a real link that goes down and comes back is told, and so is a route") {
  auto said = in_child([]() -> std::string {
    network_namespace own;
    if (!own.is_made()) return "skip: no network namespace";
    if (!run("ip link add near type veth peer name far && ip address add 192.0.2.1/24 dev near && "
             "ip link set far up && ip link set near up"))
      return "skip: no veth";
    std::mutex mutex;
    std::condition_variable changed;
    std::optional<kernel_if::link> near;
    std::size_t routes = 0;
    auto watch = link_watch::start({[&](std::vector<kernel_if::link> links) {
                                      std::lock_guard lock{mutex};
                                      near.reset();
                                      for (auto& one : links)
                                        if (one.name == "near") near = one;
                                      changed.notify_all();
                                    },
                                    [&] {
                                      std::lock_guard lock{mutex};
                                      ++routes;
                                      changed.notify_all();
                                    }});
    if (!watch) return watch.failure().text();
    auto wait_for = [&](auto holds) {
      std::unique_lock lock{mutex};
      return changed.wait_for(lock, hang_limit, holds);
    };
    auto is_up = [&] { return near && near->is_up && near->addresses.count(at("192.0.2.1")) == 1; };
    if (!wait_for(is_up)) return "not up at first";
    run("ip link set near down");
    if (!wait_for([&] { return near && !near->is_up; })) return "not down";
    run("ip link set near up");
    if (!wait_for(is_up)) return "not up again";
    run("ip link set far down");  // the other end: no carrier
    if (!wait_for([&] { return near && !near->is_up; })) return "carrier not missed";
    run("ip link set far up");
    if (!wait_for(is_up)) return "carrier not seen again";
    std::size_t before = 0;
    {
      std::lock_guard lock{mutex};
      before = routes;
    }
    run("ip route add 198.51.100.0/24 via 192.0.2.9 dev near");
    if (!wait_for([&] { return routes > before; })) return "route not told";
    run("ip link delete near");
    if (!wait_for([&] { return !near; })) return "not gone";
    return {};
  });
  if (said.rfind("skip", 0) == 0) {
    MESSAGE(said);
    return;
  }
  CHECK(said == "");
}
