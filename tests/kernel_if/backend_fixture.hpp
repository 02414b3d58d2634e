// What tests of back-ends share: a sink that remembers, and back-ends ready to start.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kernel_if/fake/fake_backend.hpp"
#include "kernel_if/user_esp/backend.hpp"
#include "tests/kernel_if/esp_fixture.hpp"

namespace imago::testing {

// Waiting here ends by the event waited for; the limit only keeps a broken build from hanging.
inline constexpr std::chrono::seconds hang_limit{30};

class remembering_sink final : public kernel_if::backend_sink {
 public:
  void on_reply(kernel_if::request_id id, data_plane::reply reply) override {
    std::lock_guard lock{mutex_};
    order_.push_back(id);
    replies_.insert_or_assign(id, std::move(reply));
    changed_.notify_all();
  }
  void on_event(data_plane::event event) override {
    std::lock_guard lock{mutex_};
    events_.push_back(std::move(event));
    changed_.notify_all();
  }
  // timed_out if none comes.
  data_plane::reply wait_for(kernel_if::request_id id) {
    std::unique_lock lock{mutex_};
    if (!changed_.wait_for(lock, hang_limit, [&] { return replies_.count(id) != 0; }))
      return errc::timed_out;
    return replies_.at(id);
  }
  bool wait_for_events(std::size_t count) {
    std::unique_lock lock{mutex_};
    return changed_.wait_for(lock, hang_limit, [&] { return events_.size() >= count; });
  }
  std::vector<kernel_if::request_id> order() {
    std::lock_guard lock{mutex_};
    return order_;
  }
  std::vector<data_plane::event> events() {
    std::lock_guard lock{mutex_};
    return events_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<kernel_if::request_id> order_;
  std::map<kernel_if::request_id, data_plane::reply> replies_;
  std::vector<data_plane::event> events_;
};

// One end of a socket pair in place of a TUN device; the other end is the test's.
class paired_device final : public kernel_if::user_esp::packet_device {
 public:
  explicit paired_device(int descriptor) : descriptor_{descriptor} {}
  ~paired_device() override { close(descriptor_); }
  int descriptor() const override { return descriptor_; }
  const std::string& name() const override { return name_; }

 private:
  int descriptor_;
  std::string name_ = "pair";
};

class sender_function final : public kernel_if::esp_sender {
 public:
  using function =
      std::function<void(const endpoint& local, const endpoint& remote, bytes_view packet)>;
  void send_esp(const endpoint& local, const endpoint& remote, bytes_view packet) override {
    if (send) send(local, remote, packet);
  }
  function send;
};

// user_esp::backend over a socket pair.
struct live_esp {
  seeded_random random;
  sender_function sender;
  int application = -1;  // what an application behind the device would read and write
  std::unique_ptr<kernel_if::user_esp::backend> plane;
  std::atomic<std::int64_t> milliseconds_ahead{0};  // of real time: the plane's clock

  explicit live_esp(std::uint64_t seed = 1) : random{seed} {
    int ends[2] = {-1, -1};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) std::abort();
    application = ends[0];
    kernel_if::user_esp::options options;
    options.manages_routes = false;
    options.clock = [this] {
      return instant{std::chrono::steady_clock::now().time_since_epoch() +
                     std::chrono::milliseconds{milliseconds_ahead.load()}};
    };
    options.open_device = [end = ends[1]]() {
      fcntl(end, F_SETFL, fcntl(end, F_GETFL) | O_NONBLOCK);
      return result<std::unique_ptr<kernel_if::user_esp::packet_device>>{
          std::make_unique<paired_device>(end)};
    };
    timeval limit{hang_limit.count(), 0};
    setsockopt(application, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    plane = std::make_unique<kernel_if::user_esp::backend>(std::move(options), sender, random);
  }
  ~live_esp() {
    plane->stop();
    close(application);
  }
  live_esp(const live_esp&) = delete;
  live_esp& operator=(const live_esp&) = delete;

  bool write(const bytes& packet) const {
    return ::write(application, packet.data(), packet.size()) ==
           static_cast<ssize_t>(packet.size());
  }
  bytes read() const {
    bytes packet(65536);
    auto size = ::read(application, packet.data(), packet.size());
    packet.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
    return packet;
  }
};

}  // namespace imago::testing
