#include "actors/journal.hpp"

#include <algorithm>

namespace imago::actors {

namespace {

constexpr auto gathering_time = std::chrono::milliseconds{5};

}  // namespace

std::string_view text_of(journal_level level) {
  switch (level) {
    case journal_level::audit: return "audit";
    case journal_level::control: return "control";
    case journal_level::detail: return "detail";
    case journal_level::debug: return "debug";
  }
  return "?";
}

std::string_view text_of(journal_group group) {
  switch (group) {
#define X(name, vici) \
  case journal_group::name: return #name;
    IMAGO_JOURNAL_GROUPS(X)
#undef X
  }
  return "?";
}

std::string_view vici_text_of(journal_group group) {
  switch (group) {
#define X(name, vici) \
  case journal_group::name: return vici;
    IMAGO_JOURNAL_GROUPS(X)
#undef X
  }
  return "?";
}

const fact_value* fact::find(std::string_view key) const {
  for (const auto& field : fields)
    if (field.key.view() == key) return &field.value;
  return nullptr;
}

bool journal_filter::wants(const fact& what) const {
  const auto& level = levels[static_cast<std::size_t>(what.group)];
  return level && what.level <= *level && (!connection || *connection == what.connection);
}

journal::journal(std::shared_ptr<const clock> time, std::size_t queue_max)
    : time_{std::move(time)},
      queue_max_{queue_max},
      sinks_{std::make_shared<const subscriptions>()} {
  for (auto& threshold : thresholds_) threshold = -1;
}

fact journal::stamped(fact what) const {
  what.at = time_->now();
  const auto ms = std::chrono::floor<std::chrono::milliseconds>(time_->wall_since_1970());
  const auto seconds = std::chrono::floor<std::chrono::seconds>(ms);
  what.wall = {seconds.count()};
  what.wall_ms = static_cast<std::uint16_t>((ms - seconds).count());
  return what;
}

void journal::record(fact what) {
  if (!enabled(what.level, what.group)) return;
  what = stamped(std::move(what));
  bool wakes = false;
  {
    std::lock_guard guard{queue_mutex_};
    if (queue_.size() >= queue_max_) {
      ++overflow_unreported_;
      overflowed_.fetch_add(1, std::memory_order_relaxed);
      return;
    }
    wakes = queue_.empty() && !is_gathering_;
    queue_.push_back(std::move(what));
  }
  if (wakes) wakeup_.notify_one();
}

std::size_t journal::drain() {
  std::lock_guard draining{drain_mutex_};
  std::deque<fact> batch;
  std::uint64_t lost = 0;
  {
    std::lock_guard guard{queue_mutex_};
    batch.swap(queue_);
    std::swap(lost, overflow_unreported_);
  }
  if (lost)
    batch.push_back(stamped({.level = journal_level::audit,
                             .group = journal_group::engine,
                             .name = "journal_overflowed",
                             .fields = {{"count", lost}},
                             .story = "{count} facts were not recorded: the journal was full"}));
  if (batch.empty()) return 0;
  std::shared_ptr<const subscriptions> sinks;
  {
    std::lock_guard guard{sinks_mutex_};
    sinks = sinks_;
  }
  for (const auto& what : batch)
    for (const auto& each : *sinks)
      if (each.filter.wants(what)) each.sink->write(what);
  for (const auto& each : *sinks) each.sink->flush();
  return batch.size();
}

std::size_t journal::waiting() const {
  std::lock_guard guard{queue_mutex_};
  return queue_.size();
}

void journal::publish(subscriptions next) {
  for (std::size_t group = 0; group < journal_group_count; ++group) {
    int threshold = -1;
    for (const auto& each : next)
      if (const auto& level = each.filter.levels[group])
        threshold = std::max(threshold, static_cast<int>(*level));
    thresholds_[group].store(threshold, std::memory_order_relaxed);
  }
  sinks_ = std::make_shared<const subscriptions>(std::move(next));
}

journal::sink_id journal::add_sink(std::shared_ptr<journal_sink> sink, journal_filter filter) {
  std::lock_guard guard{sinks_mutex_};
  auto next = *sinks_;
  next.push_back({next_id_, std::move(sink), std::move(filter)});
  publish(std::move(next));
  return next_id_++;
}

void journal::set_filter(sink_id id, journal_filter filter) {
  std::lock_guard guard{sinks_mutex_};
  auto next = *sinks_;
  for (auto& each : next)
    if (each.id == id) each.filter = filter;
  publish(std::move(next));
}

void journal::remove_sink(sink_id id) {
  std::lock_guard guard{sinks_mutex_};
  auto next = *sinks_;
  std::erase_if(next, [id](const subscription& each) { return each.id == id; });
  publish(std::move(next));
}

void journal::start() {
  if (thread_.joinable()) return;
  stopping_ = false;
  thread_ = std::thread{[this] { run(); }};
}

// Facts that come in quick succession are written together: a wake-up and a system call for each
// cost more than it does.
void journal::run() {
  for (;;) {
    drain();
    std::unique_lock guard{queue_mutex_};
    is_gathering_ = true;
    wakeup_.wait_for(guard, gathering_time, [this] { return stopping_; });
    is_gathering_ = false;
    wakeup_.wait(guard, [this] { return stopping_ || !queue_.empty(); });
    if (stopping_) return;
  }
}

void journal::stop() {
  if (thread_.joinable()) {
    {
      std::lock_guard guard{queue_mutex_};
      stopping_ = true;
    }
    wakeup_.notify_one();
    thread_.join();
  }
  drain();
}

}  // namespace imago::actors
