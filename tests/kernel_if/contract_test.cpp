// What every data plane promises (kernel_if/backend.hpp), asked of each of them alike.
#include <thread>

#include "tests/kernel_if/contract_subjects.hpp"

using namespace imago;
using namespace imago::testing;
using data_plane::direction;
using kernel_if::request_id;

TEST_CASE("contract: SPIs are never reserved and never given twice while in use") {
  with_each([](subject& s) {
    std::vector<data_plane::spi> given;
    for (int i = 0; i < 200; ++i) given.push_back(s.allocate());
    CHECK(*std::min_element(given.begin(), given.end()) >= 256);
    std::sort(given.begin(), given.end());
    CHECK(std::adjacent_find(given.begin(), given.end()) == given.end());
  });
}

TEST_CASE("contract: an SPI that the request names is the one given, or none is") {
  with_each([](subject& s) {
    auto named = [&](data_plane::spi spi) {
      return data_plane::allocate_spi{s.own.outer.address, s.other.outer.address, spi};
    };
    auto reply = s.ask(named(0xc0ffee01));
    REQUIRE(reply.has_value());
    auto* allocated = std::get_if<data_plane::spi_allocated>(&*reply);
    REQUIRE(allocated);
    CHECK(allocated->spi == 0xc0ffee01);
    CHECK(s.refusal(named(0xc0ffee01)) == errc::already_exists);
    CHECK(s.refusal(named(255)) == errc::bad_value);
    auto id = s.inbound(0xc0ffee01).id;
    CHECK(s.ask(data_plane::install_sa{s.inbound(0xc0ffee01), {}}).has_value());
    CHECK(s.refusal(named(0xc0ffee01)) == errc::already_exists);
    CHECK(s.ask(data_plane::remove_sa{id}).has_value());
    // Given back before it was installed, too.
    CHECK(s.ask(named(0xc0ffee01)).has_value());
    CHECK(s.ask(data_plane::remove_sa{id}).has_value());
    CHECK(s.refusal(data_plane::install_sa{s.inbound(0xc0ffee01), {}}) == errc::no_such_sa);
  });
}

TEST_CASE("contract: an inbound SA promotes its larval SA, once") {
  with_each([](subject& s) {
    auto spi = s.allocate();
    CHECK(s.refusal(data_plane::install_sa{s.inbound(spi ^ 0x10000), {}}) == errc::no_such_sa);
    CHECK_FALSE(s.is_installed(s.inbound(spi).id));
    CHECK(s.ask(data_plane::install_sa{s.inbound(spi), {}}).has_value());
    CHECK(s.is_installed(s.inbound(spi).id));
    CHECK(s.refusal(data_plane::install_sa{s.inbound(spi), {}}) == errc::already_exists);
    auto elsewhere = s.inbound(s.allocate());
    elsewhere.id.destination = at("192.0.2.77");
    CHECK(s.refusal(data_plane::install_sa{std::move(elsewhere), {}}) == errc::no_such_sa);
  });
}

TEST_CASE("contract: an outbound SA needs no larval one and a name not in use") {
  with_each([](subject& s) {
    CHECK(s.ask(data_plane::install_sa{s.outbound(4711), {}}).has_value());
    CHECK(s.refusal(data_plane::install_sa{s.outbound(4711), {}}) == errc::already_exists);
    CHECK(s.ask(data_plane::install_sa{s.outbound(4712), {}}).has_value());
  });
}

TEST_CASE("contract: what cannot be is refused, and nothing of it stays") {
  with_each([](subject& s) {
    auto refused_with = [&](errc code,
                            const std::function<void(data_plane::sa_parameters&)>& spoil) {
      auto sa = s.outbound(4711);
      spoil(sa);
      auto id = sa.id;
      CHECK(s.refusal(data_plane::install_sa{std::move(sa), {s.policy()}}) == code);
      CHECK_FALSE(s.is_installed(id));
      CHECK(s.refusal(data_plane::remove_policy{s.policy()}) == errc::not_found);
    };
    refused_with(errc::bad_value, [](auto& sa) { sa.reqid = 0; });
    refused_with(errc::bad_value, [](auto& sa) { sa.id.spi = 255; });
    refused_with(errc::bad_value, [](auto& sa) { sa.source = at("fd00::1"); });
    refused_with(errc::bad_value, [](auto& sa) { sa.encap_local.reset(); });
    refused_with(errc::bad_value,
                 [](auto& sa) { sa.integrity = integrity_algorithm::hmac_sha2_256_128; });
    refused_with(errc::bad_key, [](auto& sa) { sa.encryption_key = secret{std::size_t{16}}; });
    refused_with(errc::unsupported_algorithm, [](auto& sa) { sa.key_bits = 64; });
    refused_with(errc::unsupported_algorithm,
                 [](auto& sa) { sa.encryption = static_cast<encryption_algorithm>(3); });
    // A bad policy spoils the SA it comes with; the larval SA stays.
    auto spi = s.allocate();
    auto spoilt = s.policy();
    spoilt.reqid = 0;
    CHECK(s.refusal(data_plane::install_sa{s.inbound(spi), {s.policy(), spoilt}}) ==
          errc::bad_value);
    CHECK(s.refusal(data_plane::remove_policy{s.policy()}) == errc::not_found);
    CHECK(s.ask(data_plane::install_sa{s.inbound(spi), {}}).has_value());
    auto no_selectors = s.inbound(s.allocate());
    no_selectors.remote_selectors.clear();
    CHECK(s.refusal(data_plane::install_sa{std::move(no_selectors), {}}) == errc::bad_value);
  });
}

TEST_CASE("contract: larval and mature SAs are removed once") {
  with_each([](subject& s) {
    auto larval = s.inbound(s.allocate()).id;
    CHECK(s.ask(data_plane::remove_sa{larval}).has_value());
    CHECK(s.refusal(data_plane::remove_sa{larval}) == errc::no_such_sa);
    CHECK(s.refusal(data_plane::install_sa{s.inbound(larval.spi), {}}) == errc::no_such_sa);
    CHECK(s.ask(data_plane::install_sa{s.outbound(4711), {}}).has_value());
    auto mature = s.outbound(4711).id;
    CHECK(s.ask(data_plane::remove_sa{mature}).has_value());
    CHECK(s.refusal(data_plane::remove_sa{mature}) == errc::no_such_sa);
    CHECK(s.refusal(data_plane::query_sa{mature}) == errc::no_such_sa);
    CHECK(s.refusal(data_plane::update_sa{mature, s.own.outer, s.other.outer}) == errc::no_such_sa);
  });
}

TEST_CASE("contract: a policy is removed exactly as it was installed, as often as it was") {
  with_each([](subject& s) {
    auto policy = s.policy();
    CHECK(s.ask(data_plane::install_sa{s.outbound(4711), {policy}}).has_value());
    CHECK(s.ask(data_plane::install_policy{policy}).has_value());
    auto other = policy;
    other.outer_remote = at("192.0.2.99");
    CHECK(s.refusal(data_plane::remove_policy{other}) == errc::not_found);
    CHECK(s.ask(data_plane::remove_policy{policy}).has_value());
    CHECK(s.ask(data_plane::remove_policy{policy}).has_value());
    CHECK(s.refusal(data_plane::remove_policy{policy}) == errc::not_found);
    CHECK(s.is_installed(s.outbound(4711).id));
    auto upside_down = policy;
    std::swap(upside_down.remote_selectors[0].start_address,
              upside_down.remote_selectors[0].end_address);
    CHECK(s.refusal(data_plane::install_policy{upside_down}) == errc::bad_value);
  });
}

TEST_CASE("contract: bypass and discard come and go, or are refused and leave nothing") {
  with_each([](subject& s) {
    for (auto processing : {data_plane::processing::bypass, data_plane::processing::discard}) {
      auto shunt = s.policy();
      shunt.processing = processing;
      CHECK(s.refusal(data_plane::install_policy{shunt}) == errc::bad_value);  // it has a reqid
      shunt.reqid = 0;
      if (!s.plane().capabilities().has_shunts) {
        CHECK(s.refusal(data_plane::install_policy{shunt}) == errc::not_supported);
        CHECK(s.refusal(data_plane::remove_policy{shunt}) == errc::not_found);
        continue;
      }
      // Beside a policy of the same selectors that protects.
      CHECK(s.ask(data_plane::install_policy{s.policy()}).has_value());
      CHECK(s.ask(data_plane::install_policy{shunt}).has_value());
      CHECK(s.ask(data_plane::install_policy{shunt}).has_value());
      CHECK(s.ask(data_plane::remove_policy{shunt}).has_value());
      CHECK(s.ask(data_plane::remove_policy{s.policy()}).has_value());
      CHECK(s.ask(data_plane::remove_policy{shunt}).has_value());
      CHECK(s.refusal(data_plane::remove_policy{shunt}) == errc::not_found);
    }
    auto without_reqid = s.policy();
    without_reqid.reqid = 0;
    CHECK(s.refusal(data_plane::install_policy{without_reqid}) == errc::bad_value);
  });
}

TEST_CASE("contract: a new SA was never used; an update is taken") {
  with_each([](subject& s) {
    CHECK(s.ask(data_plane::install_sa{s.outbound(4711), {}}).has_value());
    auto id = s.outbound(4711).id;
    auto reply = s.ask(data_plane::query_sa{id});
    REQUIRE(reply.has_value());
    auto* usage = std::get_if<data_plane::sa_usage>(&*reply);
    REQUIRE(usage);
    CHECK(usage->packets == 0);
    CHECK(usage->octets == 0);
    CHECK_FALSE(usage->last_used.has_value());
    CHECK(s.ask(data_plane::update_sa{id, s.own.outer, {at("192.0.2.9"), 9}}).has_value());
  });
}

TEST_CASE("contract: flush leaves nothing") {
  with_each([](subject& s) {
    auto larval = s.inbound(s.allocate()).id;
    CHECK(s.ask(data_plane::install_sa{s.outbound(4711), {s.policy()}}).has_value());
    CHECK(s.ask(data_plane::flush{}).has_value());
    CHECK(s.refusal(data_plane::remove_sa{larval}) == errc::no_such_sa);
    CHECK(s.refusal(data_plane::remove_sa{s.outbound(4711).id}) == errc::no_such_sa);
    CHECK(s.refusal(data_plane::remove_policy{s.policy()}) == errc::not_found);
  });
}

TEST_CASE("contract: requests in flight are answered in order, each once") {
  with_each([](subject& s) {
    constexpr request_id first = 1000;
    constexpr request_id count = 500;
    for (request_id i = 0; i < count; ++i) {
      s.plane().submit(first + i,
                       data_plane::allocate_spi{s.own.outer.address, s.other.outer.address});
    }
    CHECK(s.sink.wait_for(first + count - 1).has_value());
    auto order = s.sink.order();
    REQUIRE(order.size() == count);
    for (request_id i = 0; i < count; ++i) CHECK(order[i] == first + i);
  });
}

TEST_CASE("contract: requests from several threads are each answered once") {
  with_each([](subject& s) {
    constexpr request_id count = 200;
    std::vector<std::thread> threads;
    for (request_id thread = 1; thread <= 4; ++thread) {
      threads.emplace_back([&s, thread] {
        for (request_id i = 0; i < count; ++i) {
          s.plane().submit(thread * 1000 + i,
                           data_plane::allocate_spi{s.own.outer.address, s.other.outer.address});
        }
      });
    }
    for (auto& thread : threads) thread.join();
    for (request_id thread = 1; thread <= 4; ++thread)
      for (request_id i = 0; i < count; ++i)
        REQUIRE(s.sink.wait_for(thread * 1000 + i).has_value());
    CHECK(s.sink.order().size() == 4 * count);
  });
}

TEST_CASE("contract: after stop nobody speaks, and a second stop does no harm") {
  with_each([](subject& s) {
    s.allocate();
    s.plane().stop();
    auto before = s.sink.order().size();
    s.plane().submit(77, data_plane::flush{});
    s.plane().deliver_esp(s.own.outer, s.other.outer, bytes(40));
    s.plane().stop();
    CHECK(s.sink.order().size() == before);
  });
}

TEST_CASE("contract: a second start is refused") {
  with_each([](subject& s) {
    remembering_sink other;
    auto again = s.plane().start(other);
    REQUIRE_FALSE(again.has_value());
    CHECK(again.failure().code == errc::already_exists);
  });
}

TEST_CASE("contract: what only a kernel has is taken or refused, as the capabilities say") {
  with_each([](subject& s) {
    auto can = s.plane().capabilities();
    auto expected = [](bool has) { return has ? std::optional<errc>{} : errc::not_supported; };
    data_plane::spi next = 5000;
    auto outcome = [&](const std::function<void(data_plane::sa_parameters&)>& change) {
      auto sa = s.outbound(++next);
      change(sa);
      auto reply = s.ask(data_plane::install_sa{std::move(sa), {}});
      return reply ? std::optional<errc>{} : reply.failure().code;
    };
    CHECK(outcome([](auto& sa) { sa.mark = {1, 0xff}; }) == expected(can.has_kernel_options));
    CHECK(outcome([](auto& sa) {
            sa.output_mark = {1, 0xff};
          }) == expected(can.has_kernel_options));
    CHECK(outcome([](auto& sa) { sa.if_id = 7; }) == expected(can.has_kernel_options));
    CHECK(outcome([](auto& sa) { sa.lifetime.soft_seconds = 600; }) ==
          expected(can.has_time_lifetimes));
    auto marked = s.policy();
    marked.mark = {1, 0xff};
    auto policy = s.ask(data_plane::install_policy{marked});
    CHECK((policy ? std::optional<errc>{} : policy.failure().code) ==
          expected(can.has_kernel_options));
    CHECK(s.ask(data_plane::remove_policy{marked}).has_value() == can.has_kernel_options);
  });
}

TEST_CASE("contract: every suite, window and mode that is promised can be installed") {
  with_each([](subject& s) {
    auto can = s.plane().capabilities();
    data_plane::spi next = 6000;
    for (const auto& algorithms : suites) {
      for (std::uint32_t window : {0U, 32U, 64U, can.replay_window_max}) {
        CAPTURE(algorithms.name);
        CAPTURE(window);
        s.how = {};
        s.how.algorithms = algorithms;
        s.how.replay_window = window;
        s.how.uses_esn = can.esn && window != 0;
        s.how.mode = can.transport_mode && next % 2 == 0 ? data_plane::mode::transport
                                                         : data_plane::mode::tunnel;
        auto inbound = s.inbound(s.allocate());
        auto id = inbound.id;
        auto installed = s.ask(data_plane::install_sa{std::move(inbound), {}});
        if (!installed) FAIL_CHECK(installed.failure().text());
        CHECK(s.is_installed(id));
        CHECK(s.ask(data_plane::install_sa{s.outbound(++next), {}}).has_value());
      }
    }
  });
}

TEST_CASE("contract: one query tells of many SAs, and leaves out those that are not there") {
  with_each([](subject& s) {
    data_plane::query_activity query;
    std::set<data_plane::sa_id> installed;
    for (int i = 0; i < 20; ++i) {
      s.how.activity_interval = std::chrono::seconds{i % 2};
      auto sa = s.inbound(s.allocate());
      installed.insert(sa.id);
      query.sas.push_back(sa.id);
      CHECK(s.ask(data_plane::install_sa{std::move(sa), {}}).has_value());
    }
    query.sas.push_back(s.inbound(s.allocate()).id);  // larval
    query.sas.push_back(s.inbound(0xdeadbeef).id);    // nobody's
    auto reply = s.ask(query);
    REQUIRE(reply.has_value());
    auto* list = std::get_if<data_plane::activity_list>(&*reply);
    REQUIRE(list);
    std::set<data_plane::sa_id> told;
    for (const auto& [id, usage] : list->sas) {
      told.insert(id);
      CHECK(usage.packets == 0);
      CHECK_FALSE(usage.last_used.has_value());
    }
    CHECK(told == installed);
  });
}

TEST_CASE("contract: an SA in use says so at once, then once a period; a silent one says nothing") {
  with_each([](subject& s) {
    s.how.activity_interval = std::chrono::milliseconds{300};
    auto sa = s.inbound(s.allocate());
    auto id = sa.id;
    CHECK(s.ask(data_plane::install_sa{std::move(sa), {}}).has_value());
    auto counts = [&] {
      std::size_t count = 0;
      for (const auto& one : s.sink.events())
        if (auto* active = std::get_if<data_plane::sa_active>(&one); active && active->id == id)
          ++count;
      return count;
    };
    REQUIRE(s.carry(id));
    CHECK(s.sink.wait_for_events(1));
    CHECK(counts() == 1);
    // As long as there are packets there are events, and not one for each.
    std::size_t packets = 1;
    while (counts() < 3 && packets < 100'000) {
      s.carry(id);
      ++packets;
    }
    CHECK(counts() == 3);
    CHECK(packets > 6);
    auto reply = s.ask(data_plane::query_activity{{id}});
    REQUIRE(reply.has_value());
    auto* list = std::get_if<data_plane::activity_list>(&*reply);
    REQUIRE(list);
    REQUIRE(list->sas.size() == 1);
    CHECK(list->sas[0].second.packets == packets);
    CHECK(list->sas[0].second.last_used.has_value());
  });
}
