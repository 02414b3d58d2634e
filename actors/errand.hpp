// What the scheduler's threads do beside the turns of actors (scheduler_policy.hpp).
#pragma once

#include <functional>

#include <caf/intrusive_ptr.hpp>
#include <caf/ref_counted.hpp>
#include <caf/resumable.hpp>
#include <caf/scheduler/abstract_coordinator.hpp>

namespace imago::actors {

// `soon`: when a worker has no actor to resume, and after some turns in any case. `at_leisure`:
// when nobody has anything else to do, and now and then in any case.
enum class errand_rank : std::uint8_t { soon, at_leisure };
inline constexpr std::size_t errand_rank_count = 2;

// May be queued any number of times at once: `work`, which must not throw, is done as often. It is
// given the worker that does it: what it wakes by that is resumed there, without another thread.
class errand final : public caf::resumable, public caf::ref_counted {
 public:
  using function = std::function<void(caf::execution_unit*)>;
  errand(errand_rank rank, function work) : rank_{rank}, work_{std::move(work)} {}
  errand_rank rank() const { return rank_; }
  subtype_t subtype() const override { return function_object; }
  resume_result resume(caf::execution_unit* worker, std::size_t) override {
    work_(worker);
    return done;
  }
  void intrusive_ptr_add_ref_impl() override { ref(); }
  void intrusive_ptr_release_impl() override { deref(); }

 private:
  errand_rank rank_;
  function work_;
};

using errand_ptr = caf::intrusive_ptr<errand>;

// Queues it. The system's scheduler must have our policy.
inline void do_errand(caf::scheduler::abstract_coordinator& scheduler, const errand_ptr& what) {
  what->ref();  // the scheduler's
  scheduler.enqueue(what.get());
}

}  // namespace imago::actors
