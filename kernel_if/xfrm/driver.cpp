#include "kernel_if/xfrm/driver.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

#include "core/base/limits.hpp"
#include "kernel_if/checks.hpp"
#include "kernel_if/xfrm/errors.hpp"
#include "kernel_if/xfrm/selectors.hpp"

namespace imago::kernel_if::xfrm {

using namespace data_plane;

namespace {

// RFC 4303 §3.3.3: without ESN the 2^32nd packet may not leave. The kernel drops it silently; said
// as limits, it tells us in time.
constexpr std::uint64_t last_short_sequence = 0xffffffff;
constexpr std::uint64_t sequence_headroom = std::uint64_t{1} << 28;

std::uint64_t narrower(std::uint64_t limit, std::uint64_t other) {
  return limit == 0 ? other : std::min(limit, other);
}

lifetime with_sequence_limit(const sa_parameters& sa) {
  auto out = sa.lifetime;
  if (sa.uses_esn || sa.id.direction == direction::inbound) return out;
  out.soft_packets = narrower(out.soft_packets, last_short_sequence - sequence_headroom);
  out.hard_packets = narrower(out.hard_packets, last_short_sequence);
  return out;
}

// The kernel speaks of a packet only where it keeps a replay window.
bool can_speak(const sa_parameters& sa) { return sa.replay_window != 0 || sa.uses_esn; }

result<std::vector<policy_entry>> checked_entries(const policy& policy) {
  if (auto checked = check_policy(policy); !checked) return checked.failure();
  return entries_of(policy);
}

sa_key key_of(const sa_parameters& sa) { return {sa.id.destination, sa.id.spi, sa.mark}; }

installed_sa record_of(const sa_parameters& sa) {
  installed_sa one;
  one.id = sa.id;
  one.key = key_of(sa);
  one.source = sa.source;
  one.mode = sa.mode;
  one.reqid = sa.reqid;
  one.encap_local = sa.encap_local;
  one.encap_remote = sa.encap_remote;
  one.lifetime = sa.lifetime;
  bool inbound = sa.id.direction == direction::inbound;
  one.reports_first_use = inbound && sa.reports_first_use;
  if (inbound && can_speak(sa)) one.activity_interval = sa.activity_interval;
  one.speaks_at_once =
      inbound && can_speak(sa) && (one.reports_first_use || one.activity_interval > duration{});
  return one;
}

}  // namespace

driver::driver(netlink_transport& requests, netlink_transport& events, backend_sink& sink,
               driver_options chosen)
    : sink_{sink},
      options_{std::move(chosen)},
      events_{events},
      pipeline_{requests, options_.pipeline} {
  // Nobody knows this SPI any more.
  pipeline_.on_orphan = [this](const sa_image& image) {
    if (image.has_keys || sas_.find(image.key)) return;
    pipeline_.ask(encode_delete_sa(image.key, 0), answer_kind::acknowledgement, [](answer&) {});
  };
}

// --- order ---------------------------------------------------------------------------------------

void driver::submit(request_id id, request request) {
  auto one = std::make_shared<job>();
  one->id = id;
  one->request = std::move(request);
  auto add_policy = [&](const policy& policy) -> status {
    auto entries = checked_entries(policy);
    if (!entries) return entries.failure();
    for (const auto& entry : *entries) one->objects.insert(entry.key);
    return {};
  };
  status checked;
  if (auto* install = std::get_if<install_sa>(&one->request)) {
    checked = check_parameters(install->sa);
    one->objects.insert(install->sa.id);
    for (const auto& policy : install->policies)
      if (checked) checked = add_policy(policy);
  } else if (auto* added = std::get_if<install_policy>(&one->request)) {
    checked = add_policy(added->policy);
  } else if (auto* removed = std::get_if<remove_policy>(&one->request)) {
    if (!add_policy(removed->policy)) checked = {errc::not_found, "policy"};
  } else if (auto* gone = std::get_if<remove_sa>(&one->request)) {
    one->objects.insert(gone->id);
  } else if (auto* asked = std::get_if<query_sa>(&one->request)) {
    one->objects.insert(asked->id);
  } else if (auto* wanted = std::get_if<allocate_spi>(&one->request)) {
    if (wanted->spi != 0)
      one->objects.insert(sa_id{direction::inbound, wanted->local, wanted->spi});
  } else if (!std::holds_alternative<query_activity>(one->request)) {
    // flush, and update_sa, since it changes policies that it does not name
    one->is_exclusive = true;
  }
  if (!checked) return sink_.on_reply(id, checked.failure());
  order_.add(std::move(one));
}

void driver::begin_ready() {
  while (auto one = order_.take()) begin(one);
}

void driver::begin(const job_ptr& one) {
  if (one == reclaiming_) return carry_out_reclaim(one);
  std::visit([&](auto& request) { carry_out(one, request); }, one->request);
}

void driver::finish(const job_ptr& one, reply reply) {
  if (one->id != 0) sink_.on_reply(one->id, std::move(reply));
  order_.finish(one);
}

void driver::refuse_unbegun() {
  for (auto& one : order_.take_unbegun())
    if (one->id != 0)
      sink_.on_reply(one->id, reply{errc::shutting_down, std::string{name_of(one->request)}});
}

void driver::remove_all() {
  auto one = std::make_shared<job>();
  one->request = flush{};
  one->is_exclusive = true;
  order_.add(std::move(one));
}

void driver::step(instant now) {
  now_ = now;
  begin_ready();
  pipeline_.step(now);
  receive_events();
  if (must_resync_ && !is_resyncing_) resync();
  // Answers may have made room for what waited.
  begin_ready();
  pipeline_.step(now);
}

// --- SAs --------------------------------------------------------------------------------------

// Several messages that are done or undone together.
struct driver::step_of_install {
  job_ptr one;
  std::vector<policy> policies;   // counted by this step
  std::set<policy_key> refused;   // never came into the kernel
  std::optional<policy> removed;  // to be counted again if it could not be removed
  std::vector<policy_entry> removed_entries;
  std::optional<installed_sa> record;  // none: policies only
  activity_thresholds thresholds;
  bool is_promotion = false;
  bool is_sa_done = false;
  std::size_t outstanding = 1;  // the one who asks holds one
  std::optional<error> failure;
  std::function<void()> when_settled;  // empty: complete or undo
};

void driver::carry_out(const job_ptr& one, install_sa& request) {
  auto& sa = request.sa;
  bool inbound = sa.id.direction == direction::inbound;
  auto* present = sas_.find(sa.id);
  if (inbound && !present) return finish(one, error{errc::no_such_sa, text_of(sa.id)});
  if (present && !present->is_larval)
    return finish(one, error{errc::already_exists, text_of(sa.id)});

  auto at = std::make_shared<step_of_install>();
  at->one = one;
  at->record = record_of(sa);
  at->is_promotion = inbound;
  at->thresholds = thresholds_of(*at->record);
  sa.lifetime = with_sequence_limit(sa);
  auto message = encode_sa(inbound ? sa_command::update : sa_command::add, sa, at->thresholds, 0,
                           label_for(sa.id.spi));
  if (!message) return finish(one, message.failure());
  note(*at->record);
  sa.encryption_key = {};
  sa.integrity_key = {};
  ask_sa(at, std::move(*message));
  for (auto& policy : request.policies) {
    auto entries = entries_of(policy);  // which went well before
    if (!entries) continue;
    at->policies.push_back(policy);
    ask_changes(at, policies_.add(policy, *entries));
  }
  count_down(at);
}

void driver::ask_sa(const install_ptr& at, secret message) {
  ++at->outstanding;
  pipeline_.ask(std::move(message), answer_kind::acknowledgement, [this, at](answer& said) {
    if (said.code == 0) {
      at->is_sa_done = true;
    } else if (said.code == EEXIST && said.was_repeated) {
      // Ours, or somebody else's? It is ours if it is just so.
      ++at->outstanding;
      pipeline_.ask(encode_get_sa(at->record->key, 0), answer_kind::object,
                    [this, at](answer& shown) {
                      auto* image = shown.object ? std::get_if<sa_image>(&*shown.object) : nullptr;
                      at->is_sa_done = image && image->reqid == at->record->reqid &&
                                       image->source == at->record->source && image->has_keys;
                      if (!at->is_sa_done)
                        at->failure = error{errc::already_exists, text_of(at->record->id)};
                      count_down(at);
                    });
    } else {
      if (said.code == ESRCH) sas_.remove(at->record->id);  // the larval SA was too old
      if (said.code == ESRCH || !at->is_promotion) note_end(at->record->key);
      at->failure = error_of(text_of(at->record->id), said);
    }
    count_down(at);
  });
}

void driver::ask_changes(const install_ptr& at, std::vector<policy_change> changes) {
  for (auto& change : changes) {
    if (change.kind == policy_change::what::add) {
      ask_add(at, change.entry);
      continue;
    }
    ++at->outstanding;
    bool updates = change.kind == policy_change::what::update;
    if (updates) note(change.entry);
    auto message = updates ? encode_policy(policy_command::update, change.entry, 0,
                                           index_for(change.entry.key))
                           : encode_delete_policy(change.entry.key, 0);
    pipeline_.ask(std::move(message), answer_kind::acknowledgement,
                  [this, at, updates, key = change.entry.key](answer& said) {
                    // What should go and is not there is gone.
                    bool is_done = said.code == 0 || said.code == ENOENT;
                    if (is_done && !updates) note_end(key);
                    if (!is_done && !at->failure) at->failure = error_of("policy", said);
                    count_down(at);
                  });
  }
}

void driver::ask_add(const install_ptr& at, const policy_entry& entry) {
  ++at->outstanding;
  note(entry);
  pipeline_.ask(encode_policy(policy_command::add, entry, 0, index_for(entry.key)),
                answer_kind::acknowledgement, [this, at, entry](answer& said) {
                  auto refuse = [this, at, entry](error why) {
                    note_end(entry.key);
                    at->refused.insert(entry.key);
                    if (!at->failure) at->failure = std::move(why);
                  };
                  if (said.code == EEXIST && said.was_repeated) {
                    ++at->outstanding;
                    pipeline_.ask(encode_get_policy(entry.key, 0), answer_kind::object,
                                  [this, at, entry, refuse](answer& shown) {
                                    auto* image = shown.object
                                                      ? std::get_if<policy_image>(&*shown.object)
                                                      : nullptr;
                                    if (!image || image->entry != entry)
                                      refuse({errc::already_exists, "policy of another program"});
                                    count_down(at);
                                  });
                  } else if (said.code == EEXIST) {
                    refuse({errc::already_exists, "policy of another program"});
                  } else if (said.code != 0) {
                    refuse(error_of("policy", said));
                  }
                  count_down(at);
                });
}

void driver::count_down(const install_ptr& at) {
  if (--at->outstanding != 0) return;
  if (at->when_settled)
    at->when_settled();
  else if (at->failure)
    undo(at);
  else
    complete(at);
}

void driver::complete(const install_ptr& at) {
  bool says_used_now = false;
  if (at->record) {
    auto& sa = sas_.add(*at->record);
    says_used_now = sa.reports_first_use && at->thresholds.packets == 0;
    if (says_used_now) sa.reports_first_use = false;
    if (at->thresholds.timer != 0 && !jiffies_per_second_) measure_jiffies(sa);
  }
  auto id = at->record ? at->record->id : sa_id{};
  finish(at->one, reply{done{}});
  // It could not be told later: better a little early than never (RFC 7296 §2.8 allows both).
  if (says_used_now) sink_.on_event(sa_first_used{id});
}

// All of it happens or nothing: what went well is taken back, the larval SA is made again.
void driver::undo(const install_ptr& at) {
  auto back = std::make_shared<step_of_install>();
  back->when_settled = [this, at] { finish(at->one, *at->failure); };
  for (auto policy = at->policies.rbegin(); policy != at->policies.rend(); ++policy) {
    auto changes = policies_.remove(*policy);
    std::erase_if(changes, [&](const policy_change& change) {
      return change.kind == policy_change::what::remove && at->refused.count(change.entry.key) != 0;
    });
    ask_changes(back, std::move(changes));
  }
  if (at->removed) (void)policies_.add(*at->removed, at->removed_entries);
  if (at->is_sa_done) undo_sa(at, back);
  count_down(back);
}

void driver::undo_sa(const install_ptr& at, const install_ptr& back) {
  auto key = at->record->key;
  ++back->outstanding;
  pipeline_.ask(encode_delete_sa(key, 0), answer_kind::acknowledgement,
                [this, at, back](answer& said) {
                  bool is_gone = said.code == 0 || said.code == ESRCH;
                  if (is_gone && !at->is_promotion) note_end(at->record->key);
                  count_down(back);
                });
  if (!at->is_promotion) return;
  ++back->outstanding;
  pipeline_.ask(encode_allocate_spi(key.destination, at->record->source, key.spi, key.spi, 0),
                answer_kind::larval, [this, at, back](answer& said) {
                  if (said.code != 0) {
                    sas_.remove(at->record->id);
                    note_end(at->record->key);
                  }
                  count_down(back);
                });
}

void driver::carry_out(const job_ptr& one, remove_sa& request) {
  auto* sa = sas_.find(request.id);
  if (!sa) return finish(one, error{errc::no_such_sa, text_of(request.id)});
  auto id = request.id;
  pipeline_.ask(encode_delete_sa(sa->key, 0), answer_kind::acknowledgement,
                [this, one, id, key = sa->key](answer& said) {
                  // ESRCH: the kernel ended it first, or an answer was lost.
                  if (said.code != 0 && said.code != ESRCH)
                    return finish(one, error_of(text_of(id), said));
                  sas_.remove(id);
                  note_end(key);
                  finish(one, reply{done{}});
                });
}

void driver::carry_out(const job_ptr& one, query_sa& request) {
  auto* sa = sas_.find(request.id);
  if (!sa || sa->is_larval) return finish(one, error{errc::no_such_sa, text_of(request.id)});
  auto id = request.id;
  pipeline_.ask(encode_get_sa(sa->key, 0), answer_kind::object, [this, one, id](answer& said) {
    auto* image = said.object ? std::get_if<sa_image>(&*said.object) : nullptr;
    if (said.code != 0 || !image) return finish(one, error_of(text_of(id), said));
    finish(one, reply{usage_of(*image, now_, options_.wall_seconds())});
  });
}

// --- policies ------------------------------------------------------------------------------------

void driver::carry_out(const job_ptr& one, install_policy& request) {
  auto entries = entries_of(request.policy);
  if (!entries) return finish(one, entries.failure());
  auto at = std::make_shared<step_of_install>();
  at->one = one;
  at->policies.push_back(request.policy);
  ask_changes(at, policies_.add(request.policy, *entries));
  count_down(at);
}

void driver::carry_out(const job_ptr& one, remove_policy& request) {
  if (!policies_.has(request.policy)) return finish(one, error{errc::not_found, "policy"});
  auto at = std::make_shared<step_of_install>();
  at->one = one;
  at->removed = request.policy;
  at->removed_entries = policies_.entries_of(request.policy);
  ask_changes(at, policies_.remove(request.policy));
  count_down(at);
}

// --- moving and flushing -------------------------------------------------------------------------

// The kernel changes ports in place. Addresses are part of an SA's name, so it is read, keys and
// counters and all, and made again under the new one.
void driver::carry_out(const job_ptr& one, update_sa& request) {
  auto* sa = sas_.find(request.id);
  if (!sa || sa->is_larval) return finish(one, error{errc::no_such_sa, text_of(request.id)});
  if (request.encap_local.address.family() != request.encap_remote.address.family() ||
      request.encap_local.address.family() != sa->key.destination.family())
    return finish(one, error{errc::bad_value, "endpoints of another address family"});
  pipeline_.ask(encode_get_sa(sa->key, 0), answer_kind::object, [this, one](answer& said) {
    auto* image = said.object ? std::get_if<sa_image>(&*said.object) : nullptr;
    if (said.code != 0 || !image) return finish(one, error_of("SA to be moved", said));
    move(one, *image);
  });
}

void driver::move(const job_ptr& one, const sa_image& image) {
  const auto& request = std::get<update_sa>(one->request);
  auto* sa = sas_.find(request.id);
  bool inbound = sa->id.direction == direction::inbound;
  const auto& from = inbound ? request.encap_remote : request.encap_local;
  const auto& to = inbound ? request.encap_local : request.encap_remote;
  bool stays = from.address == image.source && to.address == image.key.destination;
  std::optional<endpoint> encap_from, encap_to;
  if (sa->encap_local) {
    encap_from = from;
    encap_to = to;
  }
  auto before = inbound ? image.source : image.key.destination;
  auto after = inbound ? from.address : to.address;
  sa_key key{to.address, sa->key.spi, sa->key.mark};
  auto moved = *sa;
  moved.key = key;
  moved.source = from.address;
  note(moved);
  if (!stays)
    pipeline_.ask(encode_delete_sa(sa->key, 0), answer_kind::acknowledgement, [](answer&) {});
  pipeline_.ask(encode_moved_sa(stays ? sa_command::update : sa_command::add, image, from.address,
                                to.address, encap_from, encap_to, thresholds_of(*sa), 0),
                answer_kind::acknowledgement, [this, one, key, before, after, stays](answer& said) {
                  const auto& id = std::get<update_sa>(one->request).id;
                  if (said.code != 0 && !(said.code == EEXIST && said.was_repeated)) {
                    if (auto* lost = sas_.find(id); lost && !stays) {
                      lost->is_gone = true;
                      note_end(key);
                      note_end(lost->key);
                    }
                    return finish(one, error_of(text_of(id), said));
                  }
                  finish_move(one, key, before, after);
                });
}

void driver::finish_move(const job_ptr& one, const sa_key& key, const ip_address& before,
                         const ip_address& after) {
  const auto& request = std::get<update_sa>(one->request);
  auto* sa = sas_.find(request.id);
  if (sa->key != key) note_end(sa->key);
  sas_.rename(*sa, key);
  sa->source = sa->id.direction == direction::inbound ? request.encap_remote.address
                                                      : request.encap_local.address;
  if (sa->encap_local) {
    sa->encap_local = request.encap_local;
    sa->encap_remote = request.encap_remote;
  }
  auto at = std::make_shared<step_of_install>();
  at->one = one;
  if (before != after) ask_changes(at, policies_.move(sa->reqid, before, after));
  count_down(at);
}

void driver::carry_out(const job_ptr& one, flush&) {
  auto at = std::make_shared<step_of_install>();
  at->one = one;
  at->when_settled = [this, at = at.get(), one] {
    if (options_.journal && options_.journal->leases().empty()) options_.journal->clear();
    finish(one, at->failure ? reply{*at->failure} : reply{done{}});
  };
  for (const auto& key : policies_.keys())
    ask_changes(at, {{policy_change::what::remove, {key, {}, 0, {}}}});
  for (const auto& [id, sa] : sas_.all()) {
    ++at->outstanding;
    pipeline_.ask(encode_delete_sa(sa.key, 0), answer_kind::acknowledgement,
                  [this, at, name = text_of(id), key = sa.key](answer& said) {
                    bool is_gone = said.code == 0 || said.code == ESRCH;
                    if (is_gone) note_end(key);
                    if (!is_gone && !at->failure) at->failure = error_of(name, said);
                    count_down(at);
                  });
  }
  policies_.clear();
  sas_.clear();
  count_down(at);
}

}  // namespace imago::kernel_if::xfrm
