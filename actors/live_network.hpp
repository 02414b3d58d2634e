// The engine's ports: UDP sockets and their reader thread.
//
// Data path, in: reader thread -> (NAT port: marker, keepalive or ESP) -> inbox gate -> demux; new
// peers: -> front door -> demux.
// Out: any actor -> send_ike -> sendmsg, no queue.
#pragma once

#include <atomic>
#include <functional>

#include "actors/inbox_gate.hpp"
#include "actors/services.hpp"
#include "kernel_if/udp/udp_reader.hpp"

namespace imago::actors {

class live_network final : public network, public kernel_if::esp_sender {
 public:
  // Binds. Errors: those of udp_socket::bind.
  static result<std::shared_ptr<live_network>> open(const engine_options& options);

  // Begins to read: IKE goes to the demux, ESP to the back-end (may be null).
  status start(services_ptr shared, kernel_if::backend* backend);
  // Before start(): IKE messages go to `inspector`, on the reader's thread, which calls admit() for
  // what is to come in, at once or later.
  void inspect_received(std::function<void(packet)> inspector) {
    inspector_ = std::move(inspector);
  }
  void admit(const packet& what) { let_in(what.local, what.remote, what.octets); }
  // Returns when nothing more is delivered.
  void stop() { reader_.stop(); }

  void send_ike(const endpoint& local, const endpoint& remote, bytes_view message) override;
  void send_keepalive(const endpoint& local, const endpoint& remote) override;
  void send_esp(const endpoint& local, const endpoint& remote, bytes_view packet) override;
  result<endpoint> local_for(const endpoint& remote,
                             const std::vector<config::address_pattern>& allowed) override;
  endpoint on_nat_port(const endpoint& local) const override { return {local.address, nat_port_}; }
  bool is_nat_port(const endpoint& local) const override { return local.port == nat_port_; }
  bool has_route(const ip_address& remote) const override;
  std::uint16_t nat_port() const { return nat_port_; }
  std::uint64_t dropped() const { return dropped_; }
  // IKE, ESP and keepalives; what send could not hand to the host counts too.
  std::uint64_t datagrams_received() const { return reader_.received(); }
  std::uint64_t datagrams_sent() const { return sent_; }

 private:
  struct port {
    kernel_if::udp_socket socket;
    bool is_nat;
  };
  const port* port_for(const endpoint& local) const;
  void let_in(const endpoint& local, const endpoint& remote, bytes_view octets);
  void ask_for_cookie(const endpoint& local, const endpoint& remote, bytes_view octets,
                      const wire::header& header, instant now);
  void on_datagram(const endpoint& local, const endpoint& remote, bytes_view octets,
                   std::size_t index);

  std::vector<port> ports_;
  std::uint16_t ike_port_ = 0, nat_port_ = 0;
  std::optional<std::uint32_t> mark_;
  services_ptr shared_;
  kernel_if::backend* backend_ = nullptr;
  std::shared_ptr<inbox_gate> gate_;
  std::function<void(packet)> inspector_;
  std::atomic<std::uint64_t> dropped_{0}, sent_{0};
  kernel_if::udp_reader reader_;
};

}  // namespace imago::actors
