#include "actors/timers.hpp"

#include <doctest/doctest.h>

#include "tests/actors/infrastructure.hpp"

using namespace imago;
using namespace imago::actors;
using namespace imago::actors::testing;
using namespace std::chrono_literals;

namespace {

struct wheel_room : engine_room {
  explicit wheel_room(std::size_t shard_count = 1) {
    time->set({100s});
    wheel = std::make_shared<timer_wheel>(time, shard_count);
    who = spawn<collector>(seen);
  }
  ~wheel_room() {
    caf::anon_send(who, retire{});
    scheduler().run();
  }
  // Jumps to the next timer until nothing is pending or `end` is reached.
  std::size_t run_until(instant end) {
    std::size_t fired = 0;
    for (auto next = wheel->next_due(); next && *next <= end; next = wheel->next_due()) {
      time->set(*next);
      auto count = wheel->advance(*next);
      REQUIRE(count > 0);  // next_due is exact while receivers live
      fired += count;
      scheduler().run();
    }
    time->set(end);
    fired += wheel->advance(end);
    scheduler().run();
    return fired;
  }

  std::shared_ptr<timer_wheel> wheel;
  std::shared_ptr<collected> seen = std::make_shared<collected>();
  caf::actor who;
};

}  // namespace

TEST_CASE("timer wheel: fires once, not before it is due, at most a tick late") {
  wheel_room room;
  room.wheel->arm(room.who.address(), 12ms, {timer_kind::retransmit_due, 7});
  CHECK(room.wheel->pending() == 1);
  room.time->set({100s + 11ms});
  CHECK(room.wheel->advance(room.time->now()) == 0);
  room.time->set({100s + 17ms});
  CHECK(room.wheel->advance(room.time->now()) == 1);
  CHECK(room.wheel->advance(room.time->now()) == 0);
  room.scheduler().run();
  REQUIRE(room.seen->timers.size() == 1);
  CHECK(room.seen->timers[0] == timer_due{timer_kind::retransmit_due, 7});
  CHECK(room.wheel->pending() == 0);
}

TEST_CASE("timer wheel: timers of hours and milliseconds fire in the order of their times") {
  wheel_room room;
  const std::vector<duration> delays{4h, 5ms, 21s, 20480ms, 1h, 0ms, 40960ms, 3s};
  for (std::size_t i = 0; i < delays.size(); ++i)
    room.wheel->arm(room.who.address(), delays[i], {timer_kind::rekey_due, i});
  CHECK(room.run_until({100s + 5h}) == delays.size());
  std::vector<std::uint64_t> order;
  for (const auto& due : room.seen->timers) order.push_back(due.generation);
  CHECK(order == std::vector<std::uint64_t>{5, 1, 7, 3, 2, 6, 4, 0});
}

TEST_CASE("timer wheel: what is due together fires in the order of arming") {
  wheel_room room;
  for (std::uint64_t i = 0; i < 50; ++i)
    room.wheel->arm(room.who.address(), 30s, {timer_kind::sweep_due, i});
  room.run_until({200s});
  REQUIRE(room.seen->timers.size() == 50);
  for (std::uint64_t i = 0; i < 50; ++i) CHECK(room.seen->timers[i].generation == i);
}

TEST_CASE("timer wheel: what is due in one tick keeps the order of arming, armed an hour apart") {
  wheel_room room;
  // The first waits in the slow wheel, the second never does.
  room.wheel->arm(room.who.address(), 1h, {timer_kind::rekey_due, 1});
  room.run_until({100s + 1h - 1s});
  room.wheel->arm(room.who.address(), 1s, {timer_kind::rekey_due, 2});
  room.run_until({100s + 2h});
  REQUIRE(room.seen->timers.size() == 2);
  CHECK(room.seen->timers[0].generation == 1);
  CHECK(room.seen->timers[1].generation == 2);
}

TEST_CASE("timer wheel: ten thousand timers hours away wake nobody until their lap") {
  wheel_room room;
  for (std::uint64_t i = 0; i < 10000; ++i)
    room.wheel->arm(room.who.address(), 1h + std::chrono::milliseconds{i * 997},
                    {timer_kind::rekey_due, i});
  std::size_t wakes = 0;
  instant end{100s + 59min};
  for (auto wake = room.wheel->next_wake(); wake && *wake < end; wake = room.wheel->next_wake()) {
    room.time->set(*wake);
    CHECK(room.wheel->advance(*wake) == 0);
    ++wakes;
  }
  CHECK(wakes == 0);
  CHECK(room.run_until({100s + 5h}) == 10000);
  for (std::uint64_t i = 0; i < 10000; ++i) CHECK(room.seen->timers[i].generation == i);
}

TEST_CASE("timer wheel: a timer of days fires once, though the slow wheel turns several times") {
  wheel_room room;
  room.wheel->arm(room.who.address(), 96h, {timer_kind::rekey_due, 1});
  room.wheel->arm(room.who.address(), 25h, {timer_kind::rekey_due, 2});
  CHECK(room.run_until({100s + 24h}) == 0);
  CHECK(room.run_until({100s + 26h}) == 1);
  CHECK(room.run_until({100s + 95h}) == 0);
  CHECK(room.run_until({100s + 97h}) == 1);
  CHECK(room.wheel->pending() == 0);
}

TEST_CASE("timer wheel: a cancelled timer never fires, its handle is worth nothing after") {
  wheel_room room;
  auto first = room.wheel->arm(room.who.address(), 10ms, {timer_kind::reply_due, 1});
  CHECK(room.wheel->cancel(first));
  CHECK(!room.wheel->cancel(first));
  // The place is used again; the old handle must not reach the new timer.
  auto second = room.wheel->arm(room.who.address(), 10ms, {timer_kind::reply_due, 2});
  CHECK(second.place == first.place);
  CHECK(!room.wheel->cancel(first));
  CHECK(!room.wheel->cancel(timer_handle{}));
  CHECK(room.run_until({101s}) == 1);
  CHECK(!room.wheel->cancel(second));
  REQUIRE(room.seen->timers.size() == 1);
  CHECK(room.seen->timers[0].generation == 2);
}

TEST_CASE("timer wheel: a dead actor is not kept alive and not counted") {
  wheel_room room;
  auto other = room.spawn<collector>(room.seen);
  room.wheel->arm(other.address(), 1h, {timer_kind::linger_due, 1});
  caf::anon_send(other, retire{});
  other = nullptr;
  room.scheduler().run();
  CHECK(room.counted->live("collector") == 1);
  room.time->pass(2h);
  CHECK(room.wheel->advance(room.time->now()) == 0);
  CHECK(room.wheel->pending() == 0);
}

TEST_CASE("timer wheel: a hundred thousand timers, every third cancelled, in virtual time") {
  wheel_room room{8};
  std::vector<timer_handle> handles;
  for (std::uint64_t i = 0; i < 100'000; ++i)
    handles.push_back(room.wheel->arm(room.who.address(), std::chrono::milliseconds{i % 60'000},
                                      {timer_kind::keepalive_due, i}));
  CHECK(room.wheel->pending() == 100'000);
  for (std::size_t i = 0; i < handles.size(); i += 3) CHECK_UNARY(room.wheel->cancel(handles[i]));
  const std::size_t kept = 100'000 - 33'334;
  CHECK(room.wheel->pending() == kept);
  std::size_t fired = 0;
  for (int second = 1; second <= 61; ++second) {
    room.time->set({100s + std::chrono::seconds{second}});
    fired += room.wheel->advance(room.time->now());
  }
  room.scheduler().run();
  CHECK(fired == kept);
  REQUIRE(room.seen->timers.size() == kept);
  bool any_cancelled = false;
  for (const auto& due : room.seen->timers) any_cancelled |= due.generation % 3 == 0;
  CHECK(!any_cancelled);
}

TEST_CASE("timer wheel: next_wake is never later than next_due") {
  wheel_room room{4};
  CHECK(!room.wheel->next_due());
  CHECK(!room.wheel->next_wake());
  room.wheel->arm(room.who.address(), 1h, {timer_kind::rekey_due, 1});
  auto wake = room.wheel->next_wake();
  auto due = room.wheel->next_due();
  REQUIRE(wake);
  REQUIRE(due);
  CHECK(*wake <= *due);
  CHECK(*due == instant{100s + 1h});
}

TEST_CASE("timer wheel: an actor_timer knows the message it still wants") {
  wheel_room room;
  actor_timer timer{room.wheel, timer_kind::retransmit_due};
  timer.arm(room.who.address(), 10ms);
  room.time->pass(1s);
  room.wheel->advance(room.time->now());  // the message is on its way, then it is armed anew
  timer.arm(room.who.address(), 10ms);
  room.scheduler().run();
  REQUIRE(room.seen->timers.size() == 1);
  CHECK(!timer.accept(room.seen->timers[0]));
  CHECK(timer.is_armed());
  room.time->pass(1s);
  room.wheel->advance(room.time->now());
  room.scheduler().run();
  REQUIRE(room.seen->timers.size() == 2);
  CHECK(!timer.accept({timer_kind::reply_due, room.seen->timers[1].generation}));
  CHECK(timer.accept(room.seen->timers[1]));
  CHECK(!timer.accept(room.seen->timers[1]));
  CHECK(!timer.is_armed());
  {
    actor_timer short_lived{room.wheel, timer_kind::sweep_due};
    short_lived.arm(room.who.address(), 1h);
    CHECK(room.wheel->pending() == 1);
  }
  CHECK(room.wheel->pending() == 0);
}

namespace {

class timed final : public actor_base {
 public:
  timed(caf::actor_config& config, const std::shared_ptr<census>& counted,
        std::shared_ptr<journal> facts, std::shared_ptr<std::promise<timer_kind>> fired)
      : actor_base{config, "timed", counted, std::move(facts)}, fired_{std::move(fired)} {}
  caf::behavior make_behavior() override {
    return handled_by([this](const timer_due& due) {
      fired_->set_value(due.kind);
      quit();
    });
  }

 private:
  std::shared_ptr<std::promise<timer_kind>> fired_;
};

}  // namespace

TEST_CASE(
    "timer thread: wakes for what is armed earlier than it sleeps, and stops while it sleeps") {
  engine_room room{2};
  auto time = std::make_shared<system_clock_source>();
  timer_wheel wheel{time};
  timer_thread thread{wheel};
  thread.start();
  auto idle = std::make_shared<std::promise<timer_kind>>();
  auto sleeper = room.spawn<timed>(idle);
  auto far = wheel.arm(sleeper.address(), 1h, {timer_kind::rekey_due, 1});
  auto first = std::make_shared<std::promise<timer_kind>>();
  auto one = room.spawn<timed>(first);
  const auto armed_at = time->now();
  wheel.arm(one.address(), 20ms, {timer_kind::revive_due, 1});
  CHECK(first->get_future().get() == timer_kind::revive_due);
  CHECK(time->now() - armed_at >= 20ms);  // never early, however late
  thread.stop();
  thread.start();  // a second life
  CHECK(wheel.cancel(far));
  wheel.arm(sleeper.address(), 0ms, {timer_kind::sweep_due, 2});
  CHECK(idle->get_future().get() == timer_kind::sweep_due);
  thread.stop();
  CHECK(wheel.pending() == 0);
}
