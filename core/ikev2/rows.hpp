// Rows: what may arrive when, and what then happens. The matcher alone decides admission (count,
// place, repetition, critical bit) and says why nothing matched. Every exchange's file has its rows
// on top; all_rows() is printed into a golden file.
#pragma once

#include <initializer_list>

#include "core/ikev2/flow.hpp"
#include "core/ikev2/flow_context.hpp"

namespace imago::ikev2 {

// A set of payload types.
class payload_set {
 public:
  constexpr payload_set() = default;
  constexpr payload_set(std::initializer_list<payload_type> types) {
    for (auto type : types) bits_ |= bit(type);
  }
  constexpr bool has(payload_type type) const { return (bits_ & bit(type)) != 0; }
  constexpr bool is_part_of(payload_set other) const { return (bits_ & ~other.bits_) == 0; }
  constexpr payload_set operator|(payload_set other) const {
    payload_set both;
    both.bits_ = bits_ | other.bits_;
    return both;
  }
  constexpr void add(payload_type type) { bits_ |= bit(type); }

 private:
  static constexpr std::uint64_t bit(payload_type type) {
    auto value = static_cast<unsigned>(type);
    return value < 64 ? std::uint64_t{1} << value : 0;
  }
  std::uint64_t bits_ = 0;
};

using state_set = std::uint16_t;
constexpr state_set in(std::initializer_list<sa_state> states) {
  state_set set = 0;
  for (auto state : states) set = static_cast<state_set>(set | 1U << static_cast<unsigned>(state));
  return set;
}

enum class message_kind : std::uint8_t { request, response };

struct row {
  state_set from = 0;
  exchange_type exchange{};
  message_kind kind{};
  bool is_protected = true;
  payload_set required;
  payload_set optional;
  // Requests start this flow; a response resumes the flow that sent the request. IKE_SA_INIT's
  // request needs none (half_open.hpp).
  flow (*processor)(flow_context, sa_snapshot_ptr, msg_digest) = nullptr;
  std::string_view processor_name;
  std::string_view story;
};

// Two rows are ambiguous if one message could fit both.
constexpr bool are_ambiguous(const row& one, const row& other) {
  return (one.from & other.from) != 0 && one.exchange == other.exchange && one.kind == other.kind &&
         one.required.is_part_of(other.required | other.optional) &&
         other.required.is_part_of(one.required | one.optional);
}
template <std::size_t count>
constexpr bool is_unambiguous(const row (&rows)[count]) {
  for (std::size_t i = 0; i < count; ++i)
    for (std::size_t j = i + 1; j < count; ++j)
      if (are_ambiguous(rows[i], rows[j])) return false;
  return true;
}

// The rows of every exchange, in the order of the RFC.
const std::vector<const row*>& all_rows();
// The table as text, for people and for the golden file.
std::string print_rows();

// The row that fits. Errors: wrong_exchange (nothing for this state), missing_payload,
// misplaced_payload, repeated_payload, unsupported_critical_payload (`where` names the payload; of
// several candidate rows the one that came closest is explained).
result<const row*> match(sa_state state, const msg_digest& md);

}  // namespace imago::ikev2
