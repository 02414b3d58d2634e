#include "kernel_if/xfrm/lease_records.hpp"

#include <algorithm>

#include "core/base/reader.hpp"
#include "core/base/writer.hpp"

namespace imago::kernel_if::xfrm {

using namespace data_plane;

namespace {

constexpr std::string_view magic = "imago leases 1\n";
constexpr std::size_t boot_size_max = 63;
// Updates of one policy between two of its ends: more are forgotten, oldest first.
constexpr std::size_t versions_max = 16;

enum class kind : std::uint8_t { sa = 1, policy, sa_end, policy_end };

// FNV-1a: finds what was cut off or overwritten, not what somebody made up; the file is root's.
std::uint64_t digest_of(bytes_view octets, std::uint64_t start = 0xcbf29ce484222325) {
  auto sum = start;
  for (auto octet : octets) sum = (sum ^ octet) * 0x100000001b3;
  return sum;
}
// FNV leaves much to be seen of its last octets.
std::uint64_t mixed(std::uint64_t value) {
  value ^= value >> 30;
  value *= 0xbf58476d1ce4e5b9;
  value ^= value >> 27;
  value *= 0x94d049bb133111eb;
  return value ^ value >> 31;
}

void put(writer& out, const ip_address& address) {
  out.u8(static_cast<std::uint8_t>(address.size()));
  out.put(address.octets());
}
void put(writer& out, const ip_prefix& prefix) {
  put(out, prefix.address);
  out.u8(prefix.length);
}
void put(writer& out, const packet_mark& mark) {
  out.u32(mark.value);
  out.u32(mark.mask);
}
void put(writer& out, const sa_key& key) {
  put(out, key.destination);
  out.u32(key.spi);
  put(out, key.mark);
}
void put(writer& out, const policy_key& key) {
  out.u8(static_cast<std::uint8_t>(key.direction));
  const auto& what = key.selector;
  put(out, what.source);
  put(out, what.destination);
  out.u8(what.ip_protocol);
  for (auto number :
       {what.source_port, what.source_port_mask, what.destination_port, what.destination_port_mask})
    out.u16(number);
  put(out, key.mark);
  out.u32(key.if_id);
}

ip_address take_address(reader& in) {
  auto size = in.u8();
  if (size != 4 && size != 16) {
    in.fail(errc::bad_value);
    return {};
  }
  auto octets = in.take(size);
  return in.ok() ? *ip_address::from_octets(octets) : ip_address{};
}
ip_prefix take_prefix(reader& in) {
  ip_prefix out{take_address(in), 0};
  out.length = in.u8();
  if (out.length > out.address.size() * 8) in.fail(errc::bad_value);
  return out;
}
packet_mark take_mark(reader& in) {
  packet_mark out;
  out.value = in.u32();
  out.mask = in.u32();
  return out;
}
sa_key take_sa_key(reader& in) {
  sa_key out;
  out.destination = take_address(in);
  out.spi = in.u32();
  out.mark = take_mark(in);
  return out;
}
policy_key take_policy_key(reader& in) {
  policy_key out;
  auto direction = in.u8();
  if (direction > static_cast<std::uint8_t>(policy_direction::forward)) in.fail(errc::bad_value);
  out.direction = static_cast<policy_direction>(direction);
  auto& what = out.selector;
  what.source = take_prefix(in);
  what.destination = take_prefix(in);
  what.ip_protocol = in.u8();
  for (auto* number : {&what.source_port, &what.source_port_mask, &what.destination_port,
                       &what.destination_port_mask})
    *number = in.u16();
  out.mark = take_mark(in);
  out.if_id = in.u32();
  return out;
}
policy_entry take_policy(reader& in) {
  policy_entry out;
  out.key = take_policy_key(in);
  auto action = in.u8();
  out.priority = in.u32();
  auto has_template = in.u8();
  if (action > 1 || has_template > 1) in.fail(errc::bad_value);
  out.action = static_cast<policy_action>(action);
  if (has_template == 0) return out;
  policy_template wanted;
  auto mode = in.u8();
  if (mode > 1) in.fail(errc::bad_value);
  wanted.mode = static_cast<data_plane::mode>(mode);
  wanted.source = take_address(in);
  wanted.destination = take_address(in);
  wanted.reqid = in.u32();
  out.protection = wanted;
  return out;
}

// Length, kind, content, checksum of all that.
bytes record(kind what, const writer& content) {
  writer out;
  out.u16(static_cast<std::uint16_t>(content.size()));
  out.u8(static_cast<std::uint8_t>(what));
  out.put(content.written());
  out.u32(static_cast<std::uint32_t>(mixed(digest_of(out.written()))));
  return out.finish();
}

template <class T>
void add_version(std::vector<T>& to, T one) {
  if (to.size() == versions_max) to.erase(to.begin());
  to.push_back(std::move(one));
}

// False: its content is none.
bool take_record(std::uint8_t what, bytes_view content, lease_set& leases) {
  reader in{content};
  auto is_whole = [&] { return in.ok() && in.at_end(); };
  switch (static_cast<kind>(what)) {
    case kind::sa: {
      sa_lease one;
      one.key = take_sa_key(in);
      one.source = take_address(in);
      one.reqid = in.u32();
      if (!is_whole()) return false;
      add_version(leases.sas[one.key], one);
      return true;
    }
    case kind::policy: {
      auto one = take_policy(in);
      if (!is_whole()) return false;
      add_version(leases.policies[one.key], one);
      return true;
    }
    case kind::sa_end: {
      auto key = take_sa_key(in);
      if (is_whole()) leases.sas.erase(key);
      return is_whole();
    }
    case kind::policy_end: {
      auto key = take_policy_key(in);
      if (is_whole()) leases.policies.erase(key);
      return is_whole();
    }
  }
  return false;
}

// The kernel shows no addresses of transport mode.
policy_entry as_shown(policy_entry one) {
  if (one.protection && one.protection->mode == mode::transport)
    one.protection->source = one.protection->destination = {};
  return one;
}

}  // namespace

bytes encode_lease_header(const lease_origin& origin) {
  writer out;
  out.put({reinterpret_cast<const std::uint8_t*>(magic.data()), magic.size()});
  auto size = std::min(origin.boot.size(), boot_size_max);
  out.u8(static_cast<std::uint8_t>(size));
  out.put({reinterpret_cast<const std::uint8_t*>(origin.boot.data()), size});
  out.u64(origin.namespace_device);
  out.u64(origin.namespace_inode);
  out.u64(origin.salt);
  out.u32(static_cast<std::uint32_t>(mixed(digest_of(out.written()))));
  return out.finish();
}

bytes encode_lease(const sa_lease& one) {
  writer content;
  put(content, one.key);
  put(content, one.source);
  content.u32(one.reqid);
  return record(kind::sa, content);
}

bytes encode_lease(const policy_entry& one) {
  writer content;
  put(content, one.key);
  content.u8(static_cast<std::uint8_t>(one.action));
  content.u32(one.priority);
  content.u8(one.protection ? 1 : 0);
  if (one.protection) {
    content.u8(static_cast<std::uint8_t>(one.protection->mode));
    put(content, one.protection->source);
    put(content, one.protection->destination);
    content.u32(one.protection->reqid);
  }
  return record(kind::policy, content);
}

bytes encode_lease_end(const sa_key& key) {
  writer content;
  put(content, key);
  return record(kind::sa_end, content);
}

bytes encode_lease_end(const policy_key& key) {
  writer content;
  put(content, key);
  return record(kind::policy_end, content);
}

result<lease_file> parse_leases(bytes_view octets) {
  reader in{octets};
  lease_file out;
  auto first = to_text(in.take(magic.size()));
  auto boot_size = in.u8();
  out.origin.boot = to_text(in.take(std::min<std::size_t>(boot_size, boot_size_max)));
  out.origin.namespace_device = in.u64();
  out.origin.namespace_inode = in.u64();
  out.origin.salt = in.u64();
  auto header = octets.first(octets.size() - in.size_left());
  auto sum = in.u32();
  if (!in.ok()) return {errc::input_too_short, "header of leases"};
  if (first != magic || boot_size > boot_size_max ||
      sum != static_cast<std::uint32_t>(mixed(digest_of(header))))
    return {errc::bad_value, "header of leases"};
  out.octets = octets.size() - in.size_left();
  while (!in.at_end()) {
    auto start = octets.subspan(out.octets);
    auto size = in.u16();
    auto what = in.u8();
    auto content = in.take(size);
    auto said = in.u32();
    if (!in.ok()) break;  // cut off
    auto whole = start.first(std::size_t{3} + size);
    if (said != static_cast<std::uint32_t>(mixed(digest_of(whole)))) break;
    if (!take_record(what, content, out.leases)) break;
    out.octets += whole.size() + 4;
  }
  return out;
}

sequence label_of(std::uint64_t salt, spi spi) {
  auto label = static_cast<sequence>(mixed(salt + spi));
  return label == 0 ? 1 : label;
}

// The kernel wants the direction in the lowest three bits.
std::uint32_t index_of(std::uint64_t salt, const policy_key& key) {
  writer named;
  put(named, key);
  auto index = static_cast<std::uint32_t>(mixed(digest_of(named.written(), salt))) & ~7U;
  if (index == 0) index = 8;
  return index | static_cast<std::uint32_t>(key.direction);
}

bool is_ours(const lease_set& leases, std::uint64_t salt, const sa_image& shown) {
  auto at = leases.sas.find(shown.key);
  if (at == leases.sas.end()) return false;
  return std::any_of(at->second.begin(), at->second.end(), [&](const sa_lease& one) {
    if (one.source != shown.source) return false;
    // One without keys can be nothing but an SPI that somebody keeps: that we do.
    if (!shown.has_keys) return shown.reqid == 0;
    return one.reqid != 0 && one.reqid == shown.reqid &&
           shown.acquire_sequence == label_of(salt, shown.key.spi);
  });
}

bool is_ours(const lease_set& leases, std::uint64_t salt, const policy_image& shown) {
  auto at = leases.policies.find(shown.entry.key);
  if (at == leases.policies.end() || shown.index != index_of(salt, shown.entry.key)) return false;
  return std::any_of(at->second.begin(), at->second.end(), [&](const policy_entry& one) {
    return as_shown(one) == as_shown(shown.entry);
  });
}

}  // namespace imago::kernel_if::xfrm
