// Both peers at once: rekeys, deletes and creations that cross, in every order of messages, and
// with messages lost and repeated (RFC 7296 §2.8, §2.25).
#include <doctest/doctest.h>

#include "tests/support/duo.hpp"

using namespace imago;
using namespace imago::ikev2;
using namespace imago::ikev2::testing;

namespace {

using beginning = std::function<void(duo&)>;

struct collision {
  std::string name;
  beginning begin;
  // How many Child SAs may be there afterwards, and whether the IKE SA lives.
  std::size_t children_min = 1, children_max = 1;
};

void rekey_child_on_both(duo& both) {
  both.a.add(both.a.rekey_child());
  both.b.add(both.b.rekey_child());
}
void rekey_ike_on_both(duo& both) {
  both.a.add(peer::of_kind(task_kind::rekey_ike));
  both.b.add(peer::of_kind(task_kind::rekey_ike));
}
beginning by_both(task_kind of_a, task_kind of_b) {
  auto add = [](peer& one, task_kind kind) {
    auto task = peer::of_kind(kind);
    if (kind == task_kind::create_child) task = one.create_child("net");
    if (kind == task_kind::rekey_child) task = one.rekey_child();
    if (kind == task_kind::delete_child) task = one.delete_child();
    one.add(task);
  };
  return [=](duo& both) {
    add(both.a, of_a);
    add(both.b, of_b);
  };
}

const std::vector<collision>& collisions() {
  using enum task_kind;
  static const std::vector<collision> list = {
      {"child rekey, child rekey", by_both(rekey_child, rekey_child)},
      {"child rekey, child delete", by_both(rekey_child, delete_child), 0, 1},
      {"child rekey, IKE delete", by_both(rekey_child, delete_ike), 0, 0},
      {"child rekey, IKE rekey", by_both(rekey_child, rekey_ike)},
      // The one made by b for the same selectors is a twin: one of the two may go.
      {"child rekey, child creation", by_both(rekey_child, create_child), 1, 2},
      {"child delete, child delete", by_both(delete_child, delete_child), 0, 0},
      {"child delete, IKE rekey", by_both(delete_child, rekey_ike), 0, 0},
      {"child delete, IKE delete", by_both(delete_child, delete_ike), 0, 0},
      {"IKE rekey, IKE rekey", by_both(rekey_ike, rekey_ike)},
      {"IKE rekey, IKE delete", by_both(rekey_ike, delete_ike), 0, 1},
      {"IKE rekey, child creation", by_both(rekey_ike, create_child), 1, 2},  // it may be refused
      {"IKE rekey, liveness check", by_both(rekey_ike, check_liveness)},
      {"IKE delete, IKE delete", by_both(delete_ike, delete_ike), 0, 0},
  };
  return list;
}

void check(duo& both, const collision& one) {
  auto count = both.a.child_count();
  CHECK(count >= one.children_min);
  CHECK(count <= one.children_max);
  both.check_rest(count);
  for (auto* peer : {&both.a, &both.b}) {
    INFO("reports of ", peer == &both.a ? "a" : "b", ": ", peer->reports.back());
    CHECK(!peer->has_reported("refused: "));
  }
}

// Which of the four nonces is the lowest decides who closes what (§2.8.1).
struct nonces {
  std::uint8_t of_a, of_a_answering, of_b, of_b_answering;
};
const nonces nonce_cases[] = {{0, 7, 7, 7}, {7, 0, 7, 7}, {7, 7, 0, 7}, {7, 7, 7, 0}};

std::unique_ptr<duo> begin_with(const beginning& begin, const nonces& nonces, bool holds_work) {
  auto both = std::make_unique<duo>();
  both->establish();
  both->a.random.nonce_beginnings = {nonces.of_a, nonces.of_a_answering};
  both->b.random.nonce_beginnings = {nonces.of_b, nonces.of_b_answering};
  both->a.holds_work = both->b.holds_work = holds_work;
  begin(*both);
  return both;
}

}  // namespace

TEST_CASE("collisions: every pair of exchanges comes to rest in every order of messages") {
  for (const auto& one : collisions()) {
    CAPTURE(one.name);
    for (const auto& nonces : nonce_cases) {
      auto runs = explore([&] { return begin_with(one.begin, nonces, false); },
                          [&](duo& both) { check(both, one); }, 2000);
      CHECK(runs > 1);
      CHECK(runs < 2000);  // all of them
    }
  }
}

TEST_CASE("collisions: jobs and data planes that answer late change nothing") {
  for (const auto& one : collisions()) {
    CAPTURE(one.name);
    for (const auto& nonces : nonce_cases)
      explore([&] { return begin_with(one.begin, nonces, true); },
              [&](duo& both) { check(both, one); }, 400);
  }
}

TEST_CASE("collisions: in random orders of late jobs and late messages") {
  for (const auto& one : collisions()) {
    CAPTURE(one.name);
    for (std::uint64_t seed = 1; seed <= 200; ++seed) {
      CAPTURE(seed);
      auto both = begin_with(one.begin, nonce_cases[seed % 4], true);
      chosen_random dice{seed};
      while (both->event_count() != 0) both->let_happen(dice.number() % both->event_count());
      both->settle();
      check(*both, one);
    }
  }
}

TEST_CASE("collisions: with messages lost, doubled and late") {
  for (const auto& one : collisions()) {
    CAPTURE(one.name);
    for (std::uint64_t seed = 1; seed <= 150; ++seed) {
      CAPTURE(seed);
      auto both = begin_with(one.begin, nonce_cases[seed % 4], seed % 2 == 0);
      disturb(*both, seed);
      check(*both, one);
    }
  }
}

TEST_CASE("collisions: of two child rekeys the one without the lowest nonce survives") {
  for (const auto& nonces : nonce_cases) {
    auto both = begin_with(rekey_child_on_both, nonces, false);
    both->deliver("a CREATE_CHILD_SA request");
    both->deliver("b CREATE_CHILD_SA request");
    both->settle();
    both->check_rest();
    // a's exchange has Na and what b answers; b's the other two.
    bool a_has_lowest = nonces.of_a == 0 || nonces.of_b_answering == 0;
    CHECK(both->a.current().model.children.front().created_by_us == !a_has_lowest);
  }
}

TEST_CASE("collisions: of two IKE rekeys the one without the lowest nonce survives") {
  for (const auto& nonces : nonce_cases) {
    auto both = begin_with(rekey_ike_on_both, nonces, false);
    both->deliver("a CREATE_CHILD_SA request");
    both->deliver("b CREATE_CHILD_SA request");
    both->settle();
    both->check_rest();
    bool a_has_lowest = nonces.of_a == 0 || nonces.of_b_answering == 0;
    CHECK((both->a.current().model.role == role::initiator) == !a_has_lowest);
  }
}

TEST_CASE("collisions: while two child rekeys cross, traffic never has nowhere to go") {
  for (const auto& nonces : nonce_cases) {
    explore([&] { return begin_with(rekey_child_on_both, nonces, false); },
            [&](duo& both) { both.check_rest(); }, 2000);
    auto both = begin_with(rekey_child_on_both, nonces, false);
    while (both->event_count() != 0) {
      both->let_happen(both->event_count() - 1);
      for (auto* one : {&both->a, &both->b}) {
        auto* other = one == &both->a ? &both->b : &both->a;
        std::size_t usable = 0;
        for (auto spi : one->plane.spis(data_plane::direction::outbound))
          usable += other->plane.has(data_plane::direction::inbound, spi) ? 1 : 0;
        CHECK(usable >= 1);
        // Whatever can be sent can be received.
        CHECK(usable == one->plane.spis(data_plane::direction::outbound).size());
      }
    }
  }
}

TEST_CASE("collisions: nobody ever sends on the Child SA that loses") {
  for (const auto& nonces : nonce_cases) {
    auto runs = explore(
        [&] {
          auto both = begin_with(rekey_child_on_both, nonces, false);
          for (auto* one : {&both->a, &both->b})
            one->plane.refuses = [one](const data_plane::request& request) {
              const auto* install = std::get_if<data_plane::install_sa>(&request);
              if (install && install->sa.id.direction == data_plane::direction::outbound)
                one->reports.push_back("sends on " + std::to_string(install->sa.id.spi));
              return std::optional<error>{};
            };
          return both;
        },
        [&](duo& both) {
          both.check_rest();
          for (auto* one : {&both.a, &both.b}) {
            auto spi = one->current().model.children.front().outbound_spi;
            for (const auto& report : one->reports)
              if (report.starts_with("sends on"))
                CHECK(report == "sends on " + std::to_string(spi));
          }
        },
        2000);
    CHECK(runs > 10);
  }
}

TEST_CASE("collisions: a Child SA exchange makes an IKE rekey wait, and the other way round") {
  duo both;
  both.establish();
  both.a.add(both.a.rekey_child());
  both.b.add(peer::of_kind(task_kind::rekey_ike));
  both.deliver("a CREATE_CHILD_SA request");
  both.deliver("b CREATE_CHILD_SA request");
  // §2.25.1, §2.25.2: each of them answers TEMPORARY_FAILURE.
  both.run();
  CHECK(both.a.has_reported("child failed: peer sent TEMPORARY_FAILURE"));
  CHECK(both.b.current().delayed.size() == 1);
  CHECK(both.b.current().delayed.front().kind == task_kind::rekey_ike);
  both.settle();
  both.check_rest();
}

TEST_CASE("collisions: the peer's Delete of the old IKE SA ends our own rekey of it") {
  for (const auto& nonces : nonce_cases) {
    auto both = begin_with(rekey_ike_on_both, nonces, false);
    // b notices the collision, a does not (§2.8.2).
    both->deliver("a CREATE_CHILD_SA request");
    both->deliver("b CREATE_CHILD_SA response");
    both->deliver("a INFORMATIONAL request");
    both->settle();
    both->check_rest();
    CHECK(both->a.current().model.role == role::initiator);
  }
}

TEST_CASE("rekey_ike_sa: either side, with its Child SAs, again and again") {
  auto ends = shared_key_ends();
  for (auto* end : {&ends.a, &ends.b})
    end->connection().proposals =
        proposals_of(protocol_id::ike, "aes128gcm16-prfsha256-x25519-ecp256");
  duo both{ends};
  both.establish();
  auto child = both.a.current().model.children.front();
  std::set<std::uint64_t> seen{both.a.current().model.initiator_spi};
  for (auto* one : {&both.a, &both.b, &both.b, &both.a}) {
    one->add(peer::of_kind(task_kind::rekey_ike));
    both.settle();
    both.check_rest();
    CHECK(seen.insert(one->current().model.initiator_spi).second);
    CHECK(one->current().model.role == role::initiator);
    CHECK(both.a.current().model.keys->sk_d == both.b.current().model.keys->sk_d);
    CHECK(both.a.current().model.children.front().inbound_spi == child.inbound_spi);
  }
  both.b.add(both.b.rekey_child());  // the new keys do
  both.settle();
  both.check_rest();
}

TEST_CASE("rekey_ike_sa: another key exchange if the peer wants one; none is refused") {
  auto ends = shared_key_ends();
  ends.a.connection().proposals =
      proposals_of(protocol_id::ike, "aes128gcm16-prfsha256-x25519-ecp256");
  duo both{ends};
  both.establish();
  bool once = false;
  both.b.tampers = [&](exchange_type, bool is_response, wire::payloads& payloads) {
    if (!is_response || std::exchange(once, true)) return;
    wire::notify_payload wanted;
    wanted.type = notify_type::invalid_ke_payload;
    wanted.data = {0, 14};
    payloads = {wanted};
  };
  both.a.add(peer::of_kind(task_kind::rekey_ike));
  both.run();
  CHECK(both.a.current().delayed.size() == 1);  // it goes on with the old one, and tries again
  CHECK(!both.a.current().model.rekey_in_flight);
}
