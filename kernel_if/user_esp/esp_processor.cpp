#include "kernel_if/user_esp/esp_processor.hpp"

#include <algorithm>
#include <utility>

#include "core/base/reader.hpp"
#include "kernel_if/checks.hpp"

namespace imago::kernel_if::user_esp {

using namespace data_plane;

namespace {

// Before the last sequence number of a non-ESN SA: 4 minutes of a million packets a second.
constexpr std::uint64_t sequence_headroom = std::uint64_t{1} << 28;
// A policy without an SA asks again after this long, should the first request have led to nothing.
constexpr duration acquire_interval = std::chrono::seconds{5};
constexpr duration acquire_wait_max = std::chrono::seconds{limits::acquire_wait_seconds_max};

std::uint64_t last_sequence_of(const esp_sa& sa) {
  return sa.parameters.uses_esn ? ~std::uint64_t{0} : 0xffffffffU;
}

bool is_reached(std::uint64_t limit, std::uint64_t count) { return limit != 0 && count >= limit; }

}  // namespace

std::string_view name_of(drop_reason reason) {
  static constexpr std::string_view names[] = {
#define X(name, text) #name,
      IMAGO_ESP_DROPS(X)
#undef X
  };
  auto index = static_cast<std::size_t>(reason);
  return index < std::size(names) ? names[index] : std::string_view{};
}

// --- requests ------------------------------------------------------------------------------------

data_plane::reply esp_processor::carry_out(request&& request, instant now, outputs& out) {
  drop_stale(now);
  return std::visit([&](auto& one) { return perform(std::move(one), now, out); }, request);
}

data_plane::reply esp_processor::perform(allocate_spi&& request, instant, outputs&) {
  auto number = request.spi != 0 ? request.spi : sad_.choose_spi(random_);
  data_plane::sa_id id{direction::inbound, request.local, number};
  if (number < 256) return {errc::bad_value, text_of(id)};
  if (sad_.has_inbound(number)) return {errc::already_exists, text_of(id)};
  sad_.add_larval(id, request.remote);
  return spi_allocated{number};
}

data_plane::reply esp_processor::perform(install_sa&& request, instant now, outputs& out) {
  auto& parameters = request.sa;
  const kernel_if::capabilities only_esp;
  if (auto checked = check_parameters(parameters); !checked) return checked.failure();
  if (auto checked = check_abilities(only_esp, parameters); !checked) return checked.failure();
  for (const auto& policy : request.policies) {
    if (auto checked = check_policy(policy); !checked) return checked.failure();
    if (auto checked = check_abilities(only_esp, policy); !checked) return checked.failure();
  }
  if (!parameters.encap_local || !parameters.encap_remote)
    return {errc::not_supported, "ESP without UDP encapsulation"};
  const auto id = parameters.id;
  bool inbound = id.direction == direction::inbound;
  if (sad_.find(id)) return {errc::already_exists, text_of(id)};
  if (inbound && !sad_.has_larval(id)) return {errc::no_such_sa, text_of(id)};
  auto transform = esp_transform::make(parameters);
  if (!transform) return transform.failure();

  // From here on nothing can fail.
  parameters.encryption_key = {};
  parameters.integrity_key = {};
  auto larval = sad_.take_larval(id);
  replay_window window{inbound ? parameters.replay_window : 0, parameters.uses_esn};
  auto& sa = sad_.add(std::unique_ptr<esp_sa>(new esp_sa{std::move(parameters),
                                                         std::move(*transform),
                                                         std::move(window),
                                                         0,
                                                         {},
                                                         false,
                                                         false,
                                                         false,
                                                         {},
                                                         {}}));
  for (const auto& policy : request.policies) spd_.add(policy);
  if (larval && inbound) {
    larval_packet_count_ -= larval->waiting.size();
    for (auto& one : larval->waiting) receive(sa, one.remote, one.packet, now, out);
  }
  if (!inbound) release_waiting(sa.parameters.reqid, now, out);
  return done{};
}

data_plane::reply esp_processor::perform(remove_sa&& request, instant, outputs&) {
  if (auto larval = sad_.take_larval(request.id)) {
    larval_packet_count_ -= larval->waiting.size();
    for (std::size_t i = 0; i < larval->waiting.size(); ++i) count_drop(drop_reason::no_such_sa);
    return done{};
  }
  if (!sad_.remove(request.id)) return {errc::no_such_sa, text_of(request.id)};
  return done{};
}

data_plane::reply esp_processor::perform(install_policy&& request, instant, outputs&) {
  if (auto checked = check_policy(request.policy); !checked) return checked.failure();
  if (auto checked = check_abilities({}, request.policy); !checked) return checked.failure();
  spd_.add(request.policy);
  return done{};
}

data_plane::reply esp_processor::perform(remove_policy&& request, instant, outputs&) {
  if (auto removed = spd_.remove(request.policy); !removed) return removed.failure();
  if (!spd_.has(request.policy.reqid)) drop_waiting(request.policy.reqid);
  return done{};
}

data_plane::reply esp_processor::perform(update_sa&& request, instant, outputs&) {
  auto* sa = sad_.find(request.id);
  if (!sa) return {errc::no_such_sa, text_of(request.id)};
  if (request.encap_local.address.family() != request.encap_remote.address.family())
    return {errc::bad_value, "encapsulation endpoints of two families"};
  sa->parameters.encap_local = request.encap_local;
  sa->parameters.encap_remote = request.encap_remote;
  sa->reported_remote.reset();
  return done{};
}

data_plane::reply esp_processor::perform(query_sa&& request, instant, outputs&) {
  auto* sa = sad_.find(request.id);
  if (!sa) return {errc::no_such_sa, text_of(request.id)};
  return sa->usage;
}

data_plane::reply esp_processor::perform(query_activity&& request, instant, outputs&) {
  activity_list list;
  for (const auto& id : request.sas)
    if (auto* sa = sad_.find(id)) list.sas.emplace_back(id, sa->usage);
  return list;
}

data_plane::reply esp_processor::perform(flush&&, instant, outputs&) {
  sad_.clear();
  spd_.clear();
  larval_packet_count_ = 0;
  drops_[static_cast<std::size_t>(drop_reason::no_outbound_sa)] += waiting_packet_count_;
  waiting_.clear();
  waiting_packet_count_ = 0;
  return done{};
}

status esp_processor::set_sequence(const sa_id& id, std::uint64_t sequence) {
  auto* sa = sad_.find(id);
  if (!sa) return {errc::no_such_sa, text_of(id)};
  if (id.direction == direction::inbound) {
    sa->window.restart(sequence);
  } else {
    sa->last_sequence = sequence;
  }
  return {};
}

// --- outbound ------------------------------------------------------------------------------------

void esp_processor::on_inner_packet(bytes_view octets, instant now, outputs& out) {
  drop_stale(now);
  auto packet = parse_ip_packet(octets);
  if (!packet) return count_drop(drop_reason::malformed);
  auto* entry = spd_.find(*packet);
  if (!entry) return count_drop(drop_reason::no_policy);
  auto* sa = sad_.outbound_of(entry->policy.reqid);
  if (!sa) return acquire(*entry, *packet, octets.first(packet->size), now, out);
  send(*sa, *packet, octets.first(packet->size), now, out);
}

// The oldest are kept, as for a larval SA: see queue_for.
void esp_processor::acquire(spd_entry& entry, const ip_packet& packet, bytes_view octets,
                            instant now, outputs& out) {
  auto& waiting = waiting_[entry.policy.reqid];
  if (waiting.packets.size() >= limits::acquire_queue_packets_max ||
      waiting_packet_count_ >= limits::acquire_packets_total_max) {
    count_drop(drop_reason::acquire_queue_full);
  } else {
    if (waiting.packets.empty()) waiting.since = now;
    if (waiting_packet_count_++ == 0) oldest_waiting_ = now;
    waiting.packets.push_back(to_bytes(octets));
  }
  if (entry.acquired && now - *entry.acquired < acquire_interval) return;
  entry.acquired = now;
  out.events.emplace_back(
      sa_acquired{entry.policy.reqid, source_selector(packet), destination_selector(packet)});
}

// Each is asked about anew: policies may have changed since it came.
void esp_processor::release_waiting(std::uint32_t reqid, instant now, outputs& out) {
  auto at = waiting_.find(reqid);
  if (at == waiting_.end()) return;
  auto packets = std::move(at->second.packets);
  waiting_.erase(at);
  waiting_packet_count_ -= packets.size();
  for (auto& one : packets) {
    auto sent = out.esp.size();
    on_inner_packet(one, now, out);
    if (out.esp.size() != sent) out.released.push_back(std::move(one));
  }
}

void esp_processor::drop_waiting(std::uint32_t reqid) {
  auto at = waiting_.find(reqid);
  if (at == waiting_.end()) return;
  waiting_packet_count_ -= at->second.packets.size();
  drops_[static_cast<std::size_t>(drop_reason::no_outbound_sa)] += at->second.packets.size();
  waiting_.erase(at);
}

void esp_processor::drop_stale(instant now) {
  if (waiting_packet_count_ == 0 || now - oldest_waiting_ < acquire_wait_max) return;
  oldest_waiting_ = now;
  std::vector<std::uint32_t> stale;
  for (const auto& [reqid, one] : waiting_) {
    if (now - one.since >= acquire_wait_max)
      stale.push_back(reqid);
    else
      oldest_waiting_ = std::min(oldest_waiting_, one.since);
  }
  for (auto reqid : stale) drop_waiting(reqid);
}

void esp_processor::send(esp_sa& sa, const ip_packet& inner, bytes_view octets, instant now,
                         outputs& out) {
  if (sa.is_hard_reported || sa.last_sequence >= last_sequence_of(sa))
    return count_drop(drop_reason::lifetime_over);
  auto next_header = inner.source.is_v4() ? next_header_ipv4 : next_header_ipv6;
  auto payload = octets;
  if (sa.parameters.mode == mode::transport) {
    if (inner.is_fragment) return count_drop(drop_reason::unsupported);
    next_header = inner.first_next_header;
    payload = octets.subspan(inner.ip_header_size);
  }
  auto& packet = out.esp.add();
  // A number is spent even if sealing fails: it may have met the key.
  esp_numbers numbers{sa.parameters.id.spi, ++sa.last_sequence};
  if (!sa.transform.seal(numbers, next_header, payload, random_, packet.packet)) {
    out.esp.drop_last();
    return count_drop(drop_reason::malformed);
  }
  packet.local = *sa.parameters.encap_local;
  packet.remote = *sa.parameters.encap_remote;
  account(sa, octets.size(), now, out);
}

// Counts a packet and reports limits. The packet that reaches a hard limit still passes.
void esp_processor::account(esp_sa& sa, std::size_t octets, instant now, outputs& out) {
  auto& usage = sa.usage;
  usage.octets += octets;
  ++usage.packets;
  usage.last_used = now;
  const auto& limit = sa.parameters.lifetime;
  bool outbound = sa.parameters.id.direction == direction::outbound;
  // RFC 4303 §3.3.3: the numbers may not cycle; a new SA is needed before they end.
  auto sequence_left = last_sequence_of(sa) - sa.last_sequence;
  bool is_soft = is_reached(limit.soft_octets, usage.octets) ||
                 is_reached(limit.soft_packets, usage.packets) ||
                 (outbound && sequence_left < sequence_headroom);
  bool is_hard = is_reached(limit.hard_octets, usage.octets) ||
                 is_reached(limit.hard_packets, usage.packets) || (outbound && sequence_left == 0);
  if (is_soft && !std::exchange(sa.is_soft_reported, true))
    out.events.emplace_back(lifetime_reached{sa.parameters.id, false});
  if (is_hard && !std::exchange(sa.is_hard_reported, true))
    out.events.emplace_back(lifetime_reached{sa.parameters.id, true});
}

// --- inbound -------------------------------------------------------------------------------------

void esp_processor::on_esp_packet(const endpoint& local, const endpoint& remote, bytes_view packet,
                                  instant now, outputs& out) {
  if (packet.size() < esp_header_size) return count_drop(drop_reason::malformed);
  auto number = reader{packet}.u32();
  if (auto* sa = sad_.find_inbound(number)) return receive(*sa, remote, packet, now, out);
  if (auto* larval = sad_.find_larval(number)) return queue_for(*larval, local, remote, packet);
  count_drop(drop_reason::no_such_sa);
}

// The oldest are kept and the newest dropped: what a peer sends first (a TCP SYN, a handshake) is
// what must not be lost, and later packets are sent again anyway.
void esp_processor::queue_for(larval_sa& larval, const endpoint& local, const endpoint& remote,
                              bytes_view packet) {
  if (larval.waiting.size() >= limits::larval_queue_packets_max ||
      larval_packet_count_ >= limits::larval_packets_total_max)
    return count_drop(drop_reason::larval_queue_full);
  larval.waiting.push_back({local, remote, to_bytes(packet)});
  ++larval_packet_count_;
}

void esp_processor::receive(esp_sa& sa, const endpoint& remote, bytes_view packet, instant now,
                            outputs& out) {
  if (sa.is_hard_reported) return count_drop(drop_reason::lifetime_over);
  reader in{packet};
  in.u32();
  auto sequence = sa.window.infer(in.u32());
  if (!sequence || !sa.window.is_fresh(*sequence)) {
    ++sa.usage.replayed;
    return count_drop(drop_reason::replayed);
  }
  std::uint8_t next_header = 0;
  if (!open(sa, *sequence, packet, next_header)) return;
  bool is_highest = sa.window.accept(*sequence);
  // A packet overtaken on the way may still come from where the peer was before.
  if (is_highest) report_remote(sa, remote, out);

  bool is_dummy = next_header == next_header_dummy;
  bool delivers = false;
  std::size_t inner_size = is_dummy ? 0 : opened_.size();
  if (is_dummy) {
    count_drop(drop_reason::dummy);
  } else {
    auto& inner = out.inner.add();
    delivers = unwrap(sa, next_header, inner);
    if (delivers) {
      inner_size = inner.size();
    } else {
      out.inner.drop_last();
    }
  }
  // A dummy proves too that the peer uses the SA.
  if ((delivers || is_dummy) && sa.parameters.reports_first_use &&
      !std::exchange(sa.is_first_use_reported, true))
    out.events.emplace_back(sa_first_used{sa.parameters.id});
  // Authentic, so the peer lives; whether its content was wanted is another question.
  if (is_activity_due(sa.parameters.activity_interval, sa.activity_reported, now)) {
    sa.activity_reported = now;
    out.events.emplace_back(sa_active{sa.parameters.id});
  }
  account(sa, inner_size, now, out);
}

bool esp_processor::unwrap(esp_sa& sa, std::uint8_t next_header, bytes& to) {
  std::optional<ip_packet> packet;
  if (sa.parameters.mode == mode::tunnel) {
    packet = parse_ip_packet(opened_);
    bool is_v4 = packet && packet->source.is_v4();
    if (!packet || next_header != (is_v4 ? next_header_ipv4 : next_header_ipv6)) {
      count_drop(drop_reason::malformed);
      return false;
    }
    opened_.resize(packet->size);  // what follows is padding against analysis (RFC 4303 §2.7)
    std::swap(to, opened_);
  } else {
    const auto& source = sa.parameters.encap_remote->address;
    const auto& destination = sa.parameters.encap_local->address;
    if (rebuild_ip_packet(source, destination, next_header, opened_, to))
      packet = parse_ip_packet(to);
    if (!packet || packet->is_fragment) {
      count_drop(packet ? drop_reason::unsupported : drop_reason::malformed);
      return false;
    }
  }
  // RFC 4301 §5.2 step 4: the packet must be one that the SA was made for.
  if (fits_as_source(sa.parameters.remote_selectors, *packet) &&
      fits_as_destination(sa.parameters.local_selectors, *packet))
    return true;
  ++sa.usage.selector_mismatched;
  count_drop(drop_reason::selector_mismatched);
  return false;
}

bool esp_processor::open(esp_sa& sa, std::uint64_t sequence, bytes_view packet,
                         std::uint8_t& next_header) {
  auto opened = sa.transform.open({sa.parameters.id.spi, sequence}, packet, opened_);
  if (opened) {
    next_header = *opened;
    return true;
  }
  switch (opened.failure().code) {
    case errc::input_too_short:
    case errc::bad_length: count_drop(drop_reason::malformed); break;
    case errc::bad_padding:
      // It was authentic, so its number is used up.
      sa.window.accept(sequence);
      count_drop(drop_reason::bad_padding);
      break;
    default: ++sa.usage.integrity_failed; count_drop(drop_reason::integrity_failed);
  }
  return false;
}

void esp_processor::report_remote(esp_sa& sa, const endpoint& remote, outputs& out) {
  if (remote == *sa.parameters.encap_remote) {
    sa.reported_remote.reset();
  } else if (sa.reported_remote != remote) {
    sa.reported_remote = remote;
    out.events.emplace_back(remote_endpoint_changed{sa.parameters.id, remote});
  }
}

}  // namespace imago::kernel_if::user_esp
