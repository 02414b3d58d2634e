// Which requests may be under way together: those that name the same SA or the same kernel policy
// run one after the other, as they came; all others side by side. An exclusive one waits for all
// before it, and all after it wait.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <variant>

#include "kernel_if/backend.hpp"
#include "kernel_if/xfrm/messages.hpp"

namespace imago::kernel_if::xfrm {

using named_object = std::variant<data_plane::sa_id, policy_key>;

struct job {
  request_id id = 0;
  data_plane::request request;
  std::set<named_object> objects;
  bool is_exclusive = false;
  std::size_t blockers = 0;  // objects that it is not the first to name
};
using job_ptr = std::shared_ptr<job>;

class work_order {
 public:
  void add(job_ptr one);
  // The next that may begin; null: none. It is under way until finish().
  job_ptr take();
  void finish(const job_ptr& one);
  // Those not begun, to be refused.
  std::deque<job_ptr> take_unbegun();
  bool is_idle() const { return under_way_ == 0 && ready_.empty() && behind_.empty(); }

 private:
  void admit(job_ptr one);

  std::map<named_object, std::deque<job_ptr>> queues_;  // the first of each is ready or under way
  std::deque<job_ptr> ready_;
  std::deque<job_ptr> behind_;  // an exclusive one and all that came after it
  std::size_t admitted_ = 0;    // neither behind nor finished
  std::size_t under_way_ = 0;
  bool has_exclusive_ = false;  // among the admitted
};

}  // namespace imago::kernel_if::xfrm
