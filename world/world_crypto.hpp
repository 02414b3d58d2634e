// The crypto pool of a host in a world: results are letters of a channel of their own.
#pragma once

#include <deque>

#include "actors/crypto_pool.hpp"
#include "world/host.hpp"

namespace imago::world {

class world_crypto final : public actors::crypto_executor {
 public:
  world_crypto(mailroom& mail, std::uint32_t host, actors::job_runner run)
      : mail_{mail}, host_{host}, bench_{std::move(run)} {}

  bool submit(actors::crypto_task task) override {
    if (waiting_.size() >= limits::crypto_queue_max) {
      bench_.count_shed();
      return false;
    }
    waiting_.push_back(std::move(task));
    if (mode_ == crypto_mode::at_once) perform(waiting_.size() - 1);
    return true;
  }
  actors::crypto_counters counters() const override { return bench_.counters(waiting_.size()); }

  // What waits keeps waiting.
  void set_mode(crypto_mode mode) { mode_ = mode; }
  std::size_t waiting() const { return waiting_.size(); }
  bool perform(std::size_t index) {
    auto task = take(index);
    if (!task) return false;
    mail_.as(mail_.add_outside(host_, "crypto", ++performed_),
             [&] { bench_.perform(std::move(*task)); });
    return true;
  }
  // Its result never comes.
  bool drop(std::size_t index) { return take(index).has_value(); }

 private:
  std::optional<actors::crypto_task> take(std::size_t index) {
    if (index >= waiting_.size()) return std::nullopt;
    auto taken = std::move(waiting_[index]);
    waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(index));
    return taken;
  }

  mailroom& mail_;
  std::uint32_t host_;
  actors::crypto_bench bench_;
  crypto_mode mode_ = crypto_mode::at_once;
  std::deque<actors::crypto_task> waiting_;
  std::uint32_t performed_ = 0;
};

}  // namespace imago::world
