// Identities: typed by look as swanctl does, matched as RFC 4945 §3.1 has it.
#include <algorithm>
#include <optional>

#include "core/config/values.hpp"
#include "core/crypto/certificate.hpp"

namespace imago::config {
namespace {

std::string_view as_text(bytes_view data) {
  return {reinterpret_cast<const char*>(data.data()), data.size()};
}

bool is_printable(bytes_view data) {
  return std::all_of(data.begin(), data.end(), [](auto c) { return c >= 0x20 && c < 0x7f; });
}

// --- distinguished names (X.501), as far as matching needs them ---
struct name_attribute {
  bytes_view type;  // lives inside one call of matches()
  std::uint8_t tag = 0;
  bytes_view value;
  bool is_wildcard() const { return as_text(value) == "*"; }
};
using relative_name = std::vector<name_attribute>;

struct der_value {
  std::uint8_t tag = 0;
  bytes_view content;
};

std::optional<der_value> take_der(bytes_view& rest) {
  if (rest.size() < 2) return std::nullopt;
  der_value value{rest[0], {}};
  std::size_t header = 2, size = rest[1];
  if (rest[1] & 0x80) {
    std::size_t octets = rest[1] & 0x7fU;
    if (octets == 0 || octets > 2 || rest.size() < 2 + octets) return std::nullopt;
    size = 0;
    for (std::size_t i = 0; i < octets; ++i) size = size << 8 | rest[2 + i];
    header += octets;
  }
  if (rest.size() - header < size) return std::nullopt;
  value.content = rest.subspan(header, size);
  rest = rest.subspan(header + size);
  return value;
}

constexpr std::uint8_t tag_sequence = 0x30, tag_set = 0x31, tag_oid = 0x06;

std::optional<std::vector<relative_name>> read_name(bytes_view der) {
  std::vector<relative_name> name;
  auto outer = take_der(der);
  if (!outer || outer->tag != tag_sequence || !der.empty()) return std::nullopt;
  for (auto rdns = outer->content; !rdns.empty();) {
    auto set = take_der(rdns);
    if (!set || set->tag != tag_set) return std::nullopt;
    relative_name rdn;
    for (auto pairs = set->content; !pairs.empty();) {
      auto pair = take_der(pairs);
      if (!pair || pair->tag != tag_sequence) return std::nullopt;
      auto type = take_der(pair->content);
      if (!type || type->tag != tag_oid) return std::nullopt;
      auto value = take_der(pair->content);
      if (!value || !pair->content.empty()) return std::nullopt;
      rdn.push_back({type->content, value->tag, value->content});
    }
    name.push_back(std::move(rdn));
  }
  return name;
}

bool is_text_tag(std::uint8_t tag) {
  // UTF8String, PrintableString, TeletexString, IA5String
  return tag == 0x0c || tag == 0x13 || tag == 0x14 || tag == 0x16;
}

bool same_octets(bytes_view one, bytes_view other) {
  return std::equal(one.begin(), one.end(), other.begin(), other.end());
}

bool attribute_matches(const name_attribute& pattern, const name_attribute& peer) {
  if (!same_octets(pattern.type, peer.type)) return false;
  if (pattern.is_wildcard()) return true;
  // RFC 5280 §7.1: strings are compared without regard to case, whatever their encoding.
  if (is_text_tag(pattern.tag) && is_text_tag(peer.tag))
    return equal_ignoring_case(as_text(pattern.value), as_text(peer.value));
  return pattern.tag == peer.tag && same_octets(pattern.value, peer.value);
}

bool name_matches(bytes_view pattern, bytes_view peer) {
  auto wanted = read_name(pattern);
  auto given = read_name(peer);
  if (!wanted || !given) return false;
  return std::equal(wanted->begin(), wanted->end(), given->begin(), given->end(),
                    [](const relative_name& one, const relative_name& other) {
                      return std::equal(one.begin(), one.end(), other.begin(), other.end(),
                                        attribute_matches);
                    });
}

bool has_wildcard_attribute(bytes_view der) {
  auto name = read_name(der);
  if (!name) return false;
  for (const auto& rdn : *name)
    for (const auto& attribute : rdn)
      if (attribute.is_wildcard()) return true;
  return false;
}

// --- text to identity ---
struct type_prefix {
  std::string_view text;
  id_type type;
};
constexpr type_prefix prefixes[] = {
    {"ipv4:", id_type::ipv4_addr},
    {"ipv6:", id_type::ipv6_addr},
    {"rfc822:", id_type::rfc822_addr},
    {"email:", id_type::rfc822_addr},
    {"userfqdn:", id_type::rfc822_addr},
    {"fqdn:", id_type::fqdn},
    {"dns:", id_type::fqdn},
    {"asn1dn:", id_type::der_asn1_dn},
    {"asn1gn:", id_type::der_asn1_gn},
    {"keyid:", id_type::key_id},
};

identity make_identity(id_type type, bytes data, std::string_view text) {
  identity made{type, std::move(data), false, std::string{text}};
  if (type == id_type::fqdn || type == id_type::rfc822_addr)
    made.has_wildcards = !made.data.empty() && made.data.front() == '*';
  if (type == id_type::der_asn1_dn) made.has_wildcards = has_wildcard_attribute(made.data);
  return made;
}

result<bytes> data_of_type(id_type type, std::string_view text) {
  switch (type) {
    case id_type::ipv4_addr:
    case id_type::ipv6_addr: {
      auto address = ip_address::parse(text);
      if (!address || address->is_v4() != (type == id_type::ipv4_addr))
        return error{errc::bad_value, "'" + escaped(text) + "' is no address of that type"};
      return to_bytes(address->octets());
    }
    case id_type::der_asn1_dn: {
      auto der = crypto::parse_distinguished_name(text);
      if (der) return der;
      return error{errc::bad_value, "'" + escaped(text) + "' is no distinguished name (" +
                                        der.failure().text() +
                                        "); write keyid:... if it is not meant to be one"};
    }
    default: return to_bytes(text);
  }
}

// The part after "type:".
result<identity> typed_identity(id_type type, std::string_view data, std::string_view text) {
  if (data.empty()) return error{errc::bad_value, "'" + escaped(text) + "' has nothing after ':'"};
  if (data.front() == '^' && data.back() == '$')
    return error{errc::not_supported, "a regular expression as identity"};
  if (data.front() == '#') {
    auto octets = parse_hex(data.substr(1));
    if (!octets) return octets.failure();
    if ((type == id_type::ipv4_addr && octets->size() != 4) ||
        (type == id_type::ipv6_addr && octets->size() != 16))
      return error{errc::bad_value, "'" + escaped(text) + "' has the wrong length"};
    if (type == id_type::der_asn1_dn && !read_name(*octets))
      return error{errc::bad_value, "'" + escaped(text) + "' is no DER of a name"};
    return make_identity(type, std::move(*octets), text);
  }
  auto octets = data_of_type(type, data);
  if (!octets) return octets.failure();
  return make_identity(type, std::move(*octets), text);
}

// "{11}:data"
result<identity> numbered_identity(std::string_view text) {
  auto close = text.find("}:");
  auto number = parse_number(text.substr(1, close == text.npos ? 0 : close - 1));
  if (!number || *number == 0 || *number > 255)
    return error{errc::bad_value, "'" + escaped(text) + "' does not begin with {type}:"};
  return typed_identity(static_cast<id_type>(*number), text.substr(close + 2), text);
}

result<identity> identity_by_look(std::string_view text) {
  auto make = [&](id_type type, std::string_view data) -> result<identity> {
    auto octets = data_of_type(type, data);
    if (!octets) return octets.failure();
    return make_identity(type, std::move(*octets), text);
  };
  if (text.find('=') != text.npos) return make(id_type::der_asn1_dn, text);
  if (text.front() == '@') {
    if (text.starts_with("@#")) {
      auto octets = parse_hex(text.substr(2));
      if (!octets) return octets.failure();
      return make_identity(id_type::key_id, std::move(*octets), text);
    }
    if (text.starts_with("@@")) return make(id_type::rfc822_addr, text.substr(2));
    return make(id_type::fqdn, text.substr(1));
  }
  if (text.find('@') != text.npos) return make(id_type::rfc822_addr, text);
  if (auto address = ip_address::parse(text))
    return make(address->is_v4() ? id_type::ipv4_addr : id_type::ipv6_addr, text);
  if (ip_prefix::parse(text) || text.find('/') != text.npos)
    return error{errc::not_supported, "'" + escaped(text) + "' as identity: a prefix"};
  return make(text.find(':') == text.npos ? id_type::fqdn : id_type::key_id, text);
}

std::string natural_text(id_type type, bytes_view data) {
  switch (type) {
    case id_type::any: return "%any";
    case id_type::ipv4_addr:
    case id_type::ipv6_addr:
      if (auto address = ip_address::from_octets(data)) return address->text();
      break;
    case id_type::fqdn:
    case id_type::rfc822_addr:
      if (!data.empty()) return escaped(data);
      break;
    case id_type::der_asn1_dn: return crypto::text_of_distinguished_name(data);
    case id_type::key_id:
      if (!data.empty() && is_printable(data)) return escaped(data);
      return "@#" + to_hex(data);
    default: break;
  }
  return "{" + std::to_string(static_cast<unsigned>(type)) + "}:#" + to_hex(data);
}

}  // namespace

result<identity> parse_identity(std::string_view written) {
  auto text = trimmed(written);
  if (text.find('\0') != text.npos) return error{errc::bad_value, "a NUL in an identity"};
  for (auto word : {"", "%any", "%any6", "0.0.0.0", "*", "::", "0::0"})
    if (text == word) return identity{id_type::any, {}, false, "%any"};
  if (text.front() == '{') return numbered_identity(text);
  for (const auto& prefix : prefixes)
    if (equal_ignoring_case(text.substr(0, prefix.text.size()), prefix.text))
      return typed_identity(prefix.type, text.substr(prefix.text.size()), text);
  return identity_by_look(text);
}

identity identity_from_payload(id_type type, bytes_view data) {
  identity made{type, to_bytes(data), false, {}};  // a peer's "*" is a star, not a pattern
  made.text = text_of(made);
  return made;
}

// What one can write in a configuration to mean this identity.
std::string text_of(const identity& identity) {
  auto text = natural_text(identity.type, identity.data);
  bool is_by_look = identity.type == id_type::fqdn || identity.type == id_type::rfc822_addr ||
                    identity.type == id_type::key_id;
  if (!is_by_look || text.starts_with("{") || text.starts_with("@#")) return text;
  if (auto again = parse_identity(text); again && *again == identity) return text;
  for (const auto& prefix : prefixes)
    if (prefix.type == identity.type) return std::string{prefix.text} + text;
  return text;
}

bool identity::matches(id_type peer_type, bytes_view peer_data) const {
  if (is_any()) return true;
  if (type != peer_type) return false;
  if (type == id_type::der_asn1_dn) return name_matches(data, peer_data);
  if (type != id_type::fqdn && type != id_type::rfc822_addr) return same_octets(data, peer_data);
  auto wanted = as_text(data);
  auto given = as_text(peer_data);
  if (!has_wildcards) return equal_ignoring_case(wanted, given);
  wanted.remove_prefix(1);
  // Only what could be a name: no octets that hide where it really ends.
  return is_printable(peer_data) && given.size() > wanted.size() &&
         equal_ignoring_case(given.substr(given.size() - wanted.size()), wanted);
}

}  // namespace imago::config
