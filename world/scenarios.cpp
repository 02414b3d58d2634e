#include "world/scenarios.hpp"

#include <array>
#include <cstdlib>

#include <fmt/format.h>

#include "actors/exchange.hpp"
#include "actors/ike_sa.hpp"
#include "core/config/configuration.hpp"
#include "world/established.hpp"

namespace imago::world {

namespace {

using namespace std::chrono_literals;
using actors::sa_selector;

const sa_selector the_ike_sa{"moon-sun", "", 0, 0};
const sa_selector the_ike_sa_of_c{"star-sun", "", 0, 0};
const sa_selector the_child_sa{"moon-sun", "net", 0, 0};

host_options peer(peer_name who, bool with_journal) {
  host_options made;
  made.name = name_of(who);
  made.addresses = {*ip_address::parse(address_of(who))};
  made.policy = peer_policy(who);
  made.journal.reset();
  if (with_journal) made.journal = actors::journal_level::detail;
  made.engine.retransmission.tries_max = 3;
  made.engine.half_open_lifetime = 10s;
  return made;
}

// Shared by all worlds of this thread: costly to make.
std::shared_ptr<entropy_pool> entropy() {
  thread_local auto made = std::make_shared<entropy_pool>();
  return made;
}

std::unique_ptr<world> empty_world(bool with_journal) {
  world_options options;
  options.merges_journals = with_journal;
  options.entropy = entropy();
  auto in = std::make_unique<world>(options);
  in->net.keeps_sent = with_journal;
  return in;
}

std::unique_ptr<world> peers(bool with_journal, data_plane_kind plane) {
  auto in = empty_world(with_journal);
  for (auto who : {peer_name::a, peer_name::b}) {
    auto options = peer(who, with_journal);
    options.data_plane = plane;
    in->add_host(std::move(options));
  }
  (void)in->run_until_quiet();
  return in;
}

std::unique_ptr<world> two_peers(bool with_journal) {
  return peers(with_journal, data_plane_kind::fake);
}

host& a(world& in) { return *in.hosts()[0]; }
host& b(world& in) { return *in.hosts()[1]; }
host& c(world& in) { return *in.hosts()[2]; }

established models_of(data_plane_kind plane) {
  auto in = peers(true, plane);
  a(*in).initiate("moon-sun", "net");
  (void)in->run_until_quiet();
  auto taken = established::take(a(*in), b(*in));
  if (!taken) {
    std::fprintf(stderr, "%s\n%s", taken.failure().text().c_str(), in->journal().c_str());
    std::abort();  // the text of the configuration is wrong
  }
  return std::move(*taken);
}

std::unique_ptr<world> established_peers(bool with_journal) {
  static const auto models = models_of(data_plane_kind::fake);
  auto in = two_peers(with_journal);
  models.give(a(*in), b(*in));
  (void)in->run_until_quiet();
  return in;
}

// Real ESP; arrivals of its packets are deliveries as well.
std::unique_ptr<world> established_esp_peers(bool with_journal, planted_doubles doubles) {
  static const auto models = models_of(data_plane_kind::user_esp);
  auto in = empty_world(with_journal);
  for (auto who : {peer_name::a, peer_name::b}) {
    auto options = peer(who, with_journal);
    options.data_plane = data_plane_kind::user_esp;
    options.doubles = doubles;
    in->add_host(std::move(options));
  }
  (void)in->run_until_quiet();
  models.give(a(*in), b(*in));
  (void)in->run_until_quiet();
  return in;
}

// a and c have IKE SAs with b, whose crypto jobs are deliveries of their own.
std::unique_ptr<world> three_peers(bool with_journal, planted_doubles doubles) {
  auto in = empty_world(with_journal);
  for (auto who : {peer_name::a, peer_name::b, peer_name::c}) {
    auto options = peer(who, with_journal);
    options.doubles = doubles;
    in->add_host(std::move(options));
  }
  (void)in->run_until_quiet();
  a(*in).initiate("moon-sun", "net");
  (void)in->run_until_quiet();
  c(*in).initiate("star-sun", "net");
  (void)in->run_until_quiet();
  b(*in).set_crypto_mode(crypto_mode::letters);
  return in;
}

// KILLs the exchanges of b's whose IKE SA is with a.
void kill_exchange_with_a(world& in) {
  const auto& remote = a(in).address();
  for (auto who : b(in).living("exchange")) {
    const auto& one = in.mail.who(who);
    const auto& owner = static_cast<const actors::exchange&>(*one.actor).owner();
    if (b(in).look_at<actors::ike_sa>(owner.actor()).model().remote.address == remote)
      b(in).kill("exchange", one.number);
  }
}

// An IPv4 UDP packet of one host's net2 for the other's, with a number in it.
bytes inner_packet(std::uint8_t number) {
  bytes made{0x45, 0,  0, 29, 0, 0,    0, 0,    64, 17, 0, 0, 10, 4,     0,
             1,    10, 3, 0,  1, 0x10, 0, 0x20, 0,  0,  9, 0, 0,  number};
  std::uint32_t sum = 0;
  for (std::size_t at = 0; at < 20; at += 2)
    sum += static_cast<std::uint32_t>(made[at] << 8 | made[at + 1]);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = ~(sum + (sum >> 16)) & 0xffff;
  made[10] = static_cast<std::uint8_t>(sum >> 8);
  made[11] = static_cast<std::uint8_t>(sum);
  return made;
}

std::optional<std::string> differs(std::string_view what, std::size_t is, std::size_t wanted) {
  if (is == wanted) return std::nullopt;
  return fmt::format("{} {}, expected {}", is, what, wanted);
}

// How many IKE SAs are to be there in the end, and Child SAs of each.
auto ends_with(std::size_t ike_sas, std::size_t children) {
  return [ike_sas, children](world& in) -> std::optional<std::string> {
    for (const auto& one : in.hosts()) {
      auto living = one->living("ike_sa");
      if (auto wrong = differs(one->name() + ": IKE SAs", living.size(), ike_sas)) return wrong;
      for (auto who : living) {
        const auto& model = static_cast<const actors::ike_sa&>(*in.mail.who(who).actor).model();
        if (auto wrong = differs(one->name() + ": Child SAs", model.children.size(), children))
          return wrong;
      }
    }
    return std::nullopt;
  };
}

}  // namespace

scenario larval_race(planted_doubles doubles) {
  // What b sent, shared by the calls of one schedule: schedules run one after the other.
  auto sent = std::make_shared<std::vector<bytes>>();
  return {"larval-race",
          "b sends ESP as soon as it can for a Child SA whose inbound SA is larval at a",
          [doubles](bool with_journal) { return established_esp_peers(with_journal, doubles); },
          [sent](world& in) {
            sent->clear();
            a(in).initiate("moon-sun", "net2");
            for (std::uint8_t number = 1; number <= 4; ++number)
              in.happen("send", [&in, sent, number] {
                auto packet = inner_packet(number);
                const auto& plane = b(in).esp()->processor();
                auto waited = plane.waiting_count();
                bool has_left = b(in).send_inner(packet);
                if (has_left || plane.waiting_count() > waited) sent->push_back(packet);
              });
          },
          10s,
          [sent](world& in) -> std::optional<std::string> {
            if (a(in).received_inner == *sent) return std::nullopt;
            return fmt::format(
                "b took {} inner packets for ESP, a received {}, or in another order", sent->size(),
                a(in).received_inner.size());
          }};
}

scenario kill_beside_rekey(planted_doubles doubles) {
  return {"kill-beside-rekey",
          "a and c rekey their IKE SAs with b, where the exchange of a's is killed at some time",
          [doubles](bool with_journal) { return three_peers(with_journal, doubles); },
          [](world& in) {
            a(in).rekey(the_ike_sa);
            c(in).rekey(the_ike_sa_of_c);
            in.happen("kill", [&in] { kill_exchange_with_a(in); });
          },
          120s,
          [](world& in) -> std::optional<std::string> {
            return differs("IKE SAs of c", c(in).list().size(), 1);
          }};
}

scenario late_result(planted_doubles doubles) {
  return {"late-result",
          "an exchange of b's with a was killed, its job is done while c rekeys its IKE SA with b",
          [doubles](bool with_journal) { return three_peers(with_journal, doubles); },
          [](world& in) {
            a(in).rekey(the_ike_sa);
            while (b(in).crypto_waiting() == 0 && in.step()) {
            }
            b(in).kill("exchange");
            letter_id killing = 0;
            in.mail.for_each([&killing](const letter& one) {
              if (imago::world::name_of(one) == "kill") killing = one.id;
            });
            if (killing != 0) in.deliver(killing);
            c(in).rekey(the_ike_sa_of_c);
          },
          120s,
          [](world& in) -> std::optional<std::string> {
            return differs("IKE SAs of c", c(in).list().size(), 1);
          }};
}

scenario lost_response() {
  return {"lost-response",
          "b's first response is lost while a deletes the Child SA",
          established_peers,
          [](world& in) {
            auto lost = std::make_shared<bool>(false);
            in.net.on_wire = [lost, outer = in.net.on_wire](datagram& what) {
              if (outer && !outer(what)) return false;
              auto header = wire::parse_header(what.octets);
              return !header || !header->is_response || std::exchange(*lost, true);
            };
            a(in).terminate(the_child_sa);
          },
          30s,
          ends_with(1, 0)};
}

namespace {

std::vector<scenario> all_scenarios() {
  std::vector<scenario> all;
  all.push_back({"child-delete", "a deletes the Child SA", established_peers,
                 [](world& in) { a(in).terminate(the_child_sa); }, 10s, ends_with(1, 0)});
  all.push_back({"child-delete-by-both", "both delete the same Child SA at once", established_peers,
                 [](world& in) {
                   a(in).terminate(the_child_sa);
                   b(in).terminate(the_child_sa);
                 },
                 10s, ends_with(1, 0)});
  all.push_back({"new-child", "a asks for a second Child SA", established_peers,
                 [](world& in) { a(in).initiate("moon-sun", "net2"); }, 10s, ends_with(1, 2)});
  all.push_back({"child-rekey", "a rekeys the Child SA", established_peers,
                 [](world& in) { a(in).rekey(the_child_sa); }, 20s, ends_with(1, 1)});
  all.push_back({"child-rekey-collision", "both rekey the same Child SA at once", established_peers,
                 [](world& in) {
                   a(in).rekey(the_child_sa);
                   b(in).rekey(the_child_sa);
                 },
                 20s, ends_with(1, 1)});
  all.push_back({"child-rekey-and-delete", "a rekeys the Child SA that b deletes",
                 established_peers,
                 [](world& in) {
                   a(in).rekey(the_child_sa);
                   b(in).terminate(the_child_sa);
                 },
                 20s, nullptr});
  all.push_back({"ike-rekey", "a rekeys the IKE SA", established_peers,
                 [](world& in) { a(in).rekey(the_ike_sa); }, 60s, ends_with(1, 1)});
  all.push_back({"ike-rekey-collision", "both rekey the IKE SA at once", established_peers,
                 [](world& in) {
                   a(in).rekey(the_ike_sa);
                   b(in).rekey(the_ike_sa);
                 },
                 60s, ends_with(1, 1)});
  all.push_back({"ike-and-child-rekey", "a rekeys the IKE SA while b rekeys the Child SA",
                 established_peers,
                 [](world& in) {
                   a(in).rekey(the_ike_sa);
                   b(in).rekey(the_child_sa);
                 },
                 60s, ends_with(1, 1)});
  all.push_back({"ike-delete-by-both", "both delete the IKE SA at once", established_peers,
                 [](world& in) {
                   a(in).terminate(the_ike_sa);
                   b(in).terminate(the_ike_sa);
                 },
                 60s, ends_with(0, 0)});
  all.push_back({"initiate", "a brings up an IKE SA with a Child SA", two_peers,
                 [](world& in) { a(in).initiate("moon-sun", "net"); }, 10s, ends_with(1, 1)});
  all.push_back({"kill-during-new-child",
                 "every exchange of b is killed at some time while a asks for a second Child SA",
                 established_peers,
                 [](world& in) {
                   a(in).initiate("moon-sun", "net2");
                   in.happen("kill", [&in] { b(in).kill("exchange"); });
                 },
                 60s, nullptr});
  all.push_back(larval_race({}));
  all.push_back(kill_beside_rekey({}));
  all.push_back(late_result({}));
  all.push_back(lost_response());
  return all;
}

}  // namespace

const std::vector<scenario>& scenarios() {
  static const auto all = all_scenarios();
  return all;
}

const scenario* find_scenario(std::string_view name) {
  for (const auto& one : scenarios())
    if (one.name == name) return &one;
  return nullptr;
}

namespace {

std::string connection_text(const std::string& name, peer_name local, peer_name remote,
                            std::array<int, 4> nets) {
  return fmt::format(R"(
  {} {{
    local_addrs = {}
    remote_addrs = {}
    proposals = aes128gcm16-prfsha256-x25519
    local {{
      auth = psk
      id = {}.example
    }}
    remote {{
      auth = psk
      id = {}.example
    }}
    children {{
      net {{
        local_ts = 10.{}.0.0/16
        remote_ts = 10.{}.0.0/16
        esp_proposals = aes128gcm16
      }}
      net2 {{
        local_ts = 10.{}.0.0/16
        remote_ts = 10.{}.0.0/16
        esp_proposals = aes128gcm16
      }}
    }}
  }}
)",
                     name, address_of(local), address_of(remote), name_of(local), name_of(remote),
                     nets[0], nets[1], nets[2], nets[3]);
}

}  // namespace

std::string name_of(peer_name who) {
  return std::string(1, static_cast<char>('a' + static_cast<int>(who)));
}

std::string address_of(peer_name who) {
  return fmt::format("192.0.2.{}", static_cast<int>(who) + 1);
}

std::string configuration_text(peer_name of) {
  std::string connections;
  if (of == peer_name::a) connections = connection_text("moon-sun", of, peer_name::b, {1, 2, 3, 4});
  if (of == peer_name::b)
    connections = connection_text("moon-sun", of, peer_name::a, {2, 1, 4, 3}) +
                  connection_text("star-sun", of, peer_name::c, {2, 5, 4, 6});
  if (of == peer_name::c) connections = connection_text("star-sun", of, peer_name::b, {5, 2, 6, 4});
  return "connections {" + connections + R"(}
secrets {
  ike-1 {
    id-1 = a.example
    id-2 = b.example
    id-3 = c.example
    secret = "a key for all"
  }
}
)";
}

void uninstall_all(world& in) {
  for (const auto& one : in.hosts())
    for (const auto& trap : one->list_policies())
      one->as_user([&] {
        one->shared->engine.tell(actors::uninstall_child_policy{trap.connection, trap.child, {}});
      });
}

result<ikev2::policy_ptr> policy_of(std::string_view text) {
  config::file_access none;
  none.read = [](const std::string& path) { return result<std::string>{errc::not_found, path}; };
  none.glob = [](const std::string&) { return std::vector<std::string>{}; };
  auto settings = config::parse_settings(text, "scenario", none);
  if (!settings) return settings.failure();
  auto built = config::build_configuration(**settings, ".", none);
  if (auto* errors = std::get_if<config::configuration_errors>(&built))
    return errors->errors.front();
  static const crypto::library library;
  auto parts = ikev2::parse_credentials(library, std::move(std::get<config::configuration>(built)));
  if (!parts) return parts.failure();
  return ikev2::build_policy(library, std::move(*parts));
}

ikev2::policy_ptr peer_policy(peer_name of) {
  static const auto made = [] {
    std::array<ikev2::policy_ptr, 3> all;
    for (auto one : {peer_name::a, peer_name::b, peer_name::c}) {
      auto built = policy_of(configuration_text(one));
      if (!built) {
        std::fprintf(stderr, "%s\n", built.failure().text().c_str());
        std::abort();  // the text above is wrong
      }
      all[static_cast<std::size_t>(one)] = *built;
    }
    return all;
  }();
  return made[static_cast<std::size_t>(of)];
}

}  // namespace imago::world
