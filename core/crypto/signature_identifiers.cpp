#include "core/crypto/signature_identifiers.hpp"

#include <algorithm>

namespace imago::crypto {

namespace {

// DER: everything here is shorter than 128 octets, so a length is one octet.
bytes element(std::uint8_t tag, std::initializer_list<bytes> contents) {
  bytes out{tag, 0};
  for (const auto& one : contents) append(out, one);
  out[1] = static_cast<std::uint8_t>(out.size() - 2);
  return out;
}

constexpr std::uint8_t sequence = 0x30;
constexpr std::uint8_t object = 0x06;
constexpr std::uint8_t octet_string = 0x04;
const bytes& null() {
  static const bytes value{0x05, 0x00};
  return value;
}

// 1.2.840.113549.1.1.<last>
bytes pkcs1_object(std::uint8_t last) {
  return element(object, {{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, last}});
}

// 0 for SHA2-256, 1 for 384, 2 for 512: the order in every arc used here.
std::optional<std::uint8_t> sha2_number(hash_algorithm hash) {
  switch (hash) {
    case hash_algorithm::sha2_256: return std::uint8_t{0};
    case hash_algorithm::sha2_384: return std::uint8_t{1};
    case hash_algorithm::sha2_512: return std::uint8_t{2};
    default: return std::nullopt;
  }
}

bytes hash_identifier(hash_algorithm hash, bool with_null) {
  auto number = sha2_number(hash);
  bytes name = number ? element(object, {{0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
                                          static_cast<std::uint8_t>(*number + 1)}})
                      : element(object, {{0x2b, 0x0e, 0x03, 0x02, 0x1a}});  // SHA-1
  return element(sequence, {name, with_null ? null() : bytes{}});
}

std::size_t hash_size(hash_algorithm hash) {
  auto number = sha2_number(hash);
  if (number) return 32 + *number * 16U;
  return hash == hash_algorithm::sha1 ? 20 : 0;
}

// RFC 7427 §A.4.3.
bytes pss_identifier(hash_algorithm hash, bool with_null, bool with_trailer) {
  auto hash_name = hash_identifier(hash, with_null);
  auto mask = element(sequence, {pkcs1_object(8), hash_name});
  bytes salt{0x02, 0x01, static_cast<std::uint8_t>(hash_size(hash))};
  auto trailer = with_trailer ? element(0xa3, {{0x02, 0x01, 0x01}}) : bytes{};
  auto parameters = element(sequence, {element(0xa0, {hash_name}), element(0xa1, {mask}),
                                       element(0xa2, {salt}), trailer});
  return element(sequence, {pkcs1_object(10), parameters});
}

struct known_identifier {
  bytes octets;
  signature_scheme scheme;
};

std::vector<known_identifier> make_known() {
  std::vector<known_identifier> list;
  auto add = [&](bytes octets, key_kind kind, hash_algorithm hash, bool pss) {
    list.push_back({std::move(octets), {auth_method::digital_signature, hash, pss, kind}});
  };
  for (auto hash : {hash_algorithm::sha2_256, hash_algorithm::sha2_384, hash_algorithm::sha2_512}) {
    add(identifier_of(key_kind::rsa, hash, false), key_kind::rsa, hash, false);
    add(identifier_of(key_kind::ecdsa, hash, false), key_kind::ecdsa, hash, false);
    for (bool with_null : {true, false})
      for (bool with_trailer : {false, true})
        add(pss_identifier(hash, with_null, with_trailer), key_kind::rsa, hash, true);
  }
  add(identifier_of(key_kind::ed25519, hash_algorithm::identity, false), key_kind::ed25519,
      hash_algorithm::identity, false);
  return list;
}

}  // namespace

bytes identifier_of(key_kind kind, hash_algorithm hash, bool rsa_pss) {
  if (kind == key_kind::ed25519)  // RFC 8420 §A.1
    return hash == hash_algorithm::identity ? element(sequence, {{0x06, 0x03, 0x2b, 0x65, 0x70}})
                                            : bytes{};
  auto number = sha2_number(hash);
  if (!number) return {};
  if (kind == key_kind::ecdsa)  // RFC 7427 §A.3: no parameters
    return element(sequence, {element(object, {{0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03,
                                                static_cast<std::uint8_t>(*number + 2)}})});
  if (rsa_pss) return pss_identifier(hash, true, false);
  return element(sequence, {pkcs1_object(static_cast<std::uint8_t>(*number + 11)), null()});
}

std::optional<signature_scheme> scheme_of_identifier(bytes_view identifier) {
  static const auto known = make_known();
  for (const auto& one : known)
    if (std::equal(identifier.begin(), identifier.end(), one.octets.begin(), one.octets.end()))
      return one.scheme;
  return std::nullopt;
}

std::size_t digest_info_size(hash_algorithm hash) {
  auto size = hash_size(hash);
  if (size == 0) return 0;
  return 2 + hash_identifier(hash, true).size() + 2 + size;
}

bytes digest_info(hash_algorithm hash, bytes_view hashed) {
  return element(sequence,
                 {hash_identifier(hash, true), element(octet_string, {to_bytes(hashed)})});
}

}  // namespace imago::crypto
