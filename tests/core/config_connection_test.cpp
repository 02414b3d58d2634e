// The model of a connection: defaults, times, addresses, selectors, and messages of vici.
#include "core/config/values.hpp"
#include "tests/core/config_support.hpp"

namespace imago::config {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

connection_config connection(const std::string& body) {
  auto outcome = built("connections { gw {\n" + body + "\n} }");
  if (auto message = first_error(outcome); !message.empty()) FAIL(message);
  auto& all = std::get<configuration>(outcome).connections;
  REQUIRE(all.size() == 1);
  return std::move(all.front());
}
child_config child(const std::string& body) {
  return connection("remote_addrs = 192.0.2.1\nchildren { net {\n" + body + "\n} }").children.at(0);
}
std::string child_error(const std::string& body) {
  return build_error("connections { gw { children { net {\n" + body + "\n} } } }");
}

// A message of vici as it comes: no places, lists as lists.
struct message {
  std::shared_ptr<section> root = std::make_shared<section>();
  message() { root->name = "gw"; }
  message& value(const std::string& key, const std::string& text) {
    root->settings.push_back({key, text, {}, false, {}});
    return *this;
  }
  message& list(const std::string& key, std::vector<std::string> items) {
    root->settings.push_back({key, {}, std::move(items), true, {}});
    return *this;
  }
  message& sub(const std::string& name, message inner) {
    inner.root->name = name;
    root->sections.push_back(std::make_unique<section>(std::move(*inner.root)));
    return *this;
  }
  result<connection_config> build() const { return build_connection(*root, nullptr, ""); }
  std::string failure() const {
    auto built = build();
    return built ? "" : built.failure().where;
  }
};

const std::string small_der = "\x30\x03\x02\x01\x05";

const std::string full_connection = R"(
    local_addrs = 192.0.2.1, 2001:db8::1
    remote_addrs = vpn.example.org, 198.51.100.0/24
    local_port = 500
    remote_port = 0x1388
    proposals = aes128gcm16-prfsha256-x25519, aes256-sha512-modp4096
    encap = yes
    mobike = no
    fragmentation = no
    send_certreq = no
    send_cert = always
    unique = never
    keyingtries = 0
    dpd_delay = 30
    rekey_time = 2h
    reauth_time = 0s
    over_time = 10m
    rand_time = 5m
    local { auth = ike:rsa/pss-sha256
            id = moon.example.org }
    remote { auth = psk
             id = "C=CH, CN=*" }
    children { net {
      esp_proposals = aes256gcm16-ecp384-esn
      local_ts = 10.1.0.0/16
      remote_ts = 10.2.0.0/16, 10.3.0.0-10.3.0.9[udp/1000-2000]
      mode = transport
      rekey_time = 10m
      life_time = 20m
      rand_time = 1m
      rekey_bytes = 1g
      life_bytes = 2g
      rand_bytes = 0
      rekey_packets = 1000
      policies = no
      dpd_action = restart
      close_action = start
      start_action = start
      inactivity = 0m
      reqid = 7
      replay_window = 1024
    } })";

}  // namespace

TEST_CASE("connection: what is not said has swanctl's defaults") {
  auto one = connection("children { net { } }");
  CHECK(one.name == "gw");
  REQUIRE(one.local_addresses.size() == 1);
  CHECK(one.local_addresses[0].any);
  REQUIRE(one.remote_addresses.size() == 1);
  CHECK(one.remote_addresses[0].any);
  CHECK(one.local_port == 500);
  CHECK(one.remote_port == 500);
  CHECK(one.proposals == default_proposals(protocol_id::ike));
  CHECK(one.local.authentication == authentication::pubkey);
  CHECK(one.local.identity.is_any());
  CHECK(one.remote.authentication == authentication::pubkey);
  CHECK(one.remote.identity.is_any());
  CHECK_FALSE(one.force_encapsulation);
  CHECK(one.mobike);
  CHECK(one.fragmentation == fragmentation::yes);
  CHECK(one.sends_certificate_requests);
  CHECK(one.send_certificate == certificate_policy::if_asked);
  CHECK(one.uniqueness == uniqueness::no);
  CHECK(one.keying_tries == 1);
  CHECK(one.dpd_delay == seconds{0});
  CHECK(one.rekey_time == hours{4});
  CHECK(one.reauth_time == seconds{0});
  CHECK(one.over_time == minutes{24});
  CHECK(one.rand_time == minutes{24});

  const auto* net = one.find_child("net");
  REQUIRE(net);
  CHECK(one.find_child("other") == nullptr);
  CHECK(net->proposals == default_proposals(protocol_id::esp));
  REQUIRE(net->local_selectors.size() == 1);
  CHECK(net->local_selectors[0].dynamic);
  REQUIRE(net->remote_selectors.size() == 1);
  CHECK(net->remote_selectors[0].dynamic);
  CHECK(net->mode == data_plane::mode::tunnel);
  CHECK(net->rekey_time == hours{1});
  CHECK(net->life_time == minutes{66});
  CHECK(net->rand_time == minutes{6});
  CHECK(net->rekey_bytes == 0);
  CHECK(net->life_packets == 0);
  CHECK(net->replay_window == 32);
  CHECK(net->reqid == 0);
  CHECK(net->start_action == start_action::none);
  CHECK(net->close_action == start_action::none);
  CHECK(net->dpd_action == dpd_action::clear);
  CHECK(net->installs_policies);
}

TEST_CASE("connection: what is said is what is stored") {
  auto one = connection(full_connection);
  CHECK(one.local_addresses.size() == 2);
  CHECK(one.remote_addresses[0].host_name == "vpn.example.org");
  CHECK(one.remote_addresses[1].first.text() == "198.51.100.0");
  CHECK(one.remote_addresses[1].last.text() == "198.51.100.255");
  CHECK(one.local_port == 500);
  CHECK(one.remote_port == 5000);
  REQUIRE(one.proposals.size() == 2);
  CHECK(one.proposals[1].number == 2);
  CHECK(text_of(one.proposals[1]) == "aes256-sha512-modp4096");
  CHECK(one.force_encapsulation);
  CHECK_FALSE(one.mobike);
  CHECK(one.fragmentation == fragmentation::no);
  CHECK_FALSE(one.sends_certificate_requests);
  CHECK(one.send_certificate == certificate_policy::always);
  CHECK(one.uniqueness == uniqueness::never);
  CHECK(one.keying_tries == 0);
  CHECK(one.dpd_delay == seconds{30});
  CHECK(one.rekey_time == hours{2});
  CHECK(one.reauth_time == seconds{0});
  CHECK(one.over_time == minutes{10});
  CHECK(one.rand_time == minutes{5});
  CHECK(one.local.authentication == authentication::pubkey);
  CHECK(one.local.auth_constraint == "ike:rsa/pss-sha256");
  CHECK(one.local.prefer_pss);
  CHECK(one.local.identity.text == "moon.example.org");
  CHECK(one.remote.authentication == authentication::psk);
  CHECK(one.remote.auth_constraint.empty());
  CHECK(one.remote.identity.has_wildcards);
}

TEST_CASE("connection: what is said of a child is what is stored") {
  auto one = connection(full_connection);
  const auto& net = one.children.at(0);
  CHECK(text_of(net.proposals.at(0)) == "aes256gcm16-ecp384-esn");
  CHECK(net.local_selectors.at(0).selector.text() == "10.1.0.0/16");
  CHECK(net.remote_selectors.at(1).selector.text() == "10.3.0.0-10.3.0.9[udp/1000-2000]");
  CHECK(net.mode == data_plane::mode::transport);
  CHECK(net.rekey_time == minutes{10});
  CHECK(net.life_time == minutes{20});
  CHECK(net.rand_time == minutes{1});
  CHECK(net.rekey_bytes == 1ULL << 30);
  CHECK(net.life_bytes == 1ULL << 31);
  CHECK(net.rekey_packets == 1000);
  CHECK(net.life_packets == 1100);
  CHECK(net.rand_packets == 100);
  CHECK_FALSE(net.installs_policies);
  CHECK(net.dpd_action == dpd_action::restart);
  CHECK(net.close_action == start_action::start);
  CHECK(net.start_action == start_action::start);
  CHECK(net.inactivity == seconds{0});
  CHECK(net.reqid == 7);
  CHECK(net.replay_window == 1024);
}

TEST_CASE("connection: the times of the IKE SA are completed from rekey_time") {
  auto one = connection("rekey_time = 3h");
  CHECK(one.reauth_time == seconds{0});
  CHECK(one.over_time == minutes{18});
  CHECK(one.rand_time == minutes{18});
  CHECK(connection("reauth_time = 0").rekey_time == hours{4});
  auto off = connection("rekey_time = 0s");
  CHECK(off.rekey_time == seconds{0});
  CHECK(off.over_time == seconds{0});
  CHECK(off.rand_time == seconds{0});
  // The random part is over_time, but at most half of what it is taken from.
  CHECK(connection("rekey_time = 1h\nover_time = 2h").rand_time == minutes{30});
}

TEST_CASE("connection: a child's lifetimes are completed and have to fit") {
  CHECK(child("rekey_time = 0").life_time == seconds{0});
  CHECK(child("rekey_time = 0\nlife_time = 30m").life_time == minutes{30});
  CHECK(child("rekey_time = 0\nlife_time = 30m").rand_time == seconds{0});
  CHECK(child("rekey_time = 10m\nlife_time = 3h").rand_time == minutes{5});
  auto short_life = child("life_time = 11m");
  CHECK(short_life.rekey_time == minutes{10});
  CHECK(short_life.life_time == minutes{11});
  CHECK(child_error("rekey_time = 1h\nlife_time = 30m") ==
        "t.conf:3:1: connections.gw.children.net.life_time: the SA would end before it is rekeyed; "
        "make it longer than rekey_time");
  CHECK(child_error("rekey_time = 1h\nrand_time = 2h") ==
        "t.conf:3:1: connections.gw.children.net.rand_time: it is taken from rekey_time, so make "
        "it smaller");
  CHECK(build_error("connections { gw { rekey_time = 1h\nrand_time = 2h\n} }") ==
        "t.conf:2:1: connections.gw.rand_time: it is taken from rekey_time, so make it "
        "smaller");
}

TEST_CASE("connection: to start, somebody to connect to is needed") {
  CHECK(child_error("start_action = start") ==
        "t.conf:2:1: connections.gw.children.net.start_action: there is nobody to connect to; give "
        "remote_addrs one address or host name");
  CHECK(child_error("start_action = trap") != "");
  CHECK(child_error("start_action = none") == "");
  CHECK(child_error("start_action = trap\nmode = drop") == "");  // which needs nobody
}

TEST_CASE("connection: traps and shunts") {
  auto one = connection(
      "remote_addrs = 192.0.2.1\n children {\n"
      " a { start_action = trap\n dpd_action = trap\n close_action = trap\n }\n"
      " b { start_action = start|trap\n mode = transport\n }\n"
      " c { mode = pass\n start_action = trap|start\n }\n d { mode = drop\n } }");
  REQUIRE(one.children.size() == 4);
  const auto &a = one.children[0], &b = one.children[1], &c = one.children[2], &d = one.children[3];
  CHECK((traps(a.start_action) && !starts(a.start_action)));
  CHECK(a.dpd_action == dpd_action::trap);
  CHECK(a.close_action == start_action::trap);
  CHECK_FALSE(a.is_shunt());
  CHECK((traps(b.start_action) && starts(b.start_action)));
  CHECK(b.mode == data_plane::mode::transport);
  CHECK(c.processing == data_plane::processing::bypass);
  CHECK(c.start_action == start_action::trap_and_start);
  CHECK(d.processing == data_plane::processing::discard);
  CHECK(d.is_shunt());
}

TEST_CASE("values: times, octets and numbers") {
  CHECK(*parse_duration("30") == seconds{30});
  CHECK(*parse_duration("30s") == seconds{30});
  CHECK(*parse_duration("5m") == minutes{5});
  CHECK(*parse_duration("4 h") == hours{4});
  CHECK(*parse_duration("1d") == hours{24});
  CHECK(*parse_duration("0x10") == seconds{16});
  CHECK(*parse_byte_count("3k") == 3072);
  CHECK(*parse_number("18446744073709551615") == 18446744073709551615ULL);
  for (auto text : {"", "s", "-1", "1.5h", "1w", "5mm", "99999999999999999999", "4000000d", "0x"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_duration(text).has_value());
  }
  CHECK_FALSE(parse_byte_count("99999999999g").has_value());
  CHECK_FALSE(parse_u32("4294967296").has_value());
}

TEST_CASE("values: secrets are text, hexadecimal or base64") {
  auto octets = [](std::string_view text) {
    auto value = parse_secret(text);
    return value ? to_hex(value->view()) : "refused";
  };
  CHECK(octets("abc") == "616263");
  CHECK(octets("0x00fF") == "00ff");
  CHECK(octets("0xabc") == "refused");
  CHECK(octets("0xgg") == "refused");
  CHECK(octets("0sAQID") == "010203");
  CHECK(octets("0sAQI=") == "0102");
  CHECK(octets("0sAQI") == "0102");
  CHECK(octets("0sAQ==") == "01");
  CHECK(octets("0sAQ=D") == "refused");
  CHECK(octets("0sA") == "refused");
  CHECK(octets("0s!!!!") == "refused");
}

TEST_CASE("values: a wrong secret is not repeated in the message") {
  auto message = build_error("secrets { ike-1 {\nsecret = 0xdeadbeefcafe1\n} }");
  CHECK(message.starts_with("t.conf:2:1: secrets.ike-1.secret: "));
  CHECK(message.find("deadbeef") == std::string::npos);
}

TEST_CASE("values: places to connect to and to come from") {
  auto pattern = [](std::string_view text) { return *parse_address_pattern(text); };
  auto at = [](std::string_view text) { return *ip_address::parse(text); };
  CHECK(pattern("%any").matches(at("192.0.2.1")));
  CHECK(pattern("%any").matches(at("::1")));
  CHECK(pattern("%any4").matches(at("192.0.2.1")));
  CHECK_FALSE(pattern("%any4").matches(at("::1")));
  CHECK_FALSE(pattern("::").matches(at("192.0.2.1")));
  CHECK(pattern("192.0.2.0/24").matches(at("192.0.2.255")));
  CHECK_FALSE(pattern("192.0.2.0/24").matches(at("192.0.3.0")));
  CHECK(pattern("192.0.2.5-192.0.2.9").matches(at("192.0.2.7")));
  CHECK_FALSE(pattern("192.0.2.5-192.0.2.9").matches(at("192.0.2.10")));
  CHECK(pattern("192.0.2.1").is_single());
  CHECK_FALSE(pattern("192.0.2.0/24").is_single());
  CHECK_FALSE(pattern("vpn.example.org").is_single());
  CHECK_FALSE(pattern("vpn.example.org").matches(at("192.0.2.1")));
  for (auto text : {"", "192.0.2", "300.1.1.1", "192.0.2.0/33", "192.0.2.9-192.0.2.5", "a b",
                    "192.0.2.1-::1", "%anyone", "2001:db8::g", "."}) {
    CAPTURE(text);
    CHECK_FALSE(parse_address_pattern(text).has_value());
  }
}

TEST_CASE("values: traffic selectors") {
  auto shown = [](std::string_view text) {
    auto one = parse_selector(text);
    if (!one) return std::string{"refused"};
    return (one->dynamic ? "dynamic " : "") + one->selector.text();
  };
  CHECK(shown("10.0.0.0/8") == "10.0.0.0/8");
  CHECK(shown("10.0.0.1") == "10.0.0.1/32");
  CHECK(shown("2001:db8::/32[ipv6-icmp]") == "2001:db8::/32[ipv6-icmp]");
  CHECK(shown("10.0.0.0/8[tcp/http]") == "10.0.0.0/8[tcp/80]");
  CHECK(shown("10.0.0.0/8[17/1024-65535]") == "10.0.0.0/8[udp/1024-65535]");
  CHECK(shown("10.0.0.0/8 [gre]") == "10.0.0.0/8[47]");
  CHECK(shown("10.0.0.0/8[tcp/any]") == "10.0.0.0/8[tcp]");
  CHECK(shown("10.0.0.0/8[tcp/opaque]") == "10.0.0.0/8[tcp/opaque]");
  CHECK(shown("10.0.0.3-10.0.0.9") == "10.0.0.3-10.0.0.9");
  CHECK(parse_selector("dynamic[tcp/22]")->dynamic);
  CHECK(parse_selector("dynamic[tcp/22]")->selector.start_port == 22);
  for (auto text : {"", "10.0.0.0/8[", "10.0.0.0/8[tcp", "10.0.0.0/8[tpc]", "10.0.0.0/8[256]",
                    "10.0.0.0/8[tcp/65536]", "10.0.0.0/8[tcp/9-8]", "dynamics", "10.0.0.0/8]",
                    "10.0.0.9-10.0.0.3", "10.0.0.0/8[tcp/-]"}) {
    CAPTURE(text);
    CHECK(shown(text) == "refused");
  }
}

TEST_CASE("values: authentication and its constraints") {
  CHECK(parse_authentication("psk")->method == authentication::psk);
  CHECK(parse_authentication("pubkey")->constraint.empty());
  for (auto text : {"rsa", "ecdsa", "ed25519", "pubkey-sha256", "rsa-2048-sha256-sha384",
                    "ike:pubkey-sha384", "pubkey-sha256-ike:rsa/pss-sha512", "ecdsa-384"}) {
    CAPTURE(text);
    auto choice = parse_authentication(text);
    REQUIRE(choice);
    CHECK(choice->method == authentication::pubkey);
    CHECK(choice->constraint == text);
  }
  CHECK(parse_authentication("ike:rsa/pss-sha256")->prefers_pss);
  CHECK_FALSE(parse_authentication("rsa-sha256")->prefers_pss);
  for (auto text : {"", "pub", "sha256", "pubkey-sha255", "ike:", "rsa-", "pubkey-2048x"})
    CHECK_FALSE(parse_authentication(text).has_value());
}

TEST_CASE("values: the nearest word") {
  CHECK(nearest_word("rekeytime", {"life_time", "rekey_time"}) == "rekey_time");
  CHECK(nearest_word("zzz", {"life_time", "rekey_time"}).empty());
  CHECK(nearest_word("", {"a"}).empty());
  CHECK(nearest_word(std::string(100000, 'a'), {"a"}).empty());
}

TEST_CASE("load-conn: a message becomes a connection, certificates come inline") {
  auto one = message{}
                 .value("version", "2")
                 .value("rekey_time", "14400s")
                 .list("remote_addrs", {"192.0.2.1"})
                 .list("proposals", {"aes128-sha256-x25519", "default"})
                 .sub("local-1", message{}.value("auth", "pubkey").list("certs", {small_der}))
                 .sub("REMOTE", message{}.value("id", "moon").list("cacerts", {small_der}))
                 .sub("children", message{}.sub("net", message{}.list("local_ts", {"10.0.0.0/8"})))
                 .build();
  REQUIRE(one);
  CHECK(one->name == "gw");
  CHECK(one->proposals.size() == 3);
  CHECK(one->local.certificates == std::vector<bytes>{to_bytes(small_der)});
  CHECK(one->remote.authorities.size() == 1);
  CHECK(one->remote.identity.text == "moon");
  CHECK(one->children.at(0).local_selectors.at(0).selector.text() == "10.0.0.0/8");
}

TEST_CASE("load-conn: what is wrong is said in vici's words") {
  CHECK(message{}.value("frob", "1").failure() == "unknown option: frob, config discarded");
  CHECK(message{}.value("mobike", "maybe").failure() ==
        "invalid value for: mobike, config discarded");
  CHECK(message{}.value("proposals", "default").failure() ==
        "unknown option: proposals, config discarded");
  CHECK(message{}.list("mobike", {"no"}).failure() == "unknown option: mobike, config discarded");
  CHECK(message{}.list("proposals", {"aes"}).failure() ==
        "invalid value for: proposals, config discarded");
  CHECK(message{}.sub("lokal", message{}).failure() == "invalid section: lokal");
  CHECK(message{}.value("aggressive", "yes").failure() ==
        "invalid value for: aggressive, config discarded: 'yes' is not supported by this version "
        "of Imago; write 'aggressive = no' or leave it out");
  CHECK(message{}.value("unique", "replace").failure() ==
        "invalid value for: unique, config discarded: 'replace' is not supported by this version "
        "of Imago; write 'unique = no' or leave it out");
  CHECK(message{}.value("reauth_time", "3600").failure() ==
        "invalid value for: reauth_time, config discarded: '3600' is not supported by this version "
        "of Imago; write 'reauth_time = 0' or leave it out");
  CHECK(message{}.sub("remote", message{}.value("auth", "rsa-4096")).failure() ==
        "invalid value for: auth, config discarded: the constraint 'rsa-4096' is not supported by "
        "this version of Imago; write 'auth = pubkey' or leave it out");
  CHECK(message{}.sub("local", message{}.list("certs", {"no certificate"})).failure() ==
        "invalid value for: certs, config discarded");
  CHECK(message{}
            .sub("local", message{}.sub("cert1", message{}.value("file", "/etc/passwd")))
            .failure() == "invalid value for: file, config discarded");
}

}  // namespace imago::config
