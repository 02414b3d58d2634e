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

// --- configuration ---
// A file of ten thousand connections has some 10 MiB; nobody writes more by hand or by generator.
inline constexpr std::size_t config_text_size_max = 16 * 1024 * 1024;
// Includes nest in conf.d style twice or thrice; this stops a file that includes itself.
inline constexpr int config_include_depth_max = 16;
// A file per connection is usual in conf.d; with the depth this bounds what an include can cost.
inline constexpr std::size_t config_file_count_max = 16384;
// connections.<conn>.local.cert<x> is four deep; also the longest chain of references.
inline constexpr int config_section_depth_max = 16;
// Settings and sections, those inherited by references counted each time: ten thousand connections
// of a hundred items. References double with each level, so the count must be bounded.
inline constexpr std::size_t config_item_count_max = 1'000'000;
inline constexpr std::size_t config_name_size_max = 256;     // as swanctl has it
inline constexpr std::size_t config_value_size_max = 65535;  // what a vici value can carry
inline constexpr std::size_t config_list_count_max = 1024;   // items of one comma-separated list
// An operator mends one screen of errors, then runs it again.
inline constexpr std::size_t config_error_count_max = 20;
// The longest chains with PQC keys have some 100 KiB; a folder may hold anything by mistake.
inline constexpr std::size_t credential_size_max = 1024 * 1024;

// --- data plane ---
// Packets that wait for a larval SA: what arrives in one round trip of a busy TCP start.
inline constexpr std::size_t larval_queue_packets_max = 64;
// The same over all larval SAs of a data plane: 64 full queues, some 6 MB of full-sized packets.
inline constexpr std::size_t larval_packets_total_max = 4096;
// Packets that wait for the outbound SA of a policy: as many as Linux holds for one (100).
inline constexpr std::size_t acquire_queue_packets_max = 100;
// The same over all policies of a data plane: some 6 MB of full-sized packets.
inline constexpr std::size_t acquire_packets_total_max = 4096;
// So long they are of use to who sent them. Linux gives them up after as long; a data plane is not
// told that a negotiation has failed.
inline constexpr std::int64_t acquire_wait_seconds_max = 60;
// ESP packets on their way from the UDP readers to user-space ESP: some 5 ms at 1.5 Gbit/s.
inline constexpr std::size_t esp_queue_packets_max = 1024;
// Requests that a data plane has taken but not carried out: ten for each of 10,000 SAs at once.
inline constexpr std::size_t data_plane_requests_max = 100000;
// SAs that one look at the data plane's activity may ask for: more wait for the next.
inline constexpr std::size_t sas_queried_max = 65536;
// Kernel policies that one policy may take, counted in one direction: two lists of address ranges
// that need some 30 prefixes each. A port range beside an address range multiplies.
inline constexpr std::size_t policy_entries_max = 1024;

// --- the actors ---
// Packets on their way to one IKE SA: a window of one, its fragments, and a retransmission of each.
inline constexpr std::size_t ike_sa_inbox_max = 2 * fragment_count_max;
// IKE_SA_INIT requests that wait for a key pair: some 2 MB; each counts like a half-open IKE SA.
inline constexpr std::size_t init_waiting_max = 4096;
// Packets of IKE SAs on their way to the demux: what arrives in some 20 ms. More is dropped unseen.
inline constexpr std::size_t demux_inbox_max = 8192;
// IKE_SA_INIT requests at the front door, with a cookie and without, each: some 50 ms of work, 1
// MB. The oldest gives way.
inline constexpr std::size_t new_peers_waiting_max = 2048;
// Those that the demux looks at before others get their turn: some 0.3 ms.
inline constexpr std::size_t new_peers_in_a_row_max = 16;
// IKE SAs that are gone but whose last response the peer may not have: as many as a gateway closes
// in one retransmission span, some 6 MB. The oldest gives way; its peer then has to give up.
inline constexpr std::size_t closed_ike_sas_max = 16384;
// What each of them may keep, request and response: a Delete's have 80 octets each, a rekey's some
// 500, a refused IKE_AUTH one fragment (1280) and an error. Larger ones are not kept.
inline constexpr std::size_t closed_ike_sa_octets_max = 4096;
// Tasks that wait in one IKE SA: one for each Child SA of a generous configuration.
inline constexpr std::size_t task_queue_max = 256;
// Requests in flight to a data plane, of all SAs together.
inline constexpr std::size_t kernel_requests_max = 65536;

// Events that wait for an embedder's callback: more are dropped and counted, completions never.
inline constexpr std::size_t callback_queue_max = 65536;

// --- infrastructure of the actors ---
// Jobs that wait for a crypto thread. At about 1 ms a job, 1024 are the second after which a peer
// retransmits anyway (RFC 7296 §2.1): what would wait longer is better shed.
inline constexpr std::size_t crypto_queue_max = 1024;
// Facts that wait for the journal's thread: some 5 facts for each of 1600 handshakes at once, about
// 4 MB. More than that nobody reads; it is counted instead.
inline constexpr std::size_t journal_queue_max = 8192;
// Of one value that a peer chose, what a line shows: distinguished names are rarely longer.
inline constexpr std::size_t journal_peer_octets_max = 512;

// --- the control socket ---
// Operators, scripts, exporters: some at once, each with at most control_output_max of memory.
inline constexpr std::size_t control_clients_max = 128;
// Requests that a client sent ahead; then it is not read until some are answered.
inline constexpr std::size_t control_requests_max = 32;
// Octets that wait for a client: four of the largest segments. More ends the client.
inline constexpr std::size_t control_output_max = 2 * 1024 * 1024;
// Of these, how many may be events it can live without: half, so that answers still find room.
inline constexpr std::size_t control_events_max = control_output_max / 2;
// A stream of events pauses above this until the client has read half of it.
inline constexpr std::size_t control_stream_max = 256 * 1024;
// Octets worth a wake-up of the I/O thread while more of the same stream is being made.
inline constexpr std::size_t control_burst = 32 * 1024;
// IKE SAs whose counters are asked for at once: enough to keep the data plane busy.
inline constexpr std::size_t control_listing_batch = 64;

}  // namespace imago::limits
