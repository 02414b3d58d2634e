// What must hold in a world, whatever the order of deliveries. Some of it is looked at during every
// delivery, the rest when all is quiet.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "world/world.hpp"

namespace imago::world {

class invariants {
 public:
  // Watches from now on; the world outlives it.
  explicit invariants(world& in);
  ~invariants();
  invariants(const invariants&) = delete;
  invariants& operator=(const invariants&) = delete;

  // During every delivery: a message has the same octets whenever it is sent; a response follows
  // the acknowledgement of the inbound SA; packets of one IKE SA keep their order; epochs grow;
  // nothing is sent on an uplink that is down. The first that was broken.
  const std::optional<std::string>& violated() const { return violated_; }
  // Looks at everything that must hold when all is quiet: both ends of every IKE SA agree on it and
  // on its Child SAs, with the same keys; one usable Child SA a configuration; the data planes hold
  // just that; no digest, no exchange, no larval SA, no key outlives its SA; queues keep their
  // limits.
  const std::optional<std::string>& check_quiet();
  // ... and when everything was closed: nothing is left anywhere.
  const std::optional<std::string>& check_empty();

 private:
  struct message_key {
    host_number from;
    std::uint64_t initiator_spi, responder_spi;
    std::uint32_t message_id;
    bool is_response, from_initiator;
    std::uint16_t fragment;
    friend auto operator<=>(const message_key&, const message_key&) = default;
  };

  void fail(std::string what);
  void on_wire(const datagram& what);
  void before(const letter& what);
  void after(party_id receiver);
  void check_response(const datagram& what);
  void check_host_quiet(host& one);
  void check_pair(host& one, host& other);

  world& in_;
  std::function<bool(datagram&)> outer_on_wire_;
  std::optional<std::string> violated_;
  std::map<message_key, std::size_t> said_;  // hashes: a long run says gigabytes
  std::map<party_id, std::uint64_t> epochs_;
  std::map<party_id, std::weak_ptr<const ikev2::ike_keys>> keys_;  // of each ike_sa
  std::map<const actors::packet*, letter_id> arrived_;             // at a demux
  std::map<party_id, letter_id> last_packet_;                      // of an ike_sa
  bool has_killed_ = false;  // then an SA of a model may be gone before the model is
};

}  // namespace imago::world
