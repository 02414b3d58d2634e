// What the tests of the actors' infrastructure share: a virtual clock, an actor system with and
// without threads, an actor that keeps what it receives.
#pragma once

#include <future>
#include <memory>
#include <vector>

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/atom.hpp>
#include <caf/scheduler/test_coordinator.hpp>
#include <caf/send.hpp>

#include "actors/actor_base.hpp"
#include "actors/crypto_pool.hpp"
#include "actors/journal_sinks.hpp"
#include "actors/scheduler_policy.hpp"
#include "actors/timers.hpp"

namespace imago::actors::testing {

class virtual_clock final : public clock {
 public:
  instant now() const override { return now_; }
  wall_time wall() const override { return {1'795'158'000 + seconds()}; }
  duration wall_since_1970() const override {
    return std::chrono::seconds{1'795'158'000} + now_.since_start;
  }
  void set(instant at) { now_ = at; }
  void pass(duration by) { now_ = now_ + by; }

 private:
  std::int64_t seconds() const {
    return std::chrono::duration_cast<std::chrono::seconds>(now_.since_start).count();
  }
  instant now_;
};

inline caf::actor_system_config& threadless(caf::actor_system_config& config) {
  return config.set("scheduler.policy", caf::atom("testing"));
}
inline caf::actor_system_config& threaded(caf::actor_system_config& config, std::size_t count) {
  configure_scheduler(config, count);
  return config;
}

// An actor system, a journal with a ring, a census and a clock.
struct engine_room {
  explicit engine_room(std::size_t thread_count = 0)
      : system{thread_count ? threaded(config, thread_count) : threadless(config)} {
    facts->add_sink(ring, journal_filter::up_to(journal_level::debug));
  }
  caf::scheduler::test_coordinator& scheduler() {
    return dynamic_cast<caf::scheduler::test_coordinator&>(system.scheduler());
  }
  template <class Actor, class... Arguments>
  caf::actor spawn(Arguments&&... arguments) {
    return system.spawn<Actor>(counted, facts, std::forward<Arguments>(arguments)...);
  }

  std::shared_ptr<virtual_clock> time = std::make_shared<virtual_clock>();
  std::shared_ptr<census> counted = std::make_shared<census>();
  std::shared_ptr<ring_sink> ring = std::make_shared<ring_sink>(1000);
  std::shared_ptr<journal> facts = std::make_shared<journal>(time);
  caf::actor_system_config config;
  caf::actor_system system;
};

struct retire {};

// What a `collector` saw; shared, because the actor may end before the test looks.
struct collected {
  std::vector<timer_due> timers;
  std::vector<std::uint64_t> jobs;
  std::vector<bytes> signatures;
};

class collector final : public actor_base {
 public:
  collector(caf::actor_config& config, const std::shared_ptr<census>& counted,
            std::shared_ptr<journal> facts, std::shared_ptr<collected> seen)
      : actor_base{config, "collector", counted, std::move(facts)}, seen_{std::move(seen)} {}

  caf::behavior make_behavior() override {
    return handled_by([this](const timer_due& due) { seen_->timers.push_back(due); },
                      [this](job_done& done) { on_job_done(done); }, [this](retire) { quit(); });
  }

 private:
  void on_job_done(job_done& done) {
    seen_->jobs.push_back(done.job_id);
    auto result = done.result.take();
    if (!result) return;
    if (auto* made = std::get_if<crypto::signature_made>(&*result))
      seen_->signatures.push_back(made->authentication_data);
  }
  std::shared_ptr<collected> seen_;
};

}  // namespace imago::actors::testing

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(imago::actors::testing::retire)
