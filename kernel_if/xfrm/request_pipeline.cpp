#include "kernel_if/xfrm/request_pipeline.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <linux/netlink.h>

namespace imago::kernel_if::xfrm {

namespace {

// Datagrams taken in before requests are sent again.
constexpr int receive_batch_max = 4096;
constexpr int receive_errors_max = 8;
// A number is remembered until its answer cannot come any more; more than that are let go, and
// their larval SAs with them: the kernel ends those by itself.
constexpr std::size_t orphans_max = 1024;

bool is_transient(int code) {
  return code == EBUSY || code == ENOBUFS || code == ENOMEM || code == EAGAIN || code == EINTR;
}

void set_number(secret& message, sequence number) {
  std::memcpy(message.data() + offsetof(nlmsghdr, nlmsg_seq), &number, sizeof number);
}

}  // namespace

// What the answer takes of the receive buffer, the kernel's own bookkeeping counted. A dump comes
// piece by piece, as it is read.
std::size_t request_pipeline::room_for(answer_kind kind) {
  switch (kind) {
    case answer_kind::acknowledgement: return 1024;
    case answer_kind::dump: return 64 * 1024;
    default: return 4096;
  }
}

void request_pipeline::ask(secret message, answer_kind kind, answer_handler handler,
                           std::function<void(message_body&)> each) {
  request one;
  one.message = std::move(message);
  one.kind = kind;
  one.handler = std::move(handler);
  one.each = std::move(each);
  waiting_.push_back(std::move(one));
}

std::optional<instant> request_pipeline::next_due() const {
  std::optional<instant> due;
  if (!delayed_.empty()) due = delayed_.begin()->first;
  for (const auto& [number, one] : in_flight_) {
    if (!due || one.due < *due) due = one.due;
    break;  // all wait equally long, so the first sent is the first due
  }
  return due;
}

sequence request_pipeline::next_number() {
  do ++last_number_;
  while (last_number_ == 0 || in_flight_.count(last_number_) != 0);
  return last_number_;
}

void request_pipeline::step(instant now) {
  now_ = now;
  while (!delayed_.empty() && delayed_.begin()->first <= now_) {
    waiting_.push_back(std::move(delayed_.begin()->second));
    delayed_.erase(delayed_.begin());
  }
  bool did_something = true;
  while (did_something) {
    did_something = send_some();
    did_something = receive_all() || did_something;
  }
  expire();
}

bool request_pipeline::send_some() {
  std::vector<std::pair<sequence, request>> batch;
  bytes octets;
  auto room = transport_.receive_buffer_octets() / 2;
  while (!waiting_.empty()) {
    auto& one = waiting_.front();
    auto wanted = room_for(one.kind);
    bool is_alone = in_flight_.empty() && batch.empty();
    if (!is_alone && (room_taken_ + wanted > room ||
                      octets.size() + one.message.size() > options_.send_octets_max))
      break;
    auto number = next_number();
    set_number(one.message, number);
    append(octets, one.message.view());
    room_taken_ += wanted;
    ++one.attempts;
    one.due = now_ + options_.answer_wait;
    batch.emplace_back(number, std::move(one));
    waiting_.pop_front();
  }
  if (batch.empty()) return false;
  int code = transport_.send(octets);
  wipe(octets);
  ++counters_.sends;
  counters_.sent += batch.size();
  for (auto& [number, one] : batch) {
    if (code == 0) {
      in_flight_.emplace(number, std::move(one));
    } else {
      room_taken_ -= room_for(one.kind);
      settle(std::move(one), {code, "send", false, {}});
    }
  }
  return code == 0;
}

bool request_pipeline::receive_all() {
  bytes datagram;
  int count = 0;
  int errors = 0;
  for (; count < receive_batch_max; ++count) {
    int code = transport_.receive(datagram);
    if (code == EAGAIN) break;
    if (code != 0) {
      has_lost_ = true;
      // A socket that only complains is left alone until the next step.
      if ((code != ENOBUFS && code != EMSGSIZE) || ++errors >= receive_errors_max) break;
      continue;
    }
    on_datagram(datagram);
    wipe(datagram.data(), datagram.size());  // an SA is shown with its keys
  }
  // The kernel has answered when send() returns: what is not there now will not come.
  if (has_lost_ && count < receive_batch_max) doubt_all();
  return count > 0;
}

void request_pipeline::on_datagram(bytes_view datagram) {
  message_reader reader{datagram};
  while (!reader.at_end()) {
    auto one = reader.next();
    if (one)
      on_message(*one);
    else
      has_lost_ = true;
  }
}

void request_pipeline::on_message(message& one) {
  auto at = in_flight_.find(one.number);
  if (at == in_flight_.end()) {
    ++counters_.strays;
    auto* image = std::get_if<sa_image>(&one.body);
    if (image && orphans_.erase(one.number) != 0 && on_orphan) on_orphan(*image);
    return;
  }
  auto& asked = at->second;
  answer said;
  bool is_object = std::holds_alternative<sa_image>(one.body) ||
                   std::holds_alternative<policy_image>(one.body) ||
                   std::holds_alternative<sa_activity>(one.body);
  if (auto* acknowledged = std::get_if<acknowledgement>(&one.body)) {
    if (acknowledged->code == 0 && asked.kind != answer_kind::acknowledgement) return;
    said.code = acknowledged->code;
    said.text = std::move(acknowledged->text);
  } else if (auto* ended = std::get_if<dump_ended>(&one.body)) {
    if (asked.kind != answer_kind::dump) return;
    said.code = ended->code;
  } else if (is_object && asked.kind == answer_kind::dump) {
    asked.due = now_ + options_.answer_wait;
    return asked.each(one.body);
  } else if (is_object && asked.kind != answer_kind::acknowledgement) {
    said.object = std::move(one.body);
  } else {
    return;
  }
  auto settled = std::move(asked);
  in_flight_.erase(at);
  room_taken_ -= room_for(settled.kind);
  settle(std::move(settled), std::move(said));
}

void request_pipeline::settle(request one, answer said) {
  if (is_transient(said.code) && one.kind != answer_kind::dump &&
      one.attempts < options_.attempts_max)
    return repeat_later(std::move(one));
  said.was_repeated = one.is_in_doubt;
  one.handler(said);
}

void request_pipeline::repeat_later(request one) {
  ++counters_.repeated;
  auto delay = options_.retry_delay * (1U << std::min(one.attempts - 1, 10U));
  delayed_.emplace(now_ + delay, std::move(one));
}

void request_pipeline::doubt(sequence number, request one, int code) {
  room_taken_ -= room_for(one.kind);
  if (one.kind == answer_kind::larval && orphans_.size() < orphans_max) orphans_.insert(number);
  one.is_in_doubt = true;
  if (one.kind == answer_kind::dump || one.attempts >= options_.attempts_max) {
    answer said{code, "no answer", true, {}};
    one.handler(said);
  } else {
    repeat_later(std::move(one));
  }
}

void request_pipeline::doubt_all() {
  has_lost_ = false;
  ++counters_.losses;
  auto all = std::exchange(in_flight_, {});
  for (auto& [number, one] : all) doubt(number, std::move(one), ENOBUFS);
}

void request_pipeline::expire() {
  while (!in_flight_.empty()) {
    auto at = in_flight_.begin();
    if (at->second.due > now_) return;
    auto number = at->first;
    auto one = std::move(at->second);
    in_flight_.erase(at);
    doubt(number, std::move(one), ETIMEDOUT);
  }
}

}  // namespace imago::kernel_if::xfrm
