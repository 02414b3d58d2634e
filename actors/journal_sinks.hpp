// Where the journal's facts become words: text, JSON lines, a ring in memory, a callback.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "actors/journal.hpp"

namespace imago::actors {

// All of these escape what a peer or a configuration chose: printable ASCII only, no newline.
std::string text_of(const fact_value& value);
// The story with its fields filled in; without a story the name and "key=value" pairs.
std::string story_of(const fact& what);
// "2026-11-20T07:00:00.123Z"
std::string time_text_of(const fact& what);
// "2026-11-20T07:00:00.123Z ike     gw-a#12  IKE SA 12 with ... established"
std::string line_of(const fact& what);
// One JSON object, every field with its type; the line of a JSON log, without the newline.
std::string json_of(const fact& what);

// Writes lines to a file descriptor, borrowed. What it does not take is counted, not retried.
class line_sink final : public journal_sink {
 public:
  using formatter = std::string (*)(const fact&);
  line_sink(int fd, formatter format) : fd_{fd}, format_{format} {}

  void write(const fact& what) override;
  void flush() override;
  std::uint64_t failed_count() const { return failed_.load(std::memory_order_relaxed); }

 private:
  int fd_;
  formatter format_;
  std::string pending_;
  std::atomic<std::uint64_t> failed_{0};
};

inline std::shared_ptr<journal_sink> text_sink(int fd) {
  return std::make_shared<line_sink>(fd, &line_of);
}
inline std::shared_ptr<journal_sink> json_sink(int fd) {
  return std::make_shared<line_sink>(fd, &json_of);
}

// The last facts, as values; for tests, worlds and "what happened just now". Thread-safe.
class ring_sink final : public journal_sink {
 public:
  explicit ring_sink(std::size_t capacity) : capacity_{capacity} {}

  void write(const fact& what) override;
  std::vector<fact> facts() const;
  std::vector<fact> named(std::string_view name) const;
  std::size_t count(std::string_view name) const { return named(name).size(); }
  void clear();

 private:
  const std::size_t capacity_;
  mutable std::mutex mutex_;
  std::deque<fact> facts_;
};

// Hands each fact to a function, on the journal's thread.
class callback_sink final : public journal_sink {
 public:
  explicit callback_sink(std::function<void(const fact&)> tell) : tell_{std::move(tell)} {}
  void write(const fact& what) override { tell_(what); }

 private:
  std::function<void(const fact&)> tell_;
};

}  // namespace imago::actors
