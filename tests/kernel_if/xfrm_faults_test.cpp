// What becomes of each request when the kernel, or the way to it, does not do what it should.
#include <doctest/doctest.h>

#include "tests/kernel_if/scripted_kernel.hpp"

using namespace imago;
using namespace imago::testing;
using data_plane::install_sa;

namespace {

errc code_of(const data_plane::reply& reply) {
  REQUIRE_FALSE(reply.has_value());
  return reply.failure().code;
}

template <class event>
std::size_t count_of(remembering_sink& sink) {
  std::size_t count = 0;
  for (const auto& one : sink.events())
    if (std::holds_alternative<event>(one)) ++count;
  return count;
}

}  // namespace

TEST_CASE("xfrm: an SA and its policies leave in one send, and come back as one reply") {
  scripted_plane p;
  auto spi = p.allocate();
  REQUIRE(spi != 0);
  p.kernel.sends.clear();
  CHECK(p.ask(install_sa{p.inbound(spi), {p.policy()}}).has_value());
  REQUIRE(p.kernel.sends.size() == 1);
  CHECK(p.kernel.sends[0] == 4);
  CHECK(p.kernel.policies.size() == 3);
  CHECK_FALSE(p.kernel.sas[p.inbound_key(spi)].empty());
}

TEST_CASE("xfrm: a thousand requests share few sends, never more than their answers have room") {
  scripted_plane p;
  p.kernel.buffer_octets = 256 * 1024;  // half of it, 4 KiB an SPI: 32 at once
  for (int i = 0; i < 1000; ++i)
    p.submit(data_plane::allocate_spi{p.e.own.outer.address, p.e.other.outer.address});
  p.plane->step();
  CHECK(p.sink.order().size() == 1000);
  CHECK(p.kernel.answers_waiting_max == 32);
  CHECK(p.kernel.sends.size() == 32);  // 31 full ones and the rest
}

TEST_CASE(
    "xfrm: a lost, silent, truncated answer is asked for again; a late or double one ignored") {
  for (auto what : {answer_fault::lose, answer_fault::silence, answer_fault::truncate,
                    answer_fault::late, answer_fault::twice}) {
    CAPTURE(static_cast<int>(what));
    scripted_plane p;
    for (std::uint16_t type : {XFRM_MSG_NEWSA, XFRM_MSG_NEWPOLICY}) {
      p.kernel.faults.push_back({type, 1, what, 0});
    }
    CHECK(p.ask(install_sa{p.outbound(4711), {p.policy()}}).has_value());
    p.kernel.release();
    p.pass(std::chrono::seconds{2});
    CHECK(p.kernel.sas.size() == 1);
    CHECK(p.kernel.policies.size() == 3);
    p.kernel.faults.push_back({XFRM_MSG_DELSA, 1, what, 0});
    CHECK(p.ask(data_plane::remove_sa{p.outbound(4711).id}).has_value());
    CHECK(p.kernel.sas.empty());
    CHECK(p.sink.order().size() == 2);
  }
}

TEST_CASE("xfrm: the larval SA of an answer that came too late is removed") {
  scripted_plane p;
  p.kernel.faults.push_back({XFRM_MSG_ALLOCSPI, 1, answer_fault::late, 0});
  auto spi = p.allocate();
  CHECK(spi == 0xc0000002);  // the second attempt's
  CHECK(p.kernel.sas.size() == 2);
  p.kernel.release();
  p.pass(duration{});
  CHECK(p.kernel.sas.size() == 1);
  CHECK(p.kernel.sas.count(p.inbound_key(spi)) == 1);
  CHECK(p.sink.order().size() == 1);
}

TEST_CASE("xfrm: an SPI that is named is ours if only the answer was lost, else it is taken") {
  for (auto what : {answer_fault::lose, answer_fault::silence, answer_fault::late}) {
    scripted_plane p;
    auto own = p.e.own.outer.address;
    auto other = p.e.other.outer.address;
    p.kernel.faults.push_back({XFRM_MSG_ALLOCSPI, 1, what, 0});
    auto reply = p.ask(data_plane::allocate_spi{own, other, 0xabcd1234});
    REQUIRE(reply.has_value());
    CHECK(std::get<data_plane::spi_allocated>(*reply).spi == 0xabcd1234);
    p.kernel.release();
    p.pass(duration{});
    CHECK(p.kernel.sas.size() == 1);
    CHECK(p.ask(install_sa{p.inbound(0xabcd1234), {}}).has_value());
    p.kernel.sas[p.inbound_key(0x5555)] = {};
    p.kernel.larval_sources[p.inbound_key(0x5555)] = at("192.0.2.50");
    CHECK(code_of(p.ask(data_plane::allocate_spi{own, other, 0x5555})) == errc::already_exists);
    p.kernel.faults.push_back({XFRM_MSG_ALLOCSPI, 1, answer_fault::silence, 0});
    CHECK(code_of(p.ask(data_plane::allocate_spi{own, other, 0x5555})) == errc::already_exists);
    CHECK(p.kernel.sas.size() == 2);
  }
}

TEST_CASE("xfrm: what stays unanswered is given up after a bounded number of attempts") {
  scripted_plane p;
  p.kernel.faults.push_back({XFRM_MSG_DELSA, 1000, answer_fault::silence, 0});
  CHECK(p.ask(install_sa{p.outbound(4711), {}}).has_value());
  CHECK(code_of(p.ask(data_plane::remove_sa{p.outbound(4711).id})) == errc::data_plane_lost);
  CHECK(p.kernel.count_of(XFRM_MSG_DELSA) == 6);
}

TEST_CASE("xfrm: EBUSY, ENOBUFS and ENOMEM are waited out, and said when they stay") {
  struct {
    int code;
    errc said;
  } list[] = {{EBUSY, errc::data_plane_busy},
              {ENOBUFS, errc::no_buffer_space},
              {ENOMEM, errc::out_of_memory}};
  for (const auto& one : list) {
    CAPTURE(one.code);
    scripted_plane p;
    p.kernel.faults.push_back({XFRM_MSG_NEWSA, 3, answer_fault::refuse, one.code});
    CHECK(p.ask(install_sa{p.outbound(4711), {p.policy()}}).has_value());
    CHECK(p.kernel.count_of(XFRM_MSG_NEWSA) == 4);
    p.kernel.faults.push_back({XFRM_MSG_NEWSA, 1000, answer_fault::refuse, one.code});
    CHECK(code_of(p.ask(install_sa{p.outbound(4712), {}})) == one.said);
    CHECK(p.kernel.count_of(XFRM_MSG_NEWSA) == 10);
    CHECK(p.kernel.sas.size() == 1);
  }
}

TEST_CASE("xfrm: a send that fails has done nothing, and is repeated or said") {
  scripted_plane p;
  p.kernel.send_errors = {ENOBUFS, EAGAIN, 0};
  CHECK(p.ask(install_sa{p.outbound(4711), {}}).has_value());
  CHECK(p.kernel.count_of(XFRM_MSG_NEWSA) == 1);
  p.kernel.send_errors = {EPERM};
  auto refused = p.ask(install_sa{p.outbound(4712), {}});
  CHECK(code_of(refused) == errc::system_error);
  CHECK(refused.failure().where.find("CAP_NET_ADMIN") != std::string::npos);
}

TEST_CASE("xfrm: a policy that is refused takes its SA and the other policies with it") {
  for (int code : {EEXIST, EINVAL}) {
    CAPTURE(code);
    scripted_plane p;
    auto spi = p.allocate();
    p.kernel.faults.push_back({XFRM_MSG_NEWPOLICY, 1, answer_fault::refuse, code});
    auto refused = p.ask(install_sa{p.inbound(spi), {p.policy()}});
    CHECK(code_of(refused) == (code == EEXIST ? errc::already_exists : errc::bad_value));
    CHECK(p.kernel.policies.empty());
    // The larval SA is there again, with the same SPI.
    REQUIRE(p.kernel.sas.count(p.inbound_key(spi)) == 1);
    CHECK(p.kernel.sas[p.inbound_key(spi)].empty());
    CHECK(p.ask(install_sa{p.inbound(spi), {p.policy()}}).has_value());
    // Outbound nothing stays.
    auto other = p.policy();
    other.reqid = 99;
    p.kernel.faults.push_back({XFRM_MSG_UPDPOLICY, 1, answer_fault::refuse, code});
    CHECK_FALSE(p.ask(install_sa{p.outbound(4711), {other}}).has_value());
    CHECK(p.kernel.sas.count(p.outbound_key(4711)) == 0);
    for (const auto& [key, entry] : p.kernel.policies) CHECK(entry.protection->reqid == 7);
  }
}

TEST_CASE("xfrm: a policy or SA of somebody else is neither taken over nor removed") {
  scripted_plane p;
  auto entries = xfrm::entries_of(p.policy());
  auto foreign = entries->front();
  foreign.protection->reqid = 12345;
  p.kernel.policies[foreign.key] = foreign;
  CHECK(code_of(p.ask(install_sa{p.outbound(4711), {p.policy()}})) == errc::already_exists);
  CHECK(p.kernel.policies.size() == 1);
  CHECK(p.kernel.policies[foreign.key] == foreign);
  CHECK(p.kernel.sas.empty());
  // Even where the answer was lost, so that ours might stand there.
  p.kernel.faults.push_back({XFRM_MSG_NEWPOLICY, 1, answer_fault::silence, 0});
  CHECK(code_of(p.ask(data_plane::install_policy{p.policy()})) == errc::already_exists);
  CHECK(p.kernel.policies[foreign.key] == foreign);
  auto theirs = p.outbound(4712);
  theirs.reqid = 12345;
  p.kernel.sas[p.outbound_key(4712)] =
      to_bytes(xfrm::encode_sa(xfrm::sa_command::add, theirs, {}, 1)->view());
  p.kernel.faults.push_back({XFRM_MSG_NEWSA, 1, answer_fault::silence, 0});
  CHECK(code_of(p.ask(install_sa{p.outbound(4712), {}})) == errc::already_exists);
  CHECK(p.kernel.sas.size() == 1);
  CHECK(p.ask(data_plane::flush{}).has_value());
  CHECK(p.kernel.sas.size() == 1);
  CHECK(p.kernel.policies.size() == 1);
}

TEST_CASE(
    "xfrm: a larval SA that the kernel has ended is no_such_sa, a removal of one gone is done") {
  scripted_plane p;
  auto spi = p.allocate();
  p.kernel.sas.clear();
  CHECK(code_of(p.ask(install_sa{p.inbound(spi), {p.policy()}})) == errc::no_such_sa);
  CHECK(p.kernel.policies.empty());
  CHECK(p.ask(install_sa{p.outbound(4711), {}}).has_value());
  p.kernel.sas.clear();
  CHECK(p.ask(data_plane::remove_sa{p.outbound(4711).id}).has_value());
  CHECK(code_of(p.ask(data_plane::remove_sa{p.outbound(4711).id})) == errc::no_such_sa);
}

TEST_CASE(
    "xfrm: of two policies for one selector the newer is in the kernel, then the older again") {
  scripted_plane p;
  auto older = p.policy();
  auto newer = older;
  newer.reqid = 8;
  auto reqid_there = [&] { return p.kernel.policies.begin()->second.protection->reqid; };
  CHECK(p.ask(data_plane::install_policy{older}).has_value());
  CHECK(p.ask(data_plane::install_policy{newer}).has_value());
  CHECK(p.kernel.policies.size() == 3);
  CHECK(reqid_there() == 8);
  CHECK(p.ask(data_plane::remove_policy{newer}).has_value());
  CHECK(reqid_there() == 7);
  CHECK(p.ask(data_plane::install_policy{newer}).has_value());
  CHECK(p.ask(data_plane::remove_policy{older}).has_value());
  CHECK(reqid_there() == 8);
  CHECK(p.ask(data_plane::remove_policy{newer}).has_value());
  CHECK(p.kernel.policies.empty());
}

TEST_CASE("xfrm: what names the same SA waits its turn, whatever the kernel needs to repeat") {
  scripted_plane p;
  p.kernel.faults.push_back({XFRM_MSG_NEWSA, 2, answer_fault::refuse, EBUSY});
  auto installed = p.submit(install_sa{p.outbound(4711), {}});
  auto asked = p.submit(data_plane::query_sa{p.outbound(4711).id});
  auto removed = p.submit(data_plane::remove_sa{p.outbound(4711).id});
  auto elsewhere = p.submit(install_sa{p.outbound(4712), {}});
  p.plane->step();
  CHECK_FALSE(p.is_answered(asked));
  CHECK_FALSE(p.is_answered(removed));
  for (int i = 0; i < 20; ++i) p.pass(std::chrono::milliseconds{50});
  CHECK(p.sink.wait_for(installed).has_value());
  CHECK(p.sink.wait_for(asked).has_value());
  CHECK(p.sink.wait_for(removed).has_value());
  CHECK(p.sink.wait_for(elsewhere).has_value());
  CHECK(p.sink.order().back() == removed);
  CHECK(p.kernel.sas.size() == 1);
}

TEST_CASE("xfrm: new ports change an SA in place, a new address makes it again, policies follow") {
  scripted_plane p;
  CHECK(p.ask(install_sa{p.outbound(4711), {p.policy()}}).has_value());
  auto id = p.outbound(4711).id;
  auto own = p.e.own.outer;
  CHECK(p.ask(data_plane::update_sa{id, own, {id.destination, 1234}}).has_value());
  CHECK(p.kernel.count_of(XFRM_MSG_UPDSA) == 1);
  CHECK(p.kernel.count_of(XFRM_MSG_DELSA) == 0);
  endpoint moved{at("192.0.2.77"), 999};
  CHECK(p.ask(data_plane::update_sa{id, own, moved}).has_value());
  CHECK(p.kernel.sas.size() == 1);
  CHECK(p.kernel.sas.count({moved.address, 4711, {}}) == 1);
  for (const auto& [key, entry] : p.kernel.policies) {
    bool outbound = key.direction == xfrm::policy_direction::out;
    CHECK((outbound ? entry.protection->destination : entry.protection->source) == moved.address);
  }
  // It keeps its name here, and goes as it came.
  CHECK(p.ask(data_plane::query_sa{id}).has_value());
  CHECK(p.ask(data_plane::remove_sa{id}).has_value());
  CHECK(p.ask(data_plane::remove_policy{p.policy()}).has_value());
  CHECK(p.kernel.sas.empty());
  CHECK(p.kernel.policies.empty());
}

TEST_CASE("xfrm: events find their SA; each fact is said once") {
  scripted_plane p;
  auto spi = p.allocate();
  auto sa = p.inbound(spi);
  sa.reports_first_use = true;
  auto id = sa.id;
  CHECK(p.ask(install_sa{std::move(sa), {p.policy()}}).has_value());
  auto own = p.e.own.outer.address;
  auto other = p.e.other.outer.address;
  for (int i = 0; i < 2; ++i) {
    p.kernel.events.push_back({0, activity_event(own, spi)});
    p.kernel.events.push_back({0, expire_event(other, own, spi, false)});
    p.kernel.events.push_back({0, mapping_event(own, spi, {other, 4500}, {other, 1025})});
    p.kernel.events.push_back({0, activity_event(own, spi + 1)});  // nobody's
  }
  p.kernel.events.push_back({0, expire_event(other, own, spi, true)});
  p.plane->step();
  auto events = p.sink.events();
  REQUIRE(events.size() == 4);
  CHECK(std::get<data_plane::sa_first_used>(events[0]).id == id);
  CHECK_FALSE(std::get<data_plane::lifetime_reached>(events[1]).is_hard);
  CHECK(std::get<data_plane::remote_endpoint_changed>(events[2]).remote == endpoint{other, 1025});
  CHECK(std::get<data_plane::lifetime_reached>(events[3]).is_hard);
  CHECK(p.kernel.count_of(XFRM_MSG_NEWAE) == 1);  // the kernel is told to be quiet
  auto packet = xfrm::entries_of(p.policy())->front().key.selector;
  p.kernel.events.push_back({0, acquire_event(packet, 7, own, other)});
  p.kernel.events.push_back({0, acquire_event(packet, 12345, own, other)});
  p.plane->step();
  CHECK(count_of<data_plane::sa_acquired>(p.sink) == 1);
}

TEST_CASE("xfrm: after lost events one dump says what they would have said") {
  for (int code : {ENOBUFS, EMSGSIZE}) {
    scripted_plane p;
    p.e.how.lifetime.soft_packets = 100;
    CHECK(p.ask(install_sa{p.outbound(4711), {}}).has_value());
    CHECK(p.ask(install_sa{p.outbound(4712), {}}).has_value());
    CHECK(p.ask(install_sa{p.outbound(4713), {}}).has_value());
    p.kernel.sas.erase(p.outbound_key(4712));
    // 4713 has carried more than its soft limit.
    auto& octets = p.kernel.sas[p.outbound_key(4713)];
    std::uint64_t packets = 101;
    std::memcpy(octets.data() + sizeof(nlmsghdr) + offsetof(xfrm_usersa_info, curlft.packets),
                &packets, sizeof packets);
    p.kernel.events.push_back({code, {}});
    p.plane->step();
    p.pass(duration{});
    CHECK(count_of<data_plane::events_lost>(p.sink) == 1);
    std::vector<data_plane::lifetime_reached> reached;
    for (const auto& one : p.sink.events())
      if (auto* fact = std::get_if<data_plane::lifetime_reached>(&one)) reached.push_back(*fact);
    REQUIRE(reached.size() == 2);
    CHECK(reached[0].id.spi == 4712);
    CHECK(reached[0].is_hard);
    CHECK(reached[1].id.spi == 4713);
    CHECK_FALSE(reached[1].is_hard);
  }
}

TEST_CASE("xfrm: a lost acquire is found by the dump, since the packet will not ask again") {
  scripted_plane p;
  CHECK(p.ask(data_plane::install_policy{p.policy()}).has_value());
  auto packet = xfrm::entries_of(p.policy())->front().key.selector;
  auto own = p.e.own.outer.address, other = p.e.other.outer.address;
  p.kernel.acquired = {acquired_sa(0, packet, 7, own, other),
                       acquired_sa(0, packet, 12345, own, other),  // another program's
                       acquired_sa(0, packet, 0, own, other)};
  p.kernel.events.push_back({ENOBUFS, {}});
  p.plane->step();
  p.pass(duration{});
  CHECK(count_of<data_plane::events_lost>(p.sink) == 1);
  REQUIRE(count_of<data_plane::sa_acquired>(p.sink) == 1);
  for (const auto& one : p.sink.events())
    if (const auto* fact = std::get_if<data_plane::sa_acquired>(&one)) {
      CHECK(fact->reqid == 7);
      CHECK(fact->local == xfrm::source_of(packet));
      CHECK(fact->remote == xfrm::destination_of(packet));
    }
}

TEST_CASE("xfrm: a dump that fails is begun again, a bounded number of times") {
  scripted_plane p;
  CHECK(p.ask(install_sa{p.outbound(4711), {}}).has_value());
  p.kernel.faults.push_back({XFRM_MSG_GETSA, 1000, answer_fault::refuse, EBUSY});
  p.kernel.events.push_back({ENOBUFS, {}});
  for (int i = 0; i < 50; ++i) p.pass(std::chrono::milliseconds{50});
  CHECK(p.kernel.count_of(XFRM_MSG_GETSA) == 3);
  CHECK(count_of<data_plane::events_lost>(p.sink) == 1);
  CHECK(count_of<data_plane::lifetime_reached>(p.sink) == 0);
}

TEST_CASE("xfrm: stop refuses what has not begun and removes what was installed, and only that") {
  scripted_plane p;
  p.kernel.sas[{at("192.0.2.200"), 1, {}}] = {};
  CHECK(p.ask(install_sa{p.outbound(4711), {p.policy()}}).has_value());
  (void)p.allocate();
  auto late = p.submit(install_sa{p.outbound(4712), {}});
  p.plane->stop();
  CHECK(code_of(p.sink.wait_for(late)) == errc::shutting_down);
  CHECK(p.kernel.policies.empty());
  CHECK(p.kernel.sas.size() == 1);
}
