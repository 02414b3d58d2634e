// Two user-space ESP processors that face each other, and packets to send through them.
#pragma once

#include <utility>

#include "core/base/reader.hpp"
#include "core/base/writer.hpp"
#include "kernel_if/user_esp/esp_processor.hpp"

namespace imago::testing {

using kernel_if::user_esp::drop_reason;
using kernel_if::user_esp::esp_processor;
using kernel_if::user_esp::outputs;

// Repeats from run to run.
class seeded_random final : public random_source {
 public:
  explicit seeded_random(std::uint64_t seed = 1) : state_{seed * 0x9e3779b97f4a7c15U + 1} {}
  void fill(std::span<std::uint8_t> out) override {
    for (auto& octet : out) {
      state_ ^= state_ << 13;
      state_ ^= state_ >> 7;
      state_ ^= state_ << 17;
      octet = static_cast<std::uint8_t>(state_ >> 24);
    }
  }

 private:
  std::uint64_t state_;
};

inline ip_address at(std::string_view text) { return *ip_address::parse(text); }
inline traffic_selectors net(std::string_view text) {
  return {traffic_selector::from_prefix(*ip_prefix::parse(text))};
}
inline instant second(std::int64_t count) { return {std::chrono::seconds{count}}; }
inline bytes from_hex(std::string_view text) {
  bytes out;
  int high = -1;
  for (char c : text) {
    int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (digit < 0) continue;
    if (high >= 0) out.push_back(static_cast<std::uint8_t>(high << 4 | digit));
    high = high >= 0 ? -1 : digit;
  }
  return out;
}

// RFC 1071, said in its simplest form and not shared with what is tested.
inline std::uint16_t checksum_of(bytes octets) {
  if (octets.size() % 2 != 0) octets.push_back(0);
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < octets.size(); i += 2) {
    sum += static_cast<std::uint32_t>(octets[i] << 8 | octets[i + 1]);
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return static_cast<std::uint16_t>(~sum);
}

inline bytes pseudo_header(const ip_address& from, const ip_address& to, std::uint8_t protocol,
                           std::size_t size) {
  writer out;
  out.put(from.octets());
  out.put(to.octets());
  out.u32(static_cast<std::uint32_t>(size));
  out.u32(protocol);
  return out.finish();
}

inline std::uint16_t upper_checksum(const ip_address& from, const ip_address& to,
                                    std::uint8_t protocol, const bytes& upper) {
  auto all = pseudo_header(from, to, protocol, upper.size());
  append(all, upper);
  return checksum_of(all);
}

// An IP packet of either family around an upper-layer header and its data.
inline bytes ip_packet_of(const ip_address& from, const ip_address& to, std::uint8_t protocol,
                          const bytes& upper) {
  writer out;
  if (from.is_v4()) {
    out.u16(0x4500);
    out.u16(static_cast<std::uint16_t>(20 + upper.size()));
    out.u32(0x12340000);
    out.u8(64);
    out.u8(protocol);
    out.u16(0);
  } else {
    out.u32(0x60000000);
    out.u16(static_cast<std::uint16_t>(upper.size()));
    out.u8(protocol);
    out.u8(64);
  }
  out.put(from.octets());
  out.put(to.octets());
  if (from.is_v4()) out.patch_u16(10, checksum_of(out.written()));
  out.put(upper);
  return out.finish();
}

inline bytes udp_packet(const endpoint& from, const endpoint& to, std::string_view data) {
  writer out;
  out.u16(from.port);
  out.u16(to.port);
  out.u16(static_cast<std::uint16_t>(8 + data.size()));
  out.u16(0);
  out.put(to_bytes(data));
  out.patch_u16(6, upper_checksum(from.address, to.address, 17, out.written()));
  return ip_packet_of(from.address, to.address, 17, out.finish());
}

inline bytes tcp_packet(const endpoint& from, const endpoint& to, std::string_view data) {
  writer out;
  out.u16(from.port);
  out.u16(to.port);
  out.u64(0x0000000100000002);
  out.u32(0x50102000);  // header of 5 words, ACK, window
  out.u32(0);           // checksum, urgent pointer
  out.put(to_bytes(data));
  out.patch_u16(16, upper_checksum(from.address, to.address, 6, out.written()));
  return ip_packet_of(from.address, to.address, 6, out.finish());
}

struct suite {
  const char* name;
  encryption_algorithm encryption;
  std::uint16_t key_bits;
  std::size_t encryption_key_size;
  integrity_algorithm integrity;
  std::size_t integrity_key_size;
};
inline constexpr suite suites[] = {
    {"AES-GCM-128", encryption_algorithm::aes_gcm_16, 128, 20, integrity_algorithm::none, 0},
    {"AES-GCM-192", encryption_algorithm::aes_gcm_16, 192, 28, integrity_algorithm::none, 0},
    {"AES-GCM-256", encryption_algorithm::aes_gcm_16, 256, 36, integrity_algorithm::none, 0},
    {"ChaCha20", encryption_algorithm::chacha20_poly1305, 0, 36, integrity_algorithm::none, 0},
    {"AES-CBC-128", encryption_algorithm::aes_cbc, 128, 16, integrity_algorithm::hmac_sha2_256_128,
     32},
    {"AES-CBC-192", encryption_algorithm::aes_cbc, 192, 24, integrity_algorithm::hmac_sha2_384_192,
     48},
    {"AES-CBC-256", encryption_algorithm::aes_cbc, 256, 32, integrity_algorithm::hmac_sha2_512_256,
     64},
};

inline bytes key_of(std::size_t size, std::uint8_t start) {
  bytes key(size);
  for (auto& octet : key) octet = start++;
  return key;
}

// What both ends of one SA share; changed by a test before it installs.
struct plan {
  suite algorithms = suites[0];
  data_plane::mode mode = data_plane::mode::tunnel;
  bool uses_esn = false;
  std::uint32_t replay_window = 64;
  data_plane::lifetime lifetime;
  bool reports_first_use = false;
  duration activity_interval{};
  std::uint32_t reqid = 7;
  std::uint8_t key_start = 0x10;
};

struct peer {
  endpoint outer;
  traffic_selectors inner;
  seeded_random random;
  esp_processor processor{random};
  outputs out;

  peer(endpoint outer_at, traffic_selectors selectors, std::uint64_t seed)
      : outer{outer_at}, inner{std::move(selectors)}, random{seed} {}
  data_plane::reply carry_out(data_plane::request request, instant now = second(1)) {
    return processor.carry_out(std::move(request), now, out);
  }
};

// One SA from `from` to `to`, as the end of that direction sees it.
inline data_plane::sa_parameters parameters(const plan& how, data_plane::direction direction,
                                            const peer& own, const peer& other,
                                            data_plane::spi spi) {
  data_plane::sa_parameters sa;
  bool inbound = direction == data_plane::direction::inbound;
  sa.id = {direction, inbound ? own.outer.address : other.outer.address, spi};
  sa.source = inbound ? other.outer.address : own.outer.address;
  sa.mode = how.mode;
  sa.reqid = how.reqid;
  sa.encryption = how.algorithms.encryption;
  sa.key_bits = how.algorithms.key_bits;
  sa.encryption_key = secret{key_of(how.algorithms.encryption_key_size, how.key_start)};
  sa.integrity = how.algorithms.integrity;
  sa.integrity_key = secret{key_of(how.algorithms.integrity_key_size, 0x80)};
  sa.uses_esn = how.uses_esn;
  sa.replay_window = how.replay_window;
  sa.encap_local = own.outer;
  sa.encap_remote = other.outer;
  sa.lifetime = how.lifetime;
  sa.local_selectors = own.inner;
  sa.remote_selectors = other.inner;
  sa.reports_first_use = how.reports_first_use;
  sa.activity_interval = how.activity_interval;
  return sa;
}

inline data_plane::policy policy_between(const plan& how, const peer& own, const peer& other) {
  return {how.reqid,           how.mode, own.inner, other.inner, own.outer.address,
          other.outer.address, true};
}

// Packets flow from `a` to `b`; the way back is not set up.
struct one_way {
  peer a;
  peer b;
  plan how;
  data_plane::sa_id outbound;  // at a
  data_plane::sa_id inbound;   // at b

  one_way()
      : one_way({at("192.0.2.1"), 4500}, net("10.1.0.0/16"), {at("192.0.2.2"), 4500},
                net("10.2.0.0/16")) {}
  one_way(endpoint a_at, traffic_selectors a_inner, endpoint b_at, traffic_selectors b_inner)
      : a{a_at, std::move(a_inner), 1}, b{b_at, std::move(b_inner), 2} {}

  data_plane::spi allocate() {
    auto reply = b.carry_out(data_plane::allocate_spi{b.outer.address, a.outer.address});
    return std::get<data_plane::spi_allocated>(*reply).spi;
  }
  data_plane::reply install_inbound(data_plane::spi spi) {
    auto sa = parameters(how, data_plane::direction::inbound, b, a, spi);
    inbound = sa.id;
    return b.carry_out(data_plane::install_sa{std::move(sa), {}});
  }
  data_plane::reply install_outbound(data_plane::spi spi, bool with_policy = true) {
    auto sa = parameters(how, data_plane::direction::outbound, a, b, spi);
    outbound = sa.id;
    std::vector<data_plane::policy> policies;
    if (with_policy) policies.push_back(policy_between(how, a, b));
    return a.carry_out(data_plane::install_sa{std::move(sa), std::move(policies)});
  }
  bool install() {
    auto spi = allocate();
    return install_inbound(spi).has_value() && install_outbound(spi).has_value();
  }

  // The ESP packet for an inner one; empty if none came.
  bytes seal(const bytes& inner, instant now = second(2)) {
    a.out.clear();
    a.processor.on_inner_packet(inner, now, a.out);
    return a.out.esp.size() == 1 ? a.out.esp[0].packet : bytes{};
  }
  // The inner packet of an ESP one; empty if none came.
  bytes open(const bytes& packet, instant now = second(3)) {
    return open_from(a.outer, packet, now);
  }
  bytes open_from(const endpoint& remote, const bytes& packet, instant now = second(3)) {
    b.out.clear();
    b.processor.on_esp_packet(b.outer, remote, packet, now, b.out);
    return b.out.inner.size() == 1 ? b.out.inner[0] : bytes{};
  }
  data_plane::sa_usage usage_in() {
    return std::get<data_plane::sa_usage>(*b.carry_out(data_plane::query_sa{inbound}));
  }
  data_plane::sa_usage usage_out() {
    return std::get<data_plane::sa_usage>(*a.carry_out(data_plane::query_sa{outbound}));
  }
  std::uint64_t dropped(drop_reason why) const { return b.processor.drops(why); }
};

inline bytes hello(std::uint16_t number = 0) {
  return udp_packet({at("10.1.0.5"), 1000}, {at("10.2.0.9"), static_cast<std::uint16_t>(2000)},
                    "hello " + std::to_string(number));
}

template <class Event>
std::vector<Event> events_of(const outputs& out) {
  std::vector<Event> list;
  for (const auto& one : out.events)
    if (auto* event = std::get_if<Event>(&one)) list.push_back(*event);
  return list;
}

}  // namespace imago::testing
