// Whole configurations: folders, secrets, authorities, all errors at once.
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <sys/stat.h>

#include "tests/core/config_support.hpp"

namespace imago::config {
namespace {

const std::string pem = "-----BEGIN CERTIFICATE-----\nMAMCAQU=\n-----END CERTIFICATE-----\n";
const bytes der = {0x30, 0x03, 0x02, 0x01, 0x05};

std::variant<configuration, configuration_errors> loaded(const std::string& path,
                                                         const memory_files& files) {
  auto access = files.access();
  return load_configuration(path, access);
}

const configuration& good(const std::variant<configuration, configuration_errors>& outcome) {
  if (auto message = first_error(outcome); !message.empty()) FAIL(message);
  return std::get<configuration>(outcome);
}

}  // namespace

TEST_CASE("configuration: a file beside its folders of credentials") {
  memory_files files{
      {{"etc/imago.conf",
        "connections { gw { remote_addrs = 192.0.2.1\n local { certs = moon.pem, /abs/other.der\n"
        " cert-2 { file = moon.pem } }\n remote { cacerts = ca.pem } } }\n"
        "secrets {\n private-moon { file = moon.key\n secret = \"pass phrase\" }\n"
        " rsa-1 { file = /abs/far.key }\n"
        " ike-all { secret = 0sAQID }\n ike-two { secret = abc\n id-1 = moon\n id-b = 192.0.2.1 }\n"
        "}\nauthorities { ca { cacert = ca.pem }\n far { file = /abs/far.pem } }\n"},
       {"etc/x509/moon.pem", pem},
       {"etc/x509/sun.pem", pem},
       {"etc/x509ca/ca.pem", pem},
       {"/abs/other.der", std::string(der.begin(), der.end())},
       {"/abs/far.pem", pem},
       {"/abs/far.key", "far"},
       {"etc/private/moon.key", "moon"},
       {"etc/private/plain.key", "plain"},
       {"etc/ecdsa/e.key", "e"}}};
  auto outcome = loaded("etc/imago.conf", files);
  const auto& all = good(outcome);
  REQUIRE(all.connections.size() == 1);
  CHECK(all.connections[0].local.certificates == std::vector<bytes>{der, der, der});
  CHECK(all.connections[0].remote.authorities == std::vector<bytes>{der});

  REQUIRE(all.certificates.size() == 2);
  CHECK(all.certificates[0].origin == "etc/x509/moon.pem");
  CHECK(to_text(all.certificates[0].data) == pem);
  REQUIRE(all.authorities.size() == 2);  // ca.pem once, though named and in its folder
  CHECK(all.authorities[0].origin == "etc/x509ca/ca.pem");
  CHECK(all.authorities[1].origin == "/abs/far.pem");

  REQUIRE(all.private_keys.size() == 4);
  CHECK(all.private_keys[0].origin == "etc/private/moon.key");
  CHECK(to_text(all.private_keys[0].data.view()) == "moon");
  CHECK(to_text(all.private_keys[0].passphrase.view()) == "pass phrase");
  CHECK(all.private_keys[1].passphrase.empty());
  CHECK(all.private_keys[2].origin == "etc/ecdsa/e.key");
  CHECK(all.private_keys[3].origin == "/abs/far.key");

  REQUIRE(all.shared_keys.size() == 2);
  CHECK(all.shared_keys[0].id == "ike-all");
  CHECK(to_hex(all.shared_keys[0].value.view()) == "010203");
  CHECK(all.shared_keys[0].owners.empty());
  REQUIRE(all.shared_keys[1].owners.size() == 2);
  CHECK(all.shared_keys[1].owners[1].type == id_type::ipv4_addr);
}

TEST_CASE("configuration: a directory is all its .conf files, sorted, as one text") {
  memory_files files{{{"etc/b.conf", "connections { gw : base.gw { keyingtries = 3 } }"},
                      {"etc/a.conf", "base { gw { keyingtries = 2\n rekey_time = 1h } }"},
                      {"etc/c.conf.bak", "nonsense {"},
                      {"etc/x509/moon.pem", pem}}};
  for (auto path : {"etc", "etc/"}) {
    auto outcome = loaded(path, files);
    const auto& all = good(outcome);
    REQUIRE(all.connections.size() == 1);
    CHECK(all.connections[0].keying_tries == 3);
    CHECK(all.connections[0].rekey_time == std::chrono::hours{1});
    CHECK(all.certificates.size() == 1);
  }
}

TEST_CASE("configuration: what is not there is not loaded") {
  auto outcome = loaded("none.conf", memory_files{});
  const auto* errors = std::get_if<configuration_errors>(&outcome);
  REQUIRE(errors);
  REQUIRE(errors->errors.size() == 1);
  CHECK(errors->errors[0].code == errc::not_found);
  CHECK(errors->errors[0].where == "none.conf");
}

TEST_CASE("configuration: an empty one is good and empty") {
  auto outcome = built("# nothing\nconnections { }\nsecrets { }\npools { }\n");
  CHECK(good(outcome).connections.empty());
}

TEST_CASE("configuration: all errors are told at once, and nothing is half loaded") {
  auto outcome = built(
      "connections {\n a { versoin = 2\n mobike = maybe\n }\n b { children { c { ipcomp = yes\n } "
      "} }\n}\nsecrets {\n ike-1 { }\n eap-1 { secret = x }\n foo { }\n}\npools {\n p { addrs = "
      "10.0.0.0/24 }\n}\n");
  const auto* errors = std::get_if<configuration_errors>(&outcome);
  REQUIRE(errors);
  std::vector<std::string> texts;
  for (const auto& one : errors->errors) texts.push_back(one.where);
  const std::string unsupported = " is not supported by this version of Imago; ";
  CHECK(texts ==
        std::vector<std::string>{
            "t.conf:2:6: unknown key 'versoin' in connections.a; did you mean 'version'?",
            "t.conf:3:2: connections.a.mobike: 'maybe' is neither yes nor no; write yes or no",
            "t.conf:5:21: connections.b.children.c.ipcomp: 'yes'" + unsupported +
                "write 'ipcomp = no' or leave it out",
            "t.conf:9:2: secrets.ike-1.secret: it is missing; write secret = \"...\"",
            "t.conf:10:2: secrets.eap-1: a secret of the kind eap" + unsupported + "leave it out",
            "t.conf:11:2: unknown section 'foo' in secrets",
            "t.conf:14:2: pools.p: a pool of virtual addresses" + unsupported + "leave it out"});
}

TEST_CASE("configuration: the list of errors ends at twenty") {
  std::string text = "connections { a {\n";
  for (int i = 0; i < 100; ++i) text += "wrong" + std::to_string(i) + " = 1\n";
  auto outcome = built(text + "} }");
  const auto* errors = std::get_if<configuration_errors>(&outcome);
  REQUIRE(errors);
  CHECK(errors->errors.size() == 20);
}

TEST_CASE("configuration: a section nobody reads is free, unless it looks like a slip") {
  CHECK(build_error("conections { a { } }") ==
        "t.conf:1:1: nothing reads the section 'conections'; did you mean 'connections'?");
  CHECK(build_error("connection { a { } }\nconnections { b : connection.a { } }") == "");
  CHECK(build_error("charon { threads = 16 }\n") == "");
  CHECK(build_error("version = 2\n") ==
        "t.conf:1:1: the key 'version' stands outside of any section");
}

TEST_CASE("configuration: files that are named must be there and be what they should") {
  memory_files files{{{"dir/x509/bad.pem", "hello"},
                      {"dir/x509/cut.pem", "-----BEGIN CERTIFICATE-----\nMAMC"},
                      {"dir/x509/tail.der", "\x30\x03\x02\x01\x05\x05"}}};
  auto with = [&](const std::string& line) {
    return build_error("connections { a { local {\n" + line + "\n} } }", files);
  };
  const std::string advice = "; write files in x509/, or 0x or 0s and the octets";
  const std::string place = "t.conf:2:1: connections.a.local.certs: ";
  CHECK(with("certs = none.pem") ==
        place + "cannot read dir/x509/none.pem: it does not exist" + advice);
  CHECK(with("certs = bad.pem") == place +
                                       "dir/x509/bad.pem holds no certificate: neither PEM nor DER "
                                       "of a certificate" +
                                       advice);
  CHECK(with("certs = cut.pem").find("the PEM has no end") != std::string::npos);
  CHECK(with("certs = tail.der").find("holds no certificate") != std::string::npos);
  CHECK(with("certs = 0s!").find("base64") != std::string::npos);
  CHECK(with("certs = 0x3003020105") == "");
  CHECK(build_error("secrets { private-1 {\nfile = none.key\n} }") ==
        "t.conf:2:1: cannot read dir/private/none.key: it does not exist");
  CHECK(build_error("secrets { private-1 { } }").find("secrets.private-1.file: it is missing") !=
        std::string::npos);
  CHECK(build_error("authorities { ca {\ncacert = none.pem\n} }") ==
        "t.conf:2:1: authorities.ca.cacert: cannot read dir/x509ca/none.pem: it does not exist");
  CHECK(build_error("authorities { ca { } }").find("write one of cacert") != std::string::npos);
}

TEST_CASE("configuration: a credential too large is refused") {
  memory_files files{{{"dir/x509/big.pem", std::string(1024 * 1024 + 1, 'a')}}};
  CHECK(build_error("", files) == "dir/x509/big.pem is too large for a key or certificate");
}

TEST_CASE("files: real ones are read, directories and pipes are not") {
  namespace fs = std::filesystem;
  std::string pattern = (fs::temp_directory_path() / "imago-config-XXXXXX").string();
  REQUIRE(mkdtemp(pattern.data()) != nullptr);
  fs::path directory = pattern;
  std::ofstream(directory / "b.conf") << "connections { two { } }\n";
  std::ofstream(directory / "a.conf") << "connections { one { } }\n";
  fs::create_directory(directory / "d.conf");
  REQUIRE(mkfifo((directory / "pipe").c_str(), 0600) == 0);
  auto files = real_files();
  CHECK(files.glob((directory / "*.conf").string()).size() == 2);
  CHECK(*files.read((directory / "a.conf").string()) == "connections { one { } }\n");
  CHECK(files.read((directory / "none").string()).failure().code == errc::not_found);
  CHECK(files.read((directory / "d.conf").string()).failure().code == errc::system_error);
  CHECK(files.read((directory / "pipe").string()).failure().code == errc::system_error);
  auto outcome = load_configuration(directory.string(), files);
  const auto& all = good(outcome);
  REQUIRE(all.connections.size() == 2);
  CHECK(all.connections[0].name == "one");
  fs::remove_all(directory);
}

TEST_CASE("configuration: the examples that are shipped are good") {
  auto files = real_files();
  for (auto path : {"/etc/imago.conf", "/examples/gateway.conf"}) {
    auto text = files.read(IMAGO_SOURCE_DIR + std::string{path});
    REQUIRE(text);
    // The credentials they name are the reader's to make.
    memory_files some{{{"dir/x509/moon.pem", pem}, {"dir/private/moon.key", "key"}}};
    CHECK(build_error(*text, some) == "");
  }
}

}  // namespace imago::config
