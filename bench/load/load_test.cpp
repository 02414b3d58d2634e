// Checks the parts of imago-load that its figures rest upon. Ends with 1 when one does not hold.
#include <cmath>
#include <cstdio>

#include "bench/load/histogram.hpp"
#include "bench/load/messages.hpp"

namespace imago::bench {

namespace {

int failures = 0;

void check(bool fact, const char* sentence) {
  if (fact) return;
  ++failures;
  std::fprintf(stderr, "load_test: not so: %s\n", sentence);
}

void check_histogram() {
  for (std::uint64_t value : {1ULL, 63ULL, 64ULL, 65ULL, 1000ULL, 123'456ULL, 987'654'321ULL}) {
    histogram latency;
    latency.record(value);
    latency.record(2 * value + 100);
    auto low = latency.quantile(0.5);
    check(low >= value && static_cast<double>(low) <= static_cast<double>(value) * 1.032,
          "a quantile is at most 3.2 % above what was recorded");
    check(latency.quantile(1) == 2 * value + 100, "the last quantile is the highest value");
  }
  histogram even;
  for (std::uint64_t value = 1; value <= 50; ++value) even.record(value);
  check(even.quantile(0.5) == 25 && even.quantile(0.98) == 49 && even.quantile(0.99) == 50,
        "a quantile counts from below");
  check(even.count() == 50 && std::abs(even.mean() - 25.5) < 1e-9, "the mean is exact");
  check(histogram{}.quantile(0.99) == 0, "without values all figures are zero");
}

void check_messages() {
  load_options options;
  options.target = {*ip_address::parse("192.0.2.1"), 500};
  auto maker = messages::create(options);
  if (!maker) return check(false, "a maker of messages can be made");
  auto pattern = maker->make_template();
  auto before = wire::parse_message(pattern.datagram);
  const bytes cookie(40, 0x5a);
  auto after = wire::parse_message(messages::with_cookie(pattern.datagram, cookie));
  if (!before || !after) return check(false, "both requests parse");
  const auto* found = wire::find_notify(after->payloads, notify_type::cookie);
  check(found != nullptr && found->data == cookie, "the cookie is there");
  check(wire::type_of(after->payloads.front()) == payload_type::notify, "the cookie is first");
  after->payloads.erase(after->payloads.begin());
  check(after->payloads == before->payloads, "with a cookie, nothing else changes");

  auto& octet = pattern.datagram[pattern.nonce_at];
  octet = static_cast<std::uint8_t>(octet ^ 1);
  auto changed = wire::parse_message(pattern.datagram);
  if (!changed) return check(false, "a request with another nonce parses");
  const auto* nonce = wire::find<wire::nonce_payload>(changed->payloads);
  const auto* old = wire::find<wire::nonce_payload>(before->payloads);
  check(nonce != nullptr && nonce->data.size() == 32 && nonce->data[0] == (old->data[0] ^ 1),
        "the template's nonce is where it says");
}

}  // namespace

}  // namespace imago::bench

int main() {
  imago::bench::check_histogram();
  imago::bench::check_messages();
  return imago::bench::failures == 0 ? 0 : 1;
}
