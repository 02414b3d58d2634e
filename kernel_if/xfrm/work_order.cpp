#include "kernel_if/xfrm/work_order.hpp"

namespace imago::kernel_if::xfrm {

void work_order::add(job_ptr one) {
  if (has_exclusive_ || !behind_.empty() || (one->is_exclusive && admitted_ != 0))
    behind_.push_back(std::move(one));
  else
    admit(std::move(one));
}

void work_order::admit(job_ptr one) {
  ++admitted_;
  has_exclusive_ = one->is_exclusive;
  for (const auto& object : one->objects) {
    auto& queue = queues_[object];
    if (!queue.empty()) ++one->blockers;
    queue.push_back(one);
  }
  if (one->blockers == 0) ready_.push_back(std::move(one));
}

job_ptr work_order::take() {
  if (ready_.empty()) return nullptr;
  auto one = std::move(ready_.front());
  ready_.pop_front();
  ++under_way_;
  return one;
}

void work_order::finish(const job_ptr& one) {
  --under_way_;
  --admitted_;
  if (one->is_exclusive) has_exclusive_ = false;
  for (const auto& object : one->objects) {
    auto at = queues_.find(object);
    if (at == queues_.end()) continue;  // take_unbegun() emptied it
    at->second.pop_front();
    if (at->second.empty())
      queues_.erase(at);
    else if (--at->second.front()->blockers == 0)
      ready_.push_back(at->second.front());
  }
  while (!behind_.empty() && !has_exclusive_ &&
         (admitted_ == 0 || !behind_.front()->is_exclusive)) {
    auto next = std::move(behind_.front());
    behind_.pop_front();
    admit(std::move(next));
  }
}

std::deque<job_ptr> work_order::take_unbegun() {
  std::deque<job_ptr> list = std::exchange(ready_, {});
  for (auto& [object, queue] : queues_)
    for (auto& one : queue)
      if (one->blockers != 0) {
        one->blockers = 0;  // each once
        list.push_back(one);
      }
  for (auto& one : behind_) list.push_back(std::move(one));
  behind_.clear();
  queues_.clear();
  admitted_ = under_way_;
  return list;
}

}  // namespace imago::kernel_if::xfrm
