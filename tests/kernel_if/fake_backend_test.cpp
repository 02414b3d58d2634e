#include <doctest/doctest.h>

#include "tests/kernel_if/backend_fixture.hpp"

using namespace imago;
using namespace imago::testing;
using kernel_if::fake_backend;
using kernel_if::fault_action;

namespace {

data_plane::request allocation() {
  return data_plane::allocate_spi{at("192.0.2.1"), at("192.0.2.2")};
}

struct started_fake {
  remembering_sink sink;
  fake_backend plane;
  started_fake() { REQUIRE(plane.start(sink).has_value()); }
};

}  // namespace

TEST_CASE("fake: held replies come when told, in any order, twice or never") {
  started_fake fake;
  fake.plane.set_holding(true);
  for (kernel_if::request_id id = 1; id <= 4; ++id) fake.plane.submit(id, allocation());
  CHECK(fake.sink.order().empty());
  CHECK(fake.plane.larval().size() == 4);  // carried out all the same
  REQUIRE(fake.plane.held().size() == 4);
  CHECK(fake.plane.held()[0].request == "allocate_spi");
  CHECK(fake.plane.step(3));
  CHECK(fake.plane.step_and_keep(2));
  CHECK(fake.plane.step());
  CHECK(fake.plane.drop(4));
  CHECK(fake.plane.step(2));
  CHECK_FALSE(fake.plane.step());
  CHECK_FALSE(fake.plane.step(4));
  CHECK(fake.sink.order() == std::vector<kernel_if::request_id>{3, 2, 1, 2});
}

TEST_CASE("fake: faults strike the how-manieth request of their name, once") {
  started_fake fake;
  fake.plane.inject_fault({"allocate_spi", 2, fault_action::refuse, errc::out_of_memory});
  for (kernel_if::request_id id = 1; id <= 3; ++id) fake.plane.submit(id, allocation());
  CHECK(fake.sink.wait_for(1).has_value());
  auto refused = fake.sink.wait_for(2);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.failure().code == errc::out_of_memory);
  CHECK(fake.sink.wait_for(3).has_value());
  CHECK(fake.plane.larval().size() == 2);
}

TEST_CASE("fake: a fault for every request lasts until it is cleared") {
  started_fake fake;
  fake.plane.inject_fault({"", 0, fault_action::refuse, errc::data_plane_busy});
  for (kernel_if::request_id id = 1; id <= 3; ++id) {
    fake.plane.submit(id, allocation());
    CHECK_FALSE(fake.sink.wait_for(id).has_value());
  }
  fake.plane.clear_faults();
  fake.plane.submit(4, allocation());
  CHECK(fake.sink.wait_for(4).has_value());
}

TEST_CASE("fake: lost requests, lost replies, repeated and late failures") {
  started_fake fake;
  fake.plane.inject_fault({"allocate_spi", 1, fault_action::lose_request});
  fake.plane.submit(1, allocation());
  CHECK(fake.plane.is_empty());
  fake.plane.inject_fault({"allocate_spi", 1, fault_action::lose_reply});
  fake.plane.submit(2, allocation());
  CHECK(fake.plane.larval().size() == 1);
  CHECK(fake.sink.order().empty());
  fake.plane.inject_fault({"allocate_spi", 1, fault_action::repeat_reply});
  fake.plane.submit(3, allocation());
  CHECK(fake.sink.order() == std::vector<kernel_if::request_id>{3, 3});
  fake.plane.inject_fault({"allocate_spi", 1, fault_action::fail_late, errc::no_buffer_space});
  fake.plane.submit(4, allocation());
  CHECK(fake.plane.larval().size() == 3);
  CHECK(fake.sink.wait_for(4).failure().code == errc::no_buffer_space);
  fake.plane.inject_fault({"flush", 1, fault_action::hold});
  fake.plane.submit(5, data_plane::flush{});
  CHECK(fake.plane.is_empty());
  CHECK(fake.plane.held().size() == 1);
  CHECK(fake.plane.submitted().size() == 5);
}

TEST_CASE("fake: shows what is installed, equal keys by equal numbers, the newest outbound SA") {
  started_fake fake;
  peer own{{at("192.0.2.1"), 4500}, net("10.1.0.0/16"), 1};
  peer other{{at("192.0.2.2"), 4500}, net("10.2.0.0/16"), 2};
  plan how;
  auto install = [&](data_plane::spi spi) {
    auto sa = parameters(how, data_plane::direction::outbound, own, other, spi);
    fake.plane.submit(spi,
                      data_plane::install_sa{std::move(sa), {policy_between(how, own, other)}});
    CHECK(fake.sink.wait_for(spi).has_value());
  };
  install(0x1000);
  install(0x0fff);
  how.key_start = 0x44;
  install(0x2000);
  auto sas = fake.plane.sas();
  REQUIRE(sas.size() == 3);
  CHECK(sas[0].key_fingerprint == sas[1].key_fingerprint);
  CHECK(sas[0].key_fingerprint != sas[2].key_fingerprint);
  CHECK(sas[0].remote_selectors == other.inner);
  CHECK(fake.plane.policies() == std::vector{policy_between(how, own, other)});
  REQUIRE(fake.plane.outbound_sa_of(how.reqid));
  CHECK(fake.plane.outbound_sa_of(how.reqid)->spi == 0x2000);
  fake.plane.submit(9, data_plane::remove_sa{sas[2].id});
  CHECK(fake.plane.outbound_sa_of(how.reqid)->spi == 0x0fff);
  CHECK_FALSE(fake.plane.outbound_sa_of(99));
  data_plane::sa_usage usage;
  usage.packets = 5;
  REQUIRE(fake.plane.set_usage(sas[0].id, usage).has_value());
  fake.plane.submit(10, data_plane::query_sa{sas[0].id});
  CHECK(std::get<data_plane::sa_usage>(*fake.sink.wait_for(10)).packets == 5);
}

TEST_CASE("fake: an injected event reaches the sink, and none after stop") {
  started_fake fake;
  fake.plane.inject_event(data_plane::sa_acquired{3, {}, {}});
  REQUIRE(fake.sink.events().size() == 1);
  CHECK(std::get<data_plane::sa_acquired>(fake.sink.events()[0]).reqid == 3);
  fake.plane.set_holding(true);
  fake.plane.submit(1, allocation());
  fake.plane.stop();
  CHECK(fake.plane.is_empty());
  CHECK_FALSE(fake.plane.step());
  fake.plane.inject_event(data_plane::sa_acquired{3, {}, {}});
  CHECK(fake.sink.events().size() == 1);
}
