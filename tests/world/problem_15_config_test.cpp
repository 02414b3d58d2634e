// Problem 15 (strongswan/issues/1539, 2324): unloading a connection whose IKE SA is CONNECTING left
// it sending for ever; reload removed the wrong SA or left the old one.
#include <set>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "tests/world/hosts.hpp"
#include "world/scenarios.hpp"

using namespace imago;
using namespace imago::testing;
using namespace imago::world;
using namespace std::chrono_literals;

namespace {

// What an engine may be told, as often as it likes. Each gives the configuration a host then has.
struct configurations {
  ikev2::policy_ptr whole, without_second_child, other_proposals, nothing;
  ikev2::policy_ptr starts_second, starts_both;  // start_action = start
};

ikev2::policy_ptr built(const std::string& text) {
  auto made = policy_of(text);
  REQUIRE_MESSAGE(made, (made ? "" : made.failure().text()));
  return *made;
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  auto at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

configurations configurations_of(bool of_a) {
  configurations made;
  auto text = replaced(configuration_text(of_a ? peer_name::a : peer_name::b), "local_addrs",
                       "dpd_delay = 20s\n local_addrs");
  made.whole = built(text);
  made.without_second_child = built(replaced(text, "      net2 {", "      net3 {"));
  made.other_proposals = built(replaced(text, "prfsha256-x25519", "prfsha256-x25519-ecp256"));
  auto starting = replaced(text, "net2 {", "net2 {\n start_action = start");
  made.starts_second = built(starting);
  made.starts_both = built(replaced(starting, "net {", "net {\n start_action = start"));
  made.nothing = built("connections {}\nsecrets {}\n");
  return made;
}

const configurations& of_host(bool of_a) {
  static const auto a = configurations_of(true), b = configurations_of(false);
  return of_a ? a : b;
}

std::unique_ptr<imago::world::world> two_hosts() {
  auto in = std::make_unique<imago::world::world>();
  for (bool is_a : {true, false}) {
    host_options made;
    made.name = is_a ? "a" : "b";
    made.addresses = {*ip_address::parse(is_a ? "192.0.2.1" : "192.0.2.2")};
    made.engine = brisk_options();
    made.journal = actors::journal_level::control;
    made.policy = of_host(is_a).whole;
    in->add_host(std::move(made));
  }
  (void)in->run_until_quiet();
  return in;
}

// One thing that an operator does at any moment.
std::string act_by_chance(imago::world::world& in, seeded_random& chance) {
  auto index = chance.below(2);
  auto& one = *in.hosts()[index];
  const auto& known = of_host(index == 0);
  auto sa = actors::sa_selector{"moon-sun", "", 0, 0};
  auto child = actors::sa_selector{"moon-sun", chance.happens(0.7) ? "net" : "net2", 0, 0};
  auto said = [&](const char* what) { return one.name() + " " + what; };
  switch (chance.below(14)) {
    case 0:
    case 1:
    case 2: one.initiate("moon-sun", child.child); return said("initiates ") + child.child;
    case 3: one.use_policy(known.whole); return said("loads the whole");
    case 4: one.use_policy(known.without_second_child); return said("loads other children");
    case 5: one.use_policy(known.other_proposals); return said("loads other proposals");
    case 6: one.use_policy(known.nothing); return said("unloads all");
    case 7: one.terminate(sa); return said("terminates the IKE SA");
    case 8: one.terminate(sa, true); return said("terminates by force");
    case 9: one.terminate(child); return said("terminates ") + child.child;
    case 10: one.rekey(sa); return said("rekeys the IKE SA");
    // Of one only: both would begin an IKE SA each for ever, which is another problem.
    case 11: in.hosts()[0]->use_policy(of_host(true).starts_second); return "a starts net2";
    case 12: in.hosts()[0]->use_policy(of_host(true).starts_both); return "a starts both";
    default: one.rekey(child); return said("rekeys ") + child.child;
  }
}

struct property_run {
  std::string story;
  std::optional<std::string> wrong;
};

property_run run_property(std::uint64_t seed) {
  property_run result;
  seeded_random chance{seed * 0x9e3779b97f4a7c15};
  auto in = two_hosts();
  invariants watch{*in};
  for (auto acts = 3 + chance.below(12); acts > 0 && !watch.violated(); --acts) {
    result.story += act_by_chance(*in, chance) + "; ";
    for (auto steps = chance.below(60); steps > 0; --steps) {
      const auto& letters = in->mail.deliverable();
      if (letters.empty()) break;
      in->deliver(letters[chance.below(letters.size())]->id);
    }
    if (!chance.happens(0.3)) continue;
    auto by = std::chrono::milliseconds{chance.below(8000)};
    result.story += fmt::format("{} ms; ", by.count());
    in->advance(by);
  }
  in->advance(2 * long_enough);
  result.wrong = watch.check_quiet();
  // What is gone from the configuration serves nothing: in the end all is gone everywhere.
  for (bool of_a : {true, false}) in->hosts()[of_a ? 0 : 1]->use_policy(of_host(of_a).nothing);
  (void)in->run_until_quiet();
  if (!result.wrong) result.wrong = close_all(*in, watch);
  for (const auto& one : in->hosts())
    if (auto live = one->shared->counted->live("connection"); live != 0 && !result.wrong)
      result.wrong = fmt::format("{}: {} connections are left", one->name(), live);
  if (result.wrong) result.story += "\n" + in->journal();
  return result;
}

}  // namespace

TEST_CASE("problem 15: load, unload, reload and terminate at any moment leave no orphan") {
  constexpr std::uint64_t runs = 1500;
  for (std::uint64_t seed = 1; seed <= runs; ++seed) {
    auto result = run_property(seed);
    CHECK_MESSAGE(!result.wrong, "seed " << seed << ": " << result.wrong.value_or("") << "\n"
                                         << result.story);
    if (result.wrong) break;
  }
  say(fmt::format("problem 15: {} runs by chance", runs));
}

TEST_CASE("problem 15: an unloaded connection whose IKE SA is CONNECTING sends nothing more") {
  for (bool peer_answers : {true, false})
    for (std::size_t deliveries = 0; deliveries < 60; ++deliveries) {
      INFO("after " << deliveries << " deliveries, the peer "
                    << (peer_answers ? "answers" : "is silent"));
      auto in = two_hosts();
      invariants watch{*in};
      auto& a = *in->hosts()[0];
      if (!peer_answers) in->net.set_up(1, false);
      auto command = a.initiate("moon-sun", "net");
      for (std::size_t count = 0; count < deliveries; ++count) in->step();
      a.use_policy(of_host(true).nothing);
      in->advance(10s);
      auto sent = in->net.sent_count();
      auto ended = a.answers->is_answered(command);
      CHECK(ended);
      CHECK(a.living("ike_sa").empty());
      in->advance(long_enough);
      std::uint64_t sent_by_a = 0;
      for (const auto& one : in->net.sent()) sent_by_a += one.id > sent && one.from == 0;
      CHECK(sent_by_a == 0);
      auto wrong = close_all(*in, watch);
      CHECK_MESSAGE(!wrong, wrong.value_or(""));
    }
}

namespace {

std::multiset<std::string> children_up(host& one) {
  std::multiset<std::string> names;
  for (const auto& sa : one.list())
    for (const auto& child : sa->children)
      if (child.model.state == ikev2::child_state::installed) names.insert(child.name);
  return names;
}

using names = std::multiset<std::string>;

}  // namespace

TEST_CASE("problem 15: a child that is newly to be started is started under the IKE SA there is") {
  // Loaded at each moment of the negotiation, and when that is over.
  for (std::size_t deliveries = 0; deliveries < 80; ++deliveries) {
    CAPTURE(deliveries);
    auto in = two_hosts();
    invariants watch{*in};
    auto& a = *in->hosts()[0];
    a.initiate("moon-sun", "net");
    for (std::size_t count = 0; count < deliveries; ++count) (void)in->step();
    a.use_policy(of_host(true).starts_second);
    in->advance(1s);
    CHECK(children_up(a) == names{"net", "net2"});
    CHECK(a.list().size() == 1);
    if (watch.check_quiet()) FAIL_CHECK(*watch.violated());
  }
}

TEST_CASE("problem 15: a reload starts no child that is up, nor one that it did not change") {
  auto in = two_hosts();
  invariants watch{*in};
  auto& a = *in->hosts()[0];
  a.use_policy(of_host(true).starts_second);
  in->advance(1s);
  a.initiate("moon-sun", "net");
  in->advance(1s);
  REQUIRE(children_up(a) == names{"net", "net2"});
  auto sent = in->net.sent_count();
  a.use_policy(of_host(true).starts_both);  // "net" has changed, and is up
  in->advance(1s);
  CHECK(in->net.sent_count() == sent);
  CHECK(children_up(a) == names{"net", "net2"});
  a.terminate({"moon-sun", "net2", 0, 0});
  in->advance(1s);
  REQUIRE(children_up(a) == names{"net"});
  a.use_policy(of_host(true).starts_second);  // "net" has changed again, "net2" has not
  in->advance(1s);
  CHECK(children_up(a) == names{"net"});
  CHECK(a.list().size() == 1);
  if (watch.check_quiet()) FAIL_CHECK(*watch.violated());
}
