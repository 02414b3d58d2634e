#include "actors/exchange.hpp"

#include "core/base/planted.hpp"

namespace imago::actors {

namespace {
// planted_bug::leaked_digest: the list of the suspended, which a kill does not look at.
void forget_suspended(ikev2::flow suspended) {
  static std::vector<ikev2::flow> forgotten;
  forgotten.push_back(std::move(suspended));
}
}  // namespace

exchange::exchange(caf::actor_config& config, services_ptr shared, std::uint64_t id,
                   ike_sa_handle owner, owned<ikev2::flow> flow)
    : actor_base{config, "exchange", shared->counted, shared->facts},
      shared_{std::move(shared)},
      id_{id},
      owner_{std::move(owner)},
      flow_{flow.take()} {}

caf::behavior exchange::make_behavior() {
  // The owner's end is ours: an exchange without its SA has nobody to commit to.
  monitor(owner_.actor());
  set_down_handler([this](const caf::down_msg&) { quit(caf::exit_reason::user_shutdown); });
  flow_.start();
  advance();
  return handled_by(
      [this](job_done& done) {
        if (done.result.has_value()) answer(done.job_id, ikev2::answer{done.result.take()});
      },
      [this](kernel_reply& reply) {
        if (reply.reply.has_value()) answer(reply.id, ikev2::answer{reply.reply.take()});
      },
      [this](receive_response& response) {
        if (!response_ticket_ || !response.response.has_value()) return;
        auto ticket = *std::exchange(response_ticket_, std::nullopt);
        answer(ticket, ikev2::answer{response.response.take()});
      },
      [this](commit_accepted& accepted) { on_commit_accepted(accepted); },
      [this](const commit_refused&) { quit(caf::exit_reason::user_shutdown); },
      [this](const leases_transferred&) {
        owner_.tell(exchange_ended{id_});
        quit(caf::exit_reason::normal);
      },
      [this](const kill&) { quit(caf::exit_reason::kill); });
}

void exchange::on_exit() {
  cancelled_->cancel();
  if (is_planted(planted_bug::leaked_digest) && !open_.empty()) forget_suspended(std::move(flow_));
  flow_ = {};  // the frame, the md, the secrets
  open_.clear();
  owner_ = {};
  actor_base::on_exit();
}

// Hands out what the flow waits for, or commits what it ended with.
void exchange::advance() {
  if (flow_.done()) {
    owner_.tell(commit_exchange{id_, own(flow_.take_outcome())});
    return;
  }
  auto needs = flow_.take_needs();
  for (std::size_t index = 0; index < needs.size(); ++index)
    carry_out(index, std::move(needs[index]));
}

void exchange::carry_out(std::size_t index, ikev2::need need) {
  auto ticket = next_ticket_++;
  open_[ticket] = index;
  if (auto* job = std::get_if<crypto::job>(&need)) {
    crypto_task task{std::move(*job), cancelled_, address(), ticket};
    // A full pool fails this exchange, not the daemon: the peer will retransmit or give up.
    if (!shared_->crypto->submit(std::move(task)))
      answer(ticket, ikev2::answer{crypto::job_result{error{errc::queue_full, "crypto pool"}}});
  } else if (auto* request = std::get_if<data_plane::request>(&need)) {
    bool installs = std::holds_alternative<data_plane::install_sa>(*request);
    shared_->kernel.tell(
        kernel_request{ticket, own(std::move(*request)), caf::actor_cast<caf::actor>(this)});
    if (is_planted(planted_bug::early_response) && installs)
      answer(ticket, ikev2::answer{data_plane::reply{data_plane::done{}}});
  } else {
    response_ticket_ = ticket;
    owner_.tell(send_exchange_request{id_, own(std::move(std::get<ikev2::send_request>(need)))});
  }
}

void exchange::answer(std::uint64_t ticket, ikev2::answer value) {
  auto at = open_.find(ticket);
  if (at == open_.end()) return;
  auto index = at->second;
  open_.erase(at);
  flow_.give(index, std::move(value));
  if (open_.empty()) advance();
}

void exchange::on_commit_accepted(commit_accepted& accepted) {
  if (accepted.leases.empty()) return quit(caf::exit_reason::normal);  // the owner knows
  shared_->kernel.tell(
      transfer_leases{std::move(accepted.leases), caf::actor_cast<caf::actor>(this)});
}

}  // namespace imago::actors
