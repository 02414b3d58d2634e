// The kill sweep over every exchange, both roles: each step of a scenario is a place to be killed
// at, and nothing may be left at any of them.
#include "tests/support/kill_sweep.hpp"

#include <doctest/doctest.h>

#include "tests/exchanges/ends.hpp"

using namespace imago;
using namespace imago::testing;

namespace {

using maker = std::function<std::unique_ptr<imago::testing::pair>()>;
using act = std::function<void(imago::testing::pair&)>;

maker with(const ends& ends, bool asks_for_cookies = false) {
  return [ends, asks_for_cookies] {
    auto options = brisk(ends);
    options.journal = actors::journal_level::control;
    options.adjust = [adjust = options.adjust, asks_for_cookies](bool is_a,
                                                                 engine_options& chosen) {
      adjust(is_a, chosen);
      if (asks_for_cookies) chosen.cookie_threshold = 0;
    };
    return std::make_unique<imago::testing::pair>(std::move(options));
  };
}

void up(imago::testing::pair& both) { both.establish(); }
void initiate(imago::testing::pair& both) { both.a.initiate(); }

act holds(std::size_t children) {
  return [children](imago::testing::pair& both) {
    CHECK(both.a.only()->children.size() == children);
    CHECK(both.b.only()->children.size() == children);
  };
}

void sweep(const kill_scenario& scenario) {
  auto result = sweep_kills(scenario);
  CHECK(result.steps > 20);
  CHECK(result.runs > 6 * result.steps);
}

}  // namespace

TEST_CASE("kill sweep: ike_sa_init and ike_auth with a shared key") {
  sweep({"IKE_SA_INIT, IKE_AUTH (PSK)", with(shared_key_ends()), nullptr, initiate, holds(1)});
}

TEST_CASE("kill sweep: ike_sa_init with a cookie") {
  sweep({"IKE_SA_INIT with COOKIE", with(shared_key_ends(), true), nullptr, initiate, holds(1)});
}

TEST_CASE("kill sweep: ike_sa_init with another group than guessed") {
  sweep({"IKE_SA_INIT with INVALID_KE_PAYLOAD", with(other_group_ends()), nullptr, initiate,
         holds(1)});
}

TEST_CASE("kill sweep: ike_auth with certificates") {
  sweep({"IKE_SA_INIT, IKE_AUTH (ECDSA)", with(ecdsa_ends()), nullptr, initiate, holds(1)});
}

TEST_CASE("kill sweep: a second Child SA, by either side") {
  sweep({"new Child SA by a", with(two_children_ends()), up,
         [](auto& both) { both.a.initiate("net2"); }, holds(2)});
  sweep({"new Child SA by b", with(two_children_ends()), up,
         [](auto& both) { both.b.initiate("net2"); }, holds(2)});
}

TEST_CASE("kill sweep: a Child SA rekeyed by either side, with and without a key exchange") {
  sweep({"rekey Child SA by a", with(shared_key_ends()), up,
         [](auto& both) { both.a.rekey(the_child_sa); }, holds(1)});
  sweep({"rekey Child SA by b, with KE", with(pfs_ends()), up,
         [](auto& both) { both.b.rekey(the_child_sa); }, holds(1)});
}

TEST_CASE("kill sweep: an IKE SA rekeyed by either side") {
  sweep({"rekey IKE SA by a", with(shared_key_ends()), up,
         [](auto& both) { both.a.rekey(the_ike_sa); }, holds(1)});
  sweep({"rekey IKE SA by b", with(shared_key_ends()), up,
         [](auto& both) { both.b.rekey(the_ike_sa); }, holds(1)});
}
