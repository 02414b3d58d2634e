// One look at the data plane's activity for all who want to know before they probe their peer.
//
// The first question opens a window; when it closes, one query_activity asks for everybody's SAs.
// The window grows with what the last look took, so that looking stays a twentieth of the data
// plane's time however many SAs there are.
#include <algorithm>
#include <map>

#include "actors/kernel.hpp"
#include "core/base/limits.hpp"

namespace imago::actors {

namespace {
constexpr duration window_min = std::chrono::milliseconds{250};
constexpr duration window_max = std::chrono::seconds{5};
constexpr int window_per_cost = 20;
}  // namespace

void kernel::on_confirm(const confirm_activity& asked) {
  if (!backend_) return caf::anon_send(asked.reply_to, activity_confirmed{});
  questions_.push_back(asked);
  if (asked_.empty() && !look_timer_.is_armed())
    look_timer_.arm(address(), std::clamp(look_cost_ * window_per_cost, window_min, window_max));
}

void kernel::look() {
  data_plane::query_activity query;
  auto last = questions_.begin();
  for (; last != questions_.end(); ++last) {
    if (query.sas.size() + last->sas.size() > limits::sas_queried_max && !query.sas.empty()) break;
    query.sas.insert(query.sas.end(), last->sas.begin(), last->sas.end());
  }
  asked_.assign(std::make_move_iterator(questions_.begin()), std::make_move_iterator(last));
  questions_.erase(questions_.begin(), last);
  pending entry;
  entry.looks = true;
  submit(std::move(entry), std::move(query));
}

void kernel::finish_look(const pending& entry, const data_plane::reply& reply) {
  look_cost_ = shared_->time->now() - entry.submitted_at;
  std::map<data_plane::sa_id, instant> last_uses;
  if (const auto* list = reply ? std::get_if<data_plane::activity_list>(&*reply) : nullptr)
    for (const auto& [id, usage] : list->sas)
      if (usage.last_used) last_uses.emplace(id, *usage.last_used);
  for (const auto& question : std::exchange(asked_, {})) {
    activity_confirmed answer;
    for (const auto& id : question.sas)
      if (auto at = last_uses.find(id);
          at != last_uses.end() && (!answer.last_used || *answer.last_used < at->second))
        answer.last_used = at->second;
    caf::anon_send(question.reply_to, answer);
  }
  if (!questions_.empty())
    look_timer_.arm(address(), std::clamp(look_cost_ * window_per_cost, window_min, window_max));
}

}  // namespace imago::actors
