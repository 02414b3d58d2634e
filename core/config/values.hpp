// The forms of values: text to typed value. Errors of all: bad_value (or not_supported) with what
// to write instead in `where`, to be shown after "invalid value: ".
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/config/connection.hpp"

namespace imago::config {

// "yes", "true", "enabled", "1"; "no", "false", "disabled", "0"; any case.
result<bool> parse_boolean(std::string_view text);
// Decimal or 0x hexadecimal.
result<std::uint64_t> parse_number(std::string_view text);
result<std::uint32_t> parse_u32(std::string_view text);
result<std::uint16_t> parse_port(std::string_view text);
// "30", "30s", "5m", "4h", "1d".
result<duration> parse_duration(std::string_view text);
// "1000", "10k", "5m", "2g"; times 1024.
result<std::uint64_t> parse_byte_count(std::string_view text);

// "6162", "61:62". Errors: bad_value for an odd number of digits or another character.
result<bytes> parse_hex(std::string_view text);
// RFC 4648 §4, white space skipped, padding may be missing. Errors: bad_value.
result<bytes> parse_base64(std::string_view text);
// "0x..." hexadecimal, "0s..." base64, else the text itself.
result<secret> parse_secret(std::string_view text);
// PEM (the first CERTIFICATE block) or DER to DER. Only the outer length is checked here.
result<bytes> certificate_der(bytes_view data);

// "%any", "%any4", "%any6", an address, "10.0.0.0/8", "10.0.0.1-10.0.0.9", a host name.
result<address_pattern> parse_address_pattern(std::string_view text);
// "dynamic", "10.0.0.0/8", "10.0.0.1-10.0.0.9", each with "[protocol/port]" after it.
result<selector_template> parse_selector(std::string_view text);

// What auth says: "pubkey", "psk", "rsa-2048-sha256", "ike:rsa/pss-sha256", ...
struct authentication_choice {
  config::authentication method = config::authentication::pubkey;
  std::string constraint;  // empty for plain pubkey and psk
  bool prefers_pss = false;
};
result<authentication_choice> parse_authentication(std::string_view text);

// --- texts ---
std::string_view trimmed(std::string_view text);
std::string lower_case(std::string_view text);
// At commas, trimmed; empty items are left out.
std::vector<std::string> split_list(std::string_view text);
// The known word with the smallest edit distance, or "" if none is near enough to be meant.
std::string_view nearest_word(std::string_view word, const std::vector<std::string_view>& known);
// "; did you mean 'x'?", or "".
std::string suggestion(std::string_view word, const std::vector<std::string_view>& known);
// Compares without regard to ASCII case.
bool equal_ignoring_case(std::string_view one, std::string_view other);

}  // namespace imago::config
