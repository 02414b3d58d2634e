// Leases on disk: what is noted before the kernel is asked, and what is taken back after a process
// that could not do so itself.
#include <algorithm>
#include <cerrno>

#include "kernel_if/xfrm/driver.hpp"

namespace imago::kernel_if::xfrm {

using namespace data_plane;

void driver::note(const installed_sa& sa) {
  if (options_.journal) options_.journal->note(sa_lease{sa.key, sa.source, sa.reqid});
}
void driver::note(const policy_entry& entry) {
  if (options_.journal) options_.journal->note(entry);
}
void driver::note_end(const sa_key& key) {
  if (options_.journal) options_.journal->note_end(key);
}
void driver::note_end(const policy_key& key) {
  if (options_.journal) options_.journal->note_end(key);
}
sequence driver::label_for(spi spi) const {
  return options_.journal ? label_of(options_.journal->salt(), spi) : 0;
}
std::uint32_t driver::index_for(const policy_key& key) const {
  return options_.journal ? index_of(options_.journal->salt(), key) : 0;
}

struct driver::reclamation {
  job_ptr one;
  lease_set leases;  // of the process before
  std::vector<sa_key> sas;
  std::vector<policy_image> policies;
  unsigned attempts = 0;
  std::size_t outstanding = 1;
  std::set<sa_key> kept_sas;  // could not be removed: they stay noted
  std::set<policy_key> kept_policies;
};

void driver::reclaim() {
  if (!options_.journal || options_.journal->leases().empty()) return;
  reclaiming_ = std::make_shared<job>();
  reclaiming_->request = flush{};
  reclaiming_->is_exclusive = true;
  order_.add(reclaiming_);
}

void driver::carry_out_reclaim(const job_ptr& one) {
  auto at = std::make_shared<reclamation>();
  at->one = one;
  at->leases = options_.journal->leases();
  ask_dump(at, false);
}

// A dump is never repeated by the pipeline; without one nothing is touched, and the next process
// may try.
void driver::ask_dump(const std::shared_ptr<reclamation>& at, bool of_policies) {
  auto salt = options_.journal->salt();
  pipeline_.ask(
      of_policies ? encode_dump_policies(0) : encode_dump_sas(0), answer_kind::dump,
      [this, at, of_policies](answer& said) {
        if (said.code != 0) {
          at->sas.clear();
          at->policies.clear();
          if (++at->attempts < options_.resync_attempts_max) return ask_dump(at, false);
          reclaiming_.reset();
          return finish(at->one, reply{done{}});
        }
        if (!of_policies) return ask_dump(at, true);
        remove_found(at);
      },
      [at, salt](message_body& body) {
        if (auto* sa = std::get_if<sa_image>(&body)) {
          if (is_ours(at->leases, salt, *sa)) at->sas.push_back(sa->key);
        } else if (auto* policy = std::get_if<policy_image>(&body)) {
          if (is_ours(at->leases, salt, *policy)) at->policies.push_back(*policy);
        }
      });
}

void driver::remove_found(const std::shared_ptr<reclamation>& at) {
  auto count_down = [this, at] {
    if (--at->outstanding != 0) return;
    for (const auto& [key, versions] : at->leases.sas)
      if (at->kept_sas.count(key) == 0) note_end(key);
    for (const auto& [key, versions] : at->leases.policies)
      if (at->kept_policies.count(key) == 0) note_end(key);
    reclaiming_.reset();
    finish(at->one, reply{done{}});
  };
  at->outstanding += at->sas.size() + at->policies.size();
  // Policies first: without its SA a policy of ours would only stop traffic.
  for (const auto& image : at->policies)
    pipeline_.ask(encode_delete_policy(image.entry.key, 0, image.index),
                  answer_kind::acknowledgement,
                  [this, at, key = image.entry.key, count_down](answer& said) {
                    if (said.code == 0) ++reclaimed_;
                    if (said.code != 0 && said.code != ENOENT) at->kept_policies.insert(key);
                    count_down();
                  });
  for (const auto& key : at->sas)
    pipeline_.ask(encode_delete_sa(key, 0), answer_kind::acknowledgement,
                  [this, at, key, count_down](answer& said) {
                    if (said.code == 0) ++reclaimed_;
                    if (said.code != 0 && said.code != ESRCH) at->kept_sas.insert(key);
                    count_down();
                  });
  count_down();
}

}  // namespace imago::kernel_if::xfrm
