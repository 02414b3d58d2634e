#include "kernel_if/user_esp/replay_window.hpp"

#include <set>

#include <doctest/doctest.h>

using imago::kernel_if::user_esp::replay_window;

namespace {

constexpr std::uint64_t wrap = std::uint64_t{1} << 32;

bool take(replay_window& window, std::uint64_t sequence) {
  if (!window.is_fresh(sequence)) return false;
  window.accept(sequence);
  return true;
}

}  // namespace

TEST_CASE("replay window: each number passes once, the lowest of the window still, older never") {
  for (std::uint32_t size : {32U, 33U, 63U, 64U, 65U, 100U, 128U, 1000U, 1024U, 4096U}) {
    CAPTURE(size);
    replay_window window{size, false};
    CHECK_FALSE(take(window, 0));
    CHECK(take(window, 1));
    CHECK_FALSE(take(window, 1));
    std::uint64_t top = 10000;
    CHECK(take(window, top));
    CHECK(take(window, top - size + 1));
    CHECK_FALSE(take(window, top - size + 1));
    CHECK_FALSE(take(window, top - size));
    CHECK(take(window, top - 1));
    CHECK(take(window, top + 1));
    CHECK_FALSE(take(window, top - size + 1));  // has just left
    CHECK_FALSE(take(window, top));
    CHECK(window.highest() == top + 1);
  }
}

TEST_CASE("replay window: agrees with a plain set over a scrambled sequence") {
  for (std::uint32_t size : {32U, 70U, 256U}) {
    replay_window window{size, false};
    std::set<std::uint64_t> seen;
    std::uint64_t top = 0;
    std::uint64_t state = 12345;
    for (int i = 0; i < 20000; ++i) {
      state = state * 6364136223846793005U + 1442695040888963407U;
      std::uint64_t sequence = static_cast<std::uint64_t>(i) / 2 + (state >> 33) % (2 * size) + 1;
      bool expected = seen.count(sequence) == 0 && sequence + size > top;
      REQUIRE(take(window, sequence) == expected);
      seen.insert(sequence);
      top = std::max(top, sequence);
    }
  }
}

TEST_CASE("replay window: a jump beyond the whole ring forgets everything older") {
  replay_window window{64, false};
  for (std::uint64_t i = 1; i <= 64; ++i) CHECK(take(window, i));
  CHECK(take(window, 1000000));
  for (std::uint64_t i = 1000000 - 63; i < 1000000; ++i) CHECK(take(window, i));
  CHECK_FALSE(take(window, 1000000 - 64));
}

TEST_CASE("replay window: size 0 lets everything pass") {
  replay_window window{0, false};
  CHECK(take(window, 5));
  CHECK(take(window, 5));
  CHECK(take(window, 1));
  CHECK(take(window, 0));
}

TEST_CASE("replay window: the last number of a short SA passes once") {
  replay_window window{64, false};
  CHECK(take(window, wrap - 1));
  CHECK_FALSE(take(window, wrap - 1));
  CHECK(window.infer(0) == 0U);  // no ESN: what is shown is what is meant
  CHECK_FALSE(take(window, 0));
}

TEST_CASE("replay window: without ESN nothing is inferred, and a new window knows its subspace") {
  replay_window plain{64, false};
  plain.accept(wrap - 1);
  CHECK(plain.infer(5) == 5U);
  replay_window fresh{64, true};
  CHECK(fresh.infer(1) == 1U);
  CHECK(fresh.infer(1000) == 1000U);
  // Within a window's reach below zero lies nothing.
  CHECK_FALSE(fresh.infer(0xffffffffU).has_value());
}

TEST_CASE("replay window: ESN goes up over 2^32 and takes late packets from below it") {
  for (std::uint32_t size : {32U, 64U, 1024U, 4096U}) {
    CAPTURE(size);
    replay_window window{size, true};
    window.accept(wrap - 10);
    // Case A, the window in one subspace: what lies below it is of the next.
    CHECK(window.infer(static_cast<std::uint32_t>(wrap - 10)) == wrap - 10);
    CHECK(window.infer(static_cast<std::uint32_t>(wrap - 9 - size)) == wrap - 9 - size);
    CHECK(window.infer(static_cast<std::uint32_t>(wrap - 10 - size)) == 2 * wrap - 10 - size);
    CHECK(window.infer(3) == wrap + 3);
    CHECK(take(window, wrap + 3));
    // Case B, the window over both: the low halves near 2^32 are of the one before.
    CHECK(window.infer(0xffffffffU) == wrap - 1);
    CHECK(take(window, *window.infer(0xffffffffU)));
    CHECK_FALSE(take(window, *window.infer(0xffffffffU)));
    CHECK_FALSE(take(window, *window.infer(static_cast<std::uint32_t>(wrap - 10))));
    CHECK(window.infer(0) == wrap);
    CHECK(take(window, wrap));
    CHECK(window.infer(4) == wrap + 4);
    // Just below the window's end in the older subspace it is the newer again.
    auto bottom = wrap + 3 - size + 1;
    CHECK(window.infer(static_cast<std::uint32_t>(bottom)) == bottom);
    CHECK(window.infer(static_cast<std::uint32_t>(bottom - 1)) == bottom - 1 + wrap);
  }
}

TEST_CASE("replay window: ESN without a check still follows the high half") {
  replay_window window{0, true};
  CHECK(window.infer(0xffffffffU) == 0xffffffffU);
  window.accept(wrap - 1);
  CHECK(window.infer(2) == wrap + 2);
  window.accept(wrap + 2);
  CHECK(window.infer(0xfffffff0U) == wrap - 16);
}

TEST_CASE("replay window: restarted, all up to the number counts as seen and the rest is open") {
  for (std::uint64_t top : {std::uint64_t{63}, std::uint64_t{64}, std::uint64_t{1000}, wrap - 1}) {
    replay_window window{128, true};
    window.restart(top);
    CHECK_FALSE(take(window, top));
    CHECK_FALSE(take(window, top - 5));
    CHECK(take(window, top + 1));
    CHECK(take(window, top + 70));
    CHECK(take(window, top + 2));
    CHECK_FALSE(take(window, top + 2));
  }
}
