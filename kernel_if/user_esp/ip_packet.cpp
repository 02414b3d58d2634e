#include "kernel_if/user_esp/ip_packet.hpp"

#include <algorithm>

#include "core/base/reader.hpp"
#include "core/base/writer.hpp"

namespace imago::kernel_if::user_esp {

namespace {

constexpr std::uint8_t protocol_hop_by_hop = 0;
constexpr std::uint8_t protocol_icmp = 1;
constexpr std::uint8_t protocol_tcp = 6;
constexpr std::uint8_t protocol_udp = 17;
constexpr std::uint8_t protocol_dccp = 33;
constexpr std::uint8_t protocol_routing = 43;
constexpr std::uint8_t protocol_fragment = 44;
constexpr std::uint8_t protocol_icmpv6 = 58;
constexpr std::uint8_t protocol_destination_options = 60;
constexpr std::uint8_t protocol_sctp = 132;
constexpr std::uint8_t protocol_udp_lite = 136;
constexpr int extension_header_count_max = 8;  // RFC 8200 §4.1 names seven

bool carries_ports(std::uint8_t protocol) {
  return protocol == protocol_tcp || protocol == protocol_udp || protocol == protocol_dccp ||
         protocol == protocol_sctp || protocol == protocol_udp_lite;
}

void read_ports(ip_packet& packet, bytes_view octets) {
  reader in{octets.first(packet.size).subspan(packet.upper_layer_at)};
  if (carries_ports(packet.protocol)) {
    packet.source_port = in.u16();
    packet.destination_port = in.u16();
    packet.has_ports = in.ok();
  } else if (packet.protocol == protocol_icmp || packet.protocol == protocol_icmpv6) {
    packet.source_port = in.u16();  // type and code
    packet.destination_port = packet.source_port;
    packet.has_ports = in.ok();
  }
}

std::optional<ip_packet> parse_v4(bytes_view octets) {
  if (octets.size() < 20) return std::nullopt;
  ip_packet packet;
  packet.ip_header_size = (octets[0] & 0x0fU) * 4U;
  packet.size = static_cast<std::size_t>(octets[2] << 8 | octets[3]);
  if (packet.ip_header_size < 20 || packet.size < packet.ip_header_size ||
      packet.size > octets.size())
    return std::nullopt;
  auto fragment = static_cast<std::uint16_t>(octets[6] << 8 | octets[7]);
  bool is_later_fragment = (fragment & 0x1fff) != 0;
  packet.is_fragment = is_later_fragment || (fragment & 0x2000) != 0;
  packet.protocol = packet.first_next_header = octets[9];
  packet.source = *ip_address::from_octets(octets.subspan(12, 4));
  packet.destination = *ip_address::from_octets(octets.subspan(16, 4));
  packet.upper_layer_at = packet.ip_header_size;
  if (!is_later_fragment) read_ports(packet, octets);
  return packet;
}

std::optional<ip_packet> parse_v6(bytes_view octets) {
  if (octets.size() < 40) return std::nullopt;
  ip_packet packet;
  packet.ip_header_size = 40;
  packet.size = 40U + static_cast<std::size_t>(octets[4] << 8 | octets[5]);
  if (packet.size > octets.size()) return std::nullopt;
  packet.source = *ip_address::from_octets(octets.subspan(8, 16));
  packet.destination = *ip_address::from_octets(octets.subspan(24, 16));
  packet.protocol = packet.first_next_header = octets[6];
  packet.upper_layer_at = 40;
  bool is_later_fragment = false;
  for (int i = 0; i < extension_header_count_max && !is_later_fragment; ++i) {
    bool is_fragment_header = packet.protocol == protocol_fragment;
    if (!is_fragment_header && packet.protocol != protocol_hop_by_hop &&
        packet.protocol != protocol_routing && packet.protocol != protocol_destination_options)
      break;
    if (packet.size - packet.upper_layer_at < 8) return std::nullopt;
    auto header = octets.subspan(packet.upper_layer_at);
    std::size_t size = is_fragment_header ? 8U : (header[1] + 1U) * 8U;
    if (packet.size - packet.upper_layer_at < size) return std::nullopt;
    if (is_fragment_header) {
      packet.is_fragment = true;
      is_later_fragment = ((header[2] << 8 | header[3]) & 0xfff8) != 0;
    }
    packet.protocol = header[0];
    packet.upper_layer_at += size;
  }
  if (!is_later_fragment) read_ports(packet, octets);
  return packet;
}

bool fits(const traffic_selectors& selectors, const ip_packet& packet, const ip_address& address,
          std::uint16_t port) {
  return std::any_of(selectors.begin(), selectors.end(), [&](const traffic_selector& selector) {
    bool takes_any_port =
        selector.is_opaque() || (selector.start_port == 0 && selector.end_port == 65535);
    return (packet.has_ports || takes_any_port) &&
           selector.contains(address, packet.protocol, port);
  });
}

traffic_selector selector_of(const ip_packet& packet, const ip_address& address,
                             std::uint16_t port) {
  auto selector = traffic_selector::host(address);
  selector.ip_protocol = packet.protocol;
  if (packet.has_ports) selector.start_port = selector.end_port = port;
  return selector;
}

// The ones' complement sum of RFC 1071, not folded.
std::uint64_t sum_of(bytes_view octets, std::uint64_t sum = 0) {
  std::size_t i = 0;
  for (; i + 1 < octets.size(); i += 2)
    sum += static_cast<std::uint64_t>(octets[i]) << 8 | octets[i + 1];
  if (i < octets.size()) sum += static_cast<std::uint64_t>(octets[i]) << 8;
  return sum;
}

std::uint16_t folded(std::uint64_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

void put_u16(bytes& octets, std::size_t at, std::uint16_t value) {
  octets[at] = static_cast<std::uint8_t>(value >> 8);
  octets[at + 1] = static_cast<std::uint8_t>(value);
}

// RFC 3948 §3.1.2. Behind a NAT the sender computed the checksum over an address we do not see, so
// it is computed anew, the clause's second way: the ICV vouches for the octets. It is done always,
// as the sum is the same where no NAT was. A UDP checksum of zero (none, IPv4) stays zero.
void repair_checksum(bytes& octets) {
  auto packet = parse_ip_packet(octets);
  if (!packet || packet->is_fragment) return;
  std::size_t field = 0;
  std::size_t size_min = 0;
  switch (packet->protocol) {
    case protocol_tcp: field = 16, size_min = 20; break;
    case protocol_udp: field = 6, size_min = 8; break;
    case protocol_icmpv6: field = 2, size_min = 4; break;
    default: return;
  }
  std::size_t size = packet->size - packet->upper_layer_at;
  if (size < size_min) return;
  std::size_t at = packet->upper_layer_at + field;
  bool is_udp = packet->protocol == protocol_udp;
  if (is_udp && packet->source.is_v4() && octets[at] == 0 && octets[at + 1] == 0) return;
  put_u16(octets, at, 0);
  auto sum = sum_of(packet->source.octets(), sum_of(packet->destination.octets()));
  sum += packet->protocol + size;
  auto checksum = folded(sum_of(bytes_view{octets}.subspan(packet->upper_layer_at, size), sum));
  if (is_udp && checksum == 0) checksum = 0xffff;  // RFC 768: zero would say there is none
  put_u16(octets, at, checksum);
}

}  // namespace

std::optional<ip_packet> parse_ip_packet(bytes_view octets) {
  if (octets.empty()) return std::nullopt;
  switch (octets[0] >> 4) {
    case 4: return parse_v4(octets);
    case 6: return parse_v6(octets);
    default: return std::nullopt;
  }
}

bool fits_as_source(const traffic_selectors& selectors, const ip_packet& packet) {
  return fits(selectors, packet, packet.source, packet.source_port);
}

bool fits_as_destination(const traffic_selectors& selectors, const ip_packet& packet) {
  return fits(selectors, packet, packet.destination, packet.destination_port);
}

traffic_selector source_selector(const ip_packet& packet) {
  return selector_of(packet, packet.source, packet.source_port);
}

traffic_selector destination_selector(const ip_packet& packet) {
  return selector_of(packet, packet.destination, packet.destination_port);
}

bool rebuild_ip_packet(const ip_address& source, const ip_address& destination,
                       std::uint8_t next_header, bytes_view payload, bytes& out) {
  std::size_t header_size = source.is_v4() ? 20 : 40;
  // IPv4 counts its header, IPv6 does not.
  if (payload.size() > 65535 - (source.is_v4() ? header_size : 0)) return false;
  out.clear();
  writer header{std::move(out)};
  if (source.is_v4()) {
    header.u16(0x4500);
    header.u16(static_cast<std::uint16_t>(header_size + payload.size()));
    header.u32(0x00004000);  // DF: an atomic packet needs no ID (RFC 6864 §4.1)
    header.u8(64);
    header.u8(next_header);
    header.u16(0);
  } else {
    header.u32(0x60000000);
    header.u16(static_cast<std::uint16_t>(payload.size()));
    header.u8(next_header);
    header.u8(64);
  }
  header.put(source.octets());
  header.put(destination.octets());
  if (source.is_v4()) header.patch_u16(10, folded(sum_of(header.written())));
  header.put(payload);
  out = header.finish();
  repair_checksum(out);
  return true;
}

}  // namespace imago::kernel_if::user_esp
