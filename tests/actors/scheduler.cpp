#include <atomic>

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
