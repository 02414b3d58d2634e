// What every actor of one engine shares: immutable or thread-safe, alive as long as the engine.
#pragma once

#include "actors/census.hpp"
#include "actors/clock.hpp"
#include "actors/crypto_pool.hpp"
#include "actors/engine.hpp"
#include "actors/interfaces.hpp"
#include "actors/journal.hpp"
#include "actors/timers.hpp"
#include "core/ikev2/flow_context.hpp"

namespace imago::actors {

// Where datagrams leave. Live: the ports' sockets; in a world: the simulated network. Thread-safe,
// never blocks; what cannot be sent is lost, as on any network.
class network {
 public:
  virtual ~network() = default;
  // `local` as chosen by local_for or as seen in a received packet. On the NAT port the non-ESP
  // marker is put in front.
  virtual void send_ike(const endpoint& local, const endpoint& remote, bytes_view message) = 0;
  virtual void send_keepalive(const endpoint& local, const endpoint& remote) = 0;  // RFC 3948 §2.3
  // The local address that reaches this peer, of those allowed (empty: any), with the port to begin
  // with. Errors: peer_unreachable.
  virtual result<endpoint> local_for(const endpoint& remote,
                                     const std::vector<config::address_pattern>& allowed) = 0;
  // The NAT port that belongs to a local endpoint (RFC 7296 §2.23).
  virtual endpoint on_nat_port(const endpoint& local) const = 0;
  virtual bool is_nat_port(const endpoint& local) const = 0;
  // Does this host know a way there, as far as it can say without sending?
  virtual bool has_route(const ip_address& remote) const {
    (void)remote;
    return true;
  }
};

class front_door;

struct services {
  engine_options options;
  std::shared_ptr<crypto::library> library;
  std::shared_ptr<const clock> time;
  std::shared_ptr<journal> facts;
  std::shared_ptr<census> counted;
  std::shared_ptr<timer_wheel> timers;
  std::shared_ptr<crypto_executor> crypto;
  std::shared_ptr<actors::network> net;
  std::shared_ptr<front_door> door;
  std::shared_ptr<ikev2::number_source> numbers;
  std::shared_ptr<crypto::certificate_cache> certificates;
  ikev2::digest_tally_ptr digests;
  ikev2::data_plane_abilities abilities;
  std::atomic<std::uint64_t> next_id{1};  // of IKE SAs, Child SAs, exchanges

  // Responders' IKE SAs whose peers have not come back yet; the demux counts.
  std::atomic<std::size_t> half_open_count{0};

  // Set once, before any packet or command comes in.
  demux_handle demux;
  kernel_handle kernel;
  engine_handle engine;
  uplinks_handle uplinks;  // empty: interfaces are not watched, all are taken to be up

  ikev2::flow_context flow_context() const {
    return {library.get(), library.get(), numbers.get(), certificates, abilities, time->wall()};
  }
  std::uint64_t new_id() { return next_id.fetch_add(1, std::memory_order_relaxed); }
};
using services_ptr = std::shared_ptr<services>;

}  // namespace imago::actors
