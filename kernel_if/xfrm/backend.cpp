#include "kernel_if/xfrm/backend.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>

#include <linux/xfrm.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/limits.hpp"
#include "kernel_if/xfrm/octets.hpp"

namespace imago::kernel_if::xfrm {

using namespace data_plane;

namespace {

// How long the kernel may take to remove everything when the back-end stops.
constexpr std::chrono::seconds end_wait_max{5};

instant monotonic_now() { return {std::chrono::steady_clock::now().time_since_epoch()}; }

// What is there already is left alone, so that nothing is said where nothing is wrong.
bool set_sysctl(const std::string& name, unsigned value) {
  auto path = "/proc/sys/net/core/" + name;
  std::ifstream before{path};
  unsigned present = 0;
  if (before >> present && present == value) return true;
  std::ofstream file{path};
  file << value << std::endl;
  return file.good();
}

// <netinet/udp.h> and <linux/udp.h> exclude each other.
constexpr int udp_encap_option = 100;

// What is noted is in the file before the kernel is asked; one write for all that leaves together.
class noting_transport final : public netlink_transport {
 public:
  noting_transport(std::unique_ptr<netlink_transport> inner, lease_journal& journal)
      : inner_{std::move(inner)}, journal_{journal} {}
  int descriptor() const override { return inner_->descriptor(); }
  std::size_t receive_buffer_octets() const override { return inner_->receive_buffer_octets(); }
  int send(bytes_view messages) override {
    // Without it the SAs serve all the same.
    (void)journal_.flush();
    return inner_->send(messages);
  }
  int receive(bytes& datagram) override { return inner_->receive(datagram); }

 private:
  std::unique_ptr<netlink_transport> inner_;
  lease_journal& journal_;
};

status set_bypass(int descriptor, ip_family family, std::uint8_t direction) {
  xfrm_userpolicy_info policy{};
  policy.sel.family = family_number(family);
  policy.action = XFRM_POLICY_ALLOW;
  policy.dir = direction;
  bool is_v4 = family == ip_family::v4;
  if (setsockopt(descriptor, is_v4 ? IPPROTO_IP : IPPROTO_IPV6,
                 is_v4 ? IP_XFRM_POLICY : IPV6_XFRM_POLICY, &policy, sizeof policy) == 0)
    return {};
  return {errc::system_error, std::string{"bypass policy of an IKE socket: "} + strerror(errno)};
}

}  // namespace

backend::backend(options chosen) : options_{std::move(chosen)} {
  if (!options_.open_requests) options_.open_requests = open_request_socket;
  if (!options_.open_events) options_.open_events = open_event_socket;
  if (!options_.clock) options_.clock = monotonic_now;
  if (!options_.driver.wall_seconds)
    options_.driver.wall_seconds = [] { return static_cast<std::int64_t>(std::time(nullptr)); };
}

kernel_if::capabilities backend::capabilities() const {
  kernel_if::capabilities can;
  can.transport_mode = true;
  can.esn = true;
  can.replay_window_max = 4096;
  can.has_kernel_options = true;
  can.has_time_lifetimes = true;
  can.has_shunts = true;
  return can;
}

status backend::start(backend_sink& sink) {
  if (sink_) return {errc::already_exists, "XFRM"};
  auto requests = options_.open_requests();
  if (!requests) return requests.failure();
  auto events = options_.open_events();
  if (!events) return events.failure();
  warnings_.clear();
  open_journal();
  requests_socket_ = std::move(*requests);
  if (journal_)
    requests_socket_ = std::make_unique<noting_transport>(std::move(requests_socket_), *journal_);
  events_socket_ = std::move(*events);
  wake_event_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake_event_ < 0) return {errc::system_error, std::string{"eventfd: "} + strerror(errno)};
  sink_ = &sink;
  auto how = options_.driver;
  how.journal = journal_.get();
  driver_ = std::make_unique<driver>(*requests_socket_, *events_socket_, sink, std::move(how));
  driver_->reclaim();
  {
    std::lock_guard lock{mutex_};
    is_running_ = true;
  }
  if (!options_.has_thread) return {};
  set_sysctls();
  thread_ = std::thread{[this] { run(); }};
  return {};
}

// A process that was killed left a file. One that lives has it locked: then it is not ours to read.
void backend::open_journal() {
  if (options_.lease_folder.empty()) return;
  lease_journal_options how;
  how.folder = options_.lease_folder;
  auto opened = lease_journal::open(std::move(how));
  if (opened)
    journal_ = std::move(*opened);
  else
    warnings_.push_back("leases are not noted, what is left after a kill stays: " +
                        opened.failure().where);
}

// Of the network namespace, for everybody in it.
void backend::set_sysctls() {
  if (options_.larval_lifetime_seconds != 0 &&
      !set_sysctl("xfrm_acq_expires", options_.larval_lifetime_seconds))
    warnings_.emplace_back(
        "net.core.xfrm_acq_expires cannot be set: SPIs of a slow negotiation may be lost");
  if (options_.keeps_first_packets && !set_sysctl("xfrm_larval_drop", 0))
    warnings_.emplace_back(
        "net.core.xfrm_larval_drop cannot be set: packets that wait for an SA are lost");
}

void backend::stop() {
  {
    std::lock_guard lock{mutex_};
    if (!std::exchange(is_running_, false)) return;
    wake_locked();
  }
  if (thread_.joinable()) thread_.join();
  end();
  std::lock_guard lock{mutex_};
  driver_.reset();
  requests_socket_.reset();
  events_socket_.reset();
  if (journal_) (void)journal_->flush();
  journal_.reset();
  close(wake_event_);
  wake_event_ = -1;
  is_woken_ = false;
  sink_ = nullptr;
}

// The thread is gone; its work is ours.
void backend::end() {
  for (auto& one : submitted_)
    sink_->on_reply(one.id, reply{errc::shutting_down, std::string{name_of(one.request)}});
  submitted_.clear();
  driver_->refuse_unbegun();
  driver_->remove_all();
  auto last = options_.clock() + end_wait_max;
  for (;;) {
    driver_->step(options_.clock());
    if (driver_->is_idle() || options_.clock() > last || !options_.has_thread) return;
    wait();
  }
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
    if (submitted_.size() < limits::data_plane_requests_max) {
      submitted_.push_back({id, std::move(request)});
      return wake_locked();
    }
  }
  sink_->on_reply(id, reply{errc::data_plane_busy, std::string{name_of(request)}});
}

bool backend::take_submitted() {
  std::deque<submitted> taken;
  {
    std::lock_guard lock{mutex_};
    if (std::exchange(is_woken_, false)) {
      std::uint64_t count = 0;
      if (read(wake_event_, &count, sizeof count) != static_cast<ssize_t>(sizeof count)) count = 0;
    }
    if (!is_running_) return false;
    taken.swap(submitted_);
  }
  for (auto& one : taken) driver_->submit(one.id, std::move(one.request));
  return true;
}

void backend::step() {
  if (take_submitted()) driver_->step(options_.clock());
}

void backend::run() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);  // signals are the main program's
  while (take_submitted()) {
    driver_->step(options_.clock());
    wait();
  }
}

void backend::wait() const {
  pollfd watched[3] = {{wake_event_, POLLIN, 0},
                       {requests_socket_->descriptor(), POLLIN, 0},
                       {events_socket_->descriptor(), POLLIN, 0}};
  int limit = -1;
  if (auto due = driver_->next_due()) {
    auto until = std::chrono::ceil<std::chrono::milliseconds>(*due - options_.clock());
    limit = static_cast<int>(std::clamp<std::int64_t>(until.count(), 0, 60'000));
  }
  poll(watched, 3, limit);  // whatever it says, all is looked at
}

status backend::adopt_socket(int descriptor, ip_family family, bool is_nat_port) {
  if (is_nat_port) {
    int kind = esp_in_udp;
    if (setsockopt(descriptor, IPPROTO_UDP, udp_encap_option, &kind, sizeof kind) != 0)
      return {errc::system_error, std::string{"ESP in UDP: "} + strerror(errno)};
  }
  for (std::uint8_t direction : {XFRM_POLICY_IN, XFRM_POLICY_OUT})
    if (auto set = set_bypass(descriptor, family, direction); !set) return set;
  return {};
}

namespace {

// Remembers what the trial SA came to.
class trial_sink final : public backend_sink {
 public:
  void on_reply(request_id id, reply reply) override {
    if (id == 1 && !reply) failure = reply.failure();
    ++replies;
  }
  void on_event(event) override {}
  std::optional<error> failure;
  int replies = 0;
};

sa_parameters trial_sa() {
  sa_parameters sa;
  // Nobody's addresses (RFC 5737): nothing can ever use it.
  sa.id = {direction::outbound, *ip_address::parse("192.0.2.1"), 0x696d6167};
  sa.source = *ip_address::parse("192.0.2.2");
  sa.reqid = 0x696d6167;
  sa.encryption = encryption_algorithm::aes_gcm_16;
  sa.key_bits = 128;
  sa.encryption_key = secret{std::size_t{20}};
  return sa;
}

}  // namespace

status check_host() {
  options how;
  how.has_thread = false;
  trial_sink sink;
  backend trial{how};
  if (auto started = trial.start(sink); !started) return started;
  trial.submit(1, install_sa{trial_sa(), {}});
  trial.submit(2, remove_sa{trial_sa().id});
  trial.step();
  trial.stop();
  if (sink.failure) return *sink.failure;
  if (sink.replies < 1) return {errc::data_plane_lost, "XFRM netlink"};
  return {};
}

}  // namespace imago::kernel_if::xfrm
