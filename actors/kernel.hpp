// The KERNEL actor: the one way to the data plane. Requests are pipelined by number; replies go to
// who asked; what a request creates is a lease of the asker, taken back when it is DOWN.
#pragma once

#include <map>
#include <set>
#include <unordered_map>
#include <variant>

#include "actors/actor_base.hpp"
#include "actors/services.hpp"

namespace imago::actors {

class kernel final : public actor_base {
 public:
  // `backend` null: every request fails with not_supported. It outlives the actor.
  kernel(caf::actor_config& config, services_ptr shared, kernel_if::backend* backend);
  caf::behavior make_behavior() override;
  void on_exit() override;

  // For worlds and tests, where nothing runs meanwhile.
  struct tables {
    std::size_t pending = 0, leases = 0, owners = 0;
    std::size_t total() const { return pending + leases + owners; }
  };
  tables table_sizes() const {
    return {pending_.size() + again_.size(), leases_.size() + policy_leases_.size(),
            owners_.size()};
  }
  // Asked for, and not acknowledged yet.
  bool is_installing(const data_plane::sa_id& id) const {
    auto at = leases_.find(id);
    return at != leases_.end() && at->second.is_installing;
  }

 private:
  using removal = std::variant<std::monostate, data_plane::remove_sa, data_plane::remove_policy>;
  struct pending {
    caf::actor asker;  // empty: our own clean-up, nobody waits
    std::uint64_t asker_id = 0;
    data_plane::sa_id creates;  // of an allocate_spi or install_sa; destination any if nothing
    std::vector<data_plane::policy> policies;
    std::optional<data_plane::allocate_spi> allocates;
    std::optional<data_plane::policy> adds;  // of an install_policy
    bool installs = false;
    bool undoes = false;      // asks whether what it `creates` is there, to remove it
    removal removes;          // asked for again if the data plane could not, or said nothing
    unsigned tries_left = 0;  // with another SPI, or with the same question
    bool looks = false;       // query_activity, for those in asked_
    instant submitted_at;
  };
  struct lease {
    caf::actor_addr owner;
    std::vector<data_plane::policy> policies;
    // An install_sa for it is on its way. If the owner dies meanwhile, what to take back is known
    // only when it is answered, or given up.
    bool is_installing = false;
    // An inbound SA belongs to the exchange that makes it until its Child SA's actor is there. What
    // is reported before (its first use, say) waits for that actor.
    bool is_passed_on = false;
    std::vector<data_plane::event> waiting;
  };

  // A policy without an SA: a trap, or one that lets pass or drops. Its owner's from the moment it
  // asks on: requests are carried out in order, so a removal always comes after.
  struct policy_lease {
    caf::actor_addr owner;
    data_plane::policy policy;
  };
  using policy_leases = std::multimap<std::uint32_t, policy_lease>;  // by reqid

  void on_request(kernel_request& request);
  void on_reply(kernel_if::request_id id, data_plane::reply reply);
  void on_event(const data_plane::event& event);
  void on_acquire(const data_plane::sa_acquired& acquired);
  void on_events_lost();
  bool end_policy_lease(const caf::actor_addr& owner, const data_plane::policy& policy);
  void on_transfer(transfer_leases& transfer);
  void on_down(const caf::down_msg& down);
  void on_sweep();

  // kernel_activity.cpp
  void on_confirm(const confirm_activity& asked);
  void look();
  void finish_look(const pending& entry, const data_plane::reply& reply);

  void submit(pending entry, data_plane::request request);
  data_plane::spi choose_spi(const ip_address& local) const;
  void allocate_another(pending entry);
  void undo(pending lost);
  void end_install(const data_plane::sa_id& id);
  void grant(const caf::actor& owner, const data_plane::sa_id& id,
             std::vector<data_plane::policy> policies);
  void remove(removal what, unsigned tries_left);
  void remove_policy(const data_plane::policy& what);
  void remove_later(pending failed);
  bool is_held(const data_plane::policy& what) const;
  void take_back(const data_plane::sa_id& id);  // removes the SA and its policies
  void take_back_policies(const caf::actor_addr& owner);
  void watch(const caf::actor& owner);
  void unwatch_idle(const caf::actor_addr& owner);
  void reply_to(const pending& entry, data_plane::reply reply);

  services_ptr shared_;
  kernel_if::backend* backend_;
  std::unordered_map<kernel_if::request_id, pending> pending_;
  std::map<data_plane::sa_id, lease> leases_;
  policy_leases policy_leases_;
  std::map<caf::actor_addr, std::size_t> policy_owners_;           // how many each has
  std::map<caf::actor_addr, std::set<data_plane::sa_id>> owners_;  // those monitored
  std::vector<pending> again_;                                     // removals, with the next sweep
  // Lost removals of policies that others hold as well: done or not, who knows. Back-ends count
  // policies, so asking again must wait until the last holder is gone.
  std::vector<data_plane::policy> uncertain_;
  kernel_if::request_id next_id_ = 1;
  std::vector<confirm_activity> questions_, asked_;  // of the next look, of the one under way
  duration look_cost_{};                             // of the last
  actor_timer sweep_, look_timer_;
};

}  // namespace imago::actors
