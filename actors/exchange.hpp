// The exchange actor: one exchange in flight. It owns the flow, hence the md and every secret of
// the exchange; ending it, in whatever way, destroys the frame and wipes them.
//
//   running --(all needs answered)--> running --(flow done)--> committing --(accepted)-->
//   transferring --(leases transferred)--> gone
//
// What the flow needs goes to the crypto pool, the kernel actor or the ike_sa; the answers come
// back as messages and resume the frame. A KILL cancels jobs not begun; late results meet no actor.
#pragma once

#include <map>

#include "actors/actor_base.hpp"
#include "actors/services.hpp"

namespace imago::actors {

class exchange final : public actor_base {
 public:
  exchange(caf::actor_config& config, services_ptr shared, std::uint64_t id, ike_sa_handle owner,
           owned<ikev2::flow> flow);
  caf::behavior make_behavior() override;
  void on_exit() override;

  // For worlds and tests, where nothing runs meanwhile.
  const ike_sa_handle& owner() const { return owner_; }

 private:
  void advance();
  void carry_out(std::size_t index, ikev2::need need);
  void answer(std::uint64_t ticket, ikev2::answer value);
  void on_commit_accepted(commit_accepted& accepted);

  services_ptr shared_;
  std::uint64_t id_;
  ike_sa_handle owner_;
  ikev2::flow flow_;
  // Needs under way: our ticket -> the flow's index. Tickets never repeat, so that a late answer to
  // an earlier need cannot be taken for a present one.
  std::map<std::uint64_t, std::size_t> open_;
  std::uint64_t next_ticket_ = 1;
  std::optional<std::uint64_t> response_ticket_;
  std::shared_ptr<cancel_token> cancelled_ = std::make_shared<cancel_token>();
};

}  // namespace imago::actors
