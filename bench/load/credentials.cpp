#include "bench/load/credentials.hpp"

#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "core/crypto/certificate.hpp"
#include "tests/support/certificates.hpp"

namespace imago::bench {

namespace {

testing::credential make(std::string_view name, const testing::test_key& key,
                         const testing::credential* issuer) {
  auto now = static_cast<std::int64_t>(std::time(nullptr));
  testing::certificate_options options;
  options.subject = "C=CH, O=Imago, CN=" + std::string{name};
  options.is_ca = issuer == nullptr;
  if (issuer != nullptr) options.dns_names = {std::string{name}};
  options.not_before = wall_time{now - 86'400};
  options.not_after = wall_time{now + 7 * 86'400};
  return testing::make_certificate(options, key, issuer);
}

status write_file(const std::filesystem::path& path, std::string_view octets) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream file{path, std::ios::binary};
  file.write(octets.data(), static_cast<std::streamsize>(octets.size()));
  file.close();
  if (!file) return {errc::system_error, path.string() + ": " + std::strerror(errno)};
  return {};
}

result<bytes> read_whole(const std::filesystem::path& path) {
  std::ifstream file{path, std::ios::binary};
  if (!file) return {errc::not_found, path.string()};
  return bytes{std::istreambuf_iterator<char>{file}, {}};
}

}  // namespace

std::string client_name(std::size_t index) { return "c" + std::to_string(index) + ".bench.test"; }

status write_credentials(const std::string& folder, std::size_t count) {
  using testing::key_type;
  auto authority = make("authority", testing::test_key::make(key_type::ecdsa_p256), nullptr);
  auto gateway = make(responder_name, testing::test_key::make(key_type::ecdsa_p256), &authority);
  auto key = testing::test_key::make(key_type::ecdsa_p256);
  std::string clients;
  for (std::size_t index = 0; index < count; ++index) {
    auto one = make(client_name(index), key, &authority).certificate;
    clients.push_back(static_cast<char>(one.size() >> 8));
    clients.push_back(static_cast<char>(one.size() & 0xff));
    clients.append(one.begin(), one.end());
  }
  const std::filesystem::path in{folder};
  for (const auto& [name, text] :
       {std::pair{"x509ca/ca.pem", authority.certificate_pem()},
        std::pair{"x509/gateway.pem", gateway.certificate_pem()},
        std::pair{"private/gateway.key", gateway.key.pem()}, std::pair{"client.key", key.pem()},
        std::pair{"clients.der", clients}})
    if (auto written = write_file(in / name, text); !written) return written;
  return {};
}

result<client_credentials> read_credentials(const crypto::library& library,
                                            const std::string& folder) {
  const std::filesystem::path in{folder};
  client_credentials read;
  auto key = read_whole(in / "client.key");
  if (!key) return key.failure();
  auto loaded = crypto::private_key::load(library, *key);
  if (!loaded) return loaded.failure();
  read.key = *loaded;
  auto authority = read_whole(in / "x509ca/ca.pem");
  if (!authority) return authority.failure();
  auto parsed = crypto::certificate::load(library, *authority);
  if (!parsed) return parsed.failure();
  read.authority_hash = (*parsed)->key()->info_hash();
  auto clients = read_whole(in / "clients.der");
  if (!clients) return clients.failure();
  for (bytes_view rest{*clients}; rest.size() > 2;) {
    auto size = static_cast<std::size_t>(rest[0]) << 8 | rest[1];
    if (rest.size() < 2 + size) return {errc::bad_value, folder + "/clients.der"};
    read.certificates.push_back(to_bytes(rest.subspan(2, size)));
    rest = rest.subspan(2 + size);
  }
  if (read.certificates.empty()) return {errc::bad_value, folder + "/clients.der"};
  return read;
}

}  // namespace imago::bench
