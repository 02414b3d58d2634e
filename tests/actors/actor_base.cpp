#include "actors/actor_base.hpp"

#include <stdexcept>

#include <doctest/doctest.h>

#include "tests/actors/infrastructure.hpp"

namespace {
struct nobody_expects_this {
  std::string content;
};
struct fail {};
struct relay {
  caf::actor to;
};
struct ask {
  caf::actor whom;
};
struct watch {
  caf::actor whom;
};
struct unwatch {
  caf::actor whom;
};
}  // namespace
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(nobody_expects_this)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(fail)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(relay)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ask)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(watch)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(unwatch)

using namespace imago;
using namespace imago::actors;
using imago::actors::testing::engine_room;
using imago::actors::testing::retire;

namespace {

struct witness {
  int errors = 0;
  std::vector<caf::error> downs;
};

class subject final : public actor_base {
 public:
  subject(caf::actor_config& config, const std::shared_ptr<census>& counted,
          std::shared_ptr<journal> facts, std::shared_ptr<witness> seen)
      : actor_base{config, "subject", counted, std::move(facts)}, seen_{std::move(seen)} {}

  caf::behavior make_behavior() override {
    return handled_by([](fail) { throw std::runtime_error{"a reason\nof two lines"}; },
                      [this](const relay& order) { send(order.to, nobody_expects_this{"hush"}); },
                      [this](const ask& order) {
                        request(order.whom, caf::infinite, nobody_expects_this{"hush"})
                            .then([] {}, [this](const caf::error&) { ++seen_->errors; });
                      },
                      [this](const watch& order) { monitor(order.whom); },
                      [this](const unwatch& order) { demonitor(order.whom.address()); },
                      [this](retire) { quit(); });
  }

 private:
  std::shared_ptr<witness> seen_;
};

class observer final : public actor_base {
 public:
  observer(caf::actor_config& config, const std::shared_ptr<census>& counted,
           std::shared_ptr<journal> facts, std::shared_ptr<witness> seen, caf::actor whom)
      : actor_base{config, "observer", counted, std::move(facts)} {
    set_down_handler([seen](caf::down_msg& down) { seen->downs.push_back(down.reason); });
    monitor(whom);
  }
  caf::behavior make_behavior() override {
    return handled_by([this](retire) { quit(); });
  }
};

}  // namespace

TEST_CASE("actor_base: an unexpected message is a fact with its type, never its content") {
  engine_room room;
  auto seen = std::make_shared<witness>();
  auto receiver = room.spawn<subject>(seen);
  auto sender = room.spawn<subject>(seen);
  caf::anon_send(sender, relay{receiver});
  caf::anon_send(sender, ask{receiver});
  room.scheduler().run();
  room.facts->drain();
  auto facts = room.ring->named("unexpected_message");
  REQUIRE(facts.size() == 2);
  CHECK(story_of(facts[0]).find("nobody_expects_this") != std::string::npos);
  CHECK(story_of(facts[0]).find("hush") == std::string::npos);
  CHECK(seen->errors == 1);  // the request, not the plain message
  CHECK(room.ring->count("unexpected_error") == 0);
  CHECK(room.counted->live("subject") == 2);
  caf::anon_send(receiver, retire{});
  caf::anon_send(sender, retire{});
  receiver = nullptr;
  sender = nullptr;
  room.scheduler().run();
  CHECK(room.counted->text() == "");
}

TEST_CASE("actor_base: an exception is a fact and ends the actor with a reason") {
  engine_room room;
  auto seen = std::make_shared<witness>();
  auto subject_handle = room.spawn<subject>(seen);
  auto watcher = room.spawn<observer>(seen, subject_handle);
  caf::anon_send(subject_handle, fail{});
  subject_handle = nullptr;
  room.scheduler().run();
  room.facts->drain();
  REQUIRE(seen->downs.size() == 1);
  CHECK(seen->downs[0] == caf::sec::runtime_error);
  auto facts = room.ring->named("actor_failed");
  REQUIRE(facts.size() == 1);
  CHECK(story_of(facts[0]) == "actor subject ends by an exception: a reason\\x0aof two lines");
  CHECK(room.counted->live("subject") == 0);
  caf::anon_send(watcher, retire{});
  room.scheduler().run();
}

TEST_CASE("actor_base: a DOWN that nobody handles is a fact and harms nobody") {
  engine_room room;
  auto seen = std::make_shared<witness>();
  auto watched = room.spawn<subject>(seen);
  auto watcher = room.spawn<subject>(seen);
  caf::anon_send(watcher, watch{watched});
  room.scheduler().run();
  caf::anon_send(watched, retire{});
  watched = nullptr;
  room.scheduler().run();
  room.facts->drain();
  CHECK(room.ring->count("unexpected_down") == 1);
  CHECK(room.counted->live("subject") == 1);
  caf::anon_send(watcher, retire{});
  watcher = nullptr;
  room.scheduler().run();
  CHECK(room.counted->live_total() == 0);
}

TEST_CASE("actor_base: who watched and has ended leaves no trace at what it watched") {
  engine_room room;
  auto seen = std::make_shared<witness>();
  auto watched = room.spawn<subject>(seen);
  std::vector<caf::actor_addr> ended;
  for (int count = 0; count < 3; ++count) {
    auto watcher = room.spawn<observer>(seen, watched);
    ended.push_back(watcher.address());
    caf::anon_send(watcher, retire{});
  }
  room.scheduler().run();
  // The one reference that keeps the memory of each is the one here.
  for (const auto& one : ended)
    CHECK(caf::actor_cast<caf::actor_control_block*>(one)->weak_refs == 1);
  caf::anon_send(watched, retire{});
  watched = nullptr;
  room.scheduler().run();
  CHECK(seen->downs.empty());
  CHECK(room.counted->live_total() == 0);
}

TEST_CASE(
    "actor_base: a watcher is told once for each watch, at once if it is too late, or never") {
  engine_room room;
  auto seen = std::make_shared<witness>();
  auto watched = room.spawn<subject>(seen);
  auto watcher = room.spawn<subject>(seen);
  caf::anon_send(watcher, watch{watched});
  caf::anon_send(watcher, watch{watched});
  caf::anon_send(watcher, watch{watched});
  caf::anon_send(watcher, unwatch{watched});
  room.scheduler().run();
  caf::anon_send(watched, retire{});
  room.scheduler().run();
  room.facts->drain();
  CHECK(room.ring->count("unexpected_down") == 2);
  caf::anon_send(watcher, watch{watched});  // its handle is alive, it is not
  room.scheduler().run();
  room.facts->drain();
  CHECK(room.ring->count("unexpected_down") == 3);
  caf::anon_send(watcher, unwatch{watched});
  caf::anon_send(watcher, retire{});
  watched = watcher = nullptr;
  room.scheduler().run();
  CHECK(room.counted->live_total() == 0);
}

TEST_CASE("owned: a value moves through a message from sender to handler") {
  owned<secret> box{secret{to_bytes("key")}};
  CHECK(box.peek().size() == 3);
  auto moved = std::move(box);
  // NOLINTNEXTLINE(bugprone-use-after-move): an empty box is what `owned` promises.
  CHECK(!box.has_value());
  CHECK(moved.take() == secret{to_bytes("key")});
  CHECK(!moved.has_value());
}

TEST_CASE("census: a tally counts as long as it is shared") {
  auto counted = std::make_shared<census>();
  auto one = counted->tally("msg_digest");
  auto same = one;
  auto other = counted->tally("msg_digest");
  CHECK(counted->live("msg_digest") == 2);
  CHECK(counted->text() == "msg_digest 2");
  one = nullptr;
  CHECK(counted->live("msg_digest") == 2);
  same = nullptr;
  other = nullptr;
  CHECK(counted->live("msg_digest") == 0);
  CHECK(counted->live_total() == 0);
}
