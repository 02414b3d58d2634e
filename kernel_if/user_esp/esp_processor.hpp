// User-space ESP without clock, thread, socket or device: packets in, packets out. A deterministic
// world steps it by hand; user_esp::backend drives it live. Not thread-safe.
//
// Outbound: inner packet -> SPD -> newest outbound SA of the reqid -> ESP packet for UDP.
// Inbound: ESP packet -> SA by SPI (larval: queued) -> window -> open -> window -> selectors ->
// inner packet. ESP in UDP only (RFC 3948): the caller owns the sockets.
// A policy without an SA asks for one (sa_acquired); its packets wait, in order, and leave when the
// outbound SA is installed. They are dropped and counted when the policy goes, or after a minute.
// They are plaintext of users: nothing of them is logged.
//
// Transport mode: the IP header is taken off and made anew at the other end from the SA's
// encapsulation endpoints; IPv4 options do not survive. Checksums of TCP, UDP and ICMPv6 are
// computed anew inbound, so that a NAT between does no harm (RFC 3948 §3.1.2). Fragments are not
// taken (RFC 4303 §3.1.1: whole datagrams only).
#pragma once

#include <array>
#include <unordered_map>

#include "core/base/limits.hpp"
#include "kernel_if/user_esp/reused_list.hpp"
#include "kernel_if/user_esp/sad.hpp"
#include "kernel_if/user_esp/spd.hpp"

namespace imago::kernel_if::user_esp {

// Why a packet went no further.
#define IMAGO_ESP_DROPS(X)                                                               \
  X(malformed, "not a well-formed packet")                                               \
  X(no_such_sa, "no SA has this SPI")                                                    \
  X(larval_queue_full, "too many packets wait for the larval SA; the newest is dropped") \
  X(integrity_failed, "the ICV is wrong")                                                \
  X(replayed, "the sequence number was seen or is too old")                              \
  X(bad_padding, "the padding is wrong")                                                 \
  X(dummy, "a dummy packet (next header 59)")                                            \
  X(selector_mismatched, "the inner packet does not fit the SA's selectors")             \
  X(lifetime_over, "the SA is at its hard limit")                                        \
  X(no_policy, "no policy wants the packet")                                             \
  X(no_outbound_sa, "the policy got no SA in time, or went")                             \
  X(acquire_queue_full, "too many packets wait for an SA; the newest is dropped")        \
  X(unsupported, "a fragment in transport mode")                                         \
  X(queue_full, "the queue before user-space ESP is full")                               \
  X(not_written, "the device did not take the packet")

enum class drop_reason : std::uint8_t {
#define X(name, text) name,
  IMAGO_ESP_DROPS(X)
#undef X
      count
};
std::string_view name_of(drop_reason reason);  // "integrity_failed"

using drop_counters = std::array<std::uint64_t, static_cast<std::size_t>(drop_reason::count)>;

// An ESP packet to send in UDP.
struct esp_output {
  endpoint local;
  endpoint remote;
  bytes packet;
};

// What one step gave, in order within each list. Kept by the caller and cleared between steps.
struct outputs {
  reused_list<esp_output> esp;
  reused_list<bytes> inner;
  std::vector<data_plane::event> events;
  // For observers: what had waited for an SA and is now the first of `esp`, in the same order.
  std::vector<bytes> released;
  void clear() {
    esp.clear();
    inner.clear();
    events.clear();
    released.clear();
  }
};

class esp_processor {
 public:
  // `random` (SPIs, IVs of AES-CBC) must outlive it.
  explicit esp_processor(random_source& random) : random_{random} {}

  // Appends to `out` what an installed SA releases.
  data_plane::reply carry_out(data_plane::request&& request, instant now, outputs& out);
  void on_inner_packet(bytes_view packet, instant now, outputs& out);
  // `packet` begins with the SPI.
  void on_esp_packet(const endpoint& local, const endpoint& remote, bytes_view packet, instant now,
                     outputs& out);

  // Goes on from `sequence`: the last sent, or the highest seen. For tests of the end of the
  // numbers and for taking over an SA. no_such_sa.
  status set_sequence(const data_plane::sa_id& id, std::uint64_t sequence);

  const drop_counters& drops() const { return drops_; }
  std::uint64_t drops(drop_reason reason) const { return drops_[static_cast<std::size_t>(reason)]; }
  void count_drop(drop_reason reason) { ++drops_[static_cast<std::size_t>(reason)]; }

  std::size_t sa_count() const { return sad_.mature_count(); }
  std::size_t larval_count() const { return sad_.larval_count(); }
  std::size_t policy_count() const { return spd_.size(); }
  std::size_t waiting_count() const { return waiting_packet_count_; }  // for an outbound SA

 private:
  data_plane::reply perform(data_plane::allocate_spi&& request, instant now, outputs& out);
  data_plane::reply perform(data_plane::install_sa&& request, instant now, outputs& out);
  data_plane::reply perform(data_plane::remove_sa&& request, instant now, outputs& out);
  data_plane::reply perform(data_plane::install_policy&& request, instant now, outputs& out);
  data_plane::reply perform(data_plane::remove_policy&& request, instant now, outputs& out);
  data_plane::reply perform(data_plane::update_sa&& request, instant now, outputs& out);
  data_plane::reply perform(data_plane::query_sa&& request, instant now, outputs& out);
  data_plane::reply perform(data_plane::query_activity&& request, instant now, outputs& out);
  data_plane::reply perform(data_plane::flush&& request, instant now, outputs& out);

  void receive(esp_sa& sa, const endpoint& remote, bytes_view packet, instant now, outputs& out);
  bool open(esp_sa& sa, std::uint64_t sequence, bytes_view packet, std::uint8_t& next_header);
  // The inner packet's octets into `to`; false (and counted) if there is none to deliver.
  bool unwrap(esp_sa& sa, std::uint8_t next_header, bytes& to);
  void report_remote(esp_sa& sa, const endpoint& remote, outputs& out);
  void queue_for(larval_sa& larval, const endpoint& local, const endpoint& remote,
                 bytes_view packet);
  void account(esp_sa& sa, std::size_t octets, instant now, outputs& out);
  void send(esp_sa& sa, const ip_packet& inner, bytes_view octets, instant now, outputs& out);
  // Keeps `octets`, and asks for an SA unless that was done just now.
  void acquire(spd_entry& entry, const ip_packet& packet, bytes_view octets, instant now,
               outputs& out);
  void release_waiting(std::uint32_t reqid, instant now, outputs& out);
  void drop_waiting(std::uint32_t reqid);
  void drop_stale(instant now);

  // Packets without an outbound SA, of one reqid.
  struct waiting_packets {
    instant since;  // the first of them
    std::vector<bytes> packets;
  };

  random_source& random_;
  sad sad_;
  spd spd_;
  drop_counters drops_{};
  std::size_t larval_packet_count_ = 0;                         // over all larval SAs
  std::unordered_map<std::uint32_t, waiting_packets> waiting_;  // by reqid
  std::size_t waiting_packet_count_ = 0;
  instant oldest_waiting_;  // not later than the oldest of them
  bytes opened_;            // the payload of the packet at hand
};

}  // namespace imago::kernel_if::user_esp
