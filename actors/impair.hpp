// Faults on demand, for people who test what lives around an IKE daemon: which are armed, when each
// fires. There is such an object only where engine_options::allows_impair says so; without it
// nothing here is in any path. What is done when one fires is in impaired.hpp.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "actors/control_channel.hpp"
#include "actors/impair_faults.hpp"
#include "actors/journal.hpp"
#include "core/base/address.hpp"
#include "core/base/iana.hpp"
#include "core/base/result.hpp"

namespace imago::actors {

// Armed ones and those that are over, of which the oldest is forgotten first. A person armed them.
inline constexpr std::size_t impairments_max = 64;

struct impairment {
  std::uint64_t id = 0;
  const fault_description* fault = nullptr;
  std::string what;         // "drop IKE_AUTH response, the 2nd, sent or received"
  std::uint32_t nth = 1;    // fires from the n-th match on ...
  std::uint32_t count = 1;  // ... so often
  std::uint64_t met = 0, fired = 0;
  bool is_over = false;  // has done all it had to, or was lifted
  // Only of some faults:
  std::optional<duration> seconds;
  std::optional<exchange_type> exchange;     // nothing: any
  std::optional<bool> is_response, is_sent;  // nothing: both
  std::string request;                       // of the data plane; empty: any
  errc error = errc::no_buffer_space;
  std::uint64_t client = 0;
};

// What becomes of one message.
struct message_verdict {
  std::optional<fault_kind> fault;  // drop, delay, duplicate, corrupt; nothing: it passes
  duration delay{};
};

// Thread-safe.
class impairments : public std::enable_shared_from_this<impairments> {
 public:
  // Runs a function after a time, on any thread.
  using run_later = std::function<void(duration, std::function<void()>)>;
  using arguments = std::vector<std::pair<std::string, std::string>>;

  explicit impairments(std::shared_ptr<journal> facts) : facts_{std::move(facts)} {}

  // --- commands ---
  // `asking`: the control client who does, never frozen as "newest". Errors: bad_value or
  // limit_exceeded, with a whole sentence for people in `where`.
  result<impairment> arm(std::string_view fault, const arguments& given, std::uint64_t asking = 0);
  // One, or all with 0; what stands still goes on. Returns how many were armed.
  std::size_t clear(std::uint64_t id = 0);
  std::vector<impairment> list() const;
  std::vector<std::uint64_t> clients() const;  // that are connected

  // --- what decorators ask; each call counts as one match ---
  message_verdict on_message(bool is_sent, const endpoint& remote, bytes_view message);
  std::optional<errc> on_kernel_request(std::string_view name);

  // --- wiring ---
  // Told when the crypto pool is to stand still (true) and to go on. Before anything is armed.
  void control_crypto(std::function<void(bool stands_still)> control);
  void add_client(std::uint64_t number, const control_channel_ptr& channel);
  void remove_client(std::uint64_t number);
  void schedule_with(run_later later);
  void later(duration delay, std::function<void()> what);  // nothing happens after stop()
  // Nothing fires, nothing stands still and nothing is scheduled any more.
  void stop();

 private:
  status read(impairment& out, const arguments& given) const;
  status find_client(impairment& out, std::string_view name, std::uint64_t asking) const;
  void begin(const impairment& one);
  void lift(const impairment& one);
  bool fires(impairment& one);  // mutex_ is held
  void record(static_text name, static_text story, const impairment& one, std::string what) const;

  const std::shared_ptr<journal> facts_;
  mutable std::mutex mutex_;
  std::vector<impairment> all_;  // in the order of arming
  std::vector<std::pair<std::uint64_t, std::weak_ptr<control_channel>>> clients_;
  std::uint64_t next_id_ = 1;
  std::function<void(bool)> control_crypto_;
  run_later later_;
  bool is_stopped_ = false;
};
using impairments_ptr = std::shared_ptr<impairments>;

}  // namespace imago::actors
