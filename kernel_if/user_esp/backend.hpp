// User-space ESP, live: one thread between the TUN device and the engine's UDP sockets.
//
// Data path, outbound: application -> route -> TUN -> read() -> esp_processor -> esp_sender.
// Inbound: UDP reader -> deliver_esp (bounded queue, the newest is dropped and counted) -> this
// thread -> esp_processor -> write() -> TUN. Requests take the same way as packets, so they need
// no lock against them: what was submitted first is carried out first.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "kernel_if/backend.hpp"
#include "kernel_if/route/policy_routes.hpp"
#include "kernel_if/user_esp/esp_processor.hpp"
#include "kernel_if/user_esp/packet_device.hpp"

namespace imago::kernel_if::user_esp {

struct options {
  std::string device_name = "imago%d";
  // 1500 less IPv6 40, UDP 8, ESP 8, IV 8, padding 3, trailer 2 and ICV 16 (AEAD) leaves 1415;
  // AES-CBC with SHA2-256 over IPv4 the same. AES-CBC with SHA2-512 over IPv6 would leave 1379:
  // its full-sized packets travel as IP fragments, which the sockets allow.
  std::uint32_t mtu = 1400;
  // False: no rules and no routes, also where a policy wants them.
  bool manages_routes = true;
  route_options routes;  // `mark` must be that of the engine's sockets
  // The rest is for tests; empty: the host's monotonic clock, a TUN device.
  std::function<instant()> clock;
  std::function<result<std::unique_ptr<packet_device>>()> open_device;
};

class backend final : public kernel_if::backend {
 public:
  // Sender and random source must outlive stop().
  backend(options chosen, esp_sender& sender, random_source& random);
  ~backend() override { stop(); }

  std::string_view name() const override { return "user-esp"; }
  kernel_if::capabilities capabilities() const override { return {true, true, true, true, 4096}; }
  status start(backend_sink& sink) override;
  void submit(request_id id, data_plane::request request) override;
  // In order: the thread ends, requests not begun are answered shutting_down, routes and rules go,
  // then SAs and policies, then the device.
  void stop() override;
  void deliver_esp(const endpoint& local, const endpoint& remote, bytes_view packet) override;

  std::string device_name() const;  // as the host chose it; empty unless started
  drop_counters drops() const;

 private:
  struct submitted {
    request_id id = 0;
    data_plane::request request;
  };
  struct arrived {
    endpoint local;
    endpoint remote;
    bytes packet;
  };

  void run();
  bool take_work();  // false: to stop
  void carry_out_requests();
  data_plane::reply carry_out(data_plane::request&& request);
  status add_routes(const std::vector<data_plane::policy>& policies);
  void remove_routes(const std::vector<data_plane::policy>& policies);
  bool read_device();  // false: the device is gone
  void give_out();
  void wake_locked();

  options options_;
  esp_sender& sender_;
  backend_sink* sink_ = nullptr;
  std::unique_ptr<packet_device> device_;
  std::unique_ptr<policy_routes> routes_;
  std::thread thread_;
  int wake_event_ = -1;

  mutable std::mutex mutex_;  // guards the four below
  bool is_running_ = false;
  bool is_woken_ = false;
  std::deque<submitted> requests_;
  reused_list<arrived> packets_;
  drop_counters drops_seen_{};
  std::uint64_t queue_drops_ = 0;

  // The thread's own.
  esp_processor processor_;
  outputs outputs_;
  std::deque<submitted> requests_taken_;
  reused_list<arrived> packets_taken_;
  bytes read_buffer_;
};

}  // namespace imago::kernel_if::user_esp
