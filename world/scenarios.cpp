#include "world/scenarios.hpp"

#include <array>
#include <cstdlib>

#include <fmt/format.h>

#include "core/config/configuration.hpp"
#include "world/established.hpp"

namespace imago::world {

namespace {

using namespace std::chrono_literals;
using actors::sa_selector;

const sa_selector the_ike_sa{"moon-sun", "", 0, 0};
const sa_selector the_child_sa{"moon-sun", "net", 0, 0};

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

host_options peer(bool is_a, bool with_journal) {
  host_options made;
  made.name = is_a ? "a" : "b";
  made.addresses = {*ip_address::parse(is_a ? "192.0.2.1" : "192.0.2.2")};
  made.policy = peer_policy(is_a);
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

std::unique_ptr<world> two_peers(bool with_journal) {
  world_options options;
  options.seed = 1;
  options.merges_journals = with_journal;
  options.entropy = entropy();
  auto in = std::make_unique<world>(options);
  in->net.keeps_sent = with_journal;
  in->add_host(peer(true, with_journal));
  in->add_host(peer(false, with_journal));
  (void)in->run_until_quiet();
  return in;
}

host& a(world& in) { return *in.hosts()[0]; }
host& b(world& in) { return *in.hosts()[1]; }

std::unique_ptr<world> established_peers(bool with_journal) {
  static const established models = [] {
    auto in = two_peers(true);
    a(*in).initiate("moon-sun", "net");
    (void)in->run_until_quiet();
    auto taken = established::take(a(*in), b(*in));
    if (!taken) {
      std::fprintf(stderr, "%s\n%s\n", taken.failure().text().c_str(), in->journal().c_str());
      std::abort();  // the text below is wrong
    }
    return std::move(*taken);
  }();
  auto in = two_peers(with_journal);
  models.give(a(*in), b(*in));
  (void)in->run_until_quiet();
  return in;
}

std::optional<std::string> differs(std::string_view what, std::size_t is, std::size_t wanted) {
  if (is == wanted) return std::nullopt;
  return fmt::format("{} {}, expected {}", is, what, wanted);
}

// How many IKE SAs are to be there in the end, and Child SAs of each.
auto ends_with(std::size_t ike_sas, std::size_t children) {
  return [ike_sas, children](world& in) -> std::optional<std::string> {
    for (const auto& one : in.hosts()) {
      auto all = one->list();
      if (auto wrong = differs(one->name() + ": IKE SAs", all.size(), ike_sas)) return wrong;
      for (const auto& sa : all)
        if (auto wrong = differs(one->name() + ": Child SAs", sa->children.size(), children))
          return wrong;
    }
    return std::nullopt;
  };
}

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
                 "every exchange of b is killed at some time while a asks "
                 "for a second Child SA",
                 established_peers,
                 [](world& in) {
                   a(in).initiate("moon-sun", "net2");
                   in.happen("kill", [&in] { b(in).kill("exchange"); });
                 },
                 60s, nullptr});
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

std::string configuration_text(bool of_a) {
  std::array<std::string, 2> address{"192.0.2.1", "192.0.2.2"};
  std::array<std::string, 2> identity{"moon.example", "sun.example"};
  std::array<std::string, 2> first{"10.1.0.0/16", "10.2.0.0/16"};
  std::array<std::string, 2> second{"10.3.0.0/16", "10.4.0.0/16"};
  std::size_t local = of_a ? 0 : 1, remote = 1 - local;
  return fmt::format(R"(
connections {{
  moon-sun {{
    local_addrs = {}
    remote_addrs = {}
    proposals = aes128gcm16-prfsha256-x25519
    local {{
      auth = psk
      id = {}
    }}
    remote {{
      auth = psk
      id = {}
    }}
    children {{
      net {{
        local_ts = {}
        remote_ts = {}
        esp_proposals = aes128gcm16
      }}
      net2 {{
        local_ts = {}
        remote_ts = {}
        esp_proposals = aes128gcm16
      }}
    }}
  }}
}}
secrets {{
  ike-1 {{
    id-1 = moon.example
    id-2 = sun.example
    secret = "a key for two"
  }}
}}
)",
                     address[local], address[remote], identity[local], identity[remote],
                     first[local], first[remote], second[local], second[remote]);
}

ikev2::policy_ptr peer_policy(bool of_a) {
  static const auto made = [] {
    std::array<ikev2::policy_ptr, 2> both;
    for (bool one : {true, false}) {
      auto built = policy_of(configuration_text(one));
      if (!built) {
        std::fprintf(stderr, "%s\n", built.failure().text().c_str());
        std::abort();  // the text above is wrong
      }
      both[one ? 0 : 1] = *built;
    }
    return both;
  }();
  return made[of_a ? 0 : 1];
}

}  // namespace imago::world
