// The parts of imago-load that its figures rest upon.
#include <doctest/doctest.h>

#include "bench/load/histogram.hpp"
#include "bench/load/messages.hpp"

using namespace imago;
using namespace imago::bench;

TEST_CASE("histogram: quantiles are within 3.2 % above what was recorded") {
  for (std::uint64_t value : {1ULL, 63ULL, 64ULL, 65ULL, 1000ULL, 123'456ULL, 987'654'321ULL}) {
    histogram latency;
    latency.record(value);
    latency.record(2 * value + 100);
    CHECK(latency.quantile(0.5) >= value);
    CHECK(static_cast<double>(latency.quantile(0.5)) <= static_cast<double>(value) * 1.032);
    CHECK(latency.quantile(1) == 2 * value + 100);
  }
}

TEST_CASE("histogram: a quantile counts from below") {
  histogram latency;
  for (std::uint64_t value = 1; value <= 50; ++value) latency.record(value);
  CHECK(latency.quantile(0.5) == 25);
  CHECK(latency.quantile(0.98) == 49);
  CHECK(latency.quantile(0.99) == 50);
  CHECK(latency.count() == 50);
  CHECK(latency.mean() == doctest::Approx(25.5));
}

TEST_CASE("histogram: without values all figures are zero") {
  histogram latency;
  CHECK(latency.quantile(0.99) == 0);
  CHECK(latency.mean() == 0);
}

TEST_CASE("imago-load: a cookie goes before what the request had, and nothing else changes") {
  load_options options;
  options.target = {*ip_address::parse("192.0.2.1"), 500};
  auto maker = messages::create(options);
  REQUIRE(maker);
  auto pattern = maker->make_template();
  auto before = wire::parse_message(pattern.datagram);
  REQUIRE(before);
  const bytes cookie(40, 0x5a);
  auto after = wire::parse_message(messages::with_cookie(pattern.datagram, cookie));
  REQUIRE(after);
  const auto* found = wire::find_notify(after->payloads, notify_type::cookie);
  REQUIRE(found != nullptr);
  CHECK(found->data == cookie);
  CHECK(wire::type_of(after->payloads.front()) == payload_type::notify);
  after->payloads.erase(after->payloads.begin());
  CHECK(after->payloads == before->payloads);
}

TEST_CASE("imago-load: the template's nonce is where it says") {
  load_options options;
  options.target = {*ip_address::parse("192.0.2.1"), 500};
  auto maker = messages::create(options);
  REQUIRE(maker);
  auto pattern = maker->make_template();
  pattern.datagram[pattern.nonce_at] =
      static_cast<std::uint8_t>(pattern.datagram[pattern.nonce_at] ^ 1);
  auto changed = wire::parse_message(pattern.datagram);
  auto original = wire::parse_message(maker->make_template().datagram);
  REQUIRE(changed);
  REQUIRE(original);
  const auto* nonce = wire::find<wire::nonce_payload>(changed->payloads);
  REQUIRE(nonce != nullptr);
  CHECK(nonce->data.size() == 32);
  // The key pair differs too between two makers, not within one.
  CHECK(*wire::find<wire::key_exchange_payload>(changed->payloads) ==
        *wire::find<wire::key_exchange_payload>(original->payloads));
}
