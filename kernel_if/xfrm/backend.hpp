// The Linux kernel's IPsec as a data plane.
//
// Data path: submit() -> queue -> this back-end's thread -> driver -> netlink -> kernel; answers
// and events come back the same way to the sink. The kernel works inside send(), so nobody else's
// thread is lent to it. ESP packets never come here.
#pragma once

#include <deque>
#include <mutex>
#include <thread>

#include "kernel_if/xfrm/driver.hpp"

namespace imago::kernel_if::xfrm {

struct options {
  driver_options driver;
  // How long the kernel keeps an SPI that no SA has taken, for the whole network namespace: longer
  // than a negotiation with all its retransmissions (RFC 7296 §2.4). Where it cannot be set the
  // kernel's own value stays. 0: it is left alone.
  unsigned larval_lifetime_seconds = 165;
  // Packets that wait for an SA are kept by the kernel (net.core.xfrm_larval_drop = 0), as far as
  // it has room for them; else the first ones are lost. False: the kernel's own value stays.
  bool keeps_first_packets = true;
  // Where the leases are noted, so that the next process finds what this one had to leave behind
  // (lease_journal.hpp). Empty: nowhere. A folder that cannot be used is a warning.
  std::string lease_folder;
  // The rest is for tests; empty: the kernel's, the host's clock. False: no thread, step() does it.
  std::function<result<std::unique_ptr<netlink_transport>>()> open_requests;
  std::function<result<std::unique_ptr<netlink_transport>>()> open_events;
  std::function<instant()> clock;
  bool has_thread = true;
};

class backend final : public kernel_if::backend {
 public:
  explicit backend(options chosen = {});
  ~backend() override { stop(); }

  std::string_view name() const override { return "xfrm"; }
  kernel_if::capabilities capabilities() const override;
  // Of the calling thread's network namespace.
  status start(backend_sink& sink) override;
  std::vector<std::string> warnings() const override { return warnings_; }
  void submit(request_id id, data_plane::request request) override;
  // Requests not begun are answered shutting_down; then everything it installed goes.
  void stop() override;
  // ESP in UDP on the NAT port's sockets, and the way past all policies for IKE.
  status adopt_socket(int descriptor, ip_family family, bool is_nat_port) override;

  // What the thread does: takes what was submitted, asks, hears. Without a thread only.
  void step();
  const pipeline_counters& counters() const { return driver_->counters(); }
  const lease_journal* journal() const { return journal_.get(); }

 private:
  struct submitted {
    request_id id = 0;
    data_plane::request request;
  };
  void run();
  void set_sysctls();
  void open_journal();
  bool take_submitted();  // false: to stop
  void wait() const;
  void wake_locked();
  void end();

  options options_;
  std::vector<std::string> warnings_;
  backend_sink* sink_ = nullptr;
  std::unique_ptr<netlink_transport> requests_socket_;
  std::unique_ptr<netlink_transport> events_socket_;
  std::unique_ptr<lease_journal> journal_;
  std::unique_ptr<driver> driver_;
  std::thread thread_;
  int wake_event_ = -1;

  std::mutex mutex_;  // guards the three below
  bool is_running_ = false;
  bool is_woken_ = false;
  std::deque<submitted> submitted_;
};

// Whether this host's kernel can do ESP for us: an SA is made and removed again in the calling
// thread's network namespace. Errors: not_supported, system_error with what is missing.
status check_host();

}  // namespace imago::kernel_if::xfrm
