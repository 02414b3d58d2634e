// The network of a world: datagrams between hosts, with everything that happens to them on the way.
// Values of chance come from the world's seed.
//
// Path: an engine sends -> NAT of the sender -> on_wire -> link (down, partition, MTU, loss,
// duplication, corruption, delay) -> NAT of the receiver -> the receiving host's `arrive`.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/base/address.hpp"
#include "core/base/random.hpp"
#include "core/base/time.hpp"

namespace imago::world {

// SplitMix64 as a random_source: for choices of the world, not for keys.
class seeded_random final : public random_source {
 public:
  explicit seeded_random(std::uint64_t seed) : state_{seed} {}
  void fill(std::span<std::uint8_t> out) override;
  std::uint64_t next();
  bool happens(double probability);
  std::size_t below(std::size_t count) { return count ? next() % count : 0; }

 private:
  std::uint64_t state_;
};

using host_number = std::uint32_t;

struct datagram {
  std::uint64_t id = 0;  // counts from 1 in the order of sending; a duplicate keeps it
  host_number from = 0;
  endpoint source, destination;  // as seen at this point of the way
  bytes octets;                  // an IKE message, or ESP; empty: a NAT keepalive
  bool is_esp = false;
  std::string label() const;  // "IKE_AUTH request 1"; "ESP c0ffee01 7"; "keepalive"; "garbage"
};

// One direction between two hosts. Probabilities are of each datagram.
struct link_conditions {
  duration delay{};
  duration jitter{};  // at most, added; more than the distance of two datagrams reorders them
  double loss = 0;
  double duplication = 0;
  double corruption = 0;              // one bit
  std::size_t datagram_size_max = 0;  // octets of UDP payload; larger are lost; 0: no limit
};

class network {
 public:
  using arrival = std::function<void(const datagram&)>;

  explicit network(std::uint64_t seed) : chance_{seed} {}

  // `arrive` is called when a datagram reaches one of the host's addresses.
  void add_host(host_number host, std::vector<ip_address> addresses, arrival arrive);
  // What leaves the host seems to come from `outside`, with ports of the NAT's own.
  void add_nat(host_number host, const ip_address& outside);
  // The NAT forgets: what is known outside reaches nobody, new ports are given.
  void remap(host_number host);

  link_conditions everywhere;
  void set_link(host_number from, host_number to, link_conditions conditions);
  void set_up(host_number host, bool is_up);  // its interface; down, nothing comes or goes
  bool is_up(host_number host) const { return down_.count(host) == 0; }
  std::function<void(host_number host, bool is_up)> on_link;  // set_up changed it
  // Hosts in different groups do not reach each other; who is in none reaches everybody.
  void partition(std::vector<std::set<host_number>> groups) { groups_ = std::move(groups); }

  // Sees each datagram when it is sent, may change it; false: it is lost.
  std::function<bool(datagram&)> on_wire;
  // Keeps everything sent, in order (before on_wire).
  bool keeps_sent = true;
  const std::vector<datagram>& sent() const { return sent_; }
  std::uint64_t sent_count() const { return next_id_ - 1; }

  // With `holds`, datagrams wait until a script delivers, drops or duplicates them.
  bool holds = false;
  std::vector<datagram> waiting;
  // From `waiting`, whatever `holds` says; false: not there.
  bool deliver(std::size_t index);
  // ... arrives at `due` instead, whatever the link's conditions are.
  bool delay(std::size_t index, instant due);
  // A second one right behind, with the same id.
  bool duplicate(std::size_t index);

  void send(instant now, host_number from, const endpoint& source, const endpoint& destination,
            bytes octets, bool is_esp);
  // Something that no engine sent, on the wire before the receiver.
  void inject(datagram what) { arrive(what); }

  std::optional<instant> next_due() const;
  void advance(instant now);  // what is due by then arrives

 private:
  struct nat_box {
    ip_address outside;
    std::map<endpoint, std::uint16_t> ports;      // of what is inside
    std::map<std::uint16_t, endpoint> inside_of;  // the other way round
    std::uint16_t next_port = 30000;
  };

  const link_conditions& link(host_number from, host_number to) const;
  bool are_parted(host_number one, host_number other) const;
  std::optional<host_number> host_at(const ip_address& address) const;
  void arrive(datagram what);
  std::optional<datagram> take(std::size_t index);  // from `waiting`

  seeded_random chance_;
  std::map<host_number, arrival> arrivals_;
  std::map<ip_address, host_number> addresses_;
  std::map<host_number, nat_box> nats_;
  std::map<std::pair<host_number, host_number>, link_conditions> links_;
  std::set<host_number> down_;
  std::vector<std::set<host_number>> groups_;
  std::multimap<instant, datagram> travelling_;
  std::vector<datagram> sent_;
  std::uint64_t next_id_ = 1;
};

}  // namespace imago::world
