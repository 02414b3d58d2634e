#include <doctest/doctest.h>

#include "core/ikev2/cookie.hpp"
#include "tests/support/test_random.hpp"

using namespace imago;
using namespace imago::ikev2;
using std::chrono::seconds;

namespace {

struct fixture {
  crypto::library library;
  repeatable_random random;
  cookie_jar jar{library, random, seconds{60}};
  bytes nonce = pattern(1, 32);
  ip_address from = *ip_address::parse("192.0.2.1");

  bytes make(int second) { return jar.make(at(second), nonce, from, 7); }
  bool check(int second, const bytes& cookie) {
    return jar.check(at(second), cookie, nonce, from, 7);
  }
  static instant at(int second) { return {seconds{second}}; }
};

}  // namespace

TEST_CASE_FIXTURE(fixture,
                  "cookie: the one made is accepted, and is the same while the secret is") {
  auto cookie = make(0);
  CHECK(cookie.size() == 17);
  CHECK(check(0, cookie));
  CHECK(check(59, cookie));
  CHECK(make(59) == cookie);
}

TEST_CASE_FIXTURE(fixture, "cookie: it is bound to nonce, address and SPI") {
  auto cookie = make(0);
  CHECK_FALSE(jar.check(at(0), cookie, pattern(2, 32), from, 7));
  CHECK_FALSE(jar.check(at(0), cookie, nonce, *ip_address::parse("192.0.2.2"), 7));
  CHECK_FALSE(jar.check(at(0), cookie, nonce, *ip_address::parse("2001:db8::1"), 7));
  CHECK_FALSE(jar.check(at(0), cookie, nonce, from, 8));
}

TEST_CASE_FIXTURE(fixture, "cookie: a change of any octet or of the length is refused") {
  auto cookie = make(0);
  for (std::size_t i = 0; i < cookie.size(); ++i) {
    CAPTURE(i);
    auto changed = cookie;
    changed[i] ^= 1;
    CHECK_FALSE(check(0, changed));
  }
  auto longer = cookie;
  longer.push_back(0);
  CHECK_FALSE(check(0, longer));
  cookie.pop_back();
  CHECK_FALSE(check(0, cookie));
  CHECK_FALSE(check(0, {}));
}

TEST_CASE_FIXTURE(fixture,
                  "cookie: after a turn of the secret the old cookie is good, after two not") {
  auto first = make(0);
  CHECK(check(60, first));
  auto second = make(60);
  CHECK(second != first);
  CHECK(check(119, first));
  CHECK(check(119, second));
  CHECK_FALSE(check(120, first));
  CHECK(check(120, second));
  CHECK_FALSE(check(180, second));
}

TEST_CASE_FIXTURE(fixture, "cookie: after a long quiet the last secret is not good any more") {
  auto cookie = make(0);
  CHECK_FALSE(check(3600, cookie));
  CHECK(check(3600, make(3600)));
}

TEST_CASE_FIXTURE(fixture, "cookie: the version may wrap around without mistaking secrets") {
  auto first = make(0);
  for (int turn = 1; turn <= 256; ++turn) {
    auto cookie = make(turn * 60);
    CHECK(check(turn * 60 + 60, cookie));
  }
  // The secret in use now has the first one's version again.
  auto now = make(256 * 60 + 60);
  CHECK_FALSE(check(256 * 60 + 60, first));
  CHECK(check(256 * 60 + 60, now));
}

TEST_CASE_FIXTURE(fixture, "cookie: before any was made none is accepted") {
  for (int version = 0; version < 256; ++version) {
    bytes cookie(17, 0);
    cookie[0] = static_cast<std::uint8_t>(version);
    CHECK_FALSE(check(0, cookie));
  }
}
