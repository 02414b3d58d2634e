// Every bound in one place, each with its reason.
#pragma once

#include <cstddef>
#include <cstdint>

namespace imago::limits {

// --- messages ---
// Larger datagrams cannot come over UDP anyway.
inline constexpr std::size_t datagram_size_max = 65535;
// A real IKE_AUTH has about 20 payloads; certificates and notifies may add some dozens.
inline constexpr std::size_t payload_count_max = 128;
// The SA payload of a generous peer holds some 20 proposals with some 30 transforms each.
inline constexpr std::size_t proposal_count_max = 64;
inline constexpr std::size_t transform_count_max = 256;  // the field is one octet
inline constexpr std::size_t selector_count_max = 255;   // the field is one octet
inline constexpr std::size_t configuration_attribute_count_max = 64;
inline constexpr std::size_t delete_spi_count_max = 1024;
// RFC 7383: 64 KiB in fragments of at least 512 octets.
inline constexpr std::size_t fragment_count_max = 128;
// A peer's chain: end entity, intermediates, no more than a deep hierarchy needs.
inline constexpr std::size_t certificate_count_max = 10;

// A message reassembled from fragments: what one UDP datagram could have held.
inline constexpr std::size_t reassembled_size_max = 65535;

// --- data plane ---
// Packets that wait for a larval SA: what arrives in one round trip of a busy TCP start.
inline constexpr std::size_t larval_queue_packets_max = 64;

}  // namespace imago::limits
