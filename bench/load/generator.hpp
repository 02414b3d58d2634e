// The load: one thread, one loop. Requests go out at their scheduled times, whether or not answers
// come; answers are taken as they come.
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <string_view>
#include <vector>

#include "bench/load/flood.hpp"

namespace imago::bench {

// Instants and durations here are microseconds of the monotonic clock.
std::uint64_t now_us();

// What comes at a rate.
class pace {
 public:
  explicit pace(double rate = 0) : rate_{rate} {}
  void begin(std::uint64_t at) { begun_ = at, issued_ = 0; }
  // When the next one is due; the far future if nothing is.
  std::uint64_t next() const;
  void take() { ++issued_; }
  double rate() const { return rate_; }

 private:
  double rate_;
  std::uint64_t begun_ = 0, issued_ = 0;
};

class generator {
 public:
  // Borrows both for as long as it lives.
  generator(const load_options& options, const messages& maker, transport& out);

  // All phases, one after the other; tells on stdout (one JSON object a line, if `tells_json`) and
  // on stderr. False: standard input was closed between phases.
  bool run(bool tells_json);

 private:
  enum class stage : std::uint8_t { init_sent, auth_sent, established, asking, gone };
  enum class kind : std::uint8_t { hold, handshake, dpd, rekey, clean_up, teardown };
  static constexpr std::size_t kind_count = 6;
  static std::string_view name_of(kind one);

  struct peer {
    std::uint64_t initiator_spi = 0, responder_spi = 0;
    std::uint64_t scheduled_us = 0;
    bytes request;  // waits for its answer
    std::unique_ptr<beginning> begun;
    std::unique_ptr<session> keys;
    std::uint32_t serial = 0;  // of the request: what is late is told from what is due
    stage at = stage::gone;
    kind asks = kind::hold;
    std::uint8_t attempts = 0;
  };
  struct retransmission {
    std::uint64_t due_us;
    std::uint32_t index, serial;
  };

  // phases
  bool hold(std::size_t count);
  bool measure();
  bool tear_down();
  bool pause(std::string_view phase);
  void report(std::string_view phase, std::uint64_t took_us);
  void show_progress(std::uint64_t now, std::string_view phase);

  // the loop
  void turn(std::uint64_t next_due);
  void wait(std::uint64_t until);
  std::uint64_t issue(std::uint64_t now);
  void issue_flood(pace& of, std::uint64_t now, void (flood::*send)());
  std::uint64_t retransmit(std::uint64_t now);

  // requests
  void begin_handshake(kind why, std::uint64_t scheduled);
  void begin_exchange(kind why, std::uint64_t scheduled);
  bool ask(peer& of, std::uint32_t index, kind why);
  void send_request(peer& of, std::uint32_t index, result<bytes> request, stage then);
  std::uint32_t source_of(std::uint32_t index) const {
    return nth_address(options_.clients, index);
  }
  wire::header ids_of(const peer& of) const;

  // answers
  void receive(bytes_view datagram);
  void receive_init(peer& of, std::uint32_t index, bytes_view datagram);
  void receive_sealed(peer& of, std::uint32_t index, const wire::header& header,
                      bytes_view datagram);
  void receive_request(peer& of, std::uint32_t index, const wire::header& header,
                       bytes_view datagram);
  void go_on_after(peer& of, std::uint32_t index, const wire::payloads& payloads);
  void complete(peer& of);
  void fail(peer& of, const std::string& why, bool was_answered);
  void settle(peer& of);
  void count_unanswered();
  stream_figures& figures_of(kind one) { return figures_[static_cast<std::size_t>(one)]; }

  const load_options& options_;
  const messages& maker_;
  transport& out_;
  flood flood_;
  std::vector<peer> peers_;
  std::vector<std::uint32_t> idle_;  // established, with keys, nothing asked
  std::size_t in_flight_ = 0, established_ = 0, next_idle_ = 0;
  std::array<std::deque<retransmission>, 16> waiting_;  // by attempt, each in order of time
  std::array<stream_figures, kind_count> figures_;
  std::array<pace, kind_count> paces_;
  pace spoofed_, malformed_, returning_;
  std::uint64_t measured_until_ = 0, told_us_ = 0, strays_ = 0;
  bool is_measuring_ = false, tells_json_ = false, input_ended_ = false;
};

}  // namespace imago::bench
