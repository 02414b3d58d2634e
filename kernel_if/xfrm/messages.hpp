// XFRM netlink messages as values: what is said to the kernel's SAD and SPD, what it answers and
// reports. Pure functions both ways; <linux/xfrm.h> stays inside. Everything is in host order here.
#pragma once

#include "core/data_plane/values.hpp"

namespace imago::kernel_if::xfrm {

using data_plane::packet_mark;

// What a packet must be: XFRM knows prefixes and masked ports, no ranges.
struct selector {
  ip_prefix source;
  ip_prefix destination;
  std::uint8_t ip_protocol = 0;  // 0: any
  std::uint16_t source_port = 0;
  std::uint16_t source_port_mask = 0;  // 0: any
  std::uint16_t destination_port = 0;
  std::uint16_t destination_port_mask = 0;
  friend auto operator<=>(const selector&, const selector&) = default;
};

enum class policy_direction : std::uint8_t { in, out, forward };  // as the kernel numbers them
enum class policy_action : std::uint8_t { allow, block };

// By these the kernel knows a policy.
struct policy_key {
  policy_direction direction{};
  xfrm::selector selector;
  packet_mark mark;
  std::uint32_t if_id = 0;
  friend auto operator<=>(const policy_key&, const policy_key&) = default;
};

// The ESP that a policy wants.
struct policy_template {
  data_plane::mode mode{};
  ip_address source;  // outer; of transport mode unused
  ip_address destination;
  std::uint32_t reqid = 0;
  friend auto operator<=>(const policy_template&, const policy_template&) = default;
};

struct policy_entry {
  policy_key key;
  policy_action action = policy_action::allow;
  std::uint32_t priority = 0;                 // the lowest number wins
  std::optional<policy_template> protection;  // none: in the clear
  friend auto operator<=>(const policy_entry&, const policy_entry&) = default;
};

// By these the kernel knows an ESP SA.
struct sa_key {
  ip_address destination;
  data_plane::spi spi = 0;
  packet_mark mark;
  friend auto operator<=>(const sa_key&, const sa_key&) = default;
};

// When an SA speaks by XFRM_MSG_NEWAE. Both 0: never. Unset, the host's sysctls would decide.
struct activity_thresholds {
  std::uint32_t packets = 0;
  std::uint32_t timer = 0;  // as an attribute: jiffies
};

enum class sa_command : std::uint8_t { add, update };  // update: promotes a larval SA
enum class policy_command : std::uint8_t { add, update };

using sequence = std::uint32_t;

// A whole netlink message with NLM_F_REQUEST; it may carry keys, hence a secret. `label` and
// `index`: numbers that the kernel keeps and shows and that change nothing; 0: it chooses.
// Errors: unsupported_algorithm, bad_value (a name longer than the kernel's field).
result<secret> encode_sa(sa_command command, const data_plane::sa_parameters& sa,
                         const activity_thresholds& thresholds, sequence number,
                         sequence label = 0);
secret encode_delete_sa(const sa_key& key, sequence number);
secret encode_get_sa(const sa_key& key, sequence number);
secret encode_dump_sas(sequence number);
secret encode_allocate_spi(const ip_address& local, const ip_address& remote, data_plane::spi least,
                           data_plane::spi most, sequence number);
secret encode_policy(policy_command command, const policy_entry& policy, sequence number,
                     std::uint32_t index = 0);
// With an index: that very one, not another of the same key.
secret encode_delete_policy(const policy_key& key, sequence number, std::uint32_t index = 0);
secret encode_get_policy(const policy_key& key, sequence number);
secret encode_dump_policies(sequence number);
secret encode_flush_sas(sequence number);  // everybody's ESP SAs of the network namespace
secret encode_flush_policies(sequence number);
secret encode_thresholds(const sa_key& key, const activity_thresholds& thresholds, sequence number);
secret encode_get_thresholds(const sa_key& key, sequence number);  // sa_activity answers

// New outer addresses for the SAs and the policy of one selector.
struct migration {
  policy_key policy;
  policy_template before;
  policy_template after;
};
secret encode_migrate(const migration& what, sequence number);

// --- what comes ----------------------------------------------------------------------------------

// Acknowledgement or refusal of a request.
struct acknowledgement {
  int code = 0;      // 0 or an errno
  std::string text;  // the kernel's own words, escaped; often none
};
struct dump_ended {
  int code = 0;
};

// An SA as the kernel shows it. `rest` are the attributes that another NEWSA needs to make the same
// SA again, keys among them.
struct sa_image {
  sa_key key;
  ip_address source;
  data_plane::mode mode{};
  std::uint32_t reqid = 0;
  std::uint32_t acquire_sequence = 0;  // of a larval SA made by an acquire; else its label
  std::optional<std::uint16_t> encap_source_port;
  std::optional<std::uint16_t> encap_destination_port;
  std::uint64_t octets = 0;
  std::uint64_t packets = 0;
  std::uint64_t added_at = 0;  // seconds since 1970; 0: unknown
  std::optional<std::uint64_t> last_used_at;
  std::uint32_t replayed = 0;
  std::uint32_t integrity_failed = 0;
  std::uint32_t if_id = 0;
  selector packet;        // of a larval SA made by an acquire: what asked for it
  bool has_keys = false;  // else it is larval
  secret info;            // the kernel's struct, to be sent back
  secret rest;
};
// The same SA at other addresses or ports: add (after its removal), or update in place.
secret encode_moved_sa(sa_command command, const sa_image& image, const ip_address& source,
                       const ip_address& destination, const std::optional<endpoint>& encap_source,
                       const std::optional<endpoint>& encap_destination,
                       const activity_thresholds& thresholds, sequence number);

struct policy_image {
  policy_entry entry;
  std::uint32_t index = 0;
};
struct sa_acquire {
  std::uint32_t reqid = 0;  // of the policy's template; 0 if it has none
  xfrm::selector packet;
  ip_address source;
  ip_address destination;
  sequence number = 0;
};
struct sa_expire {
  sa_key key;
  std::uint32_t reqid = 0;
  bool is_hard = false;
};
struct sa_activity {
  sa_key key;
  std::uint32_t flags = 0;  // XFRM_AE_*
  // Accepted before; the one that an event is about may not be counted yet.
  std::uint64_t packets = 0;
  std::optional<std::uint32_t> timer;  // as an answer: in tenths of a second
};
struct source_changed {
  sa_key key;
  endpoint before;
  endpoint after;
};
struct other_message {};

using message_body = std::variant<acknowledgement, dump_ended, sa_image, policy_image, sa_acquire,
                                  sa_expire, sa_activity, source_changed, other_message>;

struct message {
  std::uint16_t type = 0;
  sequence number = 0;
  message_body body;
};

// One datagram from a netlink socket, cut into messages. After the first error nothing more comes:
// what follows cannot be found. Errors: input_too_short (truncated), bad_length, bad_value.
class message_reader {
 public:
  explicit message_reader(bytes_view datagram) : rest_{datagram} {}
  bool at_end() const { return rest_.empty(); }
  result<message> next();

 private:
  bytes_view rest_;  // a reader lives inside one call, so borrowing is safe
};

}  // namespace imago::kernel_if::xfrm
