#include <atomic>
#include <latch>
#include <limits>
#include <thread>

#include <doctest/doctest.h>

#include "tests/actors/infrastructure.hpp"

namespace {
struct token {
  int hops_left = 0;
};
struct successor {
  caf::actor actor;
};
struct urgent {};
struct hold {
  std::shared_ptr<std::promise<void>> entered;
  std::shared_future<void> released;
};
struct add_one {
  std::shared_ptr<std::atomic<int>> count;
  int wanted = 0;
  std::shared_ptr<std::promise<void>> reached;
};
}  // namespace
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(token)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(successor)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(urgent)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(hold)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(add_one)

using namespace imago;
using namespace imago::actors;
using imago::actors::testing::engine_room;
using imago::actors::testing::retire;

namespace {

struct goal {
  std::atomic<int> tokens_left;
  std::promise<void> reached;
};

class passer final : public actor_base {
 public:
  passer(caf::actor_config& config, const std::shared_ptr<census>& counted,
         std::shared_ptr<journal> facts, std::shared_ptr<goal> all)
      : actor_base{config, "passer", counted, std::move(facts)}, all_{std::move(all)} {}

  caf::behavior make_behavior() override {
    return handled_by([this](const successor& next) { next_ = next.actor; },
                      [this](token passed) {
                        if (passed.hops_left-- > 0)
                          send(next_, passed);
                        else if (--all_->tokens_left == 0)
                          all_->reached.set_value();
                      },
                      [this](retire) {
                        next_ = nullptr;
                        quit();
                      });
  }

 private:
  std::shared_ptr<goal> all_;
  caf::actor next_;
};

// Handles what it is sent as slowly as the test wants.
class worker final : public actor_base {
 public:
  worker(caf::actor_config& config, const std::shared_ptr<census>& counted,
         std::shared_ptr<journal> facts, std::shared_ptr<std::vector<int>> order)
      : actor_base{config, "worker", counted, std::move(facts)}, order_{std::move(order)} {}

  caf::behavior make_behavior() override {
    return handled_by(
        [](const hold& wait) {
          wait.entered->set_value();
          wait.released.wait();
        },
        [this](token normal) { order_->push_back(normal.hops_left); },
        [this](urgent) {
          order_->push_back(-1);
          quit();
        },
        [](const add_one& add) {
          if (++*add.count == add.wanted) add.reached->set_value();
        },
        [this](retire) { quit(); });
  }

 private:
  std::shared_ptr<std::vector<int>> order_;
};

}  // namespace

TEST_CASE("scheduler: a thousand actors pass a hundred tokens around on four threads") {
  auto all = std::make_shared<goal>();
  all->tokens_left = 100;
  std::shared_ptr<census> counted;
  {
    engine_room room{4};
    counted = room.counted;
    std::vector<caf::actor> ring;
    for (int i = 0; i < 1000; ++i) ring.push_back(room.spawn<passer>(all));
    for (std::size_t i = 0; i < ring.size(); ++i)
      caf::anon_send(ring[i], successor{ring[(i + 1) % ring.size()]});
    for (std::size_t i = 0; i < 100; ++i) caf::anon_send(ring[i * 10], token{2000});
    all->reached.get_future().wait();
    CHECK(counted->live("passer") == 1000);
    for (auto& each : ring) caf::anon_send(each, retire{});
  }
  CHECK(all->tokens_left == 0);
  CHECK(counted->text() == "");
}

TEST_CASE("scheduler: a high priority message overtakes what is queued") {
  auto order = std::make_shared<std::vector<int>>();
  {
    engine_room room{2};
    auto slow = room.spawn<worker>(order);
    auto entered = std::make_shared<std::promise<void>>();
    std::promise<void> release;
    caf::anon_send(slow, hold{entered, release.get_future().share()});
    entered->get_future().wait();
    for (int i = 0; i < 1000; ++i) caf::anon_send(slow, token{i});
    caf::anon_send<caf::message_priority::high>(slow, urgent{});
    release.set_value();
  }
  REQUIRE(!order->empty());
  CHECK(order->back() == -1);
  CHECK(order->size() <= 3);  // CAF may finish two messages of the round under way
}

TEST_CASE("scheduler: idle workers take what waits behind a busy one") {
  engine_room room{3};
  auto order = std::make_shared<std::vector<int>>();
  auto busy = room.spawn<worker>(order);
  auto also_busy = room.spawn<worker>(order);
  std::promise<void> release;
  auto released = release.get_future().share();
  for (auto& each : {busy, also_busy}) {
    auto entered = std::make_shared<std::promise<void>>();
    caf::anon_send(each, hold{entered, released});
    entered->get_future().wait();
  }
  // Two of three workers are stuck; everything else must still be done.
  auto count = std::make_shared<std::atomic<int>>(0);
  auto reached = std::make_shared<std::promise<void>>();
  std::vector<caf::actor> others;
  for (int i = 0; i < 300; ++i) others.push_back(room.spawn<worker>(order));
  for (auto& each : others) caf::anon_send(each, add_one{count, 300, reached});
  reached->get_future().wait();
  CHECK(*count == 300);
  release.set_value();
  others.push_back(busy);
  others.push_back(also_busy);
  for (auto& each : others) caf::anon_send(each, retire{});
}

namespace {

// A room whose only worker is held until the test lets it go.
struct held_room {
  explicit held_room(std::shared_ptr<std::vector<int>> order) : busy{room.spawn<worker>(order)} {
    auto entered = std::make_shared<std::promise<void>>();
    caf::anon_send(busy, hold{entered, release.get_future().share()});
    entered->get_future().wait();
  }
  void ask(errand_rank rank, errand::function work) {
    do_errand(room.system.scheduler(), caf::make_counted<errand>(rank, std::move(work)));
  }
  engine_room room{1};
  std::promise<void> release;
  caf::actor busy;
};

}  // namespace

TEST_CASE("scheduler: errands come after actors, those at leisure after all others") {
  auto order = std::make_shared<std::vector<int>>();
  held_room held{order};
  auto reached = std::make_shared<std::promise<void>>();
  held.ask(errand_rank::at_leisure, [=](caf::execution_unit*) {
    order->push_back(200);
    reached->set_value();
  });
  held.ask(errand_rank::soon, [=](caf::execution_unit*) { order->push_back(100); });
  auto other = held.room.spawn<worker>(order);
  caf::anon_send(other, token{1});
  held.release.set_value();
  reached->get_future().wait();
  // One turn of an actor, and what waits soon is done; who is at leisure waits for them all.
  CHECK(*order == std::vector<int>{1, 100, 200});
  for (auto& each : {held.busy, other}) caf::anon_send(each, retire{});
}

TEST_CASE("scheduler: actors that never rest do not starve errands of either rank") {
  auto all = std::make_shared<goal>();
  all->tokens_left = 1;
  auto done = std::make_shared<std::latch>(2);
  {
    engine_room room{1};
    auto ring = std::vector<caf::actor>{room.spawn<passer>(all), room.spawn<passer>(all)};
    caf::anon_send(ring[0], successor{ring[1]});
    caf::anon_send(ring[1], successor{ring[0]});
    caf::anon_send(ring[0], token{std::numeric_limits<int>::max()});
    for (auto rank : {errand_rank::soon, errand_rank::at_leisure})
      do_errand(
          room.system.scheduler(),
          caf::make_counted<errand>(rank, [done](caf::execution_unit*) { done->count_down(); }));
    done->wait();
    CHECK(all->tokens_left == 1);  // the token is still passed around
    for (auto& each : ring) caf::anon_send<caf::message_priority::high>(each, retire{});
  }
}

TEST_CASE("scheduler: errands of four threads are all done, each once") {
  auto count = std::make_shared<std::atomic<int>>(0);
  auto done = std::make_shared<std::latch>(4000);
  {
    engine_room room{4};
    auto one = caf::make_counted<errand>(errand_rank::soon, [=](caf::execution_unit*) {
      ++*count;
      done->count_down();
    });
    std::vector<std::thread> askers;
    for (int i = 0; i < 4; ++i)
      askers.emplace_back([&] {
        for (int j = 0; j < 1000; ++j) do_errand(room.system.scheduler(), one);
      });
    for (auto& each : askers) each.join();
    done->wait();
  }
  CHECK(*count == 4000);
}
