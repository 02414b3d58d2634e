// Writes the seeds of ike_message, payload, vici, exchange, xfrm_message and leases from the values
// that the tests use.
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "core/vici/message.hpp"
#include "kernel_if/xfrm/lease_records.hpp"
#include "tests/core/wire_samples.hpp"
#include "tests/kernel_if/xfrm_fixture.hpp"

using namespace imago;

namespace {

namespace files = std::filesystem;

void write(const files::path& path, bytes_view octets) {
  files::create_directories(path.parent_path());
  std::ofstream file{path, std::ios::binary};
  file.write(reinterpret_cast<const char*>(octets.data()),
             static_cast<std::streamsize>(octets.size()));
  if (!file) {
    std::fprintf(stderr, "cannot write %s\n", path.c_str());
    std::exit(1);
  }
}

// A file's name from a payload's: lower case, no parentheses.
std::string file_name(const wire::payload& one, std::size_t index) {
  std::string name = index < 10 ? "0" : "";
  name += std::to_string(index) + "-";
  for (char c : text_of(wire::type_of(one)))
    if (c >= 'A' && c <= 'Z') {
      name += static_cast<char>(c - 'A' + 'a');
    } else if (c != '(' && c != ')') {
      name += c;
    }
  return name;
}

void write_payloads(const files::path& folder) {
  auto all = wire::sample_payloads();
  for (const auto& one : wire::sample_sealed()) all.push_back(one);
  std::size_t index = 0;
  for (const auto& one : all) {
    bytes octets{static_cast<std::uint8_t>(wire::type_of(one))};
    auto chain = wire::encode_payloads({one});
    append(octets, chain);
    // Large bodies teach a fuzzer nothing.
    if (octets.size() <= 300) write(folder / file_name(one, index), octets);
    ++index;
  }
}

void write_messages(const files::path& folder) {
  auto header = wire::sample_header();
  auto write_one = [&](const char* name, exchange_type exchange, const wire::payloads& list) {
    header.exchange = exchange;
    write(folder / name, wire::encode_message(header, list));
  };
  auto note = [](notify_type type, bytes data) {
    return wire::notify_payload{protocol_id::none, {}, type, std::move(data)};
  };
  wire::key_exchange_payload share{ke_method::curve25519, wire::octets_of(32)};
  wire::nonce_payload nonce{wire::octets_of(32)};
  write_one("ike_sa_init", exchange_type::ike_sa_init,
            {wire::sample_offer(), share, nonce,
             note(notify_type::nat_detection_source_ip, wire::octets_of(20)),
             note(notify_type::signature_hash_algorithms, {0, 2, 0, 3})});
  write_one("cookie", exchange_type::ike_sa_init,
            {note(notify_type::cookie, wire::octets_of(64)), wire::sample_offer(), share, nonce});
  write_one("invalid_ke", exchange_type::ike_sa_init,
            {note(notify_type::invalid_ke_payload, {0, 19})});
  write_one("child", exchange_type::create_child_sa,
            {wire::sample_child_answer(), nonce, share,
             wire::traffic_selector_payload{true, {wire::sample_selector("10.0.0.0", "10.9.0.1")}},
             wire::traffic_selector_payload{false, {wire::sample_selector("::", "ffff::")}}});
  write_one(
      "delete", exchange_type::informational,
      {wire::delete_payload{protocol_id::esp, {1, 2}}, wire::delete_payload{protocol_id::ike, {}}});
  write_one("empty", exchange_type::informational, {});
  std::size_t index = 0;
  for (const auto& one : wire::sample_sealed())
    write_one(("sealed-" + std::to_string(index++)).c_str(), exchange_type::ike_auth, {one});
  header.is_response = true;
  write_one("unknown", exchange_type::ike_auth,
            {wire::unknown_payload{static_cast<payload_type>(199), true, {1, 2}},
             wire::eap_payload{{1, 7, 0, 5, 1}},
             wire::configuration_payload{2, {{1, wire::octets_of(4)}}}});
}

void write_vici(const files::path& folder) {
  auto write_one = [&](const char* name, vici::packet_type type, const char* packet_name,
                       vici::message body) {
    auto octets = vici::encode_packet({type, packet_name, std::move(body)});
    if (octets) write(folder / name, *octets);
  };
  vici::message child;
  child.add("mode", "tunnel").add_list("local_ts", {"10.0.0.0/8", "dynamic"});
  vici::message children;
  children.add_section("net", std::move(child));
  vici::message connection;
  connection.add("version", "2").add("mobike", "no").add_list("remote_addrs", {"192.0.2.1"});
  connection.add_section("children", std::move(children));
  vici::message load;
  load.add_section("home", std::move(connection));
  vici::message counters;
  counters.add_section("", std::move(vici::message{}.add("invalid", "0x3")));
  vici::message empty_list;
  empty_list.add_list("conns", {});
  write_one("version", vici::packet_type::command_request, "version", {});
  write_one("load-conn", vici::packet_type::command_request, "load-conn", load.clone());
  write_one("list-sa", vici::packet_type::event, "list-sa", std::move(load));
  write_one("response", vici::packet_type::command_response, "", std::move(empty_list));
  write_one("counters", vici::packet_type::command_response, "", std::move(counters));
  write_one("register", vici::packet_type::event_register, "log", {});
  write_one("confirm", vici::packet_type::event_confirm, "", {});
  write_one("unknown", vici::packet_type::command_unknown, "", {});
  write(folder / "two-segments", bytes{0, 0, 0, 1, 5, 0, 0, 0, 1, 6});
  write(folder / "too-large", bytes{0, 8, 0, 1, 0});
  write(folder / "end-missing", bytes{1, 1, 1, 's', 4, 1, 'l', 5, 0, 1, 'a'});
}

// --- exchange: scenario, then steps; see exchange.cpp --------------------------------------------

wire::transform transform_of(transform_type type, std::uint16_t id, std::uint16_t key_bits = 0) {
  return {type, id, key_bits, false};
}

wire::security_association_payload ike_proposal(bytes spi) {
  return {
      {{1,
        protocol_id::ike,
        std::move(spi),
        {transform_of(transform_type::encryption, 20, 128), transform_of(transform_type::prf, 5),
         transform_of(transform_type::key_exchange, 31)}}}};
}

wire::security_association_payload esp_proposal(bool with_key_exchange) {
  wire::proposal one{1,
                     protocol_id::esp,
                     {2, 2, 2, 2},
                     {transform_of(transform_type::encryption, 20, 128),
                      transform_of(transform_type::sequence_numbers, 0)}};
  if (with_key_exchange) one.transforms.push_back(transform_of(transform_type::key_exchange, 31));
  return {{std::move(one)}};
}

bytes message_step(const wire::payloads& list) {
  auto chain = wire::encode_payloads(list);
  bytes step{
      1, static_cast<std::uint8_t>(list.empty() ? payload_type::none : wire::type_of(list.front())),
      static_cast<std::uint8_t>(chain.size() >> 8), static_cast<std::uint8_t>(chain.size())};
  append(step, chain);
  return step;
}

void write_exchanges(const files::path& folder) {
  // A request comes at once; of ours the answer comes after `before` jobs and requests.
  auto write_one = [&](const char* name, std::uint8_t scenario, int before,
                       const std::vector<wire::payloads>& messages) {
    bytes octets{scenario};
    bool is_ours = before >= 0;
    for (const auto& one : messages) {
      if (is_ours) octets.resize(octets.size() + static_cast<std::size_t>(before) + 1);
      append(octets, message_step(one));
    }
    octets.resize(octets.size() + 6);  // what follows succeeds
    write(folder / name, octets);
  };
  auto note = [](notify_type type, bytes data, bytes spi = {}) {
    auto protocol = spi.empty() ? protocol_id::none : protocol_id::esp;
    return wire::notify_payload{protocol, std::move(spi), type, std::move(data)};
  };
  wire::key_exchange_payload share{ke_method::curve25519, wire::octets_of(32)};
  wire::nonce_payload nonce{wire::octets_of(32)};
  wire::traffic_selector_payload initiator{true, {traffic_selector::everything(ip_family::v4)}};
  wire::traffic_selector_payload responder{false, {traffic_selector::everything(ip_family::v4)}};
  wire::authentication_payload auth{auth_method::shared_key, wire::octets_of(32)};
  wire::identification_payload id_initiator{true, id_type::fqdn, {'b'}};
  wire::identification_payload id_responder{false, id_type::fqdn, {'b'}};
  bytes ike_spi{8, 7, 6, 5, 4, 3, 2, 1};
  auto rekey = note(notify_type::rekey_sa, {}, {2, 2, 2, 2});

  write_one("init-response", 0, 1, {{ike_proposal({}), share, nonce}});
  write_one("init-cookie", 0, 1, {{note(notify_type::cookie, {1, 2})}});
  write_one("init-invalid-ke", 0, 1, {{note(notify_type::invalid_ke_payload, {0, 19})}});
  write_one("init-request", 1, -1, {{ike_proposal({}), share, nonce}});
  write_one("auth-response", 2, 1,
            {{id_responder, auth, esp_proposal(false), initiator, responder}});
  write_one("auth-refused", 2, 1, {{note(notify_type::authentication_failed, {})}});
  write_one("auth-no-child", 2, 1, {{id_responder, auth, note(notify_type::ts_unacceptable, {})}});
  write_one("auth-request", 3, -1,
            {{id_initiator, auth, esp_proposal(false), initiator, responder}});
  write_one("auth-childless", 3, -1, {{id_initiator, auth}});
  write_one("rekey-child-response", 4, 2,
            {{esp_proposal(true), nonce, share, initiator, responder}});
  write_one("rekey-child-later", 4, 2, {{note(notify_type::temporary_failure, {})}});
  write_one("rekey-child-request", 5, -1,
            {{rekey, esp_proposal(true), nonce, share, initiator, responder}});
  write_one("new-child-request", 5, -1, {{esp_proposal(false), nonce, initiator, responder}});
  write_one("delete-child-response", 6, 0,
            {{wire::delete_payload{protocol_id::esp, {0x02020202}}}});
  write_one("delete-child-request", 7, -1,
            {{wire::delete_payload{protocol_id::esp, {0x02020202}}}});
  write_one("delete-ike-request", 7, -1, {{wire::delete_payload{protocol_id::ike, {}}}});
  write_one("rekey-ike-response", 8, 1, {{ike_proposal(ike_spi), nonce, share}});
  write_one("rekey-ike-request", 9, -1, {{ike_proposal(ike_spi), nonce, share}});
  write_one("rekey-ike-collision", 25, -1, {{ike_proposal(ike_spi), nonce, share}});
  write_one("liveness-response", 13, 0, {{}});
  write_one("delete-ike-response", 12, 0, {{}});
  write_one("crossing-deletes", 14, -1, {{wire::delete_payload{protocol_id::esp, {0x02020202}}}});
  write_one("rekey-while-deleting", 15, -1,
            {{rekey, esp_proposal(true), nonce, share, initiator, responder}});
}

void write_xfrm(const files::path& folder) {
  using namespace imago::testing;
  peer own{{at("192.0.2.2"), 4500}, net("10.2.0.0/16"), 2};
  peer other{{at("2001:db8::1"), 4500}, net("10.1.0.0/16"), 1};
  plan how;
  auto name = own.outer.address;
  write(folder / "acknowledged", acknowledgement_of(1, 0));
  write(folder / "refused", refusal_with_text(2, 38, "Requested AEAD algorithm not found"));
  write(folder / "dump-ended", dump_end(3));
  write(folder / "larval", larval_answer(4, at("192.0.2.1"), name, 0xc0ffee01));
  write(folder / "expired", expire_event(at("192.0.2.1"), name, 0xc0ffee01, true));
  write(folder / "active", activity_event(other.outer.address, 0xc0ffee01));
  write(folder / "mapped", mapping_event(name, 0xc0ffee01, {name, 4500}, {name, 1025}));
  auto sa = parameters(how, data_plane::direction::inbound, own, own, 0xc0ffee01);
  write(folder / "sa", xfrm::encode_sa(xfrm::sa_command::add, sa, {}, 5)->view());
  auto entries = xfrm::entries_of(policy_between(how, own, other));
  bytes dump;
  for (const auto& one : *entries) {
    append(dump, xfrm::encode_policy(xfrm::policy_command::add, one, 6).view());
    write(folder / "acquire",
          acquire_event(one.key.selector, 7, name, one.protection->destination));
  }
  append(dump, dump_end(6));
  write(folder / "policies", dump);
}

void write_leases(const files::path& folder) {
  using namespace kernel_if;
  using testing::at;
  files::create_directories(folder);
  auto name = at("192.0.2.1");
  auto file = xfrm::encode_lease_header({"6f6b8d2e-0000-4000-8000-00c0ffee0001", 4, 4026531840, 7});
  write(folder / "empty", file);
  xfrm::sa_lease sa{{name, 0xc0ffee01, {}}, at("192.0.2.2"), 0};
  append(file, xfrm::encode_lease(sa));
  sa.reqid = 7;
  append(file, xfrm::encode_lease(sa));
  xfrm::sa_lease six{{at("2001:db8::1"), 0xc0ffee02, {1, 0xff}}, at("2001:db8::2"), 9};
  append(file, xfrm::encode_lease(six));
  testing::ends e;
  auto entries = xfrm::entries_of(policy_between(e.how, e.own, e.other));
  for (const auto& one : *entries) append(file, xfrm::encode_lease(one));
  auto shunt = entries->front();
  shunt.protection.reset();
  shunt.action = xfrm::policy_action::block;
  append(file, xfrm::encode_lease(shunt));
  write(folder / "living", file);
  append(file, xfrm::encode_lease_end(six.key));
  append(file, xfrm::encode_lease_end(shunt.key));
  write(folder / "some-gone", file);
  file.resize(file.size() - 5);
  write(folder / "cut-off", file);
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) {
    std::fprintf(stderr, "usage: %s tests/fuzz/corpus\n", arguments[0]);
    return 2;
  }
  files::path corpus{arguments[1]};
  write_payloads(corpus / "payload");
  write_messages(corpus / "ike_message");
  write_vici(corpus / "vici");
  write_exchanges(corpus / "exchange");
  write_xfrm(corpus / "xfrm_message");
  write_leases(corpus / "leases");
  return 0;
}
