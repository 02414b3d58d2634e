#include "actors/control_io.hpp"

#include <array>
#include <cerrno>

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "actors/impair.hpp"
#include "core/base/limits.hpp"

namespace imago::actors {

namespace {

// A name that charon would take: then a request with a broken message gets an answer.
bool has_name(bytes_view segment) {
  if (segment.size() < 2) return false;
  std::size_t size = segment[1];
  if (segment.size() < 2 + size) return false;
  for (auto octet : segment.subspan(2, size))
    if (octet < 0x20 || octet > 0x7e) return false;
  return true;
}

}  // namespace

void control_io::run() {
  std::array<epoll_event, 64> ready{};
  while (!is_stopping_) {
    auto count = ::epoll_wait(poll_, ready.data(), static_cast<int>(ready.size()), -1);
    if (count < 0 && errno != EINTR) return;
    for (int index = 0; index < count; ++index) {
      auto number = ready[static_cast<std::size_t>(index)].data.u64;
      auto events = ready[static_cast<std::size_t>(index)].events;
      if (number == 0) {
        accept_clients();
        continue;
      }
      // Being called: something to write, or requests answered so that more may be read.
      auto callers = number == 1 ? waker_->take() : std::vector{number};
      for (auto caller : callers)
        if (auto at = clients_.find(caller); at != clients_.end())
          if (!serve(caller, at->second, number == 1 ? 0 : events)) close_client(caller);
    }
  }
}

void control_io::accept_clients() {
  for (;;) {
    int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0 && (errno == EINTR || errno == ECONNABORTED)) continue;
    if (fd < 0 && (errno == EMFILE || errno == ENFILE) && spare_ >= 0) {
      // Refused by name, else it would stay in the queue and wake this thread for ever.
      ::close(spare_);
      if (int refused = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC); refused >= 0)
        ::close(refused);
      spare_ = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
      continue;
    }
    if (fd < 0) return;
    if (clients_.size() >= limits::control_clients_max) {
      ::close(fd);
      continue;
    }
    auto number = next_number_++;
    epoll_event wanted{EPOLLIN, {.u64 = number}};
    if (::epoll_ctl(poll_, EPOLL_CTL_ADD, fd, &wanted) != 0) {
      ::close(fd);
      continue;
    }
    auto& one = clients_[number];
    one.fd = fd;
    one.channel = std::make_shared<control_channel>(number, waker_);
    one.actor = context_->parts.system->spawn<control_client>(context_, one.channel, number - 1);
    if (auto& faults = context_->parts.faults) faults->add_client(number - 1, one.channel);
  }
}

bool control_io::serve(std::uint64_t number, client& one, std::uint32_t ready) {
  if ((ready & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && !read_from(one, ready)) return false;
  take_packets(one);
  if (!write_to(one)) return false;
  update_interest(number, one);
  return true;
}

// One read a turn, so that no client keeps the others waiting.
bool control_io::read_from(client& one, std::uint32_t ready) {
  // Not read now; but who is gone is seen all the same, again and again.
  if (!one.wants_read) return (ready & (EPOLLHUP | EPOLLERR)) == 0;
  auto count = ::recv(one.fd, buffer_.data(), buffer_.size(), 0);
  if (count < 0) return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
  if (count == 0) return false;
  auto octets = bytes_view{buffer_}.first(static_cast<std::size_t>(count));
  bool taken = one.input.add(octets).has_value();
  wipe(buffer_.data(), static_cast<std::size_t>(count));  // keys come this way
  return taken;
}

void control_io::take_packets(client& one) {
  while (one.channel->takes_requests()) {
    auto segment = one.input.next();
    if (!segment) break;
    take_segment(one, std::move(*segment));
  }
}

void control_io::take_segment(client& one, bytes segment) {
  auto packet = vici::parse_packet(segment);
  bool is_request = !segment.empty() &&
                    segment[0] == static_cast<std::uint8_t>(vici::packet_type::command_request);
  control_request_received request;
  if (packet) {
    request.packet = own(std::move(*packet));
  } else if (is_request && has_name(segment)) {
    vici::packet broken{vici::packet_type::command_request,
                        to_text(bytes_view{segment}.subspan(2, segment[1])),
                        {}};
    request.packet = own(std::move(broken));
    request.is_malformed = true;
  }
  wipe(segment);
  if (!request.packet.has_value()) return;  // charon says nothing either
  one.channel->request_taken();
  caf::anon_send(one.actor, std::move(request));
}

bool control_io::write_to(client& one) {
  switch (one.channel->flush(one.fd)) {
    case control_channel::flushed::failed: return false;
    case control_channel::flushed::not_everything: one.wants_write = true; break;
    case control_channel::flushed::everything: one.wants_write = false; break;
  }
  if (one.channel->take_drained()) caf::anon_send(one.actor, control_output_drained{});
  return true;
}

void control_io::update_interest(std::uint64_t number, client& one) {
  one.wants_read = one.channel->takes_requests();
  epoll_event wanted{0, {.u64 = number}};
  if (one.wants_read) wanted.events |= EPOLLIN;
  if (one.wants_write) wanted.events |= EPOLLOUT;
  (void)::epoll_ctl(poll_, EPOLL_CTL_MOD, one.fd, &wanted);
}

void control_io::close_client(std::uint64_t number) {
  auto at = clients_.find(number);
  if (at == clients_.end()) return;
  ::close(at->second.fd);
  if (auto& faults = context_->parts.faults) faults->remove_client(number - 1);
  caf::anon_send<caf::message_priority::high>(at->second.actor, control_client_gone{});
  clients_.erase(at);
}

}  // namespace imago::actors
