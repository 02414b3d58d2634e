// What is swept with kills: each exchange in both roles, and collisions.
#include <cstdio>
#include <cstdlib>

#include "world/established.hpp"
#include "world/kill_sweep.hpp"
#include "world/scenarios.hpp"

namespace imago::world {

namespace {

using namespace std::chrono_literals;
using actors::sa_selector;

const sa_selector the_ike_sa{"moon-sun", "", 0, 0};
const sa_selector the_child_sa{"moon-sun", "net", 0, 0};
constexpr auto liveness_delay = 20s;

// How two peers differ from those of scenarios.hpp.
struct variant {
  bool asks_for_cookies = false;
  bool rekeys_with_ke = false;
  bool guesses_wrong_group = false;
};

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
}

std::string text_for(const variant& how, bool of_a) {
  auto text = configuration_text(of_a ? peer_name::a : peer_name::b);
  replace_all(text, "local_addrs", "dpd_delay = 20s\n    local_addrs");
  if (how.rekeys_with_ke)
    replace_all(text, "esp_proposals = aes128gcm16", "esp_proposals = aes128gcm16-x25519");
  if (how.guesses_wrong_group)
    replace_all(text, "prfsha256-x25519", of_a ? "prfsha256-x25519-ecp256" : "prfsha256-ecp256");
  return text;
}

using maker = std::function<std::unique_ptr<world>(bool with_journal)>;

maker two_peers(const variant& how) {
  auto entropy = std::make_shared<entropy_pool>();
  auto policy = [&how](bool of_a) {
    auto built = policy_of(text_for(how, of_a));
    if (!built) {
      std::fprintf(stderr, "%s\n", built.failure().text().c_str());
      std::abort();  // the text above is wrong
    }
    return *built;
  };
  return [how, entropy, of_a = policy(true), of_b = policy(false)](bool with_journal) {
    world_options options;
    options.merges_journals = with_journal;
    options.entropy = entropy;
    auto in = std::make_unique<world>(options);
    in->net.keeps_sent = with_journal;
    for (bool is_a : {true, false}) {
      host_options peer;
      peer.name = is_a ? "a" : "b";
      peer.addresses = {*ip_address::parse(is_a ? "192.0.2.1" : "192.0.2.2")};
      peer.engine = brisk_options();
      if (how.asks_for_cookies) peer.engine.cookie_threshold = 0;
      peer.journal = with_journal ? actors::journal_level::detail : actors::journal_level::control;
      peer.policy = is_a ? of_a : of_b;
      in->add_host(std::move(peer));
    }
    (void)in->run_until_quiet();
    return in;
  };
}

host& a(world& in) { return *in.hosts()[0]; }
host& b(world& in) { return *in.hosts()[1]; }

maker established_peers(const variant& how) {
  auto make = two_peers(how);
  auto in = make(true);
  a(*in).initiate("moon-sun", "net");
  (void)in->run_until_quiet();
  auto taken = established::take(a(*in), b(*in));
  if (!taken) {
    std::fprintf(stderr, "%s\n%s\n", taken.failure().text().c_str(), in->journal().c_str());
    std::abort();  // the text above is wrong
  }
  return [make, models = std::make_shared<established>(std::move(*taken))](bool with_journal) {
    auto made = make(with_journal);
    models->give(a(*made), b(*made));
    (void)made->run_until_quiet();
    return made;
  };
}

// ... where a trap of a's waits for packets.
maker trapping_peers() {
  return [make = two_peers({})](bool with_journal) {
    auto made = make(with_journal);
    a(*made).as_user([&] {
      a(*made).shared->engine.tell(actors::install_child_policy{"moon-sun", "net", {}});
    });
    (void)made->run_until_quiet();
    return made;
  };
}

void send_packet(world& in) {
  (void)a(in).fake()->send_packet(traffic_selector::host(*ip_address::parse("10.1.0.1")),
                                  traffic_selector::host(*ip_address::parse("10.2.0.1")));
}

using act = std::function<void(world&)>;

using adder = std::function<void(const char* name, const char* story, const char* end,
                                 const maker& make, act begin)>;

void add_acquires(const adder& add) {
  auto trapping = trapping_peers();
  add("acquire", "two packets meet a trap of a's", "initiate", trapping, [](world& in) {
    send_packet(in);
    send_packet(in);
  });
  add("acquire-by-both", "... while b initiates", "child-rekey-and-delete", trapping,
      [](world& in) {
        send_packet(in);
        b(in).initiate("moon-sun", "net");
      });
  add("acquire-and-uninstall", "... which is uninstalled at once", "initiate", trapping,
      [](world& in) {
        send_packet(in);
        a(in).as_user([&in] {
          a(in).shared->engine.tell(actors::uninstall_child_policy{"moon-sun", "net", {}});
        });
      });
}

std::vector<scenario> all_kill_scenarios() {
  std::vector<scenario> all;
  auto fresh = two_peers({}), up = established_peers({});
  variant with_ke;
  with_ke.rekeys_with_ke = true;
  auto up_with_ke = established_peers(with_ke);
  // What must hold when nobody is killed is that of a scenario of the same end.
  auto add = [&](const char* name, const char* story, const char* end, const maker& make,
                 act begin) {
    const auto* same_end = find_scenario(end);
    scenario made{name, story, make, std::move(begin), same_end->settles, same_end->expect};
    all.push_back(std::move(made));
  };
  auto initiate = [](world& in) { a(in).initiate("moon-sun", "net"); };
  add("handshake", "a brings up an IKE SA with a Child SA", "initiate", fresh, initiate);
  variant cookies;
  cookies.asks_for_cookies = true;
  add("handshake-with-cookie", "... and is asked for a cookie", "initiate", two_peers(cookies),
      initiate);
  variant wrong_group;
  wrong_group.guesses_wrong_group = true;
  add("handshake-with-invalid-ke", "... and has guessed another group", "initiate",
      two_peers(wrong_group), initiate);
  add("handshake-by-both", "both bring up an IKE SA at once", "child-rekey-and-delete", fresh,
      [](world& in) {
        a(in).initiate("moon-sun", "net");
        b(in).initiate("moon-sun", "net");
      });
  add("liveness", "both ask whether the other is alive", "child-rekey", up,
      [](world& in) { (void)in.pass_to_next_due(in.time().now() + liveness_delay); });
  add_acquires(add);
  // Those that are explored, here with what brings them to an end.
  for (const auto* name : {"child-delete", "child-delete-by-both", "new-child", "child-rekey",
                           "child-rekey-collision", "child-rekey-and-delete", "ike-rekey",
                           "ike-rekey-collision", "ike-and-child-rekey", "ike-delete-by-both"}) {
    const auto* one = find_scenario(name);
    add(name, one->story.c_str(), name, up, one->begin);
  }
  add("new-child-by-both", "both ask for the same second Child SA at once", "new-child", up,
      [](world& in) {
        a(in).initiate("moon-sun", "net2");
        b(in).initiate("moon-sun", "net2");
      });
  add("new-child-by-b", "b asks for a second Child SA", "new-child", up,
      [](world& in) { b(in).initiate("moon-sun", "net2"); });
  add("new-child-with-ke", "a asks for a second Child SA, with a key exchange", "new-child",
      up_with_ke, [](world& in) { a(in).initiate("moon-sun", "net2"); });
  add("child-rekey-by-b", "b rekeys the Child SA", "child-rekey", up,
      [](world& in) { b(in).rekey(the_child_sa); });
  add("child-rekey-with-ke", "a rekeys the Child SA with a key exchange", "child-rekey", up_with_ke,
      [](world& in) { a(in).rekey(the_child_sa); });
  add("child-rekey-with-ke-by-b", "b rekeys the Child SA with a key exchange", "child-rekey",
      up_with_ke, [](world& in) { b(in).rekey(the_child_sa); });
  add("child-delete-by-b", "b deletes the Child SA", "child-delete", up,
      [](world& in) { b(in).terminate(the_child_sa); });
  add("ike-rekey-by-b", "b rekeys the IKE SA", "ike-rekey", up,
      [](world& in) { b(in).rekey(the_ike_sa); });
  add("ike-delete", "a deletes the IKE SA", "ike-delete-by-both", up,
      [](world& in) { a(in).terminate(the_ike_sa); });
  add("ike-delete-by-b", "b deletes the IKE SA", "ike-delete-by-both", up,
      [](world& in) { b(in).terminate(the_ike_sa); });
  return all;
}

}  // namespace

engine_options brisk_options() {
  engine_options made;
  made.retransmission.tries_max = 3;
  made.retransmission.factor = 1.5;
  made.half_open_lifetime = 10s;
  made.closed_lifetime = 10s;
  return made;
}

const std::vector<scenario>& kill_scenarios() {
  static const auto all = all_kill_scenarios();
  return all;
}

}  // namespace imago::world
