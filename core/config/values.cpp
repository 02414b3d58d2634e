#include "core/config/values.hpp"

#include <algorithm>
#include <charconv>
#include <limits>

#include "core/base/limits.hpp"

namespace imago::config {
namespace {

error bad(std::string what) { return {errc::bad_value, std::move(what)}; }

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

int hex_digit(char c) {
  if (is_digit(c)) return c - '0';
  c = lower(c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int base64_digit(char c) {
  constexpr std::string_view digits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  auto at = digits.find(c);
  return at == digits.npos ? -1 : static_cast<int>(at);
}

struct unit {
  char suffix;
  std::uint64_t factor;
};

// A number with an optional suffix, possibly one blank before it.
template <std::size_t N>
result<std::uint64_t> parse_scaled(std::string_view text, const unit (&units)[N],
                                   std::uint64_t max) {
  text = trimmed(text);
  std::uint64_t factor = 1;
  bool is_hex = text.starts_with("0x") || text.starts_with("0X");
  if (!text.empty() && !is_digit(text.back()) && !is_hex) {
    const auto* found = std::find_if(std::begin(units), std::end(units),
                                     [&](const unit& one) { return one.suffix == text.back(); });
    if (found == std::end(units)) return bad("'" + escaped(text) + "' has no known unit");
    factor = found->factor;
    text = trimmed(text.substr(0, text.size() - 1));
  }
  auto number = parse_number(text);
  if (!number) return number.failure();
  if (*number > max / factor) return bad("'" + escaped(text) + "' is too large");
  return *number * factor;
}

// X.690 §8.1: a SEQUENCE whose length covers the rest exactly.
result<bytes> checked_der(bytes_view data) {
  if (data.size() < 4 || data[0] != 0x30) return bad("there is no certificate inside");
  std::size_t header = 2, size = data[1];
  if (data[1] & 0x80) {
    std::size_t octets = data[1] & 0x7fU;
    if (octets == 0 || octets > 3 || data.size() < 2 + octets) return bad("the DER is damaged");
    size = 0;
    for (std::size_t i = 0; i < octets; ++i) size = size << 8 | data[2 + i];
    header += octets;
  }
  if (header + size != data.size()) return bad("the DER is cut short or has a tail");
  return to_bytes(data);
}

}  // namespace

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

std::string lower_case(std::string_view text) {
  std::string out{text};
  std::transform(out.begin(), out.end(), out.begin(), lower);
  return out;
}

bool equal_ignoring_case(std::string_view one, std::string_view other) {
  return std::equal(one.begin(), one.end(), other.begin(), other.end(),
                    [](char a, char b) { return lower(a) == lower(b); });
}

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> items;
  while (!text.empty()) {
    auto comma = text.find(',');
    auto item = trimmed(text.substr(0, comma));
    if (!item.empty()) items.emplace_back(item);
    text = comma == text.npos ? std::string_view{} : text.substr(comma + 1);
  }
  return items;
}

std::string_view nearest_word(std::string_view word, const std::vector<std::string_view>& known) {
  if (word.size() > limits::config_name_size_max) return {};
  std::string_view nearest;
  // A slip of one third of the letters is a slip; more is another word.
  std::size_t best = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (auto candidate : known) {
    std::vector<std::size_t> row(candidate.size() + 1);  // Levenshtein, one row at a time
    for (std::size_t j = 0; j < row.size(); ++j) row[j] = j;
    for (std::size_t i = 0; i < word.size(); ++i) {
      auto diagonal = row[0]++;
      for (std::size_t j = 0; j < candidate.size(); ++j) {
        auto replaced = diagonal + (lower(word[i]) == lower(candidate[j]) ? 0 : 1);
        diagonal = row[j + 1];
        row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
      }
    }
    if (row.back() < best && row.back() < std::max(word.size(), candidate.size())) {
      best = row.back();
      nearest = candidate;
    }
  }
  return nearest;
}

std::string suggestion(std::string_view word, const std::vector<std::string_view>& known) {
  auto nearest = nearest_word(word, known);
  return nearest.empty() ? std::string{} : "; did you mean '" + std::string{nearest} + "'?";
}

result<bool> parse_boolean(std::string_view text) {
  for (auto word : {"yes", "true", "enabled", "1"})
    if (equal_ignoring_case(text, word)) return true;
  for (auto word : {"no", "false", "disabled", "0"})
    if (equal_ignoring_case(text, word)) return false;
  return bad("'" + escaped(text) + "' is neither yes nor no");
}

result<std::uint64_t> parse_number(std::string_view text) {
  text = trimmed(text);
  bool is_hex = text.starts_with("0x") || text.starts_with("0X");
  auto digits = is_hex ? text.substr(2) : text;
  std::uint64_t number = 0;
  auto [end, code] =
      std::from_chars(digits.data(), digits.data() + digits.size(), number, is_hex ? 16 : 10);
  if (code != std::errc{} || end != digits.data() + digits.size())
    return bad("'" + escaped(text) + "' is no number");
  return number;
}

result<std::uint32_t> parse_u32(std::string_view text) {
  auto number = parse_number(text);
  if (!number) return number.failure();
  if (*number > std::numeric_limits<std::uint32_t>::max())
    return bad("'" + escaped(text) + "' is too large");
  return static_cast<std::uint32_t>(*number);
}

result<std::uint16_t> parse_port(std::string_view text) {
  auto number = parse_number(text);
  if (!number || *number > 65535) return bad("'" + escaped(text) + "' is no port");
  return static_cast<std::uint16_t>(*number);
}

result<duration> parse_duration(std::string_view text) {
  constexpr unit units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
  // A century: no lifetime is longer, and no sum of a few overflows 63 bits of nanoseconds... an
  // instant holds 292 years.
  constexpr std::uint64_t century = 100ULL * 365 * 86400;
  auto seconds = parse_scaled(text, units, century);
  if (!seconds) return seconds.failure();
  return duration{std::chrono::seconds{static_cast<std::int64_t>(*seconds)}};
}

result<std::uint64_t> parse_byte_count(std::string_view text) {
  constexpr unit units[] = {{'k', 1ULL << 10}, {'m', 1ULL << 20}, {'g', 1ULL << 30}};
  // A tenth is added for life_bytes, which must not overflow.
  return parse_scaled(text, units, std::numeric_limits<std::uint64_t>::max() / 16);
}

result<bytes> parse_hex(std::string_view text) {
  bytes octets;
  int half = -1;
  for (char c : text) {
    if (c == ':' && half < 0) continue;
    int digit = hex_digit(c);
    if (digit < 0) {
      wipe(octets);
      return bad("a character is no hexadecimal digit");
    }
    if (half < 0) {
      half = digit;
    } else {
      octets.push_back(static_cast<std::uint8_t>(half << 4 | digit));
      half = -1;
    }
  }
  if (half < 0) return octets;
  wipe(octets);
  return bad("the number of hexadecimal digits is odd");
}

result<bytes> parse_base64(std::string_view text) {
  bytes octets;
  octets.reserve(text.size() / 4 * 3 + 3);
  unsigned buffer = 0;
  int bits = 0;
  std::size_t digits = 0, padding = 0;
  bool is_good = true;
  for (char c : text) {
    if (is_blank(c)) continue;
    if (c == '=') {
      ++padding;
      continue;
    }
    int digit = base64_digit(c);
    if (digit < 0 || padding > 0) {
      is_good = false;
      break;
    }
    ++digits;
    buffer = (buffer << 6 | static_cast<unsigned>(digit)) & 0xffffU;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      octets.push_back(static_cast<std::uint8_t>(buffer >> bits & 0xff));
    }
  }
  // One digit left over carries no octet; padding may be absent, but not wrong (RFC 4648 §3.2).
  is_good =
      is_good && digits % 4 != 1 && (padding == 0 || (digits + padding) % 4 == 0) && padding <= 2;
  if (is_good) return octets;
  wipe(octets);
  return bad("the base64 is damaged");
}

result<secret> parse_secret(std::string_view text) {
  if (text.starts_with("0x") || text.starts_with("0s")) {
    auto octets = text[1] == 'x' ? parse_hex(text.substr(2)) : parse_base64(text.substr(2));
    if (!octets) return octets.failure();
    return secret{std::move(*octets)};
  }
  return secret{bytes_view{reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}};
}

result<bytes> certificate_der(bytes_view data) {
  std::string_view text{reinterpret_cast<const char*>(data.data()), data.size()};
  constexpr std::string_view begin = "-----BEGIN CERTIFICATE-----";
  constexpr std::string_view end = "-----END CERTIFICATE-----";
  // A certificate is longer than 127 octets, so that its length has the long form; 0x30 is also
  // the digit 0, with which the comment before a PEM may begin.
  if (data.size() >= 2 && data[0] == 0x30 && (data[1] & 0x80)) return checked_der(data);
  auto from = text.find(begin);
  if (from == text.npos)
    return text.starts_with('0') ? checked_der(data) : bad("neither PEM nor DER of a certificate");
  from += begin.size();
  auto to = text.find(end, from);
  if (to == text.npos) return bad("the PEM has no end");
  auto octets = parse_base64(text.substr(from, to - from));
  if (!octets) return octets.failure();
  return checked_der(*octets);
}

result<authentication_choice> parse_authentication(std::string_view text) {
  authentication_choice choice;
  if (text == "psk") {
    choice.method = authentication::psk;
    return choice;
  }
  if (text == "pubkey") return choice;
  for (auto other : {"eap", "xauth", "any", "hybrid"})
    if (text.starts_with(other) && (text.size() == std::string_view{other}.size() ||
                                    text[std::string_view{other}.size()] == '-'))
      return error{errc::not_supported, "auth = " + std::string{other}};
  static const std::vector<std::string_view> words = {
      "pubkey", "rsa",    "rsa/pss",  "ecdsa",    "ed25519",  "sha256",
      "sha384", "sha512", "sha2_256", "sha2_384", "sha2_512", "identity"};
  auto names_key = [](std::string_view word) {
    return word == "pubkey" || word.starts_with("rsa") || word == "ecdsa" || word == "ed25519";
  };
  std::string_view previous;
  for (auto rest = text;;) {
    auto dash = rest.find('-');
    auto word = rest.substr(0, dash);
    if (word.starts_with("ike:")) {
      word.remove_prefix(4);
      previous = {};
    }
    bool is_size = !word.empty() && std::all_of(word.begin(), word.end(), is_digit) &&
                   (previous == "rsa" || previous == "ecdsa" || previous == "rsa/pss");
    bool is_known = std::find(words.begin(), words.end(), word) != words.end();
    if (previous.empty() ? !names_key(word) : !is_known && !is_size)
      return bad("'" + escaped(word) + "' in auth is not known" + suggestion(word, words));
    choice.prefers_pss = choice.prefers_pss || word == "rsa/pss";
    previous = word;
    if (dash == rest.npos) break;
    rest.remove_prefix(dash + 1);
  }
  choice.constraint = text;
  return choice;
}

}  // namespace imago::config
