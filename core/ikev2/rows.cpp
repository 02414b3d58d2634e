#include "core/ikev2/rows.hpp"

#include <array>

#include <fmt/format.h>

#include "core/ikev2/exchanges/exchanges.hpp"

namespace imago::ikev2 {

namespace {

constexpr payload_set repeatable{payload_type::certificate, payload_type::certificate_request,
                                 payload_type::notify, payload_type::delete_,
                                 payload_type::vendor_id};

// How far a message is from a row: the first objection, and how many there are.
struct mismatch {
  std::size_t count = 0;
  error first;
  void object(errc code, payload_type type) {
    if (count++ == 0) first = {code, text_of(type) + " payload"};
  }
};

constexpr std::array known_types = {
#define X(name, number, text) payload_type::name,
    IMAGO_PAYLOAD_TYPES(X)
#undef X
};

mismatch compare(const row& row, const msg_digest& md) {
  mismatch result;
  payload_set seen;
  if (row.is_protected != md.is_protected)
    result.object(errc::misplaced_payload, payload_type::encrypted);
  for (const auto& payload : md.payloads) {
    if (std::holds_alternative<wire::unknown_payload>(payload)) continue;  // ignored (§2.5)
    auto type = wire::type_of(payload);
    if (!(row.required | row.optional).has(type)) result.object(errc::misplaced_payload, type);
    if (seen.has(type) && !repeatable.has(type)) result.object(errc::repeated_payload, type);
    seen.add(type);
  }
  for (auto type : known_types)
    if (row.required.has(type) && !seen.has(type)) result.object(errc::missing_payload, type);
  return result;
}

std::optional<error> critical_unknown(const msg_digest& md) {
  for (const auto& payload : md.payloads)
    if (const auto* unknown = std::get_if<wire::unknown_payload>(&payload))
      if (unknown->critical)
        return error{errc::unsupported_critical_payload,
                     "payload type " + std::to_string(static_cast<unsigned>(unknown->type))};
  return std::nullopt;
}

}  // namespace

const std::vector<const row*>& all_rows() {
  static const std::vector<const row*> rows = [] {
    std::vector<const row*> list;
    for (auto part : {ike_sa_init_rows(), ike_auth_rows(), create_child_sa_rows(),
                      rekey_ike_sa_rows(), informational_rows()})
      for (const auto& one : part) list.push_back(&one);
    return list;
  }();
  return rows;
}

result<const row*> match(sa_state state, const msg_digest& md) {
  if (auto critical = critical_unknown(md)) return *critical;
  auto kind = md.header.is_response ? message_kind::response : message_kind::request;
  std::optional<mismatch> closest;
  for (const auto* row : all_rows()) {
    if (row->exchange != md.header.exchange || row->kind != kind || (row->from & in({state})) == 0)
      continue;
    auto found = compare(*row, md);
    if (found.count == 0) return row;
    if (!closest || found.count < closest->count) closest = std::move(found);
  }
  if (closest) return closest->first;
  return {errc::wrong_exchange,
          text_of(md.header.exchange) + " in state " + std::string{name_of(state)}};
}

namespace {

std::string text_of(payload_set set) {
  std::string text;
  for (auto type : known_types)
    if (set.has(type)) text += (text.empty() ? "" : " ") + imago::text_of(type);
  return "{" + text + "}";
}

std::string text_of_states(state_set set) {
  std::string text;
  for (unsigned i = 0; i <= static_cast<unsigned>(sa_state::closed); ++i)
    if ((set >> i & 1U) != 0)
      text += (text.empty() ? "" : "|") + std::string{name_of(static_cast<sa_state>(i))};
  return text;
}

}  // namespace

std::string print_rows() {
  std::string text;
  for (const auto* row : all_rows())
    text += fmt::format(
        "{:<16} {:<8} {:<4} from {}\n    required {} optional {}\n    {}: {}\n",
        imago::text_of(row->exchange), row->kind == message_kind::request ? "request" : "response",
        row->is_protected ? "{SK}" : "", text_of_states(row->from), text_of(row->required),
        text_of(row->optional), row->processor_name, row->story);
  return text;
}

// Rows of different files must not be ambiguous either; rows_test asserts it over all_rows().

}  // namespace imago::ikev2
