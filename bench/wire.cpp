// What marshalling costs: each message of the protocol parsed and encoded, beside AES-GCM over the
// same octets.
#include <cstdio>
#include <string>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "bench/clock.hpp"
#include "core/crypto/protection.hpp"
#include "core/ikev2/message_protection.hpp"

namespace imago::bench {

namespace {

struct sample {
  std::string name;
  wire::header header;
  wire::payloads payloads;
};

wire::transform transform_of(transform_type type, std::uint16_t id, std::uint16_t bits = 0) {
  wire::transform made;
  made.type = type;
  made.id = id;
  made.key_bits = bits;
  return made;
}

wire::notify_payload notify(notify_type type, std::size_t size) {
  wire::notify_payload made;
  made.type = type;
  made.data.resize(size, 0x42);
  return made;
}

wire::security_association_payload ike_proposal() {
  wire::proposal made;
  made.protocol = protocol_id::ike;
  made.transforms = {transform_of(transform_type::encryption, 20, 128),
                     transform_of(transform_type::prf, 5),
                     transform_of(transform_type::key_exchange, 31)};
  return {{std::move(made)}};
}

wire::security_association_payload esp_proposal() {
  wire::proposal made;
  made.protocol = protocol_id::esp;
  made.spi = {1, 2, 3, 4};
  made.transforms = {transform_of(transform_type::encryption, 20, 128),
                     transform_of(transform_type::sequence_numbers, 0)};
  return {{std::move(made)}};
}

void add_selectors(wire::payloads& to) {
  auto one = traffic_selector::from_prefix(*ip_prefix::parse("10.128.0.0/9"));
  to.emplace_back(wire::traffic_selector_payload{true, {one}});
  to.emplace_back(wire::traffic_selector_payload{false, {one}});
}

sample make(std::string name, exchange_type exchange, bool is_response, wire::payloads payloads) {
  sample made{std::move(name), {}, std::move(payloads)};
  made.header.initiator_spi = 0x0123456789abcdef;
  made.header.responder_spi = 0xfedcba9876543210;
  made.header.exchange = exchange;
  made.header.from_initiator = !is_response;
  made.header.is_response = is_response;
  made.header.message_id = 1;
  return made;
}

sample make_auth(std::string name, bool is_response, std::size_t certificate_size) {
  wire::payloads list{wire::identification_payload{!is_response, id_type::fqdn, bytes(18, 'a')}};
  if (certificate_size > 0) {
    list.emplace_back(wire::certificate_payload{certificate_encoding::x509_signature,
                                                bytes(certificate_size, 0x30)});
    list.emplace_back(
        wire::certificate_request_payload{certificate_encoding::x509_signature, bytes(20, 1)});
  }
  auto method = certificate_size > 0 ? auth_method::digital_signature : auth_method::shared_key;
  list.emplace_back(
      wire::authentication_payload{method, bytes(certificate_size > 0 ? 84U : 32U, 0x5a)});
  list.emplace_back(esp_proposal());
  add_selectors(list);
  return make(std::move(name), exchange_type::ike_auth, is_response, std::move(list));
}

std::vector<sample> make_samples() {
  wire::payloads init{ike_proposal(),
                      wire::key_exchange_payload{ke_method::curve25519, bytes(32, 7)},
                      wire::nonce_payload{bytes(32, 9)}};
  for (auto type :
       {notify_type::nat_detection_source_ip, notify_type::nat_detection_destination_ip})
    init.emplace_back(notify(type, 20));
  init.emplace_back(notify(notify_type::ikev2_fragmentation_supported, 0));
  init.emplace_back(notify(notify_type::signature_hash_algorithms, 8));
  auto rekey_notify = notify(notify_type::rekey_sa, 0);
  rekey_notify.protocol = protocol_id::esp;
  rekey_notify.spi = {1, 2, 3, 4};
  wire::payloads rekey{rekey_notify, esp_proposal(), wire::nonce_payload{bytes(32, 9)}};
  add_selectors(rekey);
  std::vector<sample> all;
  all.push_back(make("IKE_SA_INIT request", exchange_type::ike_sa_init, false, init));
  all.push_back(make("IKE_SA_INIT response", exchange_type::ike_sa_init, true, init));
  all.push_back(make_auth("IKE_AUTH request, PSK", false, 0));
  all.push_back(make_auth("IKE_AUTH response, PSK", true, 0));
  all.push_back(make_auth("IKE_AUTH request, certificate", false, 450));
  all.push_back(make("CREATE_CHILD_SA rekey", exchange_type::create_child_sa, false, rekey));
  all.push_back(make("INFORMATIONAL delete", exchange_type::informational, false,
                     {wire::delete_payload{protocol_id::esp, {0x01020304}}}));
  all.push_back(make("INFORMATIONAL empty (DPD)", exchange_type::informational, false, {}));
  return all;
}

struct figures {
  std::size_t size = 0;
  double parse_ns = 0, encode_ns = 0, gcm_seal_ns = 0, gcm_open_ns = 0;
};

figures measure(const crypto::library& library, const sample& of) {
  figures found;
  auto octets = wire::encode_message(of.header, of.payloads);
  found.size = octets.size();
  found.parse_ns = ns_of([&] { keep(wire::parse_message(octets)); });
  found.encode_ns = ns_of([&] { keep(wire::encode_message(of.header, of.payloads)); });
  auto make_protection = [&] {
    return *crypto::protection::create(library, encryption_algorithm::aes_gcm_16, 128,
                                       integrity_algorithm::none, secret{20}, secret{});
  };
  auto sealing = make_protection();
  auto opening = make_protection();
  auto& random = const_cast<crypto::library&>(library);
  bytes_view associated{octets.data(), wire::header_size};
  auto plaintext = bytes_view{octets}.subspan(wire::header_size);
  auto sealed = *sealing.seal(random, associated, plaintext);
  found.gcm_seal_ns = ns_of([&] { keep(sealing.seal(random, associated, plaintext)); });
  found.gcm_open_ns = ns_of([&] { keep(opening.open(associated, sealed)); });
  return found;
}

int run(int argc, char** argv) {
  CLI::App program{"What it costs to parse and to encode each message, beside AES-128-GCM."};
  bool wants_json = false;
  program.add_flag("--json", wants_json, "one JSON object a line");
  CLI11_PARSE(program, argc, argv);
  crypto::library library;
  if (!wants_json)
    std::printf("%-32s %6s %9s %9s %9s %9s %18s\n", "message", "octets", "parse ns", "encode ns",
                "seal ns", "open ns", "marshalling / GCM");
  for (const auto& one : make_samples()) {
    auto found = measure(library, one);
    auto ratio = (found.parse_ns + found.encode_ns) / (found.gcm_seal_ns + found.gcm_open_ns);
    if (wants_json) {
      nlohmann::ordered_json line{{"message", one.name},
                                  {"octets", found.size},
                                  {"parse_ns", found.parse_ns},
                                  {"encode_ns", found.encode_ns},
                                  {"seal_ns", found.gcm_seal_ns},
                                  {"open_ns", found.gcm_open_ns},
                                  {"ratio", ratio}};
      std::printf("%s\n", line.dump().c_str());
    } else {
      std::printf("%-32s %6zu %9.0f %9.0f %9.0f %9.0f %18.2f\n", one.name.c_str(), found.size,
                  found.parse_ns, found.encode_ns, found.gcm_seal_ns, found.gcm_open_ns, ratio);
    }
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace

}  // namespace imago::bench

int main(int argc, char** argv) { return imago::bench::run(argc, argv); }
