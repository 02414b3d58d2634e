#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include <libmnl/libmnl.h>
#include <linux/xfrm.h>
#include <net/if.h>
#include <netinet/in.h>

#include "kernel_if/xfrm/messages.hpp"
#include "kernel_if/xfrm/octets.hpp"

namespace imago::kernel_if::xfrm {

using namespace data_plane;

namespace {

// An SA with a window of 4096 and its keys takes 1.2 KB, a copied one as much as it came with.
constexpr std::size_t message_size_max = 4096;

struct algorithm_name {
  std::uint16_t number;
  const char* name;
  std::uint32_t icv_bits;  // of an AEAD or an integrity algorithm
};
constexpr algorithm_name aead_names[] = {
    {static_cast<std::uint16_t>(encryption_algorithm::aes_gcm_16), "rfc4106(gcm(aes))", 128},
    {static_cast<std::uint16_t>(encryption_algorithm::chacha20_poly1305),
     "rfc7539esp(chacha20,poly1305)", 128},
};
constexpr algorithm_name encryption_names[] = {
    {static_cast<std::uint16_t>(encryption_algorithm::aes_cbc), "cbc(aes)", 0},
};
constexpr algorithm_name integrity_names[] = {
    {static_cast<std::uint16_t>(integrity_algorithm::hmac_sha2_256_128), "hmac(sha256)", 128},
    {static_cast<std::uint16_t>(integrity_algorithm::hmac_sha2_384_192), "hmac(sha384)", 192},
    {static_cast<std::uint16_t>(integrity_algorithm::hmac_sha2_512_256), "hmac(sha512)", 256},
};

template <class number, std::size_t count>
const algorithm_name* find_name(const algorithm_name (&table)[count], number wanted) {
  for (const auto& one : table)
    if (one.number == static_cast<std::uint16_t>(wanted)) return &one;
  return nullptr;
}

// A message being written; wiped, since there may be keys in it.
class builder {
 public:
  builder(std::uint16_t type, int flags, sequence number) {
    head_ = mnl_nlmsg_put_header(buffer_.data());
    head_->nlmsg_type = type;
    head_->nlmsg_flags = static_cast<std::uint16_t>(flags | NLM_F_REQUEST);
    head_->nlmsg_seq = number;
  }
  ~builder() { wipe(buffer_.data(), head_->nlmsg_len); }
  builder(const builder&) = delete;
  builder& operator=(const builder&) = delete;

  template <class fixed>
  fixed& put_fixed() {
    return *static_cast<fixed*>(mnl_nlmsg_put_extra_header(head_, sizeof(fixed)));
  }
  void put(std::uint16_t type, std::size_t size, const void* data) {
    if (!mnl_attr_put_check(head_, buffer_.size(), type, size, data)) fits_ = false;
  }
  template <class value>
  void put(std::uint16_t type, const value& fixed) {
    put(type, sizeof fixed, &fixed);
  }
  // A struct whose last member is the variable part.
  template <class value>
  void put(std::uint16_t type, const value& fixed, bytes_view more) {
    secret both{sizeof fixed + more.size()};
    std::memcpy(both.data(), &fixed, sizeof fixed);
    if (!more.empty()) std::memcpy(both.data() + sizeof fixed, more.data(), more.size());
    put(type, both.size(), both.view().data());
  }
  void put_raw(bytes_view attributes) {
    if (head_->nlmsg_len + attributes.size() > buffer_.size()) {
      fits_ = false;
      return;
    }
    if (!attributes.empty())
      std::memcpy(mnl_nlmsg_get_payload_tail(head_), attributes.data(), attributes.size());
    head_->nlmsg_len += static_cast<std::uint32_t>(attributes.size());
  }
  bool fits() const { return fits_; }
  secret finish() const {
    return secret{
        bytes_view{reinterpret_cast<const std::uint8_t*>(buffer_.data()), head_->nlmsg_len}};
  }

 private:
  alignas(nlmsghdr) std::array<char, message_size_max> buffer_{};
  nlmsghdr* head_ = nullptr;
  bool fits_ = true;
};

xfrm_usersa_id id_of(const sa_key& key) {
  xfrm_usersa_id id{};
  id.daddr = to_kernel(key.destination);
  id.spi = htonl(key.spi);
  id.family = family_number(key.destination.family());
  id.proto = IPPROTO_ESP;
  return id;
}

void put_mark(builder& out, const packet_mark& mark) {
  if (mark.mask == 0 && mark.value == 0) return;
  xfrm_mark one{mark.value, mark.mask};
  out.put(XFRMA_MARK, one);
}

std::uint64_t or_infinite(std::uint64_t limit) { return limit == 0 ? XFRM_INF : limit; }

void set_lifetime(xfrm_lifetime_cfg& to, const lifetime& from) {
  to.soft_byte_limit = or_infinite(from.soft_octets);
  to.hard_byte_limit = or_infinite(from.hard_octets);
  to.soft_packet_limit = or_infinite(from.soft_packets);
  to.hard_packet_limit = or_infinite(from.hard_packets);
  to.soft_add_expires_seconds = from.soft_seconds;  // here 0 is never
  to.hard_add_expires_seconds = from.hard_seconds;
}

void set_no_limits(xfrm_lifetime_cfg& to) { set_lifetime(to, {}); }

status put_aead(builder& out, const sa_parameters& sa, const algorithm_name& named) {
  xfrm_algo_aead head{};
  std::strncpy(head.alg_name, named.name, sizeof head.alg_name - 1);
  head.alg_key_len = static_cast<unsigned>(sa.encryption_key.size() * 8);
  head.alg_icv_len = named.icv_bits;
  out.put(XFRMA_ALG_AEAD, head, sa.encryption_key.view());
  return {};
}

status put_algorithms(builder& out, const sa_parameters& sa) {
  if (const auto* aead = find_name(aead_names, sa.encryption)) return put_aead(out, sa, *aead);
  const auto* encryption = find_name(encryption_names, sa.encryption);
  if (!encryption) return {errc::unsupported_algorithm, text_of(sa.encryption)};
  const auto* integrity = find_name(integrity_names, sa.integrity);
  if (!integrity) return {errc::unsupported_algorithm, text_of(sa.integrity)};
  xfrm_algo cipher{};
  std::strncpy(cipher.alg_name, encryption->name, sizeof cipher.alg_name - 1);
  cipher.alg_key_len = static_cast<unsigned>(sa.encryption_key.size() * 8);
  out.put(XFRMA_ALG_CRYPT, cipher, sa.encryption_key.view());
  xfrm_algo_auth hash{};
  std::strncpy(hash.alg_name, integrity->name, sizeof hash.alg_name - 1);
  hash.alg_key_len = static_cast<unsigned>(sa.integrity_key.size() * 8);
  hash.alg_trunc_len = integrity->icv_bits;
  out.put(XFRMA_ALG_AUTH_TRUNC, hash, sa.integrity_key.view());
  return {};
}

// Windows above 32 and ESN need the replay state with a bitmap of its own; so the kernel knows only
// windows of whole words there.
void put_replay(builder& out, xfrm_usersa_info& info, const sa_parameters& sa) {
  bool inbound = sa.id.direction == direction::inbound;
  std::uint32_t window = inbound ? sa.replay_window : 0;
  if (!sa.uses_esn && window <= 32) {
    info.replay_window = static_cast<std::uint8_t>(window);
    return;
  }
  // ESN without a window is refused (the upper half is guessed with it); outbound one word will do.
  if (window == 0) window = 32;
  xfrm_replay_state_esn state{};
  state.bmp_len = (window + 31) / 32;
  state.replay_window = window;
  if (sa.uses_esn) info.flags |= XFRM_STATE_ESN;
  bytes bitmap(state.bmp_len * sizeof(std::uint32_t));
  out.put(XFRMA_REPLAY_ESN_VAL, state, bitmap);
}

void put_encapsulation(builder& out, std::uint16_t source_port, std::uint16_t destination_port) {
  xfrm_encap_tmpl encap{};
  encap.encap_type = esp_in_udp;
  encap.encap_sport = htons(source_port);
  encap.encap_dport = htons(destination_port);
  out.put(XFRMA_ENCAP, encap);
}

status put_kernel_options(builder& out, const sa_parameters& sa) {
  put_mark(out, sa.mark);
  if (sa.output_mark.mask != 0) {
    out.put(XFRMA_SET_MARK, sa.output_mark.value);
    out.put(XFRMA_SET_MARK_MASK, sa.output_mark.mask);
  }
  if (sa.if_id != 0) out.put(XFRMA_IF_ID, sa.if_id);
  if (!sa.offload_device.empty()) {
    xfrm_user_offload offload{};
    offload.ifindex = static_cast<int>(if_nametoindex(sa.offload_device.c_str()));
    if (offload.ifindex == 0) return {errc::not_found, "interface " + sa.offload_device};
    if (sa.id.direction == direction::inbound) offload.flags = XFRM_OFFLOAD_INBOUND;
    out.put(XFRMA_OFFLOAD_DEV, offload);
  }
  return {};
}

void put_thresholds(builder& out, const activity_thresholds& thresholds) {
  out.put(XFRMA_REPLAY_THRESH, thresholds.packets);
  out.put(XFRMA_ETIMER_THRESH, thresholds.timer);
}

void put_policy_info(builder& out, const policy_entry& policy, std::uint32_t index) {
  auto& info = out.put_fixed<xfrm_userpolicy_info>();
  info.index = index;
  info.sel = to_kernel(policy.key.selector);
  set_no_limits(info.lft);
  info.priority = policy.priority;
  info.dir = static_cast<std::uint8_t>(policy.key.direction);
  info.action = static_cast<std::uint8_t>(policy.action);
}

xfrm_user_tmpl template_for(const policy_template& wanted, ip_family family) {
  xfrm_user_tmpl out{};
  out.id.proto = IPPROTO_ESP;
  out.reqid = wanted.reqid;
  out.family = family_number(family);
  out.aalgos = out.ealgos = out.calgos = std::numeric_limits<std::uint32_t>::max();
  out.mode = XFRM_MODE_TRANSPORT;
  if (wanted.mode == mode::tunnel) {
    out.mode = XFRM_MODE_TUNNEL;
    out.id.daddr = to_kernel(wanted.destination);
    out.saddr = to_kernel(wanted.source);
    out.family = family_number(wanted.destination.family());
  }
  return out;
}

}  // namespace

result<secret> encode_sa(sa_command command, const sa_parameters& sa,
                         const activity_thresholds& thresholds, sequence number, sequence label) {
  bool adds = command == sa_command::add;
  builder out{static_cast<std::uint16_t>(adds ? XFRM_MSG_NEWSA : XFRM_MSG_UPDSA),
              NLM_F_ACK | (adds ? NLM_F_CREATE | NLM_F_EXCL : 0), number};
  auto& info = out.put_fixed<xfrm_usersa_info>();
  info.seq = label;
  info.id.daddr = to_kernel(sa.id.destination);
  info.id.spi = htonl(sa.id.spi);
  info.id.proto = IPPROTO_ESP;
  info.saddr = to_kernel(sa.source);
  info.family = family_number(sa.id.destination.family());
  info.reqid = sa.reqid;
  info.mode = sa.mode == mode::tunnel ? XFRM_MODE_TUNNEL : XFRM_MODE_TRANSPORT;
  // A tunnel may carry both families whatever its outer one is.
  if (sa.mode == mode::tunnel) info.flags |= XFRM_STATE_AF_UNSPEC;
  set_lifetime(info.lft, sa.lifetime);
  put_replay(out, info, sa);
  if (auto put = put_algorithms(out, sa); !put) return put.failure();
  if (sa.encap_local && sa.encap_remote) {
    bool inbound = sa.id.direction == direction::inbound;
    put_encapsulation(out, (inbound ? sa.encap_remote : sa.encap_local)->port,
                      (inbound ? sa.encap_local : sa.encap_remote)->port);
  }
  if (auto put = put_kernel_options(out, sa); !put) return put.failure();
  put_thresholds(out, thresholds);
  if (!out.fits()) return {errc::limit_exceeded, "netlink message"};
  return out.finish();
}

secret encode_moved_sa(sa_command command, const sa_image& image, const ip_address& source,
                       const ip_address& destination, const std::optional<endpoint>& encap_source,
                       const std::optional<endpoint>& encap_destination,
                       const activity_thresholds& thresholds, sequence number) {
  bool adds = command == sa_command::add;
  builder out{static_cast<std::uint16_t>(adds ? XFRM_MSG_NEWSA : XFRM_MSG_UPDSA),
              NLM_F_ACK | (adds ? NLM_F_CREATE | NLM_F_EXCL : 0), number};
  auto& info = out.put_fixed<xfrm_usersa_info>();
  if (image.info.size() == sizeof info) std::memcpy(&info, image.info.view().data(), sizeof info);
  info.id.daddr = to_kernel(destination);
  info.saddr = to_kernel(source);
  // The counters go on where they are.
  out.put(XFRMA_LTIME_VAL, info.curlft);
  if (encap_source && encap_destination)
    put_encapsulation(out, encap_source->port, encap_destination->port);
  put_thresholds(out, thresholds);
  out.put_raw(image.rest.view());
  return out.finish();
}

secret encode_delete_sa(const sa_key& key, sequence number) {
  builder out{XFRM_MSG_DELSA, NLM_F_ACK, number};
  out.put_fixed<xfrm_usersa_id>() = id_of(key);
  put_mark(out, key.mark);
  return out.finish();
}

secret encode_get_sa(const sa_key& key, sequence number) {
  builder out{XFRM_MSG_GETSA, 0, number};
  out.put_fixed<xfrm_usersa_id>() = id_of(key);
  put_mark(out, key.mark);
  return out.finish();
}

secret encode_dump_sas(sequence number) {
  builder out{XFRM_MSG_GETSA, NLM_F_DUMP, number};
  std::uint8_t protocol = IPPROTO_ESP;
  out.put_fixed<xfrm_usersa_id>();
  out.put(XFRMA_PROTO, protocol);
  return out.finish();
}

secret encode_allocate_spi(const ip_address& local, const ip_address& remote, spi least, spi most,
                           sequence number) {
  builder out{XFRM_MSG_ALLOCSPI, 0, number};
  auto& range = out.put_fixed<xfrm_userspi_info>();
  range.info.id.daddr = to_kernel(local);
  range.info.id.proto = IPPROTO_ESP;
  range.info.saddr = to_kernel(remote);
  range.info.family = family_number(local.family());
  range.info.mode = XFRM_MODE_TUNNEL;  // the SA that takes its place says what it is
  range.min = least;
  range.max = most;
  return out.finish();
}

secret encode_policy(policy_command command, const policy_entry& policy, sequence number,
                     std::uint32_t index) {
  bool adds = command == policy_command::add;
  builder out{static_cast<std::uint16_t>(adds ? XFRM_MSG_NEWPOLICY : XFRM_MSG_UPDPOLICY),
              NLM_F_ACK | (adds ? NLM_F_CREATE | NLM_F_EXCL : 0), number};
  put_policy_info(out, policy, index);
  if (policy.protection)
    out.put(XFRMA_TMPL,
            template_for(*policy.protection, policy.key.selector.source.address.family()));
  put_mark(out, policy.key.mark);
  if (policy.key.if_id != 0) out.put(XFRMA_IF_ID, policy.key.if_id);
  return out.finish();
}

namespace {

secret encode_named_policy(std::uint16_t type, int flags, const policy_key& key, sequence number,
                           std::uint32_t index = 0) {
  builder out{type, flags, number};
  auto& id = out.put_fixed<xfrm_userpolicy_id>();
  id.index = index;
  id.sel = to_kernel(key.selector);
  id.dir = static_cast<std::uint8_t>(key.direction);
  put_mark(out, key.mark);
  if (key.if_id != 0) out.put(XFRMA_IF_ID, key.if_id);
  return out.finish();
}

}  // namespace

secret encode_delete_policy(const policy_key& key, sequence number, std::uint32_t index) {
  return encode_named_policy(XFRM_MSG_DELPOLICY, NLM_F_ACK, key, number, index);
}

secret encode_get_policy(const policy_key& key, sequence number) {
  return encode_named_policy(XFRM_MSG_GETPOLICY, 0, key, number);
}

secret encode_dump_policies(sequence number) {
  builder out{XFRM_MSG_GETPOLICY, NLM_F_DUMP, number};
  out.put_fixed<xfrm_userpolicy_id>();
  return out.finish();
}

secret encode_flush_sas(sequence number) {
  builder out{XFRM_MSG_FLUSHSA, NLM_F_ACK, number};
  out.put_fixed<xfrm_usersa_flush>().proto = IPPROTO_ESP;
  return out.finish();
}

secret encode_flush_policies(sequence number) {
  builder out{XFRM_MSG_FLUSHPOLICY, NLM_F_ACK, number};
  return out.finish();
}

secret encode_thresholds(const sa_key& key, const activity_thresholds& thresholds,
                         sequence number) {
  builder out{XFRM_MSG_NEWAE, NLM_F_ACK | NLM_F_REPLACE, number};
  auto& id = out.put_fixed<xfrm_aevent_id>();
  id.sa_id = id_of(key);
  put_thresholds(out, thresholds);
  put_mark(out, key.mark);
  return out.finish();
}

secret encode_get_thresholds(const sa_key& key, sequence number) {
  builder out{XFRM_MSG_GETAE, 0, number};
  auto& id = out.put_fixed<xfrm_aevent_id>();
  id.sa_id = id_of(key);
  id.flags = XFRM_AE_ETHR;
  put_mark(out, key.mark);
  return out.finish();
}

secret encode_migrate(const migration& what, sequence number) {
  builder out{XFRM_MSG_MIGRATE, NLM_F_ACK, number};
  auto& id = out.put_fixed<xfrm_userpolicy_id>();
  id.sel = to_kernel(what.policy.selector);
  id.dir = static_cast<std::uint8_t>(what.policy.direction);
  xfrm_user_migrate one{};
  one.old_daddr = to_kernel(what.before.destination);
  one.old_saddr = to_kernel(what.before.source);
  one.new_daddr = to_kernel(what.after.destination);
  one.new_saddr = to_kernel(what.after.source);
  one.proto = IPPROTO_ESP;
  one.mode = what.before.mode == mode::tunnel ? XFRM_MODE_TUNNEL : XFRM_MODE_TRANSPORT;
  one.reqid = what.before.reqid;
  one.old_family = family_number(what.before.destination.family());
  one.new_family = family_number(what.after.destination.family());
  out.put(XFRMA_MIGRATE, one);
  return out.finish();
}

}  // namespace imago::kernel_if::xfrm
