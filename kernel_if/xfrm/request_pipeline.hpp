// Requests to the kernel, many in flight on one socket, each matched with its answer by sequence
// number.
//
// Data path: ask() -> queue -> one send() for as many as the receive buffer has room for answers
// -> the kernel carries them out in order -> receive() -> handler. What can go wrong, and what
// then happens:
//   lost (ENOBUFS on receive), truncated, none within answer_wait   the request is in doubt: asked
//                                            again with a new number; the answer says was_repeated
//   late or double                           nobody has that number any more: counted; an SPI that
//                                            came so is handed to `on_orphan`, to be given back
//   EBUSY, ENOBUFS, ENOMEM, EAGAIN           asked again after a delay that doubles
//   still so after attempts_max              that errno, or ETIMEDOUT, is the answer
//   any other errno                          is the answer
// Not thread-safe, without clock or thread of its own.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <set>

#include "core/base/time.hpp"
#include "kernel_if/xfrm/messages.hpp"
#include "kernel_if/xfrm/netlink_transport.hpp"

namespace imago::kernel_if::xfrm {

enum class answer_kind : std::uint8_t {
  acknowledgement,
  object,  // one SA, policy or activity
  larval,  // one SA, made by the request
  dump,    // objects, then an end; never repeated by itself: the asker has seen a part
};

struct answer {
  int code = 0;               // 0 or an errno
  std::string text;           // the kernel's own words, if any
  bool was_repeated = false;  // an earlier copy may have been carried out as well
  std::optional<message_body> object;
};
using answer_handler = std::function<void(answer&)>;

struct pipeline_options {
  duration answer_wait = std::chrono::seconds{1};
  duration retry_delay = std::chrono::milliseconds{10};  // doubles
  unsigned attempts_max = 6;
  std::size_t send_octets_max = 32 * 1024;
};

struct pipeline_counters {
  std::uint64_t sent = 0;
  std::uint64_t sends = 0;  // system calls
  std::uint64_t repeated = 0;
  std::uint64_t strays = 0;  // answers that nobody waited for
  std::uint64_t losses = 0;  // times that answers were lost
};

class request_pipeline {
 public:
  // The transport must outlive the pipeline.
  request_pipeline(netlink_transport& transport, pipeline_options chosen)
      : transport_{transport}, options_{chosen} {}

  // The handler is called once, in step(); it may ask again. `each` gets a dump's objects.
  void ask(secret message, answer_kind kind, answer_handler handler,
           std::function<void(message_body&)> each = {});
  std::function<void(const sa_image&)> on_orphan;

  // Sends what may be sent, takes in all that is there, repeats what is due.
  void step(instant now);
  bool is_idle() const { return waiting_.empty() && in_flight_.empty() && delayed_.empty(); }
  // When step() has something to do although nothing arrives.
  std::optional<instant> next_due() const;
  const pipeline_counters& counters() const { return counters_; }

 private:
  struct request {
    secret message;
    answer_kind kind{};
    answer_handler handler;
    std::function<void(message_body&)> each;
    unsigned attempts = 0;
    bool is_in_doubt = false;
    instant due;
  };

  bool send_some();
  bool receive_all();
  void on_datagram(bytes_view datagram);
  void on_message(message& one);
  void settle(request one, answer said);
  void repeat_later(request one);
  void doubt(sequence number, request one, int code);
  void doubt_all();
  void expire();
  sequence next_number();
  static std::size_t room_for(answer_kind kind);

  netlink_transport& transport_;
  pipeline_options options_;
  pipeline_counters counters_;
  instant now_;
  sequence last_number_ = 0;
  std::deque<request> waiting_;
  std::map<sequence, request> in_flight_;
  std::multimap<instant, request> delayed_;
  std::set<sequence> orphans_;  // numbers whose answer may still bring a larval SA; bounded
  std::size_t room_taken_ = 0;
  bool has_lost_ = false;
};

}  // namespace imago::kernel_if::xfrm
