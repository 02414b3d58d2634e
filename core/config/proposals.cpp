// Proposals as text: keywords joined by "-". The words are strongSwan's.
#include <algorithm>
#include <array>
#include <span>

#include "core/config/values.hpp"

namespace imago::config {
namespace {

using wire::proposal;
using wire::transform;

struct keyword {
  std::string_view text;  // the first of each transform is the one that is printed
  transform_type type;
  std::uint16_t id;
  std::uint16_t key_bits;
};

template <class Id>
constexpr keyword word(std::string_view text, transform_type type, Id id, std::uint16_t bits = 0) {
  return {text, type, static_cast<std::uint16_t>(id), bits};
}

constexpr auto encr = transform_type::encryption;
constexpr auto prf = transform_type::prf;
constexpr auto integ = transform_type::integrity;
constexpr auto ke = transform_type::key_exchange;
constexpr auto sequence = transform_type::sequence_numbers;

// One line a keyword. ChaCha20-Poly1305 has no Key Length attribute (RFC 7634 §4).
constexpr keyword keywords[] = {
    word("aes128", encr, encryption_algorithm::aes_cbc, 128),
    word("aes192", encr, encryption_algorithm::aes_cbc, 192),
    word("aes256", encr, encryption_algorithm::aes_cbc, 256),
    word("aes", encr, encryption_algorithm::aes_cbc, 128),
    word("aes128gcm16", encr, encryption_algorithm::aes_gcm_16, 128),
    word("aes192gcm16", encr, encryption_algorithm::aes_gcm_16, 192),
    word("aes256gcm16", encr, encryption_algorithm::aes_gcm_16, 256),
    word("aes128gcm128", encr, encryption_algorithm::aes_gcm_16, 128),
    word("aes192gcm128", encr, encryption_algorithm::aes_gcm_16, 192),
    word("aes256gcm128", encr, encryption_algorithm::aes_gcm_16, 256),
    word("chacha20poly1305", encr, encryption_algorithm::chacha20_poly1305),
    word("sha256", integ, integrity_algorithm::hmac_sha2_256_128),
    word("sha384", integ, integrity_algorithm::hmac_sha2_384_192),
    word("sha512", integ, integrity_algorithm::hmac_sha2_512_256),
    word("sha2_256", integ, integrity_algorithm::hmac_sha2_256_128),
    word("sha2_384", integ, integrity_algorithm::hmac_sha2_384_192),
    word("sha2_512", integ, integrity_algorithm::hmac_sha2_512_256),
    word("prfsha256", prf, prf_algorithm::hmac_sha2_256),
    word("prfsha384", prf, prf_algorithm::hmac_sha2_384),
    word("prfsha512", prf, prf_algorithm::hmac_sha2_512),
    word("x25519", ke, ke_method::curve25519),
    word("curve25519", ke, ke_method::curve25519),
    word("ecp256", ke, ke_method::ecp_256),
    word("ecp384", ke, ke_method::ecp_384),
    word("ecp521", ke, ke_method::ecp_521),
    word("modp2048", ke, ke_method::modp_2048),
    word("modp3072", ke, ke_method::modp_3072),
    word("modp4096", ke, ke_method::modp_4096),
    word("esn", sequence, sequence_numbers::esn),
    word("noesn", sequence, sequence_numbers::no_esn),
};

// strongSwan's words that Imago does not know: what is missing or too weak (RFC 8247).
constexpr std::string_view unsupported_words[] = {
    "3des",         "des",          "null",         "blowfish",    "blowfish128", "blowfish256",
    "cast128",      "twofish128",   "twofish256",   "serpent128",  "serpent256",  "camellia",
    "camellia128",  "camellia192",  "camellia256",  "aes128ctr",   "aes192ctr",   "aes256ctr",
    "aes128ccm8",   "aes192ccm8",   "aes256ccm8",   "aes128ccm12", "aes192ccm12", "aes256ccm12",
    "aes128ccm16",  "aes192ccm16",  "aes256ccm16",  "aes128ccm64", "aes256ccm64", "aes128ccm96",
    "aes256ccm96",  "aes128ccm128", "aes256ccm128", "aes128gcm8",  "aes192gcm8",  "aes256gcm8",
    "aes128gcm12",  "aes192gcm12",  "aes256gcm12",  "aes128gcm64", "aes256gcm64", "aes128gcm96",
    "aes256gcm96",  "aes128gmac",   "aes192gmac",   "aes256gmac",  "md5",         "md5_128",
    "sha1",         "sha",          "sha1_160",     "sha256_96",   "sha2_256_96", "aesxcbc",
    "aescmac",      "camelliaxcbc", "prfmd5",       "prfsha1",     "prfaesxcbc",  "prfaescmac",
    "modp768",      "modp1024",     "modp1536",     "modp6144",    "modp8192",    "modp1024s160",
    "modp2048s224", "modp2048s256", "modpnone",     "none",        "ecp192",      "ecp224",
    "ecp256bp",     "ecp384bp",     "ecp512bp",     "ecp224bp",    "x448",        "curve448",
    "mlkem512",     "mlkem768",     "mlkem1024",
};

error bad(std::string what) { return {errc::bad_value, std::move(what)}; }

bool is_aead(const transform& one) {
  return one.type == encr && one.id != static_cast<std::uint16_t>(encryption_algorithm::aes_cbc);
}

bool same_transform(const transform& one, const keyword& other) {
  return one.type == other.type && one.id == other.id && one.key_bits == other.key_bits;
}

const keyword* find_keyword(std::string_view text) {
  for (const auto& one : keywords)
    if (equal_ignoring_case(one.text, text)) return &one;
  return nullptr;
}

const keyword* find_keyword(const transform& wanted) {
  for (const auto& one : keywords)
    if (same_transform(wanted, one)) return &one;
  return nullptr;
}

error unknown_keyword(std::string_view text) {
  auto lower = lower_case(text);
  bool is_additional_ke = lower.size() > 4 && lower.starts_with("ke") && lower[3] == '_';
  if (is_additional_ke || std::find(std::begin(unsupported_words), std::end(unsupported_words),
                                    lower) != std::end(unsupported_words))
    return {errc::not_supported, "the algorithm '" + escaped(text) + "'"};
  std::vector<std::string_view> known;
  for (const auto& one : keywords) known.push_back(one.text);
  return bad("the algorithm '" + escaped(text) + "' is not known" + suggestion(text, known));
}

std::uint16_t prf_of(std::uint16_t integrity) {
  switch (static_cast<integrity_algorithm>(integrity)) {
    case integrity_algorithm::hmac_sha2_384_192:
      return static_cast<std::uint16_t>(prf_algorithm::hmac_sha2_384);
    case integrity_algorithm::hmac_sha2_512_256:
      return static_cast<std::uint16_t>(prf_algorithm::hmac_sha2_512);
    default: return static_cast<std::uint16_t>(prf_algorithm::hmac_sha2_256);
  }
}

// What was written, sorted by transform type; the order of preference inside a type is kept.
struct chosen {
  std::vector<transform> encryption, prfs, integrity, methods, sequence_numbers;

  std::vector<transform>& of(transform_type type) {
    switch (type) {
      case encr: return encryption;
      case prf: return prfs;
      case integ: return integrity;
      case ke: return methods;
      default: return sequence_numbers;
    }
  }
  void add(const transform& one) {
    auto& list = of(one.type);
    if (std::find(list.begin(), list.end(), one) == list.end()) list.push_back(one);
  }
};

// The rules that hold for both protocols, then those of each.
status complete(protocol_id protocol, std::string_view text, chosen& all) {
  auto in = " in '" + escaped(text) + "'";
  if (all.encryption.empty()) return bad("no encryption algorithm" + in + "; add aes128gcm16");
  auto aead_count = std::count_if(all.encryption.begin(), all.encryption.end(), is_aead);
  bool has_aead = aead_count > 0;
  // RFC 7296 §3.3: AEAD excludes an integrity algorithm, CBC needs one; no proposal can be both.
  if (has_aead && static_cast<std::size_t>(aead_count) != all.encryption.size())
    return bad("AEAD and other ciphers are mixed" + in + "; split it in two proposals, by a comma");
  if (!has_aead && all.integrity.empty())
    return bad("no integrity algorithm" + in + "; add sha256");

  if (protocol == protocol_id::ike) {
    if (!all.sequence_numbers.empty()) return bad("esn and noesn are for ESP, not IKE," + in);
    if (all.prfs.empty())
      for (const auto& one : all.integrity) all.add({prf, prf_of(one.id), 0, false});
    if (all.prfs.empty()) return bad("no PRF" + in + "; add prfsha256");
    if (all.methods.empty()) return bad("no key exchange method" + in + "; add x25519");
  } else {
    if (!all.prfs.empty()) return bad("a PRF is for IKE, not ESP," + in);
    if (all.sequence_numbers.empty())
      all.add({sequence, static_cast<std::uint16_t>(sequence_numbers::no_esn), 0, false});
  }
  if (has_aead) all.integrity.clear();
  return {};
}

result<proposal> parse_proposal(protocol_id protocol, std::string_view text) {
  chosen all;
  for (auto rest = text;;) {
    auto dash = rest.find('-');
    auto part = rest.substr(0, dash);
    if (part.empty()) return bad("a keyword is missing in '" + escaped(text) + "'");
    if (equal_ignoring_case(part, "default"))
      return bad("'default' stands alone; in '" + escaped(text) + "' it does not");
    const auto* found = find_keyword(part);
    if (!found) return unknown_keyword(part);
    all.add({found->type, found->id, found->key_bits, false});
    if (dash == rest.npos) break;
    rest.remove_prefix(dash + 1);
  }
  if (auto done = complete(protocol, text, all); !done) return done.failure();
  proposal out;
  out.protocol = protocol;
  for (auto type : {encr, prf, integ, ke, sequence})
    for (const auto& one : all.of(type)) out.transforms.push_back(one);
  return out;
}

// A keyword, or for what has none (a peer's): "ENCR(7)/128".
std::string keyword_of(const transform& one) {
  if (const auto* found = find_keyword(one)) return std::string{found->text};
  auto text = text_of(one.type) + "(" + std::to_string(one.id) + ")";
  return one.key_bits ? text + "/" + std::to_string(one.key_bits) : text;
}

bool prfs_follow_from_integrity(const proposal& proposal) {
  std::vector<std::uint16_t> given, implied;
  for (const auto& one : proposal.transforms) {
    if (one.type == prf) given.push_back(one.id);
    if (one.type == integ) implied.push_back(prf_of(one.id));
  }
  return given == implied;
}

}  // namespace

result<std::vector<proposal>> parse_proposals(protocol_id protocol, std::string_view text) {
  std::vector<proposal> proposals;
  auto items = split_list(text);
  if (items.empty()) return bad("there is no proposal; write 'default'");
  for (const auto& item : items) {
    if (equal_ignoring_case(item, "default")) {
      for (auto& one : default_proposals(protocol)) proposals.push_back(std::move(one));
      continue;
    }
    auto one = parse_proposal(protocol, item);
    if (!one) return one.failure();
    proposals.push_back(std::move(*one));
  }
  if (proposals.size() > 255) return bad("there are more than 255 proposals");
  for (std::size_t i = 0; i < proposals.size(); ++i)
    proposals[i].number = static_cast<std::uint8_t>(i + 1);
  return proposals;
}

// AEAD first; inside a type what is usual first: x25519 is what an initiator then guesses. Child
// SAs without a key exchange of their own, unless the peer wants one.
std::vector<proposal> default_proposals(protocol_id protocol) {
  constexpr std::array<std::string_view, 2> ike = {
      "aes256gcm16-aes128gcm16-chacha20poly1305-prfsha512-prfsha384-prfsha256-"
      "x25519-ecp256-ecp384-ecp521-modp3072-modp4096-modp2048",
      "aes256-aes192-aes128-sha512-sha384-sha256-"
      "x25519-ecp256-ecp384-ecp521-modp3072-modp4096-modp2048"};
  constexpr std::array<std::string_view, 4> esp = {
      "aes256gcm16-aes128gcm16-chacha20poly1305-noesn",
      "aes256-aes192-aes128-sha512-sha384-sha256-noesn",
      "aes256gcm16-aes128gcm16-chacha20poly1305-"
      "x25519-ecp256-ecp384-ecp521-modp3072-modp4096-modp2048-noesn",
      "aes256-aes192-aes128-sha512-sha384-sha256-"
      "x25519-ecp256-ecp384-ecp521-modp3072-modp4096-modp2048-noesn"};
  std::span<const std::string_view> texts{ike};
  if (protocol == protocol_id::esp) texts = esp;
  std::vector<proposal> proposals;
  for (auto text : texts) {
    auto one = parse_proposal(protocol, text);
    proposals.push_back(std::move(*one));
    proposals.back().number = static_cast<std::uint8_t>(proposals.size());
  }
  return proposals;
}

std::string text_of(const proposal& proposal) {
  std::string text;
  bool prfs_implied = prfs_follow_from_integrity(proposal);
  auto count_sequence = std::count_if(proposal.transforms.begin(), proposal.transforms.end(),
                                      [](const transform& one) { return one.type == sequence; });
  for (auto type : {encr, integ, prf, ke, sequence})
    for (const auto& one : proposal.transforms) {
      if (one.type != type || (type == prf && prfs_implied)) continue;
      bool is_noesn =
          type == sequence && one.id == static_cast<std::uint16_t>(sequence_numbers::no_esn);
      if (is_noesn && count_sequence == 1) continue;  // what no keyword means
      text += (text.empty() ? "" : "-") + keyword_of(one);
    }
  return text;
}

}  // namespace imago::config
