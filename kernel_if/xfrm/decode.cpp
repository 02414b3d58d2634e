#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>

#include <linux/netlink.h>
#include <linux/xfrm.h>

#include "kernel_if/xfrm/messages.hpp"
#include "kernel_if/xfrm/octets.hpp"

namespace imago::kernel_if::xfrm {

using namespace data_plane;

namespace {

constexpr std::size_t aligned(std::size_t size) { return (size + 3) & ~std::size_t{3}; }

// A struct at the start of octets that need not be aligned for it.
template <class fixed>
std::optional<fixed> take(bytes_view& from) {
  if (from.size() < sizeof(fixed)) return std::nullopt;
  fixed out;
  std::memcpy(&out, from.data(), sizeof out);
  from = from.subspan(std::min(aligned(sizeof out), from.size()));
  return out;
}

// Calls `each(type, value, whole attribute)`; false if an attribute does not fit.
template <class function>
bool for_attributes(bytes_view rest, function each) {
  while (rest.size() >= sizeof(nlattr)) {
    nlattr head;
    std::memcpy(&head, rest.data(), sizeof head);
    if (head.nla_len < sizeof head || head.nla_len > rest.size()) return false;
    auto whole = rest.first(head.nla_len);
    each(static_cast<std::uint16_t>(head.nla_type & NLA_TYPE_MASK), whole.subspan(sizeof head),
         whole);
    rest = rest.subspan(std::min(aligned(head.nla_len), rest.size()));
  }
  return rest.empty();
}

template <class fixed>
void read_into(std::optional<fixed>& to, bytes_view value) {
  to = take<fixed>(value);
}

packet_mark mark_of(bytes_view value) {
  auto mark = take<xfrm_mark>(value);
  return mark ? packet_mark{mark->v, mark->m} : packet_mark{};
}

std::optional<sa_key> key_of(const xfrm_usersa_id& id) {
  auto family = family_of(id.family);
  if (!family) return std::nullopt;
  return sa_key{address_of(id.daddr, *family), ntohl(id.spi), {}};
}

std::optional<sa_key> key_of(const xfrm_usersa_info& info) {
  auto family = family_of(info.family);
  if (!family) return std::nullopt;
  return sa_key{address_of(info.id.daddr, *family), ntohl(info.id.spi), {}};
}

// What has to come along when the same SA is made again elsewhere; the rest follows from these or
// is written anew.
bool belongs_to_copy(std::uint16_t type) {
  switch (type) {
    case XFRMA_ALG_AUTH:  // of XFRMA_ALG_AUTH_TRUNC the kernel shows both forms
    case XFRMA_ENCAP:
    case XFRMA_LASTUSED:
    case XFRMA_LTIME_VAL:
    case XFRMA_PAD:
    case XFRMA_SRCADDR: return false;
    default: return true;
  }
}

result<message_body> parse_sa(bytes_view payload) {
  auto octets = payload;
  auto info = take<xfrm_usersa_info>(payload);
  if (!info) return {errc::input_too_short, "SA"};
  auto key = key_of(*info);
  if (!key) return {errc::bad_value, "SA: family"};
  sa_image image;
  image.key = *key;
  image.source = address_of(info->saddr, key->destination.family());
  image.mode = info->mode == XFRM_MODE_TUNNEL ? mode::tunnel : mode::transport;
  image.reqid = info->reqid;
  image.acquire_sequence = info->seq;
  if (auto packet = selector_of(info->sel)) image.packet = *packet;
  image.octets = info->curlft.bytes;
  image.packets = info->curlft.packets;
  image.added_at = info->curlft.add_time;
  image.replayed = info->stats.replay;
  image.integrity_failed = info->stats.integrity_failed;
  image.info = secret{octets.first(sizeof *info)};
  bytes rest;
  bool fits = for_attributes(payload, [&](std::uint16_t type, bytes_view value, bytes_view whole) {
    if (type == XFRMA_ALG_AEAD || type == XFRMA_ALG_CRYPT) image.has_keys = true;
    if (type == XFRMA_MARK) image.key.mark = mark_of(value);
    if (type == XFRMA_IF_ID) image.if_id = take<std::uint32_t>(value).value_or(0);
    if (type == XFRMA_LASTUSED) read_into(image.last_used_at, value);
    if (type == XFRMA_ENCAP) {
      if (auto encap = take<xfrm_encap_tmpl>(value)) {
        image.encap_source_port = ntohs(encap->encap_sport);
        image.encap_destination_port = ntohs(encap->encap_dport);
      }
    }
    if (!belongs_to_copy(type)) return;
    append(rest, whole);
    rest.resize(aligned(rest.size()));
  });
  image.rest = secret{std::move(rest)};
  if (!fits) return {errc::bad_length, "SA: attribute"};
  return message_body{std::move(image)};
}

std::optional<policy_template> template_of(bytes_view value) {
  auto wanted = take<xfrm_user_tmpl>(value);
  if (!wanted) return std::nullopt;
  policy_template out;
  out.mode = wanted->mode == XFRM_MODE_TUNNEL ? mode::tunnel : mode::transport;
  out.reqid = wanted->reqid;
  if (auto family = family_of(wanted->family); family && out.mode == mode::tunnel) {
    out.source = address_of(wanted->saddr, *family);
    out.destination = address_of(wanted->id.daddr, *family);
  }
  return out;
}

result<message_body> parse_policy(bytes_view payload) {
  auto info = take<xfrm_userpolicy_info>(payload);
  if (!info) return {errc::input_too_short, "policy"};
  // Per-socket policies are shown with directions of their own: they are not in the SPD.
  if (info->dir > XFRM_POLICY_FWD) return message_body{other_message{}};
  auto selector = selector_of(info->sel);
  if (!selector) return selector.failure();
  policy_image image;
  image.entry.key.direction = static_cast<policy_direction>(info->dir);
  image.entry.key.selector = *selector;
  image.entry.action =
      info->action == XFRM_POLICY_ALLOW ? policy_action::allow : policy_action::block;
  image.entry.priority = info->priority;
  image.index = info->index;
  bool fits = for_attributes(payload, [&](std::uint16_t type, bytes_view value, bytes_view) {
    if (type == XFRMA_TMPL) image.entry.protection = template_of(value);
    if (type == XFRMA_MARK) image.entry.key.mark = mark_of(value);
    if (type == XFRMA_IF_ID) image.entry.key.if_id = take<std::uint32_t>(value).value_or(0);
  });
  if (!fits) return {errc::bad_length, "policy: attribute"};
  return message_body{std::move(image)};
}

result<message_body> parse_acquire(bytes_view payload) {
  auto asked = take<xfrm_user_acquire>(payload);
  if (!asked) return {errc::input_too_short, "acquire"};
  auto packet = selector_of(asked->sel);
  if (!packet) return packet.failure();
  sa_acquire out;
  out.packet = *packet;
  out.number = asked->seq;
  auto outer = packet->source.address.family();
  bool fits = for_attributes(payload, [&](std::uint16_t type, bytes_view value, bytes_view) {
    if (type != XFRMA_TMPL) return;
    auto raw = value;
    if (auto wanted = take<xfrm_user_tmpl>(raw)) outer = family_of(wanted->family).value_or(outer);
    if (auto wanted = template_of(value)) out.reqid = wanted->reqid;
  });
  if (!fits) return {errc::bad_length, "acquire: attribute"};
  out.source = address_of(asked->saddr, outer);
  out.destination = address_of(asked->id.daddr, outer);
  return message_body{out};
}

result<message_body> parse_expire(bytes_view payload) {
  auto expired = take<xfrm_user_expire>(payload);
  if (!expired) return {errc::input_too_short, "expire"};
  auto key = key_of(expired->state);
  if (!key) return {errc::bad_value, "expire: family"};
  bool fits = for_attributes(payload, [&](std::uint16_t type, bytes_view value, bytes_view) {
    if (type == XFRMA_MARK) key->mark = mark_of(value);
  });
  if (!fits) return {errc::bad_length, "expire: attribute"};
  return message_body{sa_expire{*key, expired->state.reqid, expired->hard != 0}};
}

result<message_body> parse_activity(bytes_view payload) {
  auto active = take<xfrm_aevent_id>(payload);
  if (!active) return {errc::input_too_short, "activity"};
  auto key = key_of(active->sa_id);
  if (!key) return {errc::bad_value, "activity: family"};
  sa_activity out;
  out.flags = active->flags;
  bool fits = for_attributes(payload, [&](std::uint16_t type, bytes_view value, bytes_view) {
    if (type == XFRMA_MARK) key->mark = mark_of(value);
    if (type == XFRMA_ETIMER_THRESH) read_into(out.timer, value);
    if (type == XFRMA_LTIME_VAL)
      if (auto carried = take<xfrm_lifetime_cur>(value)) out.packets = carried->packets;
  });
  if (!fits) return {errc::bad_length, "activity: attribute"};
  out.key = *key;
  return message_body{out};
}

result<message_body> parse_mapping(bytes_view payload) {
  auto mapped = take<xfrm_user_mapping>(payload);
  if (!mapped) return {errc::input_too_short, "mapping"};
  auto key = key_of(mapped->id);
  if (!key) return {errc::bad_value, "mapping: family"};
  auto family = key->destination.family();
  return message_body{
      source_changed{*key,
                     {address_of(mapped->old_saddr, family), ntohs(mapped->old_sport)},
                     {address_of(mapped->new_saddr, family), ntohs(mapped->new_sport)}}};
}

// The code is followed by the request (or, capped, its header), then by attributes.
result<message_body> parse_acknowledgement(bytes_view payload, std::uint16_t flags) {
  auto said = take<nlmsgerr>(payload);
  if (!said) return {errc::input_too_short, "acknowledgement"};
  acknowledgement out;
  // A code that no errno can be is an error all the same.
  out.code =
      said->error > 0 || said->error == std::numeric_limits<int>::min() ? EPROTO : -said->error;
  if ((flags & NLM_F_ACK_TLVS) == 0) return message_body{std::move(out)};
  if ((flags & NLM_F_CAPPED) == 0) {
    auto echoed = said->msg.nlmsg_len;
    if (echoed < sizeof(nlmsghdr) || echoed - sizeof(nlmsghdr) > payload.size())
      return {errc::bad_length, "acknowledgement: request"};
    payload = payload.subspan(std::min(aligned(echoed - sizeof(nlmsghdr)), payload.size()));
  }
  bool fits = for_attributes(payload, [&](std::uint16_t type, bytes_view value, bytes_view) {
    if (type != NLMSGERR_ATTR_MSG) return;
    while (!value.empty() && value.back() == 0) value = value.first(value.size() - 1);
    out.text = escaped(value.first(std::min<std::size_t>(value.size(), 256)));
  });
  if (!fits) return {errc::bad_length, "acknowledgement: attribute"};
  return message_body{std::move(out)};
}

// Since Linux 6.9 the end of a dump may share a datagram with its last objects and may come
// without a code.
message_body parse_done(bytes_view payload) {
  auto code = take<std::int32_t>(payload);
  return dump_ended{code && *code < 0 && *code != std::numeric_limits<int>::min() ? -*code : 0};
}

result<message_body> parse_body(const nlmsghdr& head, bytes_view payload) {
  switch (head.nlmsg_type) {
    case NLMSG_ERROR: return parse_acknowledgement(payload, head.nlmsg_flags);
    case NLMSG_DONE: return parse_done(payload);
    case XFRM_MSG_NEWSA:
    case XFRM_MSG_UPDSA: return parse_sa(payload);
    case XFRM_MSG_NEWPOLICY:
    case XFRM_MSG_UPDPOLICY: return parse_policy(payload);
    case XFRM_MSG_ACQUIRE: return parse_acquire(payload);
    case XFRM_MSG_EXPIRE: return parse_expire(payload);
    case XFRM_MSG_NEWAE: return parse_activity(payload);
    case XFRM_MSG_MAPPING: return parse_mapping(payload);
    default: return message_body{other_message{}};
  }
}

std::uint16_t port_or_zero(std::uint16_t port, std::uint16_t mask) {
  return static_cast<std::uint16_t>(port & mask);
}

}  // namespace

xfrm_selector to_kernel(const selector& from) {
  xfrm_selector out{};
  out.family = family_number(from.source.address.family());
  out.saddr = to_kernel(from.source.address);
  out.prefixlen_s = from.source.length;
  out.daddr = to_kernel(from.destination.address);
  out.prefixlen_d = from.destination.length;
  out.proto = from.ip_protocol;
  out.sport = htons(from.source_port);
  out.sport_mask = htons(from.source_port_mask);
  out.dport = htons(from.destination_port);
  out.dport_mask = htons(from.destination_port_mask);
  return out;
}

result<selector> selector_of(const xfrm_selector& from) {
  auto family = family_of(from.family);
  if (!family) return {errc::bad_value, "selector: family"};
  auto length_max = *family == ip_family::v4 ? 32 : 128;
  if (from.prefixlen_s > length_max || from.prefixlen_d > length_max)
    return {errc::bad_value, "selector: prefix"};
  selector out;
  out.source = {address_of(from.saddr, *family), from.prefixlen_s};
  out.destination = {address_of(from.daddr, *family), from.prefixlen_d};
  out.ip_protocol = from.proto;
  out.source_port_mask = ntohs(from.sport_mask);
  out.source_port = port_or_zero(ntohs(from.sport), out.source_port_mask);
  out.destination_port_mask = ntohs(from.dport_mask);
  out.destination_port = port_or_zero(ntohs(from.dport), out.destination_port_mask);
  return out;
}

result<message> message_reader::next() {
  auto fail = [this](errc code, const char* what) {
    rest_ = {};
    return result<message>{code, what};
  };
  nlmsghdr head;
  if (rest_.size() < sizeof head) return fail(errc::input_too_short, "netlink header");
  std::memcpy(&head, rest_.data(), sizeof head);
  if (head.nlmsg_len < sizeof head) return fail(errc::bad_length, "netlink message");
  if (head.nlmsg_len > rest_.size()) return fail(errc::input_too_short, "netlink message");
  auto payload = rest_.subspan(sizeof head, head.nlmsg_len - sizeof head);
  rest_ = rest_.subspan(std::min(aligned(head.nlmsg_len), rest_.size()));
  auto body = parse_body(head, payload);
  if (!body) return body.failure();
  return message{head.nlmsg_type, head.nlmsg_seq, std::move(*body)};
}

}  // namespace imago::kernel_if::xfrm
