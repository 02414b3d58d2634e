#include "actors/bridge.hpp"

namespace imago::actors {

command_actor::command_actor(caf::actor_config& config, services_ptr shared,
                             callback_thread& callbacks, std::function<void(status)> done,
                             bool waits_for_tasks)
    : actor_base{config, "command", shared->counted, shared->facts},
      shared_{std::move(shared)},
      callbacks_{callbacks},
      done_{std::move(done)},
      waits_for_tasks_{waits_for_tasks} {}

caf::behavior command_actor::make_behavior() {
  monitor(shared_->engine.actor());
  set_down_handler([this](const caf::down_msg&) { finish({errc::shutting_down}); });
  return handled_by(
      [this](const selection_made& selected) {
        if (selected.matches == 0) return finish({errc::not_found, "no matching SA"});
        missing_ = selected.matches;
        if (!waits_for_tasks_) finish({});
      },
      [this](const task_ended& ended) {
        if (!ended.result) worst_ = ended.result;
        if (--missing_ == 0) finish(worst_);
      },
      [this](const kill&) { finish({errc::cancelled}); });
}

void command_actor::finish(status result) {
  if (done_)
    callbacks_.post([done = std::move(done_), result = std::move(result)] { done(result); });
  done_ = nullptr;
  quit(caf::exit_reason::normal);
}

void command_actor::on_exit() {
  finish({errc::shutting_down});
  actor_base::on_exit();
}

observer_actor::observer_actor(caf::actor_config& config, services_ptr shared,
                               callback_thread& callbacks,
                               std::function<void(const sa_event&)> on_event)
    : actor_base{config, "observer", shared->counted, shared->facts},
      shared_{std::move(shared)},
      callbacks_{callbacks},
      on_event_{std::move(on_event)} {}

caf::behavior observer_actor::make_behavior() {
  monitor(shared_->engine.actor());
  set_down_handler([this](const caf::down_msg&) { quit(caf::exit_reason::user_shutdown); });
  return handled_by(
      [this](const sa_event_happened& happened) {
        callbacks_.post_event([call = on_event_, event = happened.event] { call(event); });
      },
      [this](const kill&) { quit(caf::exit_reason::kill); });
}

}  // namespace imago::actors
