// From the embedder's world of functions to the actors' world of messages: one short-lived actor a
// command, and one that passes events on.
#pragma once

#include <future>

#include "actors/actor_base.hpp"
#include "actors/callbacks.hpp"
#include "actors/services.hpp"

namespace imago::actors {

// Waits for the end of one command and calls back once, whatever happens.
class command_actor final : public actor_base {
 public:
  // `waits_for_tasks`: after selection_made, as many task_ended follow; else it is all.
  command_actor(caf::actor_config& config, services_ptr shared, callback_thread& callbacks,
                std::function<void(status)> done, bool waits_for_tasks);
  caf::behavior make_behavior() override;
  void on_exit() override;

 private:
  void finish(status result);
  services_ptr shared_;
  callback_thread& callbacks_;
  std::function<void(status)> done_;
  bool waits_for_tasks_;
  std::size_t missing_ = 1;
  status worst_;
};

// Tells an embedder what happens.
class observer_actor final : public actor_base {
 public:
  observer_actor(caf::actor_config& config, services_ptr shared, callback_thread& callbacks,
                 std::function<void(const sa_event&)> on_event);
  caf::behavior make_behavior() override;

 private:
  services_ptr shared_;
  callback_thread& callbacks_;
  std::function<void(const sa_event&)> on_event_;
};

// One answer of the engine actor, for a thread that waits.
template <class message>
class promise_actor final : public actor_base {
 public:
  promise_actor(caf::actor_config& config, services_ptr shared,
                std::shared_ptr<std::promise<message>> promise)
      : actor_base{config, "promise", shared->counted, shared->facts},
        shared_{std::move(shared)},
        promise_{std::move(promise)} {}
  caf::behavior make_behavior() override {
    monitor(shared_->engine.actor());
    set_down_handler([this](const caf::down_msg&) { quit(caf::exit_reason::user_shutdown); });
    return handled_by(
        [this](const message& answer) {
          promise_->set_value(answer);
          promise_.reset();
          quit(caf::exit_reason::normal);
        },
        [this](const kill&) { quit(caf::exit_reason::kill); });
  }
  void on_exit() override {
    promise_.reset();  // broken, if it was not kept: the waiting thread sees it
    shared_.reset();
    actor_base::on_exit();
  }

 private:
  services_ptr shared_;
  std::shared_ptr<std::promise<message>> promise_;
};

}  // namespace imago::actors
