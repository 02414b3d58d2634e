// The journal: what happened, as values. Actors record facts; sinks (text, JSON lines, a ring for
// tests, vici clients) turn them into words on the journal's own thread, if anyone asked for them.
//
// Nothing secret can be said: there is no way from a `secret` to a field. What a peer chose goes
// in as `peer_bytes` and is escaped where it is printed; so is every other string, so that no line
// can contain a newline or a terminal escape.
#pragma once

#include <array>
#include <atomic>
#include <concepts>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <variant>
#include <vector>

#include "actors/clock.hpp"
#include "core/base/address.hpp"
#include "core/base/error.hpp"
#include "core/base/limits.hpp"
#include "core/base/secret.hpp"

namespace imago::actors {

// How much is told. Secrets are at no level.
enum class journal_level : std::uint8_t {
  audit = 0,    // who came, who went, who was refused
  control = 1,  // the course of things
  detail = 2,   // why
  debug = 3,    // everything
};
inline constexpr std::size_t journal_level_count = 4;
std::string_view text_of(journal_level level);

// What it is about: our name, strongSwan's log group for vici clients.
#define IMAGO_JOURNAL_GROUPS(X) \
  X(net, "NET")                 \
  X(ike, "IKE")                 \
  X(child, "CHD")               \
  X(kernel, "KNL")              \
  X(control, "MGR")             \
  X(config, "CFG")              \
  X(engine, "DMN")              \
  X(crypto, "LIB")

enum class journal_group : std::uint8_t {
#define X(name, vici) name,
  IMAGO_JOURNAL_GROUPS(X)
#undef X
};
#define X(name, vici) +1
inline constexpr std::size_t journal_group_count = 0 IMAGO_JOURNAL_GROUPS(X);
#undef X
std::string_view text_of(journal_group group);       // "ike"
std::string_view vici_text_of(journal_group group);  // "IKE"

// Text that lives as long as the program: only a literal becomes one.
class static_text {
 public:
  constexpr static_text() = default;
  consteval static_text(const char* literal)  // NOLINT(google-explicit-constructor)
      : text_{literal} {}
  constexpr std::string_view view() const { return text_; }
  constexpr operator std::string_view() const { return text_; }  // NOLINT

 private:
  std::string_view text_;
};

// Octets that a peer chose, kept as they came.
struct peer_bytes {
  bytes octets;
};

// A value that is worth words only if somebody reads them. Captures by value.
using deferred_text = std::function<std::string()>;

class fact_value {
 public:
  using variant = std::variant<std::int64_t, std::uint64_t, double, bool, std::string, peer_bytes,
                               endpoint, ip_address, errc, deferred_text>;

  // NOLINTBEGIN(google-explicit-constructor): `{"key", value}` is the point
  template <std::integral T>
  fact_value(T number) : value_{widened(number)} {}
  fact_value(double number) : value_{number} {}
  fact_value(std::string text) : value_{std::move(text)} {}
  fact_value(std::string_view text) : value_{std::string{text}} {}
  fact_value(const char* text) : value_{std::string{text}} {}
  fact_value(peer_bytes octets) : value_{std::move(octets)} {}
  fact_value(endpoint at) : value_{at} {}
  fact_value(ip_address address) : value_{address} {}
  fact_value(errc code) : value_{code} {}
  template <class T>
  requires(std::is_class_v<T>&& std::is_invocable_r_v<std::string, T>)  //
      fact_value(T text)
      : value_{deferred_text{std::move(text)}} {}
  fact_value(const secret&) = delete;
  // NOLINTEND(google-explicit-constructor)

  const variant& get() const { return value_; }

 private:
  template <class T>
  static variant widened(T number) {
    if constexpr (std::same_as<T, bool>)
      return variant{std::in_place_type<bool>, number};
    else if constexpr (std::signed_integral<T>)
      return variant{std::in_place_type<std::int64_t>, number};
    else
      return variant{std::in_place_type<std::uint64_t>, number};
  }
  variant value_;
};
static_assert(!std::is_constructible_v<fact_value, const secret&>);
static_assert(!std::is_constructible_v<fact_value, secret>);
static_assert(!std::is_constructible_v<fact_value, bytes>, "say who chose them: peer_bytes");

struct fact_field {
  static_text key;
  fact_value value;
};

struct fact {
  journal_level level = journal_level::control;
  journal_group group = journal_group::engine;
  static_text name{};        // "sa_established"
  std::string connection{};  // the configured name, empty if none is known
  std::uint64_t ike_sa = 0;  // its unique id, 0 if none
  std::vector<fact_field> fields{};
  static_text story{};  // "IKE SA {id} with {remote} established in {ms} ms"; may be empty
  // Set by journal::record.
  instant at{};
  wall_time wall{};
  std::uint16_t wall_ms = 0;

  // The field of that name, or null.
  const fact_value* find(std::string_view key) const;
};

// Which facts a sink wants.
struct journal_filter {
  // Per group, the most talkative level wanted; nothing means none of the group.
  std::array<std::optional<journal_level>, journal_group_count> levels;
  std::optional<std::string> connection;  // only facts of this one

  static journal_filter up_to(journal_level level) {
    journal_filter filter;
    filter.levels.fill(level);
    return filter;
  }
  journal_filter& set(journal_group group, std::optional<journal_level> level) {
    levels[static_cast<std::size_t>(group)] = level;
    return *this;
  }
  bool wants(const fact& what) const;
};

// Where facts go. Called by one thread at a time.
class journal_sink {
 public:
  virtual ~journal_sink() = default;
  virtual void write(const fact& what) = 0;
  virtual void flush() {}  // after a batch of writes
};

// Thread-safe.
class journal {
 public:
  using sink_id = std::uint64_t;

  explicit journal(std::shared_ptr<const clock> time,
                   std::size_t queue_max = limits::journal_queue_max);
  ~journal() { stop(); }
  journal(const journal&) = delete;
  journal& operator=(const journal&) = delete;

  // Does any sink want this? A relaxed read: ask before computing anything.
  bool enabled(journal_level level, journal_group group) const noexcept {
    return static_cast<int>(level) <=
           thresholds_[static_cast<std::size_t>(group)].load(std::memory_order_relaxed);
  }
  // Stamps and queues it. Never blocks on a sink. A full queue counts instead.
  void record(fact what);
  // Makes the fact only if somebody wants it.
  template <std::invocable Make>
  void record(journal_level level, journal_group group, Make make) {
    if (!enabled(level, group)) return;
    fact what = make();
    what.level = level;
    what.group = group;
    record(std::move(what));
  }

  sink_id add_sink(std::shared_ptr<journal_sink> sink, journal_filter filter);
  void set_filter(sink_id id, journal_filter filter);
  // A write under way on another thread may still end after this returns.
  void remove_sink(sink_id id);

  // With a thread of its own, or without: then somebody calls drain().
  void start();
  void stop();  // writes what is queued, joins
  // Hands what is queued to the sinks; returns how many facts.
  std::size_t drain();

  std::uint64_t overflowed() const { return overflowed_.load(std::memory_order_relaxed); }
  std::size_t waiting() const;

 private:
  struct subscription {
    sink_id id;
    std::shared_ptr<journal_sink> sink;
    journal_filter filter;
  };
  using subscriptions = std::vector<subscription>;

  void run();
  fact stamped(fact what) const;
  void publish(subscriptions next);  // sinks_mutex_ is held

  std::shared_ptr<const clock> time_;
  const std::size_t queue_max_;
  std::array<std::atomic<int>, journal_group_count> thresholds_;
  std::atomic<std::uint64_t> overflowed_{0};

  mutable std::mutex queue_mutex_;
  std::condition_variable wakeup_;
  std::deque<fact> queue_;
  std::uint64_t overflow_unreported_ = 0;
  bool stopping_ = false;
  bool is_gathering_ = false;  // the thread looks again soon, by itself

  std::mutex sinks_mutex_;
  std::shared_ptr<const subscriptions> sinks_;
  sink_id next_id_ = 1;

  std::mutex drain_mutex_;
  std::thread thread_;
};

}  // namespace imago::actors
