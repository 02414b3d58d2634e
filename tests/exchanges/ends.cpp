#include "tests/exchanges/ends.hpp"

namespace imago::testing {

namespace {

certificate_options named(const std::string& name, std::size_t more_names = 0) {
  certificate_options options;
  options.subject = "C=CH, O=Imago, CN=" + name;
  options.dns_names = {name};
  for (std::size_t i = 0; i < more_names; ++i)
    options.dns_names.push_back("alias-" + std::to_string(i) + "-of." + name);
  return options;
}

testing::ends issued(key_type type, std::size_t more_names) {
  auto authority = make_authority("C=CH, O=Imago, CN=root");
  auto moon = make_end_entity(authority, named("moon.example", more_names), type);
  auto sun = make_end_entity(authority, named("sun.example", more_names), type);
  return certificate_ends(authority, moon, sun);
}

}  // namespace

const testing::ends& ecdsa_ends() {
  static const auto made = issued(key_type::ecdsa_p256, 0);
  return made;
}

const testing::ends& large_certificate_ends() {
  static const auto made = issued(key_type::rsa_2048, 80);
  return made;
}

testing::ends two_children_ends() {
  auto made = shared_key_ends();
  auto add = [](end& to, const char* local, const char* remote) {
    auto child = to.child();
    child.name = "net2";
    child.local_selectors = {selector_of(local)};
    child.remote_selectors = {selector_of(remote)};
    to.connection().children.push_back(std::move(child));
  };
  add(made.a, "10.3.0.0/16", "10.4.0.0/16");
  add(made.b, "10.4.0.0/16", "10.3.0.0/16");
  return made;
}

testing::ends pfs_ends() {
  auto made = two_children_ends();
  for (auto* one : {&made.a, &made.b})
    for (auto& child : one->connection().children)
      child.proposals = proposals_of(protocol_id::esp, "aes128gcm16-x25519");
  return made;
}

testing::ends other_group_ends() {
  auto made = shared_key_ends();
  made.a.connection().proposals =
      proposals_of(protocol_id::ike, "aes128gcm16-prfsha256-x25519-ecp256");
  made.b.connection().proposals = proposals_of(protocol_id::ike, "aes128gcm16-prfsha256-ecp256");
  return made;
}

}  // namespace imago::testing
