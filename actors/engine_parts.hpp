// The engine's inside, for the control socket, for tests and for the world.
#pragma once

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>

#include "actors/services.hpp"
#include "kernel_if/route/link_watch.hpp"

namespace imago::actors {

class live_network;
class callback_thread;
class impairments;

struct engine_parts {
  services_ptr shared;
  std::unique_ptr<caf::actor_system_config> system_config;
  std::unique_ptr<caf::actor_system> system;
  std::unique_ptr<kernel_if::backend> backend;
  std::shared_ptr<live_network> net;
  std::shared_ptr<thread_crypto_pool> crypto;
  std::unique_ptr<timer_thread> timer_driver;
  std::unique_ptr<callback_thread> callbacks;
  std::unique_ptr<kernel_if::backend_sink> sink;
  std::unique_ptr<kernel_if::link_watch> links;  // null: not wanted
  std::shared_ptr<impairments> faults;           // null: not allowed

  // What the policy is made of: what files loaded and what came over the control socket. Changing
  // either rebuilds the policy and sends replace_policy to the engine actor. Thread-safe.
  class credentials_store;
  std::unique_ptr<credentials_store> credentials;
};

// The two origins of configuration, merged into one policy. Thread-safe; every change is all or
// nothing, and returns only when the new policy was handed to the engine actor.
class engine_parts::credentials_store {
 public:
  explicit credentials_store(services_ptr shared) : shared_{std::move(shared)} {}

  // What files say, as a whole.
  status replace_files(ikev2::policy_parts parts);
  // What the control socket says, piece by piece. `change` edits a copy; an error from it or from
  // building the policy leaves everything as it was. A connection of the same name as a file's is
  // refused by the caller's own check; later loads of the same name replace.
  status change_control(const std::function<status(ikev2::policy_parts&)>& change);

  ikev2::policy_parts files() const;
  ikev2::policy_parts control() const;
  ikev2::policy_ptr current() const;

 private:
  status publish(ikev2::policy_parts files, ikev2::policy_parts control);
  services_ptr shared_;
  mutable std::mutex mutex_;
  ikev2::policy_parts files_, control_;
  ikev2::policy_ptr current_;
};

}  // namespace imago::actors
