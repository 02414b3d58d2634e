#include "kernel_if/fake/fake_backend.hpp"

#include <algorithm>
#include <functional>

#include "kernel_if/checks.hpp"

namespace imago::kernel_if {

using namespace data_plane;

// Counts a sink call that runs outside the mutex, so that stop() can wait for it.
class fake_backend::sink_call {
 public:
  explicit sink_call(fake_backend& owner) : owner_{owner} {
    std::lock_guard lock{owner_.mutex_};
    sink_ = owner_.sink_;
    owner_.calls_.push_back(std::this_thread::get_id());
  }
  ~sink_call() {
    std::lock_guard lock{owner_.mutex_};
    auto& calls = owner_.calls_;
    calls.erase(std::find(calls.begin(), calls.end(), std::this_thread::get_id()));
    owner_.call_ended_.notify_all();
  }
  sink_call(const sink_call&) = delete;
  sink_call& operator=(const sink_call&) = delete;
  backend_sink* sink() const { return sink_; }

 private:
  fake_backend& owner_;
  backend_sink* sink_ = nullptr;
};

namespace {

sa_id inbound_id(const ip_address& local, spi number) {
  return {direction::inbound, local, number};
}

std::size_t fingerprint(const sa_parameters& sa) {
  std::string octets = to_text(sa.encryption_key.view()) + "/" + to_text(sa.integrity_key.view());
  auto number = std::hash<std::string>{}(octets);
  wipe(octets.data(), octets.size());
  return number;
}

fake_sa without_keys(const sa_parameters& sa, std::uint64_t order) {
  fake_sa out;
  out.id = sa.id;
  out.source = sa.source;
  out.mode = sa.mode;
  out.reqid = sa.reqid;
  out.encryption = sa.encryption;
  out.key_bits = sa.key_bits;
  out.integrity = sa.integrity;
  out.key_fingerprint = fingerprint(sa);
  out.uses_esn = sa.uses_esn;
  out.replay_window = sa.replay_window;
  out.encap_local = sa.encap_local;
  out.encap_remote = sa.encap_remote;
  out.lifetime = sa.lifetime;
  out.local_selectors = sa.local_selectors;
  out.remote_selectors = sa.remote_selectors;
  bool inbound = sa.id.direction == direction::inbound;
  out.reports_first_use = inbound && sa.reports_first_use;
  if (inbound) out.activity_interval = sa.activity_interval;
  out.installed_order = order;
  return out;
}

}  // namespace

status fake_backend::start(backend_sink& sink) {
  std::lock_guard lock{mutex_};
  if (sink_) return {errc::already_exists, "fake data plane"};
  sink_ = &sink;
  holds_replies_ = holds_replies_ || options_.holds_replies;
  return {};
}

void fake_backend::stop() {
  std::unique_lock lock{mutex_};
  sink_ = nullptr;
  sas_.clear();
  larval_.clear();
  policies_.clear();
  held_.clear();
  // A call on this very thread is our caller: it cannot end before we return.
  call_ended_.wait(lock, [this] {
    return std::all_of(calls_.begin(), calls_.end(),
                       [](auto id) { return id == std::this_thread::get_id(); });
  });
}

void fake_backend::submit(request_id id, data_plane::request request) {
  std::string name{name_of(request)};
  int times = 1;
  std::optional<data_plane::reply> reply;
  {
    std::lock_guard lock{mutex_};
    if (!sink_) return;
    submitted_.push_back(name);
    auto spoilt = take_fault(name);
    auto action = spoilt ? std::optional{spoilt->action} : std::nullopt;
    if (action == fault_action::lose_request) return;
    if (action == fault_action::refuse) {
      reply = data_plane::reply{spoilt->code, name};
    } else {
      reply = std::visit([this](auto& one) { return carry_out(one); }, request);
    }
    if (action == fault_action::lose_reply) return;
    if (action == fault_action::fail_late) reply = data_plane::reply{spoilt->code, name};
    if (action == fault_action::repeat_reply) times = 2;
    if (holds_replies_ || action == fault_action::hold) {
      for (int i = 0; i < times; ++i) held_.push_back({id, name, *reply});
      return;
    }
  }
  give_now(id, *reply, times);
}

void fake_backend::give_now(request_id id, const data_plane::reply& reply, int times) {
  sink_call call{*this};
  for (int i = 0; i < times && call.sink(); ++i) call.sink()->on_reply(id, reply);
}

std::optional<fault> fake_backend::take_fault(std::string_view request) {
  std::optional<fault> hit;
  for (auto at = faults_.begin(); at != faults_.end();) {
    if (!at->request.empty() && at->request != request) {
      ++at;
    } else if (at->nth > 1) {
      --at->nth;
      ++at;
    } else if (hit) {
      ++at;
    } else {
      hit = *at;
      at = at->nth == 0 ? at + 1 : faults_.erase(at);
    }
  }
  return hit;
}

// --- requests ------------------------------------------------------------------------------------

data_plane::reply fake_backend::carry_out(allocate_spi& request) {
  auto is_used = [this](const sa_id& id) { return sas_.count(id) != 0 || larval_.count(id) != 0; };
  auto id = inbound_id(request.local, request.spi);
  if (id.spi != 0 && id.spi < 256) return {errc::bad_value, text_of(id)};
  if (id.spi != 0 && is_used(id)) return {errc::already_exists, text_of(id)};
  while (id.spi < 256 || is_used(id))
    id = inbound_id(request.local,
                    options_.random ? static_cast<spi>(options_.random->number()) : next_spi_++);
  larval_[id] = {id, request.remote};
  return spi_allocated{id.spi};
}

data_plane::reply fake_backend::carry_out(install_sa& request) {
  const auto& sa = request.sa;
  const auto& can = options_.capabilities;
  if (auto checked = check_parameters(sa); !checked) return checked.failure();
  if (auto checked = check_abilities(can, sa); !checked) return checked.failure();
  for (const auto& policy : request.policies) {
    if (auto checked = check_policy(policy); !checked) return checked.failure();
    if (auto checked = check_abilities(can, policy); !checked) return checked.failure();
  }
  if (sas_.count(sa.id) != 0) return {errc::already_exists, text_of(sa.id)};
  if (sa.id.direction == direction::inbound && larval_.erase(sa.id) == 0)
    return {errc::no_such_sa, text_of(sa.id)};
  sas_[sa.id] = without_keys(sa, ++installed_count_);
  for (const auto& policy : request.policies) ++policies_[policy];
  return done{};
}

data_plane::reply fake_backend::carry_out(remove_sa& request) {
  if (sas_.erase(request.id) + larval_.erase(request.id) == 0)
    return {errc::no_such_sa, text_of(request.id)};
  return done{};
}

data_plane::reply fake_backend::carry_out(install_policy& request) {
  if (auto checked = check_policy(request.policy); !checked) return checked.failure();
  if (auto checked = check_abilities(options_.capabilities, request.policy); !checked)
    return checked.failure();
  ++policies_[request.policy];
  return done{};
}

data_plane::reply fake_backend::carry_out(remove_policy& request) {
  auto at = policies_.find(request.policy);
  if (at == policies_.end())
    return {errc::not_found, "policy " + text_of(request.policy.remote_selectors)};
  if (--at->second == 0) policies_.erase(at);
  return done{};
}

data_plane::reply fake_backend::carry_out(update_sa& request) {
  auto at = sas_.find(request.id);
  if (at == sas_.end()) return {errc::no_such_sa, text_of(request.id)};
  at->second.encap_local = request.encap_local;
  at->second.encap_remote = request.encap_remote;
  return done{};
}

data_plane::reply fake_backend::carry_out(query_sa& request) {
  auto at = sas_.find(request.id);
  if (at == sas_.end()) return {errc::no_such_sa, text_of(request.id)};
  return at->second.usage;
}

data_plane::reply fake_backend::carry_out(query_activity& request) {
  activity_list list;
  for (const auto& id : request.sas)
    if (auto at = sas_.find(id); at != sas_.end()) list.sas.emplace_back(id, at->second.usage);
  return list;
}

data_plane::reply fake_backend::carry_out(flush&) {
  sas_.clear();
  larval_.clear();
  policies_.clear();
  return done{};
}

// --- tests ---------------------------------------------------------------------------------------

void fake_backend::inject_fault(fault what) {
  std::lock_guard lock{mutex_};
  faults_.push_back(std::move(what));
}

void fake_backend::clear_faults() {
  std::lock_guard lock{mutex_};
  faults_.clear();
}

void fake_backend::set_holding(bool holds) {
  std::lock_guard lock{mutex_};
  holds_replies_ = holds;
}

std::vector<held_reply> fake_backend::held() const {
  std::lock_guard lock{mutex_};
  std::vector<held_reply> list;
  for (const auto& one : held_) list.push_back({one.id, one.request});
  return list;
}

bool fake_backend::give(request_id id, bool keeps) {
  std::optional<data_plane::reply> reply;
  {
    std::lock_guard lock{mutex_};
    auto at = std::find_if(held_.begin(), held_.end(), [&](auto& one) { return one.id == id; });
    if (at == held_.end()) return false;
    reply = at->reply;
    if (!keeps) held_.erase(at);
  }
  give_now(id, *reply, 1);
  return true;
}

bool fake_backend::step() {
  auto waiting = held();
  return !waiting.empty() && give(waiting.front().id, false);
}

bool fake_backend::step(request_id id) { return give(id, false); }
bool fake_backend::step_and_keep(request_id id) { return give(id, true); }

void fake_backend::step_all() {
  while (step()) {
  }
}

bool fake_backend::drop(request_id id) {
  std::lock_guard lock{mutex_};
  auto at = std::find_if(held_.begin(), held_.end(), [&](auto& one) { return one.id == id; });
  if (at == held_.end()) return false;
  held_.erase(at);
  return true;
}

void fake_backend::inject_event(data_plane::event event) {
  sink_call call{*this};
  if (call.sink()) call.sink()->on_event(event);
}

std::optional<policy> fake_backend::send_packet(const traffic_selector& local,
                                                const traffic_selector& remote) {
  auto covers = [](const traffic_selectors& list, const traffic_selector& one) {
    return std::any_of(list.begin(), list.end(),
                       [&](const auto& wide) { return wide.contains(one); });
  };
  auto rank = [](const policy& one) {  // a bypass wins, a discard loses
    return one.processing == processing::bypass ? 0 : one.processing == processing::protect ? 1 : 2;
  };
  std::optional<policy> best;
  {
    std::lock_guard lock{mutex_};
    for (const auto& [one, count] : policies_)
      if (covers(one.local_selectors, local) && covers(one.remote_selectors, remote) &&
          (!best || rank(one) < rank(*best)))
        best = one;
  }
  if (best && best->processing == processing::protect && !outbound_sa_of(best->reqid))
    inject_event(sa_acquired{best->reqid, local, remote});
  return best;
}

status fake_backend::lose_sa(const sa_id& id) {
  {
    std::lock_guard lock{mutex_};
    if (sas_.erase(id) == 0) return {errc::no_such_sa, text_of(id)};
  }
  inject_event(events_lost{});
  inject_event(lifetime_reached{id, true});
  return {};
}

status fake_backend::set_usage(const sa_id& id, sa_usage usage) {
  std::lock_guard lock{mutex_};
  auto at = sas_.find(id);
  if (at == sas_.end()) return {errc::no_such_sa, text_of(id)};
  at->second.usage = usage;
  return {};
}

status fake_backend::carry_packet(const sa_id& id, std::size_t octets, instant now) {
  std::vector<event> events;
  {
    std::lock_guard lock{mutex_};
    auto at = sas_.find(id);
    if (at == sas_.end()) return {errc::no_such_sa, text_of(id)};
    auto& sa = at->second;
    ++sa.usage.packets;
    sa.usage.octets += octets;
    sa.usage.last_used = now;
    if (sa.reports_first_use && sa.usage.packets == 1) events.emplace_back(sa_first_used{id});
    if (is_activity_due(sa.activity_interval, sa.activity_reported, now)) {
      sa.activity_reported = now;
      events.emplace_back(sa_active{id});
    }
  }
  for (auto& event : events) inject_event(std::move(event));
  return {};
}

std::optional<sa_id> fake_backend::outbound_sa_of(std::uint32_t reqid) const {
  std::lock_guard lock{mutex_};
  const fake_sa* newest = nullptr;
  for (const auto& [id, sa] : sas_) {
    if (id.direction != direction::outbound || sa.reqid != reqid) continue;
    if (!newest || sa.installed_order > newest->installed_order) newest = &sa;
  }
  if (!newest) return std::nullopt;
  return newest->id;
}

bool fake_backend::has_sa(const data_plane::sa_id& id) const {
  std::lock_guard guard{mutex_};
  return sas_.count(id) != 0;
}

std::vector<std::pair<data_plane::sa_id, std::size_t>> fake_backend::key_fingerprints() const {
  std::lock_guard guard{mutex_};
  std::vector<std::pair<data_plane::sa_id, std::size_t>> found;
  found.reserve(sas_.size());
  for (const auto& [id, sa] : sas_) found.emplace_back(id, sa.key_fingerprint);
  return found;
}

bool fake_backend::has_policies() const {
  std::lock_guard guard{mutex_};
  return !policies_.empty();
}

std::size_t fake_backend::larval_count() const {
  std::lock_guard guard{mutex_};
  return larval_.size();
}

std::vector<fake_sa> fake_backend::sas() const {
  std::lock_guard lock{mutex_};
  std::vector<fake_sa> list;
  for (const auto& [id, sa] : sas_) list.push_back(sa);
  return list;
}

std::vector<policy> fake_backend::policies() const {
  std::lock_guard lock{mutex_};
  std::vector<policy> list;
  for (const auto& [policy, count] : policies_) list.push_back(policy);
  return list;
}

std::vector<fake_larval> fake_backend::larval() const {
  std::lock_guard lock{mutex_};
  std::vector<fake_larval> list;
  for (const auto& [id, one] : larval_) list.push_back(one);
  return list;
}

std::vector<std::string> fake_backend::submitted() const {
  std::lock_guard lock{mutex_};
  return submitted_;
}

bool fake_backend::is_empty() const {
  std::lock_guard lock{mutex_};
  return sas_.empty() && larval_.empty() && policies_.empty();
}

bool fake_backend::is_started() const {
  std::lock_guard lock{mutex_};
  return sink_ != nullptr;
}

}  // namespace imago::kernel_if
