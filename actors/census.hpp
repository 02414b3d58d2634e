// Who is alive, by kind: actors, digests, frames. One per engine. Tests ask it to prove that
// nothing is left; operators see it as gauges.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace imago::actors {

class census {
 public:
  using gauge = std::atomic<std::int64_t>;

  // One living thing: counted from here until the token is destroyed. Move-only.
  class entry {
   public:
    entry() = default;
    entry(entry&& other) noexcept : gauge_{std::exchange(other.gauge_, nullptr)} {}
    entry& operator=(entry&& other) noexcept {
      std::swap(gauge_, other.gauge_);
      return *this;
    }
    entry(const entry&) = delete;
    entry& operator=(const entry&) = delete;
    ~entry() {
      if (gauge_) gauge_->fetch_sub(1, std::memory_order_acq_rel);
    }

   private:
    friend class census;
    explicit entry(std::shared_ptr<gauge> counted) : gauge_{std::move(counted)} {
      gauge_->fetch_add(1, std::memory_order_acq_rel);
    }
    std::shared_ptr<gauge> gauge_;  // shares the census' storage, so it may outlive the census
  };

  [[nodiscard]] entry enter(std::string_view kind) { return entry{gauge_of(kind)}; }
  // For things that may not know this type, such as core's msg_digest: alive while it is.
  [[nodiscard]] std::shared_ptr<void> tally(std::string_view kind) {
    return std::make_shared<entry>(enter(kind));
  }

  std::int64_t live(std::string_view kind) const {
    std::lock_guard guard{mutex_};
    auto at = gauges_.find(kind);
    return at == gauges_.end() ? 0 : at->second->load(std::memory_order_acquire);
  }
  // All kinds that have someone alive.
  std::vector<std::pair<std::string, std::int64_t>> living() const {
    std::lock_guard guard{mutex_};
    std::vector<std::pair<std::string, std::int64_t>> found;
    for (const auto& [kind, count] : gauges_)
      if (auto now = count->load(std::memory_order_acquire)) found.emplace_back(kind, now);
    return found;
  }
  std::int64_t live_total() const {
    std::int64_t total = 0;
    for (const auto& [kind, count] : living()) total += count;
    return total;
  }
  // "ike_sa 2, msg_digest 1", or "" if nobody is alive; for the message of a failed test.
  std::string text() const {
    std::string out;
    for (const auto& [kind, count] : living())
      out += (out.empty() ? "" : ", ") + kind + " " + std::to_string(count);
    return out;
  }

 private:
  std::shared_ptr<gauge> gauge_of(std::string_view kind) {
    std::lock_guard guard{mutex_};
    auto at = gauges_.find(kind);
    if (at == gauges_.end())
      at = gauges_.emplace(std::string{kind}, std::make_shared<gauge>(0)).first;
    return at->second;
  }

  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<gauge>, std::less<>> gauges_;  // as many as kinds exist
};

}  // namespace imago::actors
