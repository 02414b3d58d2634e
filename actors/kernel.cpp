#include "actors/kernel.hpp"

#include "core/base/limits.hpp"

namespace imago::actors {

namespace {
constexpr auto sweep_interval = std::chrono::seconds{1};
// A back-end that says nothing for so long has lost the request.
constexpr auto reply_wait_max = std::chrono::seconds{10};

const data_plane::sa_id* sa_of(const data_plane::event& event) {
  return std::visit(
      [](const auto& fact) -> const data_plane::sa_id* {
        if constexpr (requires { fact.id; })
          return &fact.id;
        else
          return nullptr;
      },
      event);
}
}  // namespace

kernel::kernel(caf::actor_config& config, services_ptr shared, kernel_if::backend* backend)
    : actor_base{config, "kernel", shared->counted, shared->facts},
      shared_{std::move(shared)},
      backend_{backend},
      sweep_{shared_->timers, timer_kind::sweep_due} {}

caf::behavior kernel::make_behavior() {
  set_down_handler([this](const caf::down_msg& down) { on_down(down); });
  return {
      [this](kernel_request& request) { on_request(request); },
      [this](backend_replied& replied) {
        if (replied.reply.has_value()) on_reply(replied.id, replied.reply.take());
      },
      [this](const backend_reported& reported) { on_event(reported.event); },
      [this](transfer_leases& transfer) { on_transfer(transfer); },
      [this](const timer_due& due) {
        if (sweep_.accept(due)) on_sweep();
      },
      [this](const kill&) { quit(caf::exit_reason::kill); },
  };
}

void kernel::on_exit() {
  sweep_.cancel();
  pending_.clear();
  leases_.clear();
  owners_.clear();
  actor_base::on_exit();
}

void kernel::on_request(kernel_request& asked) {
  if (!asked.request.has_value()) return;
  auto request = asked.request.take();
  pending entry;
  entry.asker = asked.reply_to;
  entry.asker_id = asked.id;
  entry.submitted_at = shared_->time->now();
  if (!backend_) return reply_to(entry, error{errc::not_supported, "no data plane"});
  if (pending_.size() >= limits::kernel_requests_max)
    return reply_to(entry, error{errc::queue_full, "kernel requests"});
  if (const auto* allocate = std::get_if<data_plane::allocate_spi>(&request)) {
    entry.allocates = true;
    entry.creates = {data_plane::direction::inbound, allocate->local, 0};
  } else if (const auto* install = std::get_if<data_plane::install_sa>(&request)) {
    entry.installs = true;
    entry.creates = install->sa.id;
    entry.policies = install->policies;
  } else if (const auto* remove = std::get_if<data_plane::remove_sa>(&request)) {
    // The owner gives it back itself: its policies go with it.
    auto at = leases_.find(remove->id);
    if (at != leases_.end()) {
      for (auto& policy : at->second.policies) submit({}, data_plane::remove_policy{policy});
      if (auto owner = owners_.find(at->second.owner); owner != owners_.end())
        owner->second.erase(remove->id);
      leases_.erase(at);
    }
  }
  if (entry.allocates || entry.installs) watch(entry.asker);
  submit(std::move(entry), std::move(request));
}

void kernel::submit(pending entry, data_plane::request request) {
  entry.submitted_at = shared_->time->now();
  auto id = next_id_++;
  pending_.emplace(id, std::move(entry));
  if (!sweep_.is_armed()) sweep_.arm(address(), sweep_interval);
  backend_->submit(id, std::move(request));
}

void kernel::on_reply(kernel_if::request_id id, data_plane::reply reply) {
  auto at = pending_.find(id);
  if (at == pending_.end()) return;  // answered twice
  auto entry = std::move(at->second);
  pending_.erase(at);
  if (entry.undoes && reply.has_value()) {
    submit({}, data_plane::remove_sa{entry.creates});
    for (auto& policy : entry.policies) submit({}, data_plane::remove_policy{std::move(policy)});
    return;
  }
  bool created = reply.has_value() && (entry.allocates || entry.installs);
  if (created && entry.allocates) {
    const auto* allocated = std::get_if<data_plane::spi_allocated>(&*reply);
    if (!allocated) return;
    entry.creates.spi = allocated->spi;
  }
  // What was created for an asker that is gone, or that was told otherwise, is undone.
  bool asker_lives =
      entry.asker && !entry.is_abandoned && owners_.count(entry.asker.address()) != 0;
  if (created) {
    grant(entry.asker, entry.creates, std::move(entry.policies));
    if (!asker_lives) take_back(entry.creates);
  }
  if (!entry.is_abandoned) reply_to(entry, std::move(reply));
}

void kernel::reply_to(const pending& entry, data_plane::reply reply) {
  if (entry.asker) caf::anon_send(entry.asker, kernel_reply{entry.asker_id, own(std::move(reply))});
}

void kernel::on_event(const data_plane::event& event) {
  const auto* id = sa_of(event);
  auto at = id ? leases_.find(*id) : leases_.end();
  if (at == leases_.end()) return;
  if (auto owner = caf::actor_cast<caf::actor>(at->second.owner))
    caf::anon_send(owner, kernel_event{event});
}

void kernel::watch(const caf::actor& owner) {
  if (!owner) return;
  auto [at, is_new] = owners_.try_emplace(owner.address());
  if (is_new) monitor(owner);
}

void kernel::grant(const caf::actor& owner, const data_plane::sa_id& id,
                   std::vector<data_plane::policy> policies) {
  // Installing under an allocated SPI keeps the lease and adds the policies.
  auto& lease = leases_[id];
  lease.owner = owner ? owner.address() : caf::actor_addr{};
  lease.policies = std::move(policies);
  if (auto at = owners_.find(lease.owner); at != owners_.end()) at->second.insert(id);
}

void kernel::take_back(const data_plane::sa_id& id) {
  auto at = leases_.find(id);
  if (at == leases_.end()) return;
  auto taken = std::move(at->second);
  leases_.erase(at);
  if (auto owner = owners_.find(taken.owner); owner != owners_.end()) owner->second.erase(id);
  submit({}, data_plane::remove_sa{id});
  for (auto& policy : taken.policies) submit({}, data_plane::remove_policy{std::move(policy)});
}

void kernel::on_transfer(transfer_leases& transfer) {
  for (auto& [id, to] : transfer.leases) {
    auto at = leases_.find(id);
    if (at == leases_.end()) continue;
    if (auto from = owners_.find(at->second.owner); from != owners_.end()) from->second.erase(id);
    watch(to);
    at->second.owner = to.address();
    owners_[to.address()].insert(id);
  }
  if (transfer.reply_to) caf::anon_send(transfer.reply_to, leases_transferred{});
}

void kernel::on_down(const caf::down_msg& down) {
  auto at = owners_.find(down.source);
  if (at == owners_.end()) return;
  auto ids = std::move(at->second);
  owners_.erase(at);  // requests of its still in flight find no owner when they are answered
  for (const auto& id : ids) take_back(id);
}

// Requests that the back-end lost: their askers are told, a late success is undone.
void kernel::on_sweep() {
  auto now = shared_->time->now();
  std::vector<pending> lost;
  for (auto at = pending_.begin(); at != pending_.end();) {
    auto& entry = at->second;
    auto age = now - entry.submitted_at;
    if (age < reply_wait_max) {
      ++at;
    } else if (!entry.is_abandoned && (entry.allocates || entry.installs)) {
      reply_to(entry, error{errc::data_plane_lost, "no reply"});
      if (entry.installs) {
        lost.push_back(std::move(entry));
        at = pending_.erase(at);
        continue;
      }
      entry.is_abandoned = true;  // remembered once more as long, to undo what comes late
      entry.submitted_at = now;
      ++at;
    } else {
      if (!entry.is_abandoned) reply_to(entry, error{errc::data_plane_lost, "no reply"});
      at = pending_.erase(at);
    }
  }
  // Was it done, and only the answer lost? Requests are carried out in order: this one comes after.
  for (auto& entry : lost) {
    pending question;
    question.undoes = true;
    question.creates = entry.creates;
    question.policies = std::move(entry.policies);
    submit(std::move(question), data_plane::query_sa{entry.creates});
  }
  if (!pending_.empty()) sweep_.arm(address(), sweep_interval);
}

}  // namespace imago::actors
