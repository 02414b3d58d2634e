// sa_active from the kernel's replay events, and what stands in where the kernel does not say.
#include <doctest/doctest.h>

#include "tests/kernel_if/scripted_kernel.hpp"

using namespace imago;
using namespace imago::testing;
using data_plane::install_sa;

namespace {

std::size_t active_count(remembering_sink& sink, const data_plane::sa_id& id) {
  std::size_t count = 0;
  for (const auto& one : sink.events())
    if (auto* active = std::get_if<data_plane::sa_active>(&one); active && active->id == id)
      ++count;
  return count;
}

data_plane::sa_id install_watched(scripted_plane& p, duration interval) {
  auto sa = p.inbound(p.allocate());
  sa.activity_interval = interval;
  auto id = sa.id;
  CHECK(p.ask(install_sa{std::move(sa), {}}).has_value());
  return id;
}

void set_packets(scripted_plane& p, const data_plane::sa_id& id, std::uint64_t packets) {
  auto& octets = p.kernel.sas[p.inbound_key(id.spi)];
  std::memcpy(octets.data() + sizeof(nlmsghdr) + offsetof(xfrm_usersa_info, curlft.packets),
              &packets, sizeof packets);
}

std::optional<instant> last_used(scripted_plane& p, const data_plane::sa_id& id) {
  auto reply = p.ask(data_plane::query_activity{{id}});
  if (!reply) return std::nullopt;
  auto& list = std::get<data_plane::activity_list>(*reply);
  return list.sas.empty() ? std::nullopt : list.sas[0].second.last_used;
}

}  // namespace

TEST_CASE("xfrm activity: an event is one sa_active; our own change of a threshold is none") {
  scripted_plane p;
  auto id = install_watched(p, std::chrono::seconds{20});
  auto own = p.e.own.outer.address;
  auto say = [&](std::uint32_t flags) {
    p.kernel.events.push_back({0, activity_event(own, id.spi, flags, 5)});
    p.plane->step();
  };
  say(XFRM_AE_CU);
  CHECK(active_count(p.sink, id) == 0);
  say(XFRM_AE_CR);  // the first packet ...
  say(XFRM_AE_CR);  // ... and those behind it, before the kernel has heard that one was enough
  CHECK(active_count(p.sink, id) == 1);
  p.now = p.now + std::chrono::seconds{20};
  say(XFRM_AE_CE);
  CHECK(active_count(p.sink, id) == 2);
  CHECK(active_count(p.sink, {}) == 0);
}

TEST_CASE("xfrm activity: the length of a jiffy is measured once, and earlier SAs are put right") {
  for (auto one :
       {std::pair{100u, 1500u}, std::pair{250u, 3750u}, {300u, 4500u}, {1000u, 15000u}}) {
    const auto hertz = one.first, wanted = one.second;
    CAPTURE(hertz);
    scripted_plane p;
    p.kernel.jiffies_per_second = hertz;
    auto first = install_watched(p, std::chrono::seconds{15});
    auto second = install_watched(p, std::chrono::seconds{15});
    CHECK(p.kernel.timers[p.inbound_key(first.spi)] == wanted);
    CHECK(p.kernel.timers[p.inbound_key(second.spi)] == wanted);
    CHECK(p.kernel.count_of(XFRM_MSG_GETAE) == 1);
  }
}

TEST_CASE("xfrm activity: SAs without an interval are installed silent, and nothing is measured") {
  scripted_plane p;
  auto id = install_watched(p, duration{});
  CHECK(p.kernel.timers[p.inbound_key(id.spi)] == 0);
  CHECK(p.kernel.count_of(XFRM_MSG_GETAE) == 0);
  p.kernel.events.push_back({0, activity_event(p.e.own.outer.address, id.spi, XFRM_AE_CE, 5)});
  p.plane->step();
  CHECK(active_count(p.sink, id) == 0);
}

TEST_CASE("xfrm activity: a thousand SAs are confirmed by one dump, and not by a query each") {
  scripted_plane p;
  data_plane::query_activity query;
  for (int i = 0; i < 1000; ++i) query.sas.push_back(install_watched(p, std::chrono::seconds{15}));
  set_packets(p, query.sas[7], 3);
  auto before = p.kernel.types.size();
  auto reply = p.ask(query);
  REQUIRE(reply.has_value());
  CHECK(p.kernel.types.size() == before + 1);
  CHECK(p.kernel.types.back() == XFRM_MSG_GETSA);
  std::size_t used = 0;
  for (const auto& [id, usage] : std::get<data_plane::activity_list>(*reply).sas)
    if (usage.last_used) {
      ++used;
      CHECK(id == query.sas[7]);
    }
  CHECK(used == 1);
}

TEST_CASE("xfrm activity: where the kernel keeps no time of last use, its counter tells") {
  scripted_plane p;
  auto id = install_watched(p, std::chrono::seconds{15});
  CHECK_FALSE(last_used(p, id).has_value());
  // The event comes just before its packet is counted.
  p.kernel.events.push_back({0, activity_event(p.e.own.outer.address, id.spi, XFRM_AE_CR, 0)});
  p.plane->step();
  auto heard = p.now;
  set_packets(p, id, 1);
  p.now = p.now + std::chrono::seconds{40};
  CHECK(last_used(p, id) == heard);
  set_packets(p, id, 2);
  p.now = p.now + std::chrono::seconds{40};
  auto counted = p.now;
  CHECK(last_used(p, id) == counted);
  p.now = p.now + std::chrono::seconds{40};
  CHECK(last_used(p, id) == counted);
}

TEST_CASE("xfrm activity: what was said while nobody could hear is said after the dump") {
  scripted_plane p;
  auto busy = install_watched(p, std::chrono::seconds{15});
  auto idle = install_watched(p, std::chrono::seconds{15});
  set_packets(p, busy, 9);
  p.kernel.events.push_back({ENOBUFS, {}});
  p.plane->step();
  p.pass(duration{});
  CHECK(active_count(p.sink, busy) == 1);
  CHECK(active_count(p.sink, idle) == 0);
}
