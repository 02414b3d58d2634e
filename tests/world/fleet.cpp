#include "tests/world/fleet.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "world/kill_sweep.hpp"
#include "world/scenarios.hpp"

namespace imago::testing {

namespace {

constexpr const char* secrets = "secrets {\n ike-1 {\n secret = \"a key for all\"\n }\n}\n";

std::string address_of(std::size_t index) {
  return fmt::format("198.18.{}.{}", index / 250, index % 250 + 1);
}
// The first three octets.
std::string net_of(std::size_t index, std::size_t child, std::size_t children) {
  if (children == 1) return fmt::format("10.{}.{}", 128 + index / 256, index % 256);
  return fmt::format("10.{}.{}", 128 + index / 64, index % 64 * 4 + child);
}

std::string start_action_of(const fleet_options& options) {
  auto action = options.starts ? "start" : options.start_action;
  return action.empty() ? "" : " start_action = " + action + "\n";
}

std::string gateway_text(const fleet_options& options) {
  std::string text = "connections {\n";
  for (std::size_t index = 0; index < options.peers + options.black_holes; ++index) {
    text += fmt::format(
        " c{} {{\n local_addrs = 192.0.2.1\n remote_addrs = {}\n {}\n"
        " proposals = aes128gcm16-prfsha256-x25519\n"
        " local {{\n auth = psk\n id = gateway.example\n }}\n"
        " remote {{\n auth = psk\n id = peers.example\n }}\n children {{\n",
        index, address_of(index), options.more);
    for (std::size_t child = 0; child < options.children; ++child)
      text += fmt::format(
          "  net{} {{\n local_ts = 10.1.0.0/16\n remote_ts = {}.0/24\n"
          " esp_proposals = aes128gcm16\n{}{}{} }}\n",
          child, net_of(index, child, options.children), start_action_of(options),
          options.restarts ? " dpd_action = restart\n" : "",
          options.child_more.empty() ? "" : " " + options.child_more + "\n");
    text += " }\n }\n";
  }
  return text + "}\n" + secrets;
}

std::string peers_text(const fleet_options& options) {
  return fmt::format(
      "connections {{\n gw {{\n {}\n remote_addrs = 192.0.2.1\n"
      " proposals = aes128gcm16-prfsha256-x25519\n"
      " local {{\n auth = psk\n id = peers.example\n }}\n"
      " remote {{\n auth = psk\n id = gateway.example\n }}\n"
      " children {{\n net {{\n local_ts = 10.128.0.0/9\n remote_ts = 10.1.0.0/16\n"
      " esp_proposals = aes128gcm16\n }}\n }}\n }}\n}}\n{}",
      options.peers_more.empty() ? options.more : options.peers_more, secrets);
}

ikev2::policy_ptr built(const std::string& text) {
  auto made = world::policy_of(text);
  REQUIRE_MESSAGE(made, (made ? "" : made.failure().text()));
  return *made;
}

}  // namespace

std::string fleet_address(const fleet_options& in, std::size_t peer, std::size_t child,
                          unsigned host) {
  return fmt::format("{}.{}", net_of(peer, child, in.children), host);
}

std::string fleet_connection(std::size_t index) { return fmt::format("c{}", index); }

std::unique_ptr<world::world> make_fleet(const fleet_options& options) {
  auto in = std::make_unique<world::world>();
  in->net.keeps_sent = false;
  if (options.before) options.before(*in);
  world::host_options gateway;
  gateway.name = "gateway";
  gateway.addresses = {*ip_address::parse("192.0.2.1")};
  gateway.engine = world::brisk_options();
  gateway.engine.watches_uplinks = options.watches_uplinks;
  gateway.journal = actors::journal_level::control;
  gateway.policy = built(gateway_text(options));
  world::host_options peers;
  peers.name = "peers";
  for (std::size_t index = 0; index < options.peers; ++index)
    peers.addresses.push_back(*ip_address::parse(address_of(index)));
  peers.engine = world::brisk_options();
  if (options.watches_uplinks) peers.engine.retransmission = {};
  peers.journal = actors::journal_level::control;
  peers.policy = built(peers_text(options));
  in->add_host(std::move(peers));
  auto per_second = gateway.engine.uplink_starts_per_second;
  in->add_host(std::move(gateway));
  (void)in->run_until_quiet();
  if (options.watches_uplinks && options.starts)  // in turn
    in->advance(std::chrono::seconds{options.peers / per_second + 5});
  return in;
}

std::unique_ptr<world::world> make_mesh(std::size_t count, std::uint64_t seed,
                                        world::data_plane_kind plane) {
  world::world_options options;
  options.seed = seed;
  auto in = std::make_unique<world::world>(options);
  in->net.keeps_sent = false;
  for (std::size_t self = 0; self < count; ++self) {
    std::string text = "connections {\n";
    for (std::size_t other = 0; other < count; ++other)
      if (other != self)
        text += fmt::format(
            " to-{0} {{\n local_addrs = 192.0.2.{1}\n remote_addrs = 192.0.2.{2}\n"
            " dpd_delay = 20s\n proposals = aes128gcm16-prfsha256-x25519\n"
            " local {{\n auth = psk\n id = h{3}.example\n }}\n"
            " remote {{\n auth = psk\n id = h{0}.example\n }}\n"
            " children {{\n net {{\n local_ts = 10.{3}.0.0/16\n remote_ts = 10.{0}.0.0/16\n"
            " esp_proposals = aes128gcm16\n }}\n }}\n }}\n",
            other, self + 1, other + 1, self);
    text += std::string{"}\n"} + secrets;
    world::host_options made;
    made.name = fmt::format("h{}", self);
    made.addresses = {*ip_address::parse(fmt::format("192.0.2.{}", self + 1))};
    made.engine = world::brisk_options();
    made.journal = actors::journal_level::control;
    made.data_plane = plane;
    made.policy = built(text);
    in->add_host(std::move(made));
  }
  (void)in->run_until_quiet();
  return in;
}

bytes inner_packet(const std::string& source, const std::string& destination,
                   std::uint16_t number) {
  bytes made(30, 0);
  made[0] = 0x45;
  made[3] = 30;
  made[8] = 64;
  made[9] = 17;  // UDP
  auto from = *ip_address::parse(source), to = *ip_address::parse(destination);
  std::copy_n(from.octets().begin(), 4, made.begin() + 12);
  std::copy_n(to.octets().begin(), 4, made.begin() + 16);
  std::uint32_t sum = 0;
  for (std::size_t at = 0; at < 20; at += 2) sum += made[at] * 256u + made[at + 1];
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  made[10] = static_cast<std::uint8_t>(~sum >> 8);
  made[11] = static_cast<std::uint8_t>(~sum);
  made[20] = made[22] = 0x10;  // ports
  made[25] = 10;               // length
  made[28] = static_cast<std::uint8_t>(number >> 8);
  made[29] = static_cast<std::uint8_t>(number);
  return made;
}

}  // namespace imago::testing
