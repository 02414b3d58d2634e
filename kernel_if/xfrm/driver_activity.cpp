// Which SAs are in use, without asking for each.
//
// The kernel sends XFRM_MSG_NEWAE for an inbound SA with a replay window
//   - with every packet, while XFRMA_REPLAY_THRESH is 1: so it is installed, for the first packet;
//   - then, the threshold at 0, when XFRMA_ETIMER_THRESH has passed and packets came meanwhile;
//   - at once with the first packet after such a period without any.
// A silent SA says nothing. When somebody has to be sure, query_activity dumps all SAs once.
//
// The unit trap: as an attribute the period is in jiffies, in the kernel's answers in tenths of a
// second. So the first SA with a period is read back, which tells how long a jiffy is.
#include <algorithm>
#include <cstdlib>

#include <linux/xfrm.h>

#include "kernel_if/xfrm/driver.hpp"
#include "kernel_if/xfrm/errors.hpp"

namespace imago::kernel_if::xfrm {

using namespace data_plane;

namespace {

// What kernels are built with. Until it is known the slowest is assumed: on others the kernel
// speaks more often than asked for, not too late.
constexpr unsigned usual_jiffies_per_second[] = {100, 250, 300, 1000};

unsigned nearest_usual(std::uint64_t measured) {
  auto away = [&](unsigned one) { return measured > one ? measured - one : one - measured; };
  return *std::min_element(std::begin(usual_jiffies_per_second), std::end(usual_jiffies_per_second),
                           [&](unsigned one, unsigned other) { return away(one) < away(other); });
}

std::uint32_t jiffies_of(duration period, unsigned per_second) {
  if (period <= duration{}) return 0;
  constexpr std::int64_t jiffies_max = 0x7fffffff;
  auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(period).count();
  milliseconds = std::min<std::int64_t>(milliseconds, jiffies_max);
  auto jiffies = milliseconds * static_cast<std::int64_t>(per_second) / 1000;
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(jiffies, 1, jiffies_max));
}

}  // namespace

activity_thresholds driver::thresholds_of(const installed_sa& sa) const {
  auto per_second = jiffies_per_second_.value_or(usual_jiffies_per_second[0]);
  return {sa.speaks_at_once ? 1U : 0U, jiffies_of(sa.activity_interval, per_second)};
}

void driver::set_thresholds(const installed_sa& sa) {
  pipeline_.ask(encode_thresholds(sa.key, thresholds_of(sa), 0), answer_kind::acknowledgement,
                [](answer&) {});
}

void driver::measure_jiffies(const installed_sa& sa) {
  if (std::exchange(is_measuring_jiffies_, true)) return;
  auto set = thresholds_of(sa).timer;
  pipeline_.ask(encode_get_thresholds(sa.key, 0), answer_kind::object, [this, set](answer& said) {
    is_measuring_jiffies_ = false;  // if it failed, the next SA is asked
    auto* shown = said.object ? std::get_if<sa_activity>(&*said.object) : nullptr;
    if (!shown || !shown->timer) return;
    auto tenths = std::max<std::uint64_t>(*shown->timer, 1);
    jiffies_per_second_ = nearest_usual(std::uint64_t{set} * 10 / tenths);
    if (*jiffies_per_second_ == usual_jiffies_per_second[0]) return;
    for (const auto& [id, one] : sas_.all())
      if (one.activity_interval > duration{} && !one.is_larval) set_thresholds(one);
  });
}

void driver::on_activity(const sa_activity& said) {
  auto* sa = sas_.find(said.key);
  // XFRM_AE_CU: thresholds were set, by us.
  if (!sa || sa->is_larval || (said.flags & XFRM_AE_CU) != 0) return;
  // The packet that an event comes with is counted just after it.
  on_packets(*sa, said.packets + 1);
}

void driver::on_packets(installed_sa& sa, std::uint64_t packets) {
  if (std::exchange(sa.speaks_at_once, false)) set_thresholds(sa);
  if (std::exchange(sa.reports_first_use, false)) sink_.on_event(sa_first_used{sa.id});
  // Several may be on their way when the threshold for the first packet is taken back.
  bool is_news = !sa.last_active || now_ - *sa.last_active >= sa.activity_interval / 2;
  sa.packets_seen = packets;
  sa.last_active = now_;
  if (is_news && sa.activity_interval > duration{}) sink_.on_event(sa_active{sa.id});
}

// Kernels before 6.2 do not say when a tunnel's SA was last used: then what counts is whether it
// carried more than when it last spoke.
sa_usage driver::activity_of(installed_sa& sa, const sa_image& image) {
  auto usage = usage_of(image, now_, options_.wall_seconds());
  if (usage.last_used) return usage;
  if (usage.packets > sa.packets_seen) {
    sa.packets_seen = usage.packets;
    sa.last_active = now_;
  }
  usage.last_used = sa.last_active;
  return usage;
}

void driver::carry_out(const job_ptr& one, query_activity& request) {
  auto wanted = std::make_shared<std::set<sa_id>>(request.sas.begin(), request.sas.end());
  auto list = std::make_shared<activity_list>();
  pipeline_.ask(
      encode_dump_sas(0), answer_kind::dump,
      [this, one, list](answer& said) {
        if (said.code != 0) return finish(one, error_of("activity of SAs", said));
        finish(one, reply{std::move(*list)});
      },
      [this, wanted, list](message_body& body) {
        auto* image = std::get_if<sa_image>(&body);
        auto* sa = image ? sas_.find(image->key) : nullptr;
        if (!sa || sa->is_larval || wanted->count(sa->id) == 0) return;
        list->sas.emplace_back(sa->id, activity_of(*sa, *image));
      });
}

}  // namespace imago::kernel_if::xfrm
