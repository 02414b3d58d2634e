// Traps and shunts: policies without a Child SA, and what packets that meet a trap begin.
#include <algorithm>

#include "actors/connection.hpp"
#include "core/ikev2/exchanges/child_negotiation.hpp"

namespace imago::actors {

namespace {

// An IKE SA that ended just when it was asked is no failure of the peer's: once more with another.
constexpr unsigned acquisition_tries_least = 2;

// "dynamic" of a shunt: an address of the connection's if it has just one, else all there are.
traffic_selectors shunt_selectors(const std::vector<config::selector_template>& templates,
                                  const std::vector<config::address_pattern>& addresses) {
  if (addresses.size() == 1 && addresses.front().is_single())
    return ikev2::resolve(templates, addresses.front().first);
  traffic_selectors found;
  for (const auto& one : templates) {
    if (!one.dynamic) {
      found.push_back(one.selector);
      continue;
    }
    for (const auto* everything : {"0.0.0.0/0", "::/0"}) {
      auto selector = traffic_selector::from_prefix(*ip_prefix::parse(everything));
      selector.ip_protocol = one.selector.ip_protocol;
      selector.start_port = one.selector.start_port;
      selector.end_port = one.selector.end_port;
      found.push_back(selector);
    }
  }
  return found;
}

}  // namespace

void connection::install_wanted() {
  for (const auto& child : configured_->config->children) {
    // What has no SA cannot be started: its policy is all that there is to do.
    bool is_wanted = child.is_shunt() ? child.start_action != config::start_action::none
                                      : traps(child.start_action);
    if (is_wanted) install(child.name, {});
  }
}

result<data_plane::policy> connection::policy_of(const config::child_config& child) const {
  data_plane::policy policy;
  const auto& config = *configured_->config;
  policy.processing = child.processing;
  policy.mode = child.mode;
  if (child.is_shunt()) {
    policy.installs_routes = false;
    policy.local_selectors = shunt_selectors(child.local_selectors, config.local_addresses);
    policy.remote_selectors = shunt_selectors(child.remote_selectors, config.remote_addresses);
    return policy;
  }
  auto remote = remote_endpoint();
  if (!remote) return remote.failure();
  auto local = shared_->net->local_for(*remote, config.local_addresses);
  if (!local) return local.failure();
  // As its Child SAs will have it, so that trap and SA are one policy.
  policy.reqid = shared_->numbers->reqid_of(config, child);
  policy.local_selectors = ikev2::resolve(child.local_selectors, local->address);
  policy.remote_selectors = ikev2::resolve(child.remote_selectors, remote->address);
  policy.outer_local = local->address;
  policy.outer_remote = remote->address;
  return policy;
}

void connection::install(const std::string& name, const command_reply& reply) {
  auto child = find_child(name);
  if (!child) return reply.answer({errc::not_found, "child '" + name + "'"});
  if (auto there = policies_.find(name); there != policies_.end()) {
    if (there->second.request == 0) return reply.answer({});
    return there->second.replies.push_back(reply);
  }
  auto policy = policy_of(*child);
  standing_policy standing;
  standing.config = *child;
  standing.request = shared_->new_id();
  standing.replies.push_back(reply);
  if (!policy) {
    owned<data_plane::reply> refused = own(data_plane::reply{policy.failure()});
    kernel_reply answer{standing.request, std::move(refused)};
    policies_[name] = std::move(standing);
    return on_kernel_reply(answer);
  }
  standing.policy = std::move(*policy);
  shared_->kernel.tell(kernel_request{
      standing.request, own(data_plane::request{data_plane::install_policy{standing.policy}}),
      caf::actor_cast<caf::actor>(this)});
  policies_[name] = std::move(standing);
}

void connection::uninstall(const std::string& name, const command_reply& reply) {
  auto at = policies_.find(name);
  if (at == policies_.end()) return reply.answer({errc::not_found, "policy '" + name + "'"});
  auto number = shared_->new_id();
  if (reply) removals_[number].push_back(reply);
  shared_->kernel.tell(
      kernel_request{number, own(data_plane::request{data_plane::remove_policy{at->second.policy}}),
                     caf::actor_cast<caf::actor>(this)});
  for (const auto& waiting : at->second.replies)
    waiting.answer({errc::cancelled, "uninstalled meanwhile"});
  policies_.erase(at);
  publish_policies();
}

// After a new configuration: what is no longer as it was goes. What start actions want of it comes
// again; what a command installed comes again too, as long as its child is there.
void connection::uninstall_changed() {
  std::vector<std::string> changed, kept;
  for (const auto& [name, standing] : policies_) {
    auto child = find_child(name);
    auto policy = child ? policy_of(*child) : result<data_plane::policy>{errc::not_found, name};
    if (policy && *policy == standing.policy) continue;
    changed.push_back(name);
    if (child && standing.config.start_action == config::start_action::none) kept.push_back(name);
  }
  for (const auto& [name, standing] : policies_) {
    auto child = find_child(name);
    bool was_loaded = standing.config.start_action != config::start_action::none;
    bool is_loaded = child && (child->is_shunt() ? child->start_action != config::start_action::none
                                                 : traps(child->start_action));
    if (was_loaded && !is_loaded && std::count(changed.begin(), changed.end(), name) == 0)
      changed.push_back(name);
  }
  for (const auto& name : changed) uninstall(name, {});
  for (const auto& name : kept) install(name, {});
}

void connection::on_kernel_reply(kernel_reply& reply) {
  if (!reply.reply.has_value()) return;
  auto said = reply.reply.take();
  auto result = said ? status{} : status{said.failure()};
  if (auto removal = removals_.find(reply.id); removal != removals_.end()) {
    for (const auto& asker : removal->second) asker.answer(result);
    removals_.erase(removal);
    return;
  }
  auto at = std::find_if(policies_.begin(), policies_.end(),
                         [&](const auto& one) { return one.second.request == reply.id; });
  if (at == policies_.end()) return;
  auto& standing = at->second;
  standing.request = 0;
  for (const auto& asker : std::exchange(standing.replies, {})) asker.answer(result);
  if (!result) {
    facts().record(journal_level::audit, journal_group::child, [&] {
      fact failed;
      failed.name = "policy_not_installed";
      failed.connection = configured_->config->name;
      failed.fields = {{"child", at->first}, {"reason", result.failure().text()}};
      failed.story = "policy of {child} not installed: {reason}";
      return failed;
    });
    policies_.erase(at);
  }
  publish_policies();
}

void connection::publish_policies() {
  policies_published now{address(), configured_->config->name, {}};
  for (const auto& [name, standing] : policies_)
    if (standing.request == 0) now.list.push_back({now.connection, name, standing.policy});
  shared_->engine.tell(std::move(now));
}

// --- acquires ------------------------------------------------------------------------------------

void connection::on_acquired(const data_plane::sa_acquired& acquired) {
  auto covers = [](const traffic_selectors& list, const traffic_selector& one) {
    return std::any_of(list.begin(), list.end(),
                       [&](const auto& wide) { return wide.contains(one); });
  };
  const std::string* found = nullptr;
  for (const auto& [name, standing] : policies_) {
    if (standing.policy.reqid != acquired.reqid || standing.config.is_shunt()) continue;
    if (found && !(covers(standing.policy.local_selectors, acquired.local) &&
                   covers(standing.policy.remote_selectors, acquired.remote)))
      continue;
    found = &name;
  }
  // However many packets ask: one negotiation.
  if (!found || acquisitions_.count(*found) != 0) return;
  facts().record(journal_level::control, journal_group::child, [&] {
    fact asked;
    asked.name = "child_sa_acquired";
    asked.connection = configured_->config->name;
    asked.fields = {{"child", *found},
                    {"local", [one = acquired.local] { return one.text(); }},
                    {"remote", [one = acquired.remote] { return one.text(); }}};
    asked.story = "a packet asks for {child}: {local} to {remote}";
    return asked;
  });
  negotiate_acquired(*found);
}

void connection::negotiate_acquired(const std::string& child) {
  auto& one = acquisitions_[child];
  one.command = shared_->new_id();
  ++one.tries;
  on_initiate({child, command_reply{one.command, caf::actor_cast<caf::actor>(this)}});
}

void connection::negotiate_again() {
  std::vector<std::string> waiting;
  for (const auto& [child, one] : acquisitions_)
    if (one.command == 0) waiting.push_back(child);
  for (const auto& child : waiting) negotiate_acquired(child);
}

// A packet does not ask twice as long as the data plane waits for an answer; so what failed is
// tried again, as often as keyingtries says.
void connection::on_task_ended(const task_ended& ended) {
  auto at = std::find_if(acquisitions_.begin(), acquisitions_.end(),
                         [&](const auto& one) { return one.second.command == ended.command; });
  if (at == acquisitions_.end()) return;
  auto tries = configured_->config->keying_tries;
  if (!ended.result && ended.result.failure().code == errc::cancelled)
    tries = std::max(tries, acquisition_tries_least);
  bool tries_again = !ended.result && policies_.count(at->first) != 0 &&
                     (configured_->config->keying_tries == 0 || at->second.tries < tries);
  if (!tries_again) {
    acquisitions_.erase(at);
    return;
  }
  at->second.command = 0;
  if (!revive_timer_.is_armed()) revive_later();
}

}  // namespace imago::actors
