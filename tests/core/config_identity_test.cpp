#include <doctest/doctest.h>

#include "core/config/connection.hpp"
#include "core/crypto/certificate.hpp"

namespace imago::config {
namespace {

identity id(std::string_view text) {
  auto parsed = parse_identity(text);
  if (!parsed) FAIL(text << ": " << parsed.failure().text());
  return *parsed;
}
bool fits(std::string_view pattern, std::string_view peer) {
  auto other = id(peer);
  return id(pattern).matches(other.type, other.data);
}

}  // namespace

TEST_CASE("identity: the type is seen by look or said by a prefix") {
  struct sample {
    std::string_view text;
    id_type type;
    std::string_view data_hex;
  };
  for (const auto& one :
       std::vector<sample>{{"moon", id_type::fqdn, "6d6f6f6e"},
                           {"moon.org", id_type::fqdn, "6d6f6f6e2e6f7267"},
                           {"@moon", id_type::fqdn, "6d6f6f6e"},
                           {"@10.0.0.1", id_type::fqdn, "31302e302e302e31"},
                           {"fqdn:moon", id_type::fqdn, "6d6f6f6e"},
                           {"dns:moon", id_type::fqdn, "6d6f6f6e"},
                           {"10.0.0.1", id_type::ipv4_addr, "0a000001"},
                           {"ipv4:10.0.0.1", id_type::ipv4_addr, "0a000001"},
                           {"ipv4:#0a000001", id_type::ipv4_addr, "0a000001"},
                           {"fe80::1", id_type::ipv6_addr, "fe800000000000000000000000000001"},
                           {"ipv6:fe80::1", id_type::ipv6_addr, "fe800000000000000000000000000001"},
                           {"not:an:address", id_type::key_id, "6e6f743a616e3a61646472657373"},
                           {"a@b", id_type::rfc822_addr, "614062"},
                           {"@@a@b", id_type::rfc822_addr, "614062"},
                           {"rfc822:a", id_type::rfc822_addr, "61"},
                           {"email:a", id_type::rfc822_addr, "61"},
                           {"userfqdn:a", id_type::rfc822_addr, "61"},
                           {"EMAIL:a", id_type::rfc822_addr, "61"},
                           {"@#0aBc", id_type::key_id, "0abc"},
                           {"keyid:ab", id_type::key_id, "6162"},
                           {"keyid:#00ff", id_type::key_id, "00ff"},
                           {"{11}:ab", id_type::key_id, "6162"},
                           {"{2}:#61", id_type::fqdn, "61"},
                           {"asn1gn:#3000", id_type::der_asn1_gn, "3000"},
                           {"asn1dn:#3000", id_type::der_asn1_dn, "3000"},
                           {" moon ", id_type::fqdn, "6d6f6f6e"}}) {
    CAPTURE(one.text);
    auto parsed = id(one.text);
    CHECK(parsed.type == one.type);
    CHECK(to_hex(parsed.data) == one.data_hex);
    CHECK_FALSE(parsed.is_any());
  }
  for (auto text : {"", "%any", "%any6", "*", "0.0.0.0", "::", "0::0"}) CHECK(id(text).is_any());
}

TEST_CASE("identity: a distinguished name is DER, in the order written") {
  auto moon = id("C=CH, O=strongSwan, CN=moon");
  CHECK(moon.type == id_type::der_asn1_dn);
  CHECK(moon.data == *crypto::parse_distinguished_name("C=CH, O=strongSwan, CN=moon"));
  CHECK(id("asn1dn:C=CH, O=strongSwan, CN=moon") == moon);
  CHECK(text_of(moon) == "C=CH, O=strongSwan, CN=moon");
  CHECK_FALSE(moon == id("C=CH, O=strongSwan, CN=sun"));
}

TEST_CASE("identity: what is none says so") {
  for (auto text : {"ipv4:fe80::1", "ipv6:10.0.0.1", "ipv4:#0a", "@#0", "@#zz", "keyid:", "{0}:a",
                    "{256}:a", "{1", "{}:a", "XYZ=nothing=", "asn1dn:#30", "10.0.0.0/8"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_identity(text).has_value());
  }
  CHECK(parse_identity("fqdn:^moon.*$").failure().code == errc::not_supported);
  CHECK_FALSE(parse_identity(std::string_view{"a\0b", 3}).has_value());
}

TEST_CASE("identity: names match without regard to case, patterns by their end") {
  CHECK(fits("%any", "moon"));
  CHECK(fits("moon.org", "MOON.org"));
  CHECK_FALSE(fits("moon.org", "moon.or"));
  CHECK_FALSE(fits("moon.org", "rfc822:moon.org"));
  CHECK(fits("*.org", "moon.org"));
  CHECK(fits("*.ORG", "a.moon.org"));
  CHECK_FALSE(fits("*.org", "moon.com"));
  CHECK_FALSE(fits("*.org", "@.org"));
  CHECK(fits("*@moon.org", "carol@moon.org"));
  CHECK_FALSE(fits("*@moon.org", "carol@sun.org"));
  CHECK_FALSE(fits("*@moon.org", "@moon.org"));  // the peer's is a name, not a mail address
  CHECK(fits("10.0.0.1", "10.0.0.1"));
  CHECK_FALSE(fits("10.0.0.1", "10.0.0.2"));
  CHECK(fits("@#0102", "@#0102"));
  CHECK_FALSE(fits("keyid:ab", "keyid:AB"));
  CHECK(id("*.org").has_wildcards);
  CHECK_FALSE(id("moon.org").has_wildcards);
}

TEST_CASE("identity: a pattern does not match octets that hide the end of a name") {
  auto peer = to_bytes(std::string_view{"evil\0.org", 9});
  CHECK_FALSE(id("*.org").matches(id_type::fqdn, peer));
}

TEST_CASE("identity: distinguished names match per RDN, a star stands for one value") {
  CHECK(fits("C=CH, O=X, CN=*", "C=CH, O=X, CN=moon"));
  CHECK(fits("C=CH, O=*, CN=*", "C=CH, O=X, CN=moon"));
  CHECK(fits("C=CH, O=x, CN=Moon", "C=CH, O=X, CN=moon"));
  CHECK_FALSE(fits("C=CH, O=X, CN=*", "C=CH, O=Y, CN=moon"));
  CHECK_FALSE(fits("C=CH, O=X, CN=*", "C=CH, O=X"));
  CHECK_FALSE(fits("C=CH, O=X", "C=CH, O=X, CN=moon"));
  CHECK_FALSE(fits("C=CH, CN=*, O=X", "C=CH, O=X, CN=moon"));
  CHECK_FALSE(fits("C=CH, O=X, CN=moon", "C=CH, O=X, CN=*"));  // a peer's star is no pattern
  CHECK(id("C=CH, CN=*").has_wildcards);
  CHECK_FALSE(id("C=CH, CN=a*").has_wildcards);
  auto pattern = id("C=CH, CN=*");
  for (const auto* damaged : {"", "30", "3002", "30023100ff", "300431023000", "3006310430020600"}) {
    bytes octets;
    for (std::string_view rest = damaged; rest.size() >= 2; rest.remove_prefix(2))
      octets.push_back(
          static_cast<std::uint8_t>(std::stoul(std::string{rest.substr(0, 2)}, nullptr, 16)));
    CHECK_FALSE(pattern.matches(id_type::der_asn1_dn, octets));
  }
}

TEST_CASE("identity: the text of one means it again") {
  for (auto text : {"moon", "moon.org", "10.0.0.1", "fe80::1", "a@b", "@#0abc", "fqdn:10.0.0.1",
                    "rfc822:a", "C=CH, CN=moon", "{10}:#3000", "{200}:#01", "keyid:moon"}) {
    CAPTURE(text);
    auto first = id(text);
    auto again = parse_identity(text_of(first));
    REQUIRE(again);
    CHECK(*again == first);
  }
  CHECK(text_of(id("keyid:moon")) == "keyid:moon");
  CHECK(text_of(id("%any")) == "%any");
}

TEST_CASE("identity: what a peer sent is printed escaped and never is a pattern") {
  auto peer = identity_from_payload(id_type::fqdn, to_bytes(std::string_view{"a\n\x1b[2J"}));
  CHECK(peer.text.find('\n') == std::string::npos);
  CHECK(peer.text.find('\x1b') == std::string::npos);
  auto star = identity_from_payload(id_type::fqdn, to_bytes(std::string_view{"*"}));
  CHECK_FALSE(star.has_wildcards);
  CHECK_FALSE(star.matches(id_type::fqdn, to_bytes(std::string_view{"moon"})));
  CHECK(identity_from_payload(id_type::ipv4_addr, bytes{1, 2}).text == "{1}:#0102");
}

}  // namespace imago::config
