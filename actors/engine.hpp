// libimago: the engine as a library. No CAF here. Several engines may live in one process.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "actors/clock.hpp"
#include "actors/journal.hpp"
#include "actors/status.hpp"
#include "core/config/configuration.hpp"
#include "core/ikev2/retransmission.hpp"
#include "kernel_if/backend.hpp"

namespace imago {

namespace actors {
struct engine_parts;  // the engine's inside; actors/engine_parts.hpp, for control and tests
}

struct engine_options {
  // Where IKE is spoken. Plain port: UDP 500. NAT port: UDP 4500, with the non-ESP marker and ESP
  // in UDP. Port 0 in ike_port: none, then every message carries the marker; that is how an engine
  // without privileges works on a port of its own. Addresses: any (0.0.0.0, ::) or certain ones.
  std::vector<ip_address> addresses = {ip_address::any(ip_family::v4)};
  std::uint16_t ike_port = 500;
  std::uint16_t nat_port = 4500;  // 0: any free one, see engine::nat_port()

  // Threads of the actor scheduler, which also do brief crypto jobs, and those for long ones. 0:
  // one for each CPU that the process may run on; more only take the work from each other.
  std::size_t scheduler_threads = 0;
  std::size_t crypto_threads = 0;

  // The data plane. Made by a function because a data plane that carries packets itself sends ESP
  // through the engine's sockets. Empty: no data plane, every Child SA fails.
  std::function<result<std::unique_ptr<kernel_if::backend>>(kernel_if::esp_sender&, random_source&)>
      make_backend;

  ikev2::retransmission_policy retransmission;
  duration half_open_lifetime = std::chrono::seconds{30};
  // How long a closed IKE SA still answers the retransmission of the peer's last request (its
  // response may have been lost). The default outlives the retransmissions of usual peers.
  duration closed_lifetime = std::chrono::seconds{120};
  std::size_t half_open_count_max = 100000;  // more are not admitted
  std::size_t cookie_threshold = 1000;       // half-open IKE SAs from which cookies are asked
  duration inbound_linger = std::chrono::seconds{5};  // of a rekeyed Child SA's inbound SA
  duration nat_keepalive_interval = std::chrono::seconds{20};
  std::size_t datagram_size_max = 1280;             // larger IKE messages are fragmented (RFC 7383)
  duration stop_timeout = std::chrono::seconds{5};  // for Deletes when the engine stops

  // Interfaces are watched (uplink.hpp): what is reached over one that is down is left alone until
  // it is back; then so many packets a second begin, uplink_burst at once.
  bool watches_uplinks = false;
  std::uint32_t uplink_starts_per_second = 200;
  std::uint32_t uplink_burst = 50;

  // SO_MARK of the engine's sockets, so that routes of the user-space data plane leave them alone.
  std::optional<std::uint32_t> socket_mark;

  // Faults on demand over the control socket (impair.hpp). Costs nothing where it is off.
  bool allows_impair = false;

  // Where callbacks run: given a function, it calls it on the thread you want. Empty: the engine's
  // own callback thread. Never two at a time.
  std::function<void(std::function<void()>)> executor;
  std::function<void(const sa_event&)> on_event;

  // Sinks of the journal, added before anything happens.
  std::vector<std::pair<std::shared_ptr<actors::journal_sink>, actors::journal_filter>> sinks;

  // For worlds and tests; null: the system's.
  std::shared_ptr<const actors::clock> clock;
  std::shared_ptr<crypto::library> library;
};

class engine {
 public:
  // Sockets are open and everything runs when it returns. Errors: what the host refuses, with what
  // would help.
  static result<std::unique_ptr<engine>> start(engine_options options);
  // Stops, without waiting for peers.
  ~engine();
  engine(const engine&) = delete;
  engine& operator=(const engine&) = delete;

  // Replaces what configurations loaded before; all or nothing. Connections that did not change
  // keep their SAs; start actions of new ones run.
  status load(config::configuration configuration);
  // The same from swanctl.conf text, without files. Errors: the first of the configuration's.
  status load_text(std::string_view text);

  using callback = std::function<void(status)>;
  // Brings up a Child SA (and its IKE SA if there is none). `connection` may be empty if only one
  // has a child of that name. The callback comes once, on the executor.
  void initiate(std::string connection, std::string child, callback done);
  // Closes Child SAs by name, or all IKE SAs of a connection if `child` is empty. The callback
  // comes when all are closed. Error: not_found.
  void terminate(std::string connection, std::string child, callback done);
  void rekey(std::string connection, std::string child, callback done);

  // As last published by each IKE SA.
  std::vector<ike_sa_status_ptr> list();

  std::uint16_t nat_port() const;
  kernel_if::backend* backend();  // null without a data plane; for embedders that own one
  instant now() const;

  // Deletes every SA, waits for the peers at most stop_timeout, then ends all actors and removes
  // everything from the data plane. Once; the destructor does without waiting.
  void stop();

  actors::engine_parts& parts() { return *parts_; }

 private:
  engine() = default;
  std::unique_ptr<actors::engine_parts> parts_;
};

}  // namespace imago
