#include "actors/crypto_pool.hpp"

#include <latch>
#include <map>

#include <doctest/doctest.h>

#include "tests/actors/infrastructure.hpp"

using namespace imago;
using namespace imago::actors;
using namespace imago::actors::testing;

namespace {

// Stands in for crypto::run: "signs" by copying.
crypto::job_result copy_as_signature(crypto::job&& job) {
  auto sign = std::move(std::get<crypto::sign_job>(job));
  return crypto::signature_made{std::move(sign.data)};
}

crypto_task task_for(const caf::actor& who, std::uint64_t id,
                     std::shared_ptr<cancel_token> token = nullptr) {
  crypto::sign_job sign;
  sign.data = to_bytes("job " + std::to_string(id));
  crypto_task task;
  task.job = std::move(sign);
  task.token = std::move(token);
  task.reply_to = who ? who.address() : caf::actor_addr{};
  task.job_id = id;
  return task;
}

class waiter final : public actor_base {
 public:
  waiter(caf::actor_config& config, const std::shared_ptr<census>& counted,
         std::shared_ptr<journal> facts, std::shared_ptr<std::latch> results)
      : actor_base{config, "waiter", counted, std::move(facts)}, results_{std::move(results)} {}
  caf::behavior make_behavior() override {
    return handled_by(
        [this](job_done& done) {
          if (done.result.take()) results_->count_down();
        },
        [this](retire) { quit(); });
  }

 private:
  std::shared_ptr<std::latch> results_;
};

// Blocks every job until it is opened.
struct gate {
  std::promise<void> opener;
  std::shared_future<void> opened = opener.get_future().share();
  std::latch entered{1};
};

}  // namespace

TEST_CASE("crypto: a result comes back as a message with its number") {
  engine_room room;
  inline_crypto_executor crypto{&copy_as_signature};
  auto seen = std::make_shared<collected>();
  auto who = room.spawn<collector>(seen);
  CHECK(crypto.submit(task_for(who, 1)));
  CHECK(crypto.submit(task_for(who, 2)));
  CHECK(crypto.waiting() == 2);
  CHECK(crypto.step(1));  // the later first: a world may answer in any order
  room.scheduler().run();
  CHECK(seen->jobs == std::vector<std::uint64_t>{2});
  CHECK(crypto.run_all() == 1);
  room.scheduler().run();
  CHECK(seen->jobs == std::vector<std::uint64_t>{2, 1});
  REQUIRE(seen->signatures.size() == 2);
  CHECK(to_text(seen->signatures[0]) == "job 2");
  CHECK(!crypto.step());
  CHECK(crypto.counters().done == 2);
  caf::anon_send(who, retire{});
  room.scheduler().run();
}

TEST_CASE("crypto: a job cancelled before it begins is skipped and answers nothing") {
  engine_room room;
  int runs = 0;
  inline_crypto_executor crypto{[&](crypto::job&& job) {
    ++runs;
    return copy_as_signature(std::move(job));
  }};
  auto seen = std::make_shared<collected>();
  auto who = room.spawn<collector>(seen);
  auto token = std::make_shared<cancel_token>();
  crypto.submit(task_for(who, 1, token));
  token->cancel();
  CHECK(crypto.run_all() == 1);
  room.scheduler().run();
  CHECK(runs == 0);
  CHECK(seen->jobs.empty());
  CHECK(crypto.counters().skipped == 1);
  CHECK(crypto.counters().done == 0);
  caf::anon_send(who, retire{});
  room.scheduler().run();
}

TEST_CASE("crypto: a result that nobody waits for is late, and the actor is not kept alive") {
  engine_room room;
  inline_crypto_executor crypto{[](crypto::job&&) -> crypto::job_result {
    return crypto::shared_secret_derived{secret{to_bytes("wiped by its destructor")}};
  }};
  auto seen = std::make_shared<collected>();
  auto who = room.spawn<collector>(seen);
  crypto.submit(task_for(who, 1));
  caf::anon_send(who, retire{});
  who = nullptr;
  room.scheduler().run();
  CHECK(room.counted->live("collector") == 0);
  CHECK(crypto.run_all() == 1);
  CHECK(crypto.counters().late == 1);
  CHECK(crypto.counters().done == 0);
}

TEST_CASE("crypto: a result in the mailbox of an actor that ends is freed with it") {
  engine_room room;
  inline_crypto_executor crypto{&copy_as_signature};
  auto seen = std::make_shared<collected>();
  auto who = room.spawn<collector>(seen);
  crypto.submit(task_for(who, 1));
  caf::anon_send(who, retire{});
  crypto.run_all();
  who = nullptr;
  room.scheduler().run();
  CHECK(seen->jobs.empty());
  CHECK(room.counted->text() == "");
}

TEST_CASE("crypto: a lost job never answers") {
  engine_room room;
  inline_crypto_executor crypto{&copy_as_signature};
  auto seen = std::make_shared<collected>();
  auto who = room.spawn<collector>(seen);
  crypto.submit(task_for(who, 1));
  CHECK(crypto.drop());
  CHECK(!crypto.drop());
  CHECK(crypto.run_all() == 0);
  caf::anon_send(who, retire{});
  room.scheduler().run();
  CHECK(seen->jobs.empty());
}

TEST_CASE("crypto: a runner that throws is a failed job, not a dead thread") {
  engine_room room;
  inline_crypto_executor crypto{
      [](crypto::job&&) -> crypto::job_result { throw std::bad_alloc{}; }};
  auto seen = std::make_shared<collected>();
  auto who = room.spawn<collector>(seen);
  crypto.submit(task_for(who, 1));
  crypto.run_all();
  room.scheduler().run();
  CHECK(seen->jobs == std::vector<std::uint64_t>{1});
  CHECK(seen->signatures.empty());
  caf::anon_send(who, retire{});
  room.scheduler().run();
}

TEST_CASE("crypto: a full queue sheds and counts, with and without threads") {
  engine_room room;
  inline_crypto_executor crypto{&copy_as_signature, 2};
  CHECK(crypto.submit(task_for({}, 1)));
  CHECK(crypto.submit(task_for({}, 2)));
  CHECK(!crypto.submit(task_for({}, 3)));
  CHECK(crypto.counters().shed == 1);
  CHECK(crypto.counters().waiting == 2);

  auto held = std::make_shared<gate>();
  thread_crypto_pool pool{1,
                          [held](crypto::job&& job) {
                            held->entered.count_down();
                            held->opened.wait();
                            return copy_as_signature(std::move(job));
                          },
                          2};
  CHECK(pool.submit(task_for({}, 1)));
  held->entered.wait();  // one is under way, so two fit into the queue
  CHECK(pool.submit(task_for({}, 2)));
  CHECK(pool.submit(task_for({}, 3)));
  CHECK(!pool.submit(task_for({}, 4)));
  CHECK(pool.counters().shed == 1);
  CHECK(pool.counters().waiting == 2);
  held->opener.set_value();
  pool.stop();
  CHECK(!pool.submit(task_for({}, 5)));
  auto counters = pool.counters();
  CHECK(counters.done == 0);
  CHECK(counters.waiting == 0);
  CHECK(counters.late + counters.shed == 5);  // each of the five was computed or dropped
}

TEST_CASE("crypto: stop waits for the job under way and drops those that wait") {
  engine_room room{2};
  auto results = std::make_shared<std::latch>(1);
  auto who = room.spawn<waiter>(results);
  auto held = std::make_shared<gate>();
  thread_crypto_pool pool{1, [held](crypto::job&& job) {
                            held->entered.count_down();
                            held->opened.wait();
                            return copy_as_signature(std::move(job));
                          }};
  pool.submit(task_for(who, 1));
  held->entered.wait();
  for (std::uint64_t id = 2; id < 10; ++id) pool.submit(task_for(who, id));
  std::thread stopper{[&] { pool.stop(); }};
  while (pool.counters().waiting) std::this_thread::yield();  // stop has emptied the queue
  held->opener.set_value();
  stopper.join();
  results->wait();
  CHECK(pool.counters().done == 1);
  CHECK(pool.counters().shed == 8);
  caf::anon_send(who, retire{});
}

TEST_CASE("crypto: two threads answer a thousand jobs of a hundred actors") {
  engine_room room{2};
  auto results = std::make_shared<std::latch>(1000);
  std::vector<caf::actor> actors;
  for (int i = 0; i < 100; ++i) actors.push_back(room.spawn<waiter>(results));
  thread_crypto_pool pool{2, &copy_as_signature};
  for (std::uint64_t id = 0; id < 1000; ++id)
    CHECK_UNARY(pool.submit(task_for(actors[id % 100], id)));
  results->wait();
  pool.stop();
  CHECK(pool.counters().done == 1000);
  for (auto& each : actors) caf::anon_send(each, retire{});
}

TEST_CASE("crypto: actors may die at any moment of their jobs") {
  auto counted = std::make_shared<census>();
  {
    engine_room room{2};
    counted = room.counted;
    thread_crypto_pool pool{2, &copy_as_signature};
    auto ignored = std::make_shared<std::latch>(1000);
    for (std::uint64_t id = 0; id < 1000; ++id) {
      auto who = room.spawn<waiter>(ignored);
      auto token = std::make_shared<cancel_token>();
      CHECK_UNARY(pool.submit(task_for(who, id, token)));
      if (id % 3 == 0) token->cancel();
      caf::anon_send<caf::message_priority::high>(who, retire{});
    }
    pool.stop();
    auto end = pool.counters();
    CHECK(end.done + end.skipped + end.late + end.shed == 1000);
  }
  CHECK(counted->text() == "");
}

TEST_CASE("crypto: brief jobs are the scheduler's errands, long ones are not") {
  engine_room room{1};
  auto threads = std::make_shared<std::map<bool, std::thread::id>>();
  auto mutex = std::make_shared<std::mutex>();
  thread_crypto_pool pool{1, [=](crypto::job&& job) -> crypto::job_result {
                            std::lock_guard guard{*mutex};
                            (*threads)[crypto::is_brief(job)] = std::this_thread::get_id();
                            return crypto::signature_made{};
                          }};
  auto worker_thread = std::make_shared<std::promise<std::thread::id>>();
  do_errand(room.system.scheduler(),
            caf::make_counted<errand>(errand_rank::soon, [=](caf::execution_unit*) {
              worker_thread->set_value(std::this_thread::get_id());
            }));
  auto of_scheduler = worker_thread->get_future().get();
  pool.lend_brief_jobs(room.system.scheduler());
  auto results = std::make_shared<std::latch>(2);
  auto who = room.spawn<waiter>(results);
  auto brief = task_for(who, 1);
  brief.job = crypto::verify_job{};
  auto lengthy = task_for(who, 2);
  lengthy.job = crypto::generate_key_exchange_job{ke_method::modp_4096};
  CHECK(pool.submit(std::move(brief)));
  CHECK(pool.submit(std::move(lengthy)));
  results->wait();
  CHECK(threads->at(true) == of_scheduler);
  CHECK(threads->at(false) != of_scheduler);
  CHECK(pool.counters().done == 2);
  caf::anon_send(who, retire{});
}

TEST_CASE("crypto: brief jobs that wait when the pool stops are dropped and counted") {
  engine_room room{1};
  auto busy = std::make_shared<gate>();
  do_errand(room.system.scheduler(),
            caf::make_counted<errand>(errand_rank::soon, [busy](caf::execution_unit*) {
              busy->entered.count_down();
              busy->opened.wait();
            }));
  busy->entered.wait();
  thread_crypto_pool pool{1, &copy_as_signature, 2};
  pool.lend_brief_jobs(room.system.scheduler());
  for (std::uint64_t id = 1; id <= 3; ++id) {
    auto task = task_for({}, id);
    task.job = crypto::verify_job{};
    CHECK(pool.submit(std::move(task)) == (id <= 2));
  }
  CHECK(pool.counters().waiting == 2);
  pool.stop();
  CHECK(pool.counters().shed == 3);
  CHECK(pool.counters().waiting == 0);
  busy->opener.set_value();
  // Its errands find nothing to do, and the pool outlives them.
  std::promise<void> reached;
  do_errand(room.system.scheduler(),
            caf::make_counted<errand>(errand_rank::soon,
                                      [&reached](caf::execution_unit*) { reached.set_value(); }));
  reached.get_future().wait();
}
