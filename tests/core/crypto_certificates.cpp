// Certificates: reading, identities, chains, distinguished names, the cache.
#include <string>

#include <doctest/doctest.h>

#include "core/base/limits.hpp"
#include "core/crypto/certificate.hpp"
#include "tests/support/certificates.hpp"
#include "tests/support/hex.hpp"

using namespace imago;
using crypto::certificate;
using crypto::certificate_ptr;
using testing::certificate_options;
using testing::credential;
using testing::key_type;
using testing::test_key;
using testing::test_now;

namespace {

const crypto::library& library() {
  static const crypto::library one;
  return one;
}

certificate_ptr read(const credential& from) {
  return *certificate::load(library(), from.certificate);
}

// CA -> intermediate -> end entity.
struct hierarchy {
  credential ca = testing::make_authority("C=CH, O=Imago, CN=Root");
  credential intermediate;
  credential moon;
  crypto::trust_anchors anchors{{read(ca)}};

  hierarchy() {
    certificate_options middle;
    middle.subject = "C=CH, O=Imago, CN=Middle";
    middle.is_ca = true;
    middle.key_usage = "keyCertSign";
    intermediate = testing::make_end_entity(ca, middle, key_type::ecdsa_p384);
    moon = testing::make_end_entity(intermediate, moon_options());
  }
  static certificate_options moon_options() {
    certificate_options options;
    options.subject = "C=CH, O=strongSwan, CN=moon";
    options.dns_names = {"Moon.example.org", "*.example.net"};
    options.mail_addresses = {"moon@Example.org"};
    options.ip_addresses = {"192.0.2.1", "2001:db8::1"};
    options.key_usage = "digitalSignature";
    return options;
  }
};

const hierarchy& made() {
  static const hierarchy one;
  return one;
}

status validate(const credential& end_entity, const std::vector<certificate_ptr>& intermediates,
                wall_time now = test_now) {
  return crypto::validate_chain(library(), made().anchors, *read(end_entity), intermediates, now);
}

errc validate_code(const credential& end_entity, const std::vector<certificate_ptr>& intermediates,
                   wall_time now = test_now) {
  return validate(end_entity, intermediates, now).failure().code;
}

bytes name_of(std::string_view text) { return *crypto::parse_distinguished_name(text); }

}  // namespace

TEST_CASE("certificate: its fields read as they were written") {
  auto moon = read(made().moon);
  CHECK(moon->subject() == "C=CH, O=strongSwan, CN=moon");
  CHECK(moon->issuer() == "C=CH, O=Imago, CN=Middle");
  CHECK(moon->subject_der() == name_of("C=CH, O=strongSwan, CN=moon"));
  CHECK(moon->issuer_der() == read(made().intermediate)->subject_der());
  CHECK(moon->not_before().seconds == test_now.seconds - 86'400);
  CHECK(moon->not_after().seconds == test_now.seconds + 86'400 * 30);
  CHECK(moon->serial_hex().size() == 4);
  CHECK(moon->der() == made().moon.certificate);
  CHECK(moon->key()->kind() == crypto::key_kind::ecdsa);
  CHECK_FALSE(moon->is_ca());
  CHECK(read(made().ca)->is_ca());
  CHECK(read(made().intermediate)->is_ca());
}

TEST_CASE("certificate: PEM reads as DER does, with text or other blocks before it") {
  auto pem = made().moon.certificate_pem();
  CHECK((*certificate::load(library(), to_bytes(pem)))->der() == made().moon.certificate);
  auto mixed = "some text\n" + made().moon.key.pem() + pem;
  CHECK((*certificate::load(library(), to_bytes(mixed)))->der() == made().moon.certificate);
}

TEST_CASE("certificate: what is none is refused") {
  auto code = [](bytes_view data) { return certificate::load(library(), data).failure().code; };
  CHECK(code({}) == errc::bad_certificate);
  CHECK(code(to_bytes("rubbish")) == errc::bad_certificate);
  CHECK(code(to_bytes(made().moon.key.pem())) == errc::bad_certificate);
  CHECK(code(bytes(2U << 20U, 0x30)) == errc::bad_certificate);
  auto longer = made().moon.certificate;
  longer.push_back(0);
  CHECK(code(longer) == errc::bad_certificate);
  bytes_view whole{made().moon.certificate};
  for (std::size_t size = 1; size < whole.size(); size += 13)
    CHECK(code(whole.first(size)) == errc::bad_certificate);
}

TEST_CASE("certificate: a changed octet never crashes the reader") {
  auto octets = made().moon.certificate;
  int readable = 0;
  for (std::size_t i = 0; i < octets.size(); ++i) {
    auto changed = octets;
    changed[i] ^= 0xff;
    auto loaded = certificate::load(library(), changed);
    if (!loaded) continue;
    ++readable;
    CHECK_FALSE(crypto::validate_chain(library(), made().anchors, **loaded,
                                       {read(made().intermediate)}, test_now)
                    .has_value());
    CHECK_FALSE((*loaded)->serial_hex().empty());
    CHECK((*loaded)->subject().size() < 200);
  }
  CHECK(readable > 0);
}

TEST_CASE("certificate: identities are found by type") {
  auto moon = read(made().moon);
  auto contains = [&](id_type type, std::string_view text) {
    return moon->contains_identity(type, to_bytes(text));
  };
  CHECK(contains(id_type::fqdn, "moon.example.org"));
  CHECK(contains(id_type::fqdn, "MOON.EXAMPLE.ORG"));
  CHECK(contains(id_type::rfc822_addr, "Moon@example.ORG"));
  CHECK(moon->contains_identity(id_type::ipv4_addr, from_hex("c0000201")));
  CHECK(moon->contains_identity(id_type::ipv6_addr, from_hex("20010db8000000000000000000000001")));
  CHECK(moon->contains_identity(id_type::der_asn1_dn, name_of("C=CH, O=strongSwan, CN=moon")));
  // Names are compared as names: case and blanks inside do not count (RFC 5280 §7.1).
  CHECK(moon->contains_identity(id_type::der_asn1_dn, name_of("C=ch, O=STRONGSWAN, CN=Moon")));
  CHECK(moon->contains_identity(id_type::key_id, moon->key()->key_id()));
}

TEST_CASE("certificate: identities of another value or type are not found") {
  auto moon = read(made().moon);
  auto contains = [&](id_type type, std::string_view text) {
    return moon->contains_identity(type, to_bytes(text));
  };
  CHECK_FALSE(contains(id_type::fqdn, "sun.example.org"));
  CHECK_FALSE(contains(id_type::fqdn, "moon.example.or"));
  CHECK_FALSE(contains(id_type::fqdn, ""));
  CHECK_FALSE(contains(id_type::fqdn, "any.example.net"));  // no wildcards (RFC 4945 §5.1.3.6.1)
  CHECK_FALSE(contains(id_type::fqdn, "moon@example.org"));
  CHECK_FALSE(contains(id_type::fqdn, std::string("moon.example.org\0.evil", 22)));
  CHECK_FALSE(contains(id_type::rfc822_addr, "moon.example.org"));
  CHECK_FALSE(contains(id_type::rfc822_addr, "sun@example.org"));
  CHECK_FALSE(moon->contains_identity(id_type::ipv4_addr, from_hex("c0000202")));
  CHECK_FALSE(moon->contains_identity(id_type::ipv6_addr, from_hex("c0000201")));
  CHECK_FALSE(moon->contains_identity(id_type::ipv4_addr, {}));
  CHECK_FALSE(moon->contains_identity(id_type::der_asn1_dn, name_of("C=CH, O=strongSwan")));
  CHECK_FALSE(
      moon->contains_identity(id_type::der_asn1_dn, name_of("CN=moon, O=strongSwan, C=CH")));
  CHECK_FALSE(contains(id_type::der_asn1_dn, "rubbish"));
  auto longer = name_of("C=CH, O=strongSwan, CN=moon");
  longer.push_back(0);
  CHECK_FALSE(moon->contains_identity(id_type::der_asn1_dn, longer));
  CHECK_FALSE(moon->contains_identity(id_type::key_id, moon->key()->info_hash()));
  CHECK_FALSE(moon->contains_identity(id_type::key_id, {}));
  CHECK_FALSE(contains(id_type::any, ""));
  CHECK_FALSE(contains(id_type::der_asn1_gn, "moon.example.org"));
}

TEST_CASE("certificate: RSA and Ed25519 certificates read and verify under their kind of CA") {
  auto rsa_ca = testing::make_authority("CN=RSA Root", key_type::rsa_2048);
  auto ed_ca = testing::make_authority("CN=Ed Root", key_type::ed25519);
  crypto::trust_anchors anchors{{read(rsa_ca), read(ed_ca)}};
  certificate_options options;
  auto rsa = read(testing::make_certificate(options, rsa_ca.key, &ed_ca));
  auto ed = read(testing::make_end_entity(rsa_ca, options, key_type::ed25519));
  CHECK(rsa->key()->kind() == crypto::key_kind::rsa);
  CHECK(ed->key()->kind() == crypto::key_kind::ed25519);
  CHECK(crypto::validate_chain(library(), anchors, *rsa, {}, test_now).has_value());
  CHECK(crypto::validate_chain(library(), anchors, *ed, {}, test_now).has_value());
  CHECK(anchors.info_hashes().size() == 40);
  auto expected = rsa_ca.certificate.empty() ? bytes{} : read(rsa_ca)->key()->info_hash();
  append(expected, read(ed_ca)->key()->info_hash());
  CHECK(anchors.info_hashes() == expected);
  CHECK(anchors.authorities().size() == 2);
}

TEST_CASE("chain: end entity, intermediate and anchor verify in any order of extras") {
  auto middle = read(made().intermediate);
  CHECK(validate(made().moon, {middle}).has_value());
  CHECK(validate(made().moon, {read(made().ca), read(made().moon), middle}).has_value());
}

TEST_CASE("chain: a missing intermediate, a wrong CA and a self-signed one are refused") {
  CHECK(validate_code(made().moon, {}) == errc::untrusted_certificate);
  // Same name as the trusted root, other key.
  auto impostor = testing::make_authority("C=CH, O=Imago, CN=Root");
  auto forged = testing::make_end_entity(impostor, hierarchy::moon_options());
  CHECK(validate_code(forged, {}) == errc::untrusted_certificate);
  CHECK(validate_code(forged, {read(impostor)}) == errc::untrusted_certificate);
  auto alone = testing::make_certificate(hierarchy::moon_options(),
                                         test_key::make(key_type::ecdsa_p256), nullptr);
  auto failed = validate(alone, {});
  CHECK(failed.failure().code == errc::untrusted_certificate);
  CHECK(failed.failure().where.find("CN=moon") != std::string::npos);
  crypto::trust_anchors itself{{read(alone)}};
  CHECK(crypto::validate_chain(library(), itself, *read(alone), {}, test_now).has_value());
  crypto::trust_anchors nobody{{}};
  CHECK_FALSE(crypto::validate_chain(library(), nobody, *read(made().moon), {}, test_now));
}

TEST_CASE("chain: an intermediate may be the anchor") {
  crypto::trust_anchors anchors{{read(made().intermediate)}};
  CHECK(crypto::validate_chain(library(), anchors, *read(made().moon), {}, test_now).has_value());
}

TEST_CASE("chain: validity counts at the time given") {
  auto middle = read(made().intermediate);
  auto moon = read(made().moon);
  CHECK(validate(made().moon, {middle}, moon->not_before()).has_value());
  CHECK(validate(made().moon, {middle}, {moon->not_after().seconds - 1}).has_value());
  auto early = validate(made().moon, {middle}, {moon->not_before().seconds - 1});
  CHECK(early.failure().code == errc::untrusted_certificate);
  CHECK(early.failure().where.find("not yet valid") != std::string::npos);
  auto late = validate(made().moon, {middle}, {moon->not_after().seconds + 1});
  CHECK(late.failure().code == errc::untrusted_certificate);
  CHECK(late.failure().where.find("expired") != std::string::npos);
}

TEST_CASE("chain: an end entity cannot act as a CA") {
  auto bearer = testing::make_end_entity(made().ca, certificate_options{});
  auto victim = testing::make_end_entity(bearer, hierarchy::moon_options());
  CHECK(validate_code(victim, {read(bearer)}) == errc::untrusted_certificate);
  // keyCertSign alone, without basicConstraints, makes no CA (RFC 5280 §6.1.4 (k)).
  certificate_options options;
  options.with_basic_constraints = false;
  options.key_usage = "keyCertSign";
  auto sly = testing::make_end_entity(made().ca, options);
  auto other = testing::make_end_entity(sly, hierarchy::moon_options());
  CHECK(validate_code(other, {read(sly)}) == errc::untrusted_certificate);
  // A CA without keyCertSign may not sign certificates either.
  options.with_basic_constraints = true;
  options.is_ca = true;
  options.key_usage = "digitalSignature";
  auto mute = testing::make_end_entity(made().ca, options);
  auto third = testing::make_end_entity(mute, hierarchy::moon_options());
  CHECK(validate_code(third, {read(mute)}) == errc::untrusted_certificate);
}

TEST_CASE("chain: path length is obeyed") {
  auto root = testing::make_authority("CN=Short Root", key_type::ecdsa_p256, 0);
  crypto::trust_anchors anchors{{read(root)}};
  auto direct = testing::make_end_entity(root, certificate_options{});
  CHECK(crypto::validate_chain(library(), anchors, *read(direct), {}, test_now).has_value());
  certificate_options middle;
  middle.subject = "CN=One Too Many";
  middle.is_ca = true;
  auto extra = testing::make_end_entity(root, middle);
  auto deep = testing::make_end_entity(extra, certificate_options{});
  auto refused = crypto::validate_chain(library(), anchors, *read(deep), {read(extra)}, test_now);
  CHECK(refused.failure().code == errc::untrusted_certificate);
  CHECK(refused.failure().where.find("path length") != std::string::npos);
}

TEST_CASE("chain: keyUsage, where present, must allow signatures") {
  certificate_options options;
  auto code_with = [&](const char* usage) {
    options.key_usage = usage;
    return validate(testing::make_end_entity(made().ca, options), {});
  };
  CHECK(code_with("").has_value());
  CHECK(code_with("digitalSignature,keyEncipherment").has_value());
  CHECK(code_with("nonRepudiation").has_value());
  auto refused = code_with("keyAgreement");
  CHECK(refused.failure().code == errc::untrusted_certificate);
  CHECK(refused.failure().where.find("keyUsage") != std::string::npos);
}

TEST_CASE("chain: more certificates than a chain may have are refused unread") {
  std::vector<certificate_ptr> many(limits::certificate_count_max, read(made().intermediate));
  CHECK(validate_code(made().moon, many) == errc::limit_exceeded);
}

TEST_CASE("certificate cache: the same octets give the same object, and the oldest goes") {
  crypto::certificate_cache cache{2};
  const auto& one = made().ca.certificate;
  const auto& two = made().intermediate.certificate;
  const auto& three = made().moon.certificate;
  auto first = *cache.load(library(), one);
  CHECK(*cache.load(library(), one) == first);
  auto second = *cache.load(library(), two);
  CHECK(*cache.load(library(), one) == first);
  CHECK(cache.load(library(), three).has_value());  // `one` goes
  CHECK(*cache.load(library(), two) == second);
  CHECK(*cache.load(library(), one) != first);
  CHECK(cache.load(library(), to_bytes("rubbish")).failure().code == errc::bad_certificate);
  crypto::certificate_cache none{0};
  CHECK(*none.load(library(), one) != *none.load(library(), one));
}

TEST_CASE("distinguished name: text and DER are each other's inverse") {
  for (auto text : {"C=CH, O=strongSwan, CN=moon", "CN=a", "DC=org, DC=example, CN=x",
                    "E=moon@example.org, SN=42, OU=Z\xc3\xbcrich", "CN=comma\\, backslash\\\\ end",
                    "CN=line\\x0abreak", "UID=u, T=t, G=g, S=s, I=i, D=d, N=n"}) {
    auto der = crypto::parse_distinguished_name(text);
    REQUIRE(der.has_value());
    CHECK(crypto::text_of_distinguished_name(*der) == text);
  }
}

TEST_CASE("distinguished name: other spellings mean the same") {
  auto expected = name_of("C=CH, O=strongSwan, CN=moon");
  CHECK(name_of("/C=CH/O=strongSwan/CN=moon") == expected);
  CHECK(name_of("  c = CH ,o=strongSwan,cn= moon ") == expected);
  CHECK(name_of("2.5.4.6=CH, 2.5.4.10=strongSwan, 2.5.4.3=moon") == expected);
  CHECK(name_of("emailAddress=a@b") == name_of("E=a@b"));
  CHECK(name_of("serialNumber=1") == name_of("SN=1"));
  CHECK(crypto::text_of_distinguished_name(name_of("1.2.3.4=x")) == "1.2.3.4=x");
  // PrintableString where it can be, as other implementations send it.
  CHECK(to_hex(name_of("CN=moon")) == "300f310d300b060355040313046d6f6f6e");
}

TEST_CASE("distinguished name: bad text and bad DER are told") {
  auto code = [](std::string_view text) {
    return crypto::parse_distinguished_name(text).failure().code;
  };
  CHECK(code("") == errc::bad_syntax);
  CHECK(code("   ") == errc::bad_syntax);
  CHECK(code("moon") == errc::bad_syntax);
  CHECK(code("C=CH, moon") == errc::bad_syntax);
  CHECK(code("C=CH,") == errc::bad_syntax);
  CHECK(code("/") == errc::bad_syntax);
  CHECK(code("CN=x\\") == errc::bad_syntax);
  CHECK(code("CN=x\\xz1") == errc::bad_syntax);
  CHECK(code("CN=x\\x1") == errc::bad_syntax);
  CHECK(code("XX=y") == errc::bad_value);
  CHECK(code("=y") == errc::bad_value);
  CHECK(code("1.x=y") == errc::bad_value);
  CHECK(code("CN=\xff\xfe") == errc::bad_value);
  CHECK(code("CN=" + std::string(5000, 'x')) == errc::input_too_long);
  CHECK(crypto::text_of_distinguished_name({}) == "(malformed)");
  CHECK(crypto::text_of_distinguished_name(to_bytes("rubbish")) == "(malformed)");
  auto longer = name_of("CN=x");
  longer.push_back(0);
  CHECK(crypto::text_of_distinguished_name(longer) == "(malformed)");
}
