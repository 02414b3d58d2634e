// Distinguished names as people write them in swanctl.conf, and back.
#include <algorithm>
#include <array>

#include <openssl/err.h>
#include <openssl/objects.h>

#include "core/crypto/certificate.hpp"
#include "core/crypto/openssl.hpp"

namespace imago::crypto {

namespace {

using owned_object = owned<ASN1_OBJECT, ASN1_OBJECT_free>;

struct attribute_type {
  std::string_view name;
  int nid;
};
// The first name of a type is the one printed; the others are read only. swanctl's meaning of
// "SN" (serial number) and "S" (surname) differs from OpenSSL's.
constexpr std::array<attribute_type, 27> attribute_types = {{
    {"C", NID_countryName},
    {"ST", NID_stateOrProvinceName},
    {"L", NID_localityName},
    {"O", NID_organizationName},
    {"OU", NID_organizationalUnitName},
    {"CN", NID_commonName},
    {"E", NID_pkcs9_emailAddress},
    {"Email", NID_pkcs9_emailAddress},
    {"emailAddress", NID_pkcs9_emailAddress},
    {"DC", NID_domainComponent},
    {"UID", NID_userId},
    {"SN", NID_serialNumber},
    {"serialNumber", NID_serialNumber},
    {"S", NID_surname},
    {"surname", NID_surname},
    {"G", NID_givenName},
    {"givenName", NID_givenName},
    {"T", NID_title},
    {"title", NID_title},
    {"D", NID_description},
    {"N", NID_name},
    {"I", NID_initials},
    {"ID", NID_x500UniqueIdentifier},
    {"dnQualifier", NID_dnQualifier},
    {"pseudonym", NID_pseudonym},
    {"UN", NID_pkcs9_unstructuredName},
    {"unstructuredName", NID_pkcs9_unstructuredName},
}};

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool same_name(std::string_view one, std::string_view other) {
  return std::equal(one.begin(), one.end(), other.begin(), other.end(),
                    [](char a, char b) { return lower(a) == lower(b); });
}

owned_object object_of(std::string_view name) {
  for (const auto& type : attribute_types)
    if (same_name(type.name, name)) return owned_object{OBJ_dup(OBJ_nid2obj(type.nid))};
  if (name.empty() || name[0] < '0' || name[0] > '9') return nullptr;
  return owned_object{OBJ_txt2obj(std::string{name}.c_str(), 1)};
}

std::string name_of(const ASN1_OBJECT* object) {
  int nid = OBJ_obj2nid(object);
  for (const auto& type : attribute_types)
    if (nid != NID_undef && type.nid == nid) return std::string{type.name};
  char text[128] = {};
  OBJ_obj2txt(text, sizeof text, object, 1);
  return text;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

int hex_digit(char c) {
  c = lower(c);
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// "\xNN" is an octet, "\" before anything else that thing. Nothing if the escape is cut off.
std::optional<std::string> unescaped(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      out.push_back(text[i]);
      continue;
    }
    if (i + 1 == text.size()) return std::nullopt;
    if (text[i + 1] != 'x') {
      out.push_back(text[++i]);
      continue;
    }
    if (i + 3 >= text.size()) return std::nullopt;
    int high = hex_digit(text[i + 2]);
    int low = hex_digit(text[i + 3]);
    if (high < 0 || low < 0) return std::nullopt;
    out.push_back(static_cast<char>(high * 16 + low));
    i += 3;
  }
  return out;
}

// Splits at `separator`, not where a backslash stands before it.
std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  std::size_t start = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == separator) {
      parts.push_back(text.substr(start, i - start));
      start = i + 1;
    }
  }
  parts.push_back(text.substr(start));
  return parts;
}

bool is_printable_string(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view{" '()+,-./:=?"}.find(c) != std::string_view::npos;
  });
}

// RFC 4945 §3.1.5 and RFC 5280 §4.1.2.4: PrintableString where it can be, IA5String for mail
// addresses and domain components, UTF8String for the rest.
int string_type(int nid, std::string_view value) {
  if (nid == NID_pkcs9_emailAddress || nid == NID_domainComponent) return V_ASN1_IA5STRING;
  return is_printable_string(value) ? V_ASN1_PRINTABLESTRING : V_ASN1_UTF8STRING;
}

status add_attribute(X509_NAME* name, std::string_view part) {
  auto equals = part.find('=');
  if (equals == part.npos) return {errc::bad_syntax, "'" + escaped(part) + "' has no '='"};
  auto type = trimmed(part.substr(0, equals));
  auto value = unescaped(trimmed(part.substr(equals + 1)));
  if (!value) return {errc::bad_syntax, "'" + escaped(part) + "' ends in an escape"};
  auto object = object_of(type);
  if (!object) return {errc::bad_value, "attribute type '" + escaped(type) + "'"};
  if (X509_NAME_add_entry_by_OBJ(name, object.get(), string_type(OBJ_obj2nid(object.get()), *value),
                                 reinterpret_cast<const unsigned char*>(value->data()),
                                 static_cast<int>(value->size()), -1, 0) != 1)
    return openssl_failure(errc::bad_value, "'" + escaped(part) + "'");
  return {};
}

// UTF-8; what could mislead a reader or the grammar is escaped.
std::string text_of_value(const ASN1_STRING* value) {
  unsigned char* octets = nullptr;
  int size = ASN1_STRING_to_UTF8(&octets, value);
  owned_octets owner{octets};
  if (size < 0) {
    ERR_clear_error();
    return escaped(bytes_view{ASN1_STRING_get0_data(value),
                              static_cast<std::size_t>(ASN1_STRING_length(value))});
  }
  std::string text;
  for (auto octet : bytes_view{octets, static_cast<std::size_t>(size)}) {
    if (octet == ',' || octet == '\\') text.push_back('\\');
    if (octet < 0x20 || octet == 0x7f) {
      text += escaped(bytes_view{&octet, 1});
    } else {
      text.push_back(static_cast<char>(octet));
    }
  }
  return text;
}

}  // namespace

result<bytes> parse_distinguished_name(std::string_view text) {
  text = trimmed(text);
  if (text.empty()) return {errc::bad_syntax, "empty distinguished name"};
  if (text.size() > 4096) return {errc::input_too_long, "distinguished name"};
  char separator = ',';
  if (text.front() == '/') {
    separator = '/';
    text.remove_prefix(1);
  }
  owned_name name{X509_NAME_new()};
  if (!name) return openssl_failure(errc::crypto_failed, "distinguished name");
  for (auto part : split(text, separator)) {
    auto added = add_attribute(name.get(), trimmed(part));
    if (!added) return added.failure();
  }
  auto der = encoded<const X509_NAME>(name.get(), i2d_X509_NAME);
  if (der.empty()) return openssl_failure(errc::bad_value, "distinguished name");
  return der;
}

std::string text_of_distinguished_name(bytes_view der) {
  const auto* at = der.data();
  owned_name name{d2i_X509_NAME(nullptr, &at, static_cast<long>(der.size()))};
  if (!name || at != der.data() + der.size()) {
    ERR_clear_error();
    return "(malformed)";
  }
  std::string text;
  for (int i = 0; i < X509_NAME_entry_count(name.get()); ++i) {
    const auto* entry = X509_NAME_get_entry(name.get(), i);
    if (i > 0) text += ", ";
    text += name_of(X509_NAME_ENTRY_get_object(entry)) + "=" +
            text_of_value(X509_NAME_ENTRY_get_data(entry));
  }
  return text;
}

}  // namespace imago::crypto
