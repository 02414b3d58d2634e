#include "kernel_if/user_esp/backend.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "kernel_if/checks.hpp"

namespace imago::kernel_if::user_esp {

using namespace data_plane;

namespace {

// Packets read from the device before requests and ESP are looked at again.
constexpr int device_batch_count = 64;

instant monotonic_now() { return {std::chrono::steady_clock::now().time_since_epoch()}; }

// The policies that a request would add.
std::vector<policy> policies_of(const request& request) {
  if (auto* one = std::get_if<install_sa>(&request)) return one->policies;
  if (auto* one = std::get_if<install_policy>(&request)) return {one->policy};
  return {};
}

}  // namespace

backend::backend(options chosen, esp_sender& sender, random_source& random)
    : options_{std::move(chosen)}, sender_{sender}, processor_{random} {
  if (!options_.clock) options_.clock = monotonic_now;
  if (!options_.open_device) {
    options_.open_device = [this] { return open_tun(options_.device_name, options_.mtu); };
  }
  read_buffer_.resize(limits::datagram_size_max);
}

status backend::start(backend_sink& sink) {
  if (thread_.joinable()) return {errc::already_exists, "user-space ESP"};
  auto device = options_.open_device();
  if (!device) return device.failure();
  if (options_.manages_routes) {
    auto routes = policy_routes::open((*device)->name(), options_.routes);
    if (!routes) return routes.failure();
    routes_ = std::move(*routes);
  }
  wake_event_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake_event_ < 0) return {errc::system_error, std::string{"eventfd: "} + std::strerror(errno)};
  sink_ = &sink;
  {
    std::lock_guard lock{mutex_};
    device_ = std::move(*device);
    is_running_ = true;
  }
  thread_ = std::thread{[this] { run(); }};
  return {};
}

void backend::stop() {
  {
    std::lock_guard lock{mutex_};
    is_running_ = false;
    if (thread_.joinable()) wake_locked();
  }
  if (!thread_.joinable()) return;
  thread_.join();
  for (auto& one : requests_)
    sink_->on_reply(one.id, reply{errc::shutting_down, std::string{name_of(one.request)}});
  requests_.clear();
  routes_.reset();
  (void)processor_.carry_out(request{flush{}}, options_.clock(), outputs_);  // always done
  outputs_.clear();
  std::lock_guard lock{mutex_};
  packets_.clear();
  device_.reset();
  close(wake_event_);
  wake_event_ = -1;
  is_woken_ = false;
  sink_ = nullptr;
}

void backend::wake_locked() {
  if (std::exchange(is_woken_, true)) return;
  std::uint64_t one = 1;
  // The counter is zero or one, so that it has room.
  if (write(wake_event_, &one, sizeof one) != static_cast<ssize_t>(sizeof one)) std::abort();
}

void backend::submit(request_id id, request request) {
  {
    std::lock_guard lock{mutex_};
    if (!is_running_) return;
    if (requests_.size() < limits::data_plane_requests_max) {
      requests_.push_back({id, std::move(request)});
      return wake_locked();
    }
  }
  sink_->on_reply(id, reply{errc::data_plane_busy, std::string{name_of(request)}});
}

void backend::deliver_esp(const endpoint& local, const endpoint& remote, bytes_view packet) {
  std::lock_guard lock{mutex_};
  if (!is_running_) return;
  if (packets_.size() >= limits::esp_queue_packets_max) {
    ++queue_drops_;
    return;
  }
  auto& slot = packets_.add();
  slot.local = local;
  slot.remote = remote;
  slot.packet.assign(packet.begin(), packet.end());
  wake_locked();
}

std::string backend::device_name() const {
  std::lock_guard lock{mutex_};
  return device_ ? device_->name() : std::string{};
}

drop_counters backend::drops() const {
  std::lock_guard lock{mutex_};
  auto counters = drops_seen_;
  counters[static_cast<std::size_t>(drop_reason::queue_full)] += queue_drops_;
  return counters;
}

// --- the thread ----------------------------------------------------------------------------------

void backend::run() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);  // signals are the main program's
  pollfd watched[2] = {{wake_event_, POLLIN, 0}, {device_->descriptor(), POLLIN, 0}};
  while (take_work()) {
    carry_out_requests();
    for (auto& one : packets_taken_) {
      processor_.on_esp_packet(one.local, one.remote, one.packet, options_.clock(), outputs_);
      give_out();
    }
    packets_taken_.clear();
    if (watched[1].fd >= 0 && !read_device()) watched[1].fd = -1;
    poll(watched, 2, -1);  // whatever it says, all is looked at
  }
}

bool backend::take_work() {
  std::lock_guard lock{mutex_};
  if (std::exchange(is_woken_, false)) {
    std::uint64_t count = 0;
    if (read(wake_event_, &count, sizeof count) != static_cast<ssize_t>(sizeof count)) count = 0;
  }
  std::copy(processor_.drops().begin(), processor_.drops().end(), drops_seen_.begin());
  if (!is_running_) return false;
  std::swap(requests_, requests_taken_);
  std::swap(packets_, packets_taken_);
  return true;
}

void backend::carry_out_requests() {
  while (!requests_taken_.empty()) {
    auto one = std::move(requests_taken_.front());
    requests_taken_.pop_front();
    auto answer = carry_out(std::move(one.request));
    sink_->on_reply(one.id, std::move(answer));
    give_out();
  }
}

// Routes come before the policy and go with it; if either fails, neither stays.
reply backend::carry_out(request&& request) {
  auto now = options_.clock();
  auto added = policies_of(request);
  if (auto routed = add_routes(added); !routed) return routed.failure();
  std::vector<policy> removed;
  if (auto* one = std::get_if<remove_policy>(&request)) removed.push_back(one->policy);
  bool clears = std::holds_alternative<flush>(request);
  auto answer = processor_.carry_out(std::move(request), now, outputs_);
  if (!answer) {
    remove_routes(added);
  } else {
    remove_routes(removed);
    if (clears && routes_) routes_->clear();
  }
  return answer;
}

status backend::add_routes(const std::vector<policy>& policies) {
  if (!routes_) return {};
  for (std::size_t i = 0; i < policies.size(); ++i) {
    if (!policies[i].installs_routes) continue;
    auto added = check_policy(policies[i]);
    if (added) added = routes_->add(policies[i]);
    if (!added) {
      remove_routes({policies.begin(), policies.begin() + static_cast<std::ptrdiff_t>(i)});
      return added;
    }
  }
  return {};
}

void backend::remove_routes(const std::vector<policy>& policies) {
  if (!routes_) return;
  for (const auto& policy : policies)
    if (policy.installs_routes) routes_->remove(policy);
}

bool backend::read_device() {
  for (int i = 0; i < device_batch_count; ++i) {
    auto size = read(device_->descriptor(), read_buffer_.data(), read_buffer_.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return errno == EAGAIN || errno == EIO;  // EIO: set down; it may come up again
    if (size == 0) return false;
    auto packet = bytes_view{read_buffer_}.first(static_cast<std::size_t>(size));
    processor_.on_inner_packet(packet, options_.clock(), outputs_);
    give_out();
  }
  return true;
}

void backend::give_out() {
  for (const auto& one : outputs_.esp) sender_.send_esp(one.local, one.remote, one.packet);
  for (const auto& packet : outputs_.inner) {
    auto written = write(device_->descriptor(), packet.data(), packet.size());
    if (written != static_cast<ssize_t>(packet.size()))
      processor_.count_drop(drop_reason::not_written);
  }
  for (const auto& event : outputs_.events) sink_->on_event(event);
  outputs_.clear();
}

}  // namespace imago::kernel_if::user_esp
