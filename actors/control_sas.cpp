// initiate, terminate, rekey, kill: questions to the engine actor, answered when all is said.
#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "actors/control_commands.hpp"

namespace imago::actors {

namespace {

// After a termination by force the actors only have to say that they are gone.
constexpr auto force_wait_max = std::chrono::seconds{2};
// Who waits without a limit looks again whether there is still something to wait for: an SA that
// ended of itself at the wrong moment does not hear the question.
constexpr auto look_again_after = std::chrono::seconds{5};

std::chrono::milliseconds timeout_of(const vici::message& request) {
  constexpr std::int64_t day_ms = std::int64_t{24} * 3600 * 1000;
  return std::chrono::milliseconds{
      std::clamp<std::int64_t>(request.number_or("timeout", 0), -1, day_ms)};
}

sa_selector selector_of(const vici::message& request) {
  sa_selector which;
  which.ike = request.value_or("ike", "");
  which.child = request.value_or("child", "");
  auto id = [&](std::string_view key) {
    return static_cast<std::uint64_t>(std::max<std::int64_t>(0, request.number_or(key, 0)));
  };
  which.ike_id = id("ike-id");
  which.child_id = id("child-id");
  return which;
}

bool is_empty(const sa_selector& which) {
  return which.ike.empty() && which.child.empty() && which.ike_id == 0 && which.child_id == 0;
}

class initiate_command final : public control_command {
 public:
  initiate_command(control_client& client, const vici::message& request)
      : control_command{client},
        child_{request.value_or("child", "")},
        ike_{request.value_or("ike", "")},
        timeout_{timeout_of(request)},
        log_level_{request.number_or("loglevel", 1)} {}

  void begin() override {
    if (child_.empty() && ike_.empty())
      return client_.answer(refusal("missing configuration name"));
    auto connection = find_connection();
    if (timeout_.count() < 0) {
      if (!connection) return client_.answer(refusal(what() + " not found"));
      client_.shared().engine.tell(initiate_sa{ike_, child_, 0, {}});
      return client_.answer(success());
    }
    if (connection)
      client_.stream_log(
          [name = connection->config->name](const fact& what) { return what.connection == name; },
          log_level_);
    if (timeout_.count() > 0) client_.arm_timer(timeout_);
    client_.shared().engine.tell(initiate_sa{ike_, child_, client_.command(), client_.self()});
  }

  void on_task_ended(const task_ended& ended) override {
    if (ended.result) return client_.answer(success());
    const auto& failure = ended.result.failure();
    if (failure.code == errc::not_found)
      return client_.answer(
          refusal((failure.where.empty() ? what() : failure.where) + " not found"));
    client_.answer(refusal("establishing " + name() + " failed: " + failure.text()));
  }
  void on_timeout() override {
    client_.answer(refusal(fmt::format("{} not established after {}ms", name(), timeout_.count())));
  }

 private:
  ikev2::connection_policy_ptr find_connection() const {
    auto policy = client_.context().parts.credentials->current();
    if (!policy) return nullptr;
    for (const auto& one : policy->connections) {
      if (!ike_.empty() && one->config->name != ike_) continue;
      if (child_.empty() || one->config->find_child(child_)) return one;
    }
    return nullptr;
  }
  std::string what() const {
    return child_.empty() ? "IKE_SA config '" + ike_ + "'" : "CHILD_SA config '" + child_ + "'";
  }
  std::string name() const {
    return child_.empty() ? "IKE_SA '" + ike_ + "'" : "CHILD_SA '" + child_ + "'";
  }

  std::string child_, ike_;
  std::chrono::milliseconds timeout_;
  std::int64_t log_level_;
};

// First which IKE SAs it is about (their log is streamed), then their end.
class terminate_command final : public control_command {
 public:
  terminate_command(control_client& client, const vici::message& request)
      : control_command{client},
        which_{selector_of(request)},
        force_{request.boolean_or("force", false)},
        timeout_{timeout_of(request)},
        log_level_{request.number_or("loglevel", 1)} {}

  void begin() override {
    if (is_empty(which_)) return client_.answer(refusal("missing terminate selector"));
    client_.shared().engine.tell(list_ike_sas{which_, client_.command(), client_.self()});
  }

  void on_listed(const ike_sas_listed& listed) override {
    if (is_looking_again_) {
      if (!listed.list.empty()) return client_.arm_timer(look_again_after);
      ended_ = matches_;
      return finish({});
    }
    std::set<std::uint64_t> ids;
    for (const auto& one : listed.list) ids.insert(one->id);
    if (timeout_.count() >= 0)
      client_.stream_log(
          [ids = std::move(ids)](const fact& what) { return ids.count(what.ike_sa) != 0; },
          log_level_);
    // By force and at once, unless there is a time to try it politely first.
    is_looking_again_ = timeout_.count() == 0;
    client_.arm_timer(timeout_.count() > 0 ? duration{timeout_} : duration{look_again_after});
    ask(force_ && timeout_.count() <= 0);
  }

  void on_selection(const selection_made& selected) override {
    if (is_forcing_) return;  // the same ones again
    matches_ = selected.matches;
    if (matches_ == 0) return finish("no matching SAs to terminate found");
    if (timeout_.count() < 0) {
      ended_ = matches_;  // as charon counts what it does not wait for
      finish({});
    }
  }

  void on_task_ended(const task_ended& ended) override {
    ++answered_;
    if (ended.result || is_gone(ended.result.failure())) ++ended_;
    if (answered_ >= matches_) finish(verdict());
  }

  void on_timeout() override {
    if (is_looking_again_) {
      client_.shared().engine.tell(list_ike_sas{which_, client_.command(), client_.self()});
      return;
    }
    if (!force_ || is_forcing_) return finish(verdict());
    is_forcing_ = true;
    client_.arm_timer(force_wait_max);
    ask(true);
  }

 private:
  void ask(bool force) {
    client_.shared().engine.tell(terminate_sas{which_, force, client_.command(), client_.self()});
  }
  // It went before it was its turn: that is what was asked for.
  static bool is_gone(const error& failure) {
    return failure.code == errc::not_found || failure.code == errc::cancelled;
  }
  std::string verdict() const {
    if (ended_ >= matches_) return {};
    return matches_ == 1 ? "terminating SA failed" : "not all matching SAs could be terminated";
  }
  void finish(const std::string& problem) {
    vici::message out;
    out.add("success", problem.empty() ? "yes" : "no");
    out.add("matches", std::to_string(matches_));
    out.add("terminated", std::to_string(std::min(ended_, matches_)));
    if (!problem.empty()) out.add("errmsg", problem);
    client_.answer(std::move(out));
  }

  sa_selector which_;
  bool force_;
  std::chrono::milliseconds timeout_;
  std::int64_t log_level_;
  std::size_t matches_ = 0, answered_ = 0, ended_ = 0;
  bool is_forcing_ = false, is_looking_again_ = false;
};

// rekey and kill: done when the SAs have been told.
template <class question>
class select_command final : public control_command {
 public:
  select_command(control_client& client, const vici::message& request, std::string verb)
      : control_command{client}, which_{selector_of(request)}, verb_{std::move(verb)} {}

  void begin() override {
    if (is_empty(which_)) return client_.answer(refusal("missing " + verb_ + " selector"));
    client_.shared().engine.tell(question{which_, client_.command(), client_.self()});
  }
  void on_selection(const selection_made& selected) override {
    vici::message out;
    out.add("success", selected.matches != 0 ? "yes" : "no");
    out.add("matches", std::to_string(selected.matches));
    if (selected.matches == 0) out.add("errmsg", "no matching SAs to " + verb_ + " found");
    client_.answer(std::move(out));
  }

 private:
  sa_selector which_;
  std::string verb_;
};

// install, uninstall: the policy of a child, without a Child SA.
template <class message>
class child_policy_command final : public control_command {
 public:
  child_policy_command(control_client& client, const vici::message& request)
      : control_command{client},
        child_{request.value_or("child", "")},
        ike_{request.value_or("ike", "")} {}

  void begin() override {
    if (child_.empty()) return client_.answer(refusal("missing configuration name"));
    client_.shared().engine.tell(
        message{ike_, child_, command_reply{client_.command(), client_.self()}});
  }
  void on_task_ended(const task_ended& ended) override {
    if (ended.result) return client_.answer(success());
    const auto& failure = ended.result.failure();
    if (failure.code != errc::not_found) return client_.answer(refusal(failure.text()));
    client_.answer(refusal((failure.where.empty() ? "policy" : failure.where) + " not found"));
  }

 private:
  std::string child_, ike_;
};

}  // namespace

std::unique_ptr<control_command> make_initiate(control_client& client, vici::message& request) {
  return std::make_unique<initiate_command>(client, request);
}
std::unique_ptr<control_command> make_terminate(control_client& client, vici::message& request) {
  return std::make_unique<terminate_command>(client, request);
}
std::unique_ptr<control_command> make_rekey(control_client& client, vici::message& request) {
  return std::make_unique<select_command<rekey_sas>>(client, request, "rekey");
}
std::unique_ptr<control_command> make_kill(control_client& client, vici::message& request) {
  return std::make_unique<select_command<kill_sas>>(client, request, "kill");
}

std::unique_ptr<control_command> make_install(control_client& client, vici::message& request) {
  return std::make_unique<child_policy_command<install_child_policy>>(client, request);
}

std::unique_ptr<control_command> make_uninstall(control_client& client, vici::message& request) {
  return std::make_unique<child_policy_command<uninstall_child_policy>>(client, request);
}

}  // namespace imago::actors
