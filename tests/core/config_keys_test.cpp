// Every key of the table: a good value is taken, a bad one is refused with place and advice, what
// this version does not do is said to be so.
#include "core/config/keys.hpp"
#include "tests/core/config_support.hpp"

namespace imago::config {
namespace {

// One value that each kind takes, one that it does not ("": it takes every text), and those that
// are known but not done by a version that does the others.
struct kind_sample {
  std::string good, bad;
  std::vector<std::string> not_done = {};
};
const std::map<std::string_view, kind_sample>& kind_samples() {
  static const std::map<std::string_view, kind_sample> samples = {
      {"boolean", {"yes", "maybe"}},
      {"number", {"0x10", "ten"}},
      {"window", {"64", "4097"}},
      {"count", {"1000", "-1"}},
      {"port", {"4500", "65536"}},
      {"time", {"90m", "5 parsecs"}},
      {"volume", {"2g", "2t"}},
      {"text", {"abc", ""}},
      {"file", {"one.pem", ""}},
      {"texts", {"a, b", ""}},
      {"mark", {"42", ""}},
      {"dscp", {"101010", "10"}},
      {"version", {"1", "3"}},
      {"addresses", {"192.0.2.1, vpn.example.org", "192.0.2"}},
      {"selectors", {"10.0.0.0/8, dynamic[tcp/80]", "10.0.0.0/33"}},
      {"IKE proposals", {"aes128-sha256-modp2048, default", "aes129-sha256-modp2048"}},
      {"ESP proposals", {"aes128gcm16-x25519, default", "aes128gcm17"}},
      {"identity", {"moon.example.org", "keyid:"}},
      {"authentication", {"psk", "psq"}},
      {"certificates", {"one.pem", "none.pem"}},
      {"authorities", {"one.pem", "none.pem"}},
      {"secret", {"0x0102", "0xabc"}},
      {"remote authentication",
       {"psk",
        "psq",
        {"rsa-4096", "rsa/pss", "ecdsa-sha384", "pubkey-sha256", "ike:rsa/pss-sha256",
         "rsa-2048-ike:pubkey-sha256"}}},
      {"uniqueness", {"never", "replaces", {"keep", "replace", "Replace"}}},
      {"send_cert", {"always", "alway"}},
      {"fragmentation", {"no", "accepts", {"accept", "force"}}},
      {"action", {"trap|start", "trip"}},
      {"dpd_action", {"trap", "reset"}},
      {"mode", {"transport", "transpor"}},
      {"revocation", {"relaxed", "relax"}},
      {"childless", {"force", "forced"}},
      {"ocsp", {"both", "bot"}},
      {"label_mode", {"selinux", "apparmor"}},
      {"padding", {"mtu", ""}},
      {"per_cpu_sas", {"encap", "encaps"}},
      {"hw_offload", {"auto", "automatic"}},
      {"copy_dscp", {"in", "inout"}},
  };
  return samples;
}

memory_files credentials() {
  const std::string certificate =
      "-----BEGIN CERTIFICATE-----\nMAMCAQU=\n-----END CERTIFICATE-----\n";
  return memory_files{{{"dir/x509/one.pem", certificate},
                       {"dir/x509ca/one.pem", certificate},
                       {"dir/private/one.pem", "key"},
                       {"dir/one.pem", certificate}}};
}

// A configuration with just this setting on line 2, column 3, at its level.
std::string text_with(const known_key& key, const std::string& value) {
  auto name = key.key.ends_with('*') ? "id-1" : std::string{key.key};
  // Quotes keep commas in a list and everything else in one value.
  auto line = "\n  " + name + " = \"" + value + "\"\n";
  std::string before = std::string{key.level}, after;
  const std::map<std::string_view, std::pair<std::string, std::string>> frames = {
      {"connections.<conn>", {"connections { gw { remote_addrs = 192.0.2.1\n", "} }"}},
      {"connections.<conn>.local", {"connections { gw { local-a {", "} } }"}},
      {"connections.<conn>.remote", {"connections { gw { remote-a {", "} } }"}},
      {"connections.<conn>.local.cert", {"connections { gw { local { cert-1 {", "} } } }"}},
      {"connections.<conn>.children.<child>",
       {"connections { gw { remote_addrs = 192.0.2.1\n children { net {", "} } } }"}},
      {"secrets.ike", {"secrets { ike-1 { secret = x\n", "} }"}},
      {"secrets.private", {"secrets { private-1 { file = one.pem\n", "} }"}},
      {"authorities.<name>", {"authorities { ca {", "} }"}},
  };
  const auto& frame = frames.at(key.level);
  return frame.first + line + frame.second;
}

int line_of_setting(const known_key& key) {
  auto text = text_with(key, "x");
  auto at = text.rfind(" = \"x\"");
  return 1 + static_cast<int>(
                 std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n'));
}

// Lifetimes have to fit one another: alone they do, but for the random part.
bool is_alone_good(const known_key& key) { return !key.key.starts_with("rand_"); }

}  // namespace

TEST_CASE("keys: every supported key takes a good value") {
  for (const auto& key : known_keys()) {
    if (!key.is_supported || !is_alone_good(key)) continue;
    CAPTURE(key.level);
    CAPTURE(key.key);
    REQUIRE(kind_samples().count(key.kind->name) == 1);
    CHECK(build_error(text_with(key, kind_samples().at(key.kind->name).good), credentials()) == "");
  }
}

TEST_CASE("keys: every key refuses a bad value, with its place and what to write") {
  for (const auto& key : known_keys()) {
    REQUIRE(kind_samples().count(key.kind->name) == 1);
    const auto& bad = kind_samples().at(key.kind->name).bad;
    if (bad.empty()) continue;
    auto message = build_error(text_with(key, bad), credentials());
    CAPTURE(message);
    CHECK(message.starts_with("t.conf:" + std::to_string(line_of_setting(key)) + ":3: "));
    CHECK(message.ends_with("; write " + std::string{key.kind->expects}));
  }
}

TEST_CASE("keys: what this version does not do is taken only if it asks for nothing") {
  for (const auto& key : known_keys()) {
    if (key.is_supported) continue;
    CAPTURE(key.level);
    CAPTURE(key.key);
    for (std::string_view rest = key.inert; !rest.empty();) {
      auto blank = rest.find(' ');
      auto outcome = build_error(text_with(key, std::string{rest.substr(0, blank)}), credentials());
      if (key.level != "authorities.<name>") CHECK(outcome == "");
      rest = blank == rest.npos ? std::string_view{} : rest.substr(blank + 1);
    }
    const auto& good = kind_samples().at(key.kind->name).good;
    auto asks = key.kind->name == "boolean" && key.inert == "yes" ? std::string{"no"} : good;
    auto message = build_error(text_with(key, asks), credentials());
    CHECK(message.find("is not supported by this version of Imago") != message.npos);
    CHECK(message.find(std::string{key.key}) != message.npos);
    CHECK(message.starts_with("t.conf:" + std::to_string(line_of_setting(key)) + ":3: "));
  }
}

TEST_CASE("keys: of a key that is done in part, the rest is refused with what to write instead") {
  int count = 0;
  for (const auto& key : known_keys()) {
    const auto& not_done = kind_samples().at(key.kind->name).not_done;
    CAPTURE(key.level);
    CAPTURE(key.key);
    CHECK((key.is_supported && !key.inert.empty()) == !not_done.empty());
    if (not_done.empty()) continue;
    ++count;
    auto first = std::string{key.inert.substr(0, key.inert.find(' '))};
    for (const auto& value : not_done) {
      auto message = build_error(text_with(key, value), credentials());
      CAPTURE(message);
      CHECK(message.starts_with("t.conf:" + std::to_string(line_of_setting(key)) + ":3: "));
      CHECK(message.find("." + std::string{key.key} + ": ") != message.npos);
      CHECK(message.find("'" + value + "'") != message.npos);
      CHECK(message.ends_with(" is not supported by this version of Imago; write '" +
                              std::string{key.key} + " = " + first + "' or leave it out"));
    }
    for (std::string_view rest = key.inert; !rest.empty();) {
      auto blank = rest.find(' ');
      CHECK(build_error(text_with(key, std::string{rest.substr(0, blank)}), credentials()) == "");
      rest = blank == rest.npos ? std::string_view{} : rest.substr(blank + 1);
    }
  }
  CHECK(count == 3);
}

TEST_CASE("keys: a value that is not done is told without its control characters") {
  auto message = build_error("connections { a { children { b { updown = \"it's\\nhere\"\n} } } }");
  CHECK(message.find("it's") != message.npos);
  CHECK(message.find("not supported") != message.npos);
  CHECK(message.find('\n') == message.npos);
}

TEST_CASE("keys: a word that is not done is not proposed to one who misspelt it") {
  auto child = [](const std::string& line) {
    return build_error("connections { a { children { b {\n" + line + "\n} } } }");
  };
  CHECK(child("start_action = trp") ==
        "t.conf:2:1: connections.a.children.b.start_action: 'trp' is not known; did you mean "
        "'trap'?; write none, trap, start or trap|start");
  CHECK(build_error("connections { a {\nunique = replac\n} }") ==
        "t.conf:2:1: connections.a.unique: 'replac' is not known; write no or never");
}

TEST_CASE("keys: an inert number, time or volume may be spelt in every way") {
  auto connection = [](const std::string& line) {
    return build_error("connections { a {\n" + line + "\n} }");
  };
  auto child = [](const std::string& line) {
    return build_error("connections { a { children { b {\n" + line + "\n} } } }");
  };
  for (auto zero : {"0", "0s", "0m", "0 h", "0d", "0x0"}) {
    CHECK(connection("reauth_time = " + std::string{zero}) == "");
    CHECK(child("inactivity = " + std::string{zero}) == "");
  }
  for (auto zero : {"0", "0k", "0x0"}) CHECK(child("rand_bytes = " + std::string{zero}) == "");
  CHECK(child("rand_packets = 00") == "");
  CHECK(connection("local_port = 0x1f4") == "");
  CHECK(connection("local_port = 4500") ==
        "t.conf:2:1: connections.a.local_port: '4500' is not supported by this version of Imago; "
        "write 'local_port = 500' or leave it out");
  CHECK(child("inactivity = 1s") ==
        "t.conf:2:1: connections.a.children.b.inactivity: '1s' is not supported by this version "
        "of Imago; write 'inactivity = 0' or leave it out");
  CHECK(child("rand_bytes = 1k").find("write 'rand_bytes = 0' or leave it out") !=
        std::string::npos);
  CHECK(child("rand_packets = 1").find("write 'rand_packets = 0' or leave it out") !=
        std::string::npos);
  CHECK(connection("reauth_time = 1d").find("write 'reauth_time = 0' or leave it out") !=
        std::string::npos);
  CHECK(connection("reauth_time = soon") ==
        "t.conf:2:1: connections.a.reauth_time: 'soon' is not known; write a time such as 30s, "
        "5m, 4h or 1d");
}

TEST_CASE("keys: every key, misspelt, is answered with the right one") {
  for (const auto& key : known_keys()) {
    if (key.key.size() < 4 || key.key.ends_with('*')) continue;
    known_key misspelt = key;
    auto name = std::string{key.key} + "x";
    misspelt.key = name;
    auto message = build_error(text_with(misspelt, "1"), credentials());
    CAPTURE(message);
    CHECK(message.find("unknown key '" + name + "'") != message.npos);
    CHECK(message.ends_with("; did you mean '" + std::string{key.key} + "'?"));
  }
}

TEST_CASE("keys: a boolean's inert value may be spelt in every way") {
  for (auto word : {"no", "false", "disabled", "0", "No"})
    CHECK(build_error("connections { a { children { b { ipcomp = " + std::string{word} +
                      "\n} } } }") == "");
  CHECK(build_error("connections { a { children { b { if_id_in = 0x0\n} } } }") == "");
  CHECK(build_error("connections { a { version = 0\n} }") == "");
  CHECK(build_error("connections { a { mobike = yes\n} }") == "");
}

TEST_CASE("keys: hints for a key in the wrong place, and for sections") {
  CHECK(build_error("connections { a {\n esp_proposals = aes128gcm16\n} }") ==
        "t.conf:2:2: unknown key 'esp_proposals' in connections.a; it belongs in "
        "connections.<conn>.children.<child>");
  CHECK(build_error("connections { a {\n local = x\n} }") ==
        "t.conf:2:2: unknown key 'local' in connections.a; that is a section: write 'local { ... "
        "}'");
  CHECK(build_error("connections { a {\n proposals { }\n} }") ==
        "t.conf:2:2: unknown section 'proposals' in connections.a; that is a key: write 'proposals "
        "= ...'");
  CHECK(build_error("connections { a {\n childern { }\n} }") ==
        "t.conf:2:2: unknown section 'childern' in connections.a; did you mean 'children'?");
  CHECK(build_error("connections { a { local { auth = psk }\n local-2 { auth = psk } } }") ==
        "t.conf:2:2: connections.a.local-2: a second round of authentication is not supported by "
        "this version of Imago; leave it out");
  CHECK(build_error("connections {\n a = 1\n}") ==
        "t.conf:2:2: unknown key 'a' in connections; only sections stand here");
}

TEST_CASE("keys: words for what is not done yet are told from nonsense") {
  auto child = [](const std::string& line) {
    return build_error("connections { a { remote_addrs = 192.0.2.1\n children { b {\n" + line +
                       "\n} } } }");
  };
  CHECK(child("mode = beet") ==
        "t.conf:3:1: connections.a.children.b.mode: 'beet' is not supported by this version of "
        "Imago; leave it out");
  CHECK(child("mode = tunel").find("did you mean 'tunnel'?") != std::string::npos);
  CHECK(child("unique_action = x").find("unknown key") != std::string::npos);
  CHECK(child("updown = /usr/lib/updown").find("not supported") != std::string::npos);
  CHECK(child("ipcomp = yes") ==
        "t.conf:3:1: connections.a.children.b.ipcomp: 'yes' is not supported by this version of "
        "Imago; write 'ipcomp = no' or leave it out");
  CHECK(build_error("connections { a { remote { revocation = strict } } }").find("not supported") !=
        std::string::npos);
  for (auto auth : {"eap-mschapv2", "xauth", "any"})
    CHECK(build_error("connections { a { remote { auth = " + std::string{auth} + "\n} } }")
              .find("not supported") != std::string::npos);
  CHECK(build_error("connections { a {\nproposals = 3des-sha1-modp1024\n} }") ==
        "t.conf:2:1: connections.a.proposals: the algorithm '3des' is not supported by this "
        "version of Imago; leave it out");
}

}  // namespace imago::config
