#include "actors/control_channel.hpp"

#include <array>
#include <cerrno>

#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/limits.hpp"

namespace imago::actors {

control_waker::control_waker() : event_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)} {}

control_waker::~control_waker() {
  if (event_ >= 0) ::close(event_);
}

void control_waker::call(std::uint64_t client) {
  {
    std::lock_guard guard{mutex_};
    callers_.push_back(client);
  }
  std::uint64_t one = 1;
  (void)!::write(event_, &one, sizeof one);  // full means it is awake already
}

std::vector<std::uint64_t> control_waker::take() {
  std::uint64_t count = 0;
  (void)!::read(event_, &count, sizeof count);
  std::lock_guard guard{mutex_};
  return std::exchange(callers_, {});
}

void control_channel::push(bytes octets) {
  size_ += octets.size();
  queue_.push_back(std::move(octets));
}

bool control_channel::must_call() {
  if (is_held_back_ && size_ < limits::control_burst) return false;
  return !std::exchange(is_called_, true);
}

void control_channel::hold_back() {
  std::lock_guard guard{mutex_};
  is_held_back_ = true;
}

void control_channel::let_go() {
  {
    std::lock_guard guard{mutex_};
    is_held_back_ = false;
    if (queue_.empty() || !must_call()) return;
  }
  waker_->call(client_);
}

void control_channel::send(const vici::packet& packet) {
  auto octets = vici::encode_packet(packet);
  if (!octets) {
    // An answer is owed in any case, else the client waits for ever; a streamed event is not.
    if (packet.type != vici::packet_type::command_response) return;
    vici::packet instead{vici::packet_type::command_response, {}, {}};
    instead.body.add("success", "no").add("errmsg", "the answer is too large for the protocol");
    octets = vici::encode_packet(instead);
  }
  {
    std::lock_guard guard{mutex_};
    if (is_over_) return;
    if (size_ + octets->size() > limits::control_output_max) {
      is_over_ = true;
      queue_.clear();
      size_ = 0;
    } else {
      push(std::move(*octets));
    }
    if (!must_call()) return;
  }
  waker_->call(client_);
}

void control_channel::send_if_it_reads(const vici::packet& packet) {
  auto octets = vici::encode_packet(packet);
  {
    std::lock_guard guard{mutex_};
    if (!octets || is_over_ || size_ + octets->size() > limits::control_events_max) {
      ++dropped_events_;
      return;
    }
    push(std::move(*octets));
    if (!must_call()) return;
  }
  waker_->call(client_);
}

bool control_channel::should_wait() {
  std::lock_guard guard{mutex_};
  if (size_ <= limits::control_stream_max) return false;
  is_waited_for_ = true;
  return true;
}

void control_channel::request_taken() {
  std::lock_guard guard{mutex_};
  ++requests_;
}

void control_channel::request_answered() {
  {
    std::lock_guard guard{mutex_};
    --requests_;
    if (!must_call()) return;
  }
  waker_->call(client_);
}

void control_channel::end() {
  {
    std::lock_guard guard{mutex_};
    is_over_ = true;
  }
  waker_->call(client_);
}

std::size_t control_channel::requests() const {
  std::lock_guard guard{mutex_};
  return requests_;
}

bool control_channel::takes_requests() const {
  std::lock_guard guard{mutex_};
  return requests_ < limits::control_requests_max && !is_frozen_;
}

void control_channel::freeze(bool is_frozen) {
  {
    std::lock_guard guard{mutex_};
    is_frozen_ = is_frozen;
  }
  waker_->call(client_);  // which looks anew at what it waits for
}

std::uint64_t control_channel::dropped_events() const {
  std::lock_guard guard{mutex_};
  return dropped_events_;
}

control_channel::flushed control_channel::flush(int fd) {
  std::lock_guard guard{mutex_};
  is_called_ = false;
  if (is_over_) return flushed::failed;
  if (is_frozen_) return flushed::everything;  // that there is to write now
  while (!queue_.empty()) {
    auto count = send_some(fd);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return flushed::not_everything;
    if (count < 0) return flushed::failed;
    size_ -= static_cast<std::size_t>(count);
    sent_of_front_ += static_cast<std::size_t>(count);
    for (; !queue_.empty() && sent_of_front_ >= queue_.front().size(); queue_.pop_front())
      sent_of_front_ -= queue_.front().size();
  }
  return flushed::everything;
}

// Many packets with one system call.
ssize_t control_channel::send_some(int fd) {
  std::array<iovec, 64> pieces;
  std::size_t count = 0;
  for (auto at = queue_.begin(); at != queue_.end() && count < pieces.size(); ++at, ++count)
    pieces[count] = {at->data(), at->size()};
  pieces[0].iov_base = queue_.front().data() + sent_of_front_;
  pieces[0].iov_len -= sent_of_front_;
  msghdr message{};
  message.msg_iov = pieces.data();
  message.msg_iovlen = count;
  return ::sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

bool control_channel::take_drained() {
  std::lock_guard guard{mutex_};
  if (!is_waited_for_ || size_ > limits::control_stream_max / 2) return false;
  is_waited_for_ = false;
  return true;
}

}  // namespace imago::actors
