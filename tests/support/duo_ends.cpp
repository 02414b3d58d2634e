// Configurations and credentials of a duo.
#include <doctest/doctest.h>

#include "core/crypto/library.hpp"
#include "tests/support/duo.hpp"

namespace imago::ikev2::testing {

const crypto::library& the_library() {
  static crypto::library library;
  return library;
}

void chosen_random::fill(std::span<std::uint8_t> out) {
  for (auto& octet : out) {  // SplitMix64
    state_ += 0x9e3779b97f4a7c15;
    auto mixed = (state_ ^ (state_ >> 30)) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
    octet = static_cast<std::uint8_t>(mixed >> 56);
  }
  // Only nonces have 32 octets here.
  if (out.size() != 32 || nonce_beginnings.empty()) return;
  out[0] = nonce_beginnings.front();
  nonce_beginnings.pop_front();
}

std::vector<wire::proposal> proposals_of(protocol_id protocol, std::string_view text) {
  auto parsed = config::parse_proposals(protocol, text);
  REQUIRE(parsed);
  return *parsed;
}

config::identity identity_of(std::string_view text) {
  auto parsed = config::parse_identity(text);
  REQUIRE(parsed);
  return *parsed;
}

config::selector_template selector_of(std::string_view prefix) {
  auto parsed = ip_prefix::parse(prefix);
  REQUIRE(parsed);
  return {false, traffic_selector::from_prefix(*parsed)};
}

config::shared_key_ptr shared_key_of(std::string_view value,
                                     const std::vector<std::string>& owners) {
  auto key = std::make_shared<config::shared_key>();
  key->id = "test";
  key->value = secret{to_bytes(value)};
  for (const auto& owner : owners) key->owners.push_back(identity_of(owner));
  return key;
}

namespace {

config::address_pattern single(const ip_address& address) {
  config::address_pattern pattern;
  pattern.first = pattern.last = address;
  return pattern;
}

end end_of(const char* own, const char* other, const char* own_identity, const char* other_identity,
           const char* own_net, const char* other_net) {
  config::connection_config connection;
  connection.name = "moon-sun";
  connection.local_addresses = {single(*ip_address::parse(own))};
  connection.remote_addresses = {single(*ip_address::parse(other))};
  connection.proposals = proposals_of(protocol_id::ike, "aes128gcm16-prfsha256-x25519");
  connection.local.authentication = config::authentication::psk;
  connection.local.identity = identity_of(own_identity);
  connection.remote.authentication = config::authentication::psk;
  connection.remote.identity = identity_of(other_identity);
  config::child_config child;
  child.name = "net";
  child.proposals = proposals_of(protocol_id::esp, "aes128gcm16");
  child.local_selectors = {selector_of(own_net)};
  child.remote_selectors = {selector_of(other_net)};
  connection.children.push_back(std::move(child));
  end made;
  made.address = *ip_address::parse(own);
  made.connections.push_back(std::move(connection));
  return made;
}

void give_credential(end& to, const credential& authority, const credential& own) {
  auto key = crypto::private_key::load(the_library(), to_bytes(own.key.pem()));
  REQUIRE(key);
  auto root = crypto::certificate::load(the_library(), authority.certificate);
  REQUIRE(root);
  to.credentials.private_keys = {*key};
  to.credentials.authorities = {*root};
  to.connection().local.authentication = config::authentication::pubkey;
  to.connection().remote.authentication = config::authentication::pubkey;
  to.connection().local.certificates = {own.certificate};
}

}  // namespace

ends shared_key_ends() {
  ends made{
      end_of("192.0.2.1", "192.0.2.2", "moon.example", "sun.example", "10.1.0.0/16", "10.2.0.0/16"),
      end_of("192.0.2.2", "192.0.2.1", "sun.example", "moon.example", "10.2.0.0/16",
             "10.1.0.0/16")};
  auto key = shared_key_of("a key for two", {"moon.example", "sun.example"});
  made.a.credentials.shared_keys = {key};
  made.b.credentials.shared_keys = {key};
  return made;
}

ends certificate_ends(const credential& authority, const credential& a, const credential& b) {
  auto made = shared_key_ends();
  made.a.credentials = made.b.credentials = {};
  give_credential(made.a, authority, a);
  give_credential(made.b, authority, b);
  return made;
}

}  // namespace imago::ikev2::testing
