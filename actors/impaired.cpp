#include "actors/impaired.hpp"

#include <map>

#include "actors/actor_base.hpp"
#include "actors/live_network.hpp"
#include "core/base/limits.hpp"
#include "kernel_if/forwarding_backend.hpp"

namespace imago::actors {

namespace {

void spoil(bytes& message) {
  if (!message.empty()) message.back() ^= 0xff;
}

class impaired_network final : public network {
 public:
  impaired_network(impairments_ptr faults, std::shared_ptr<network> inner)
      : faults_{std::move(faults)}, inner_{std::move(inner)} {}

  void send_ike(const endpoint& local, const endpoint& remote, bytes_view message) override {
    auto verdict = faults_->on_message(true, remote, message);
    if (!verdict.fault) return inner_->send_ike(local, remote, message);
    switch (*verdict.fault) {
      case fault_kind::duplicate:
        inner_->send_ike(local, remote, message);
        return inner_->send_ike(local, remote, message);
      case fault_kind::corrupt: {
        auto spoilt = to_bytes(message);
        spoil(spoilt);
        return inner_->send_ike(local, remote, spoilt);
      }
      case fault_kind::delay:
        return faults_->later(verdict.delay,
                              [inner = inner_, local, remote, held = to_bytes(message)] {
                                inner->send_ike(local, remote, held);
                              });
      default: return;  // drop
    }
  }
  void send_keepalive(const endpoint& local, const endpoint& remote) override {
    inner_->send_keepalive(local, remote);
  }
  result<endpoint> local_for(const endpoint& remote,
                             const std::vector<config::address_pattern>& allowed) override {
    return inner_->local_for(remote, allowed);
  }
  endpoint on_nat_port(const endpoint& local) const override { return inner_->on_nat_port(local); }
  bool is_nat_port(const endpoint& local) const override { return inner_->is_nat_port(local); }
  bool has_route(const ip_address& remote) const override { return inner_->has_route(remote); }

 private:
  const impairments_ptr faults_;
  const std::shared_ptr<network> inner_;
};

// Keeps what is submitted while it stands still, as many as the pool itself would.
class impaired_crypto final : public crypto_executor {
 public:
  explicit impaired_crypto(std::shared_ptr<crypto_executor> inner) : inner_{std::move(inner)} {}

  bool submit(crypto_task task) override {
    {
      std::lock_guard guard{mutex_};
      if (stands_still_) {
        if (held_.size() >= limits::crypto_queue_max) {
          ++shed_;
          return false;
        }
        held_.push_back(std::move(task));
        return true;
      }
    }
    return inner_->submit(std::move(task));
  }
  crypto_counters counters() const override {
    auto counted = inner_->counters();
    std::lock_guard guard{mutex_};
    counted.waiting += held_.size();
    counted.shed += shed_;
    return counted;
  }
  void stand_still(bool stands_still) {
    std::deque<crypto_task> released;
    {
      std::lock_guard guard{mutex_};
      stands_still_ = stands_still;
      if (!stands_still) released.swap(held_);
    }
    // At most as many as its queue holds; one that is full sheds and counts as ever, and who asked
    // hears nothing, as from a pool that has lost a job.
    for (auto& task : released) (void)inner_->submit(std::move(task));
  }

 private:
  const std::shared_ptr<crypto_executor> inner_;
  mutable std::mutex mutex_;
  bool stands_still_ = false;
  std::deque<crypto_task> held_;
  std::uint64_t shed_ = 0;
};

class impaired_backend final : public kernel_if::forwarding_backend {
 public:
  impaired_backend(impairments_ptr faults, std::unique_ptr<kernel_if::backend> inner)
      : forwarding_backend{std::move(inner)}, faults_{std::move(faults)} {}

  status start(kernel_if::backend_sink& sink) override {
    sink_ = &sink;
    return forwarding_backend::start(sink);
  }
  void submit(kernel_if::request_id id, data_plane::request request) override {
    if (auto code = faults_->on_kernel_request(data_plane::name_of(request)))
      return sink_->on_reply(id, error{*code, "impaired"});
    forwarding_backend::submit(id, std::move(request));
  }

 private:
  const impairments_ptr faults_;
  kernel_if::backend_sink* sink_ = nullptr;
};

// Time for impairments: one actor, a timer for each thing to do.
class impairment_clock final : public actor_base {
 public:
  impairment_clock(caf::actor_config& config, services_ptr shared)
      : actor_base{config, "impairment_clock", shared->counted, shared->facts},
        timers_{shared->timers},
        engine_{shared->engine} {}

  caf::behavior make_behavior() override {
    monitor(engine_.actor());
    set_down_handler([this](const caf::down_msg&) { quit(caf::exit_reason::user_shutdown); });
    return handled_by(
        [this](run_impairment_later& asked) {
          if (waiting_.size() >= limits::demux_inbox_max) return;  // lost, as on any network
          auto number = next_++;
          waiting_.emplace(number, std::move(asked.what));
          timers_->arm(address(), asked.delay, {timer_kind::impairment_due, number});
        },
        [this](const timer_due& due) {
          auto at = waiting_.find(due.generation);
          if (at == waiting_.end()) return;
          auto what = std::move(at->second);
          waiting_.erase(at);
          what();
        },
        [this](const kill&) { quit(caf::exit_reason::kill); });
  }
  void on_exit() override {
    waiting_.clear();
    engine_ = {};
    actor_base::on_exit();
  }

 private:
  const std::shared_ptr<timer_wheel> timers_;
  engine_handle engine_;
  std::map<std::uint64_t, std::function<void()>> waiting_;
  std::uint64_t next_ = 1;
};

void on_received(impairments& faults, const std::weak_ptr<live_network>& net, packet what) {
  auto there = net.lock();
  if (!there) return;
  auto verdict = faults.on_message(false, what.remote, what.octets);
  if (!verdict.fault) return there->admit(what);
  switch (*verdict.fault) {
    case fault_kind::duplicate: there->admit(what); return there->admit(what);
    case fault_kind::corrupt: spoil(what.octets); return there->admit(what);
    case fault_kind::delay:
      return faults.later(verdict.delay, [net, held = std::move(what)] {
        if (auto still_there = net.lock()) still_there->admit(held);
      });
    default: return;  // drop
  }
}

}  // namespace

std::shared_ptr<network> impaired(const impairments_ptr& faults, std::shared_ptr<network> inner) {
  if (!faults) return inner;
  return std::make_shared<impaired_network>(faults, std::move(inner));
}

std::shared_ptr<crypto_executor> impaired(const impairments_ptr& faults,
                                          std::shared_ptr<crypto_executor> inner) {
  if (!faults) return inner;
  auto made = std::make_shared<impaired_crypto>(std::move(inner));
  faults->control_crypto([made](bool stands_still) { made->stand_still(stands_still); });
  return made;
}

std::unique_ptr<kernel_if::backend> impaired(const impairments_ptr& faults,
                                             std::unique_ptr<kernel_if::backend> inner) {
  if (!faults || !inner) return inner;
  return std::make_unique<impaired_backend>(faults, std::move(inner));
}

void start_impairments(engine_parts& parts) {
  if (!parts.faults) return;
  auto clock = parts.system->spawn<impairment_clock>(parts.shared);
  parts.faults->schedule_with([clock](duration delay, std::function<void()> what) {
    caf::anon_send(clock, run_impairment_later{delay, std::move(what)});
  });
  if (!parts.net) return;
  parts.net->inspect_received([faults = parts.faults, net = std::weak_ptr<live_network>{parts.net}](
                                  packet what) { on_received(*faults, net, std::move(what)); });
}

void stop_impairments(engine_parts& parts) {
  if (parts.faults) parts.faults->stop();
}

}  // namespace imago::actors
