// What ESP needs to know of an IP packet, and how transport mode makes one anew.
#pragma once

#include <optional>

#include "core/base/address.hpp"
#include "core/base/traffic_selector.hpp"

namespace imago::kernel_if::user_esp {

// The selector fields of a packet (RFC 4301 §4.4.1.1) and where its parts lie.
struct ip_packet {
  ip_address source;
  ip_address destination;
  std::uint8_t protocol = 0;  // of the upper layer, behind IPv6 extension headers
  // The port of a protocol that has ports; type and code of ICMP, in both (RFC 7296 §3.13.1).
  bool has_ports = false;
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  bool is_fragment = false;
  std::uint8_t first_next_header = 0;  // the IP header's own protocol or next header field
  std::size_t ip_header_size = 0;      // with IPv4 options, without IPv6 extension headers
  std::size_t upper_layer_at = 0;      // offset
  std::size_t size = 0;                // of the packet; what follows it is padding
};

// Nothing if it is no well-formed IPv4 or IPv6 packet.
std::optional<ip_packet> parse_ip_packet(bytes_view octets);

// Does the packet fit one of the selectors, as source / as destination? A port that is not there
// (later fragments, other protocols) fits only selectors of all ports or OPAQUE ones.
bool fits_as_source(const traffic_selectors& selectors, const ip_packet& packet);
bool fits_as_destination(const traffic_selectors& selectors, const ip_packet& packet);
traffic_selector source_selector(const ip_packet& packet);
traffic_selector destination_selector(const ip_packet& packet);

// Writes over `out` a packet with a new IP header (no options, hop limit 64, no fragment) and
// repairs the checksum of a TCP, UDP or ICMPv6 payload. False if it does not fit into an IP packet.
bool rebuild_ip_packet(const ip_address& source, const ip_address& destination,
                       std::uint8_t next_header, bytes_view payload, bytes& out);

}  // namespace imago::kernel_if::user_esp
