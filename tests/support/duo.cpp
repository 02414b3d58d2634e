// The two peers together: datagrams between them, and what must hold at rest.
#include "tests/support/duo.hpp"

#include <algorithm>

#include <doctest/doctest.h>

namespace imago::ikev2::testing {

using data_plane::direction;

duo::duo(const ends& ends, std::uint64_t seed)
    : a{ends.a, 2 * seed, tally,
        [this](std::string label, bytes datagram) {
          in_flight.push_back({true, "a " + std::move(label), std::move(datagram)});
        }},
      b{ends.b, 2 * seed + 1, tally, [this](std::string label, bytes datagram) {
          in_flight.push_back({false, "b " + std::move(label), std::move(datagram)});
        }} {
  a.other = b.at;
  b.other = a.at;
}

duo::~duo() {
  a.ikes.clear();
  b.ikes.clear();
  CHECK(tally->live == 0);
}

void duo::establish(std::string_view child) {
  a.initiate("moon-sun", child);
  run();
  REQUIRE(a.current().model.children.size() == (child.empty() ? 0 : 1));
  REQUIRE(b.current().model.children.size() == (child.empty() ? 0 : 1));
}

std::size_t duo::event_count() const { return in_flight.size() + a.held_count() + b.held_count(); }

void duo::let_happen(std::size_t event) {
  if (event < in_flight.size()) {
    deliver(event);
  } else if (event - in_flight.size() < a.held_count()) {
    a.carry_out_held(event - in_flight.size());
  } else {
    b.carry_out_held(event - in_flight.size() - a.held_count());
  }
}

void duo::deliver(std::size_t index) {
  auto one = std::move(in_flight.at(index));
  in_flight.erase(in_flight.begin() + static_cast<std::ptrdiff_t>(index));
  auto& from = one.from_a ? a : b;
  (one.from_a ? b : a).receive(from.seen_at.value_or(from.at), one.datagram);
}

void duo::deliver(std::string_view label) {
  auto found = std::find_if(in_flight.begin(), in_flight.end(),
                            [&](const packet& one) { return one.label == label; });
  REQUIRE_MESSAGE(found != in_flight.end(), label);
  deliver(static_cast<std::size_t>(found - in_flight.begin()));
}

void duo::drop(std::size_t index) {
  REQUIRE(index < in_flight.size());
  in_flight.erase(in_flight.begin() + static_cast<std::ptrdiff_t>(index));
}

void duo::run() {
  for (int count = 0; event_count() != 0; ++count) {
    REQUIRE(count < 1000);  // else they never come to rest
    let_happen(0);
  }
}

void duo::settle() {
  for (int round = 0; round < 20; ++round) {
    run();
    a.expire_lingering();
    b.expire_lingering();
    if (a.has_request_in_flight() || b.has_request_in_flight()) {
      a.resend_requests();
      b.resend_requests();
      // A peer that is gone does not answer.
      if (round > 10)
        for (auto* one : {&a, &b})
          for (std::size_t i = 0; i < one->ikes.size(); ++i)
            if (auto& own = one->ikes[i]->own; own && own->response_index)
              one->time_out(*one->ikes[i]);
      continue;
    }
    // Delays are random: they do not end at the same time.
    if (a.begin_delayed() || b.begin_delayed()) continue;
    if (event_count() == 0) return;
  }
  FAIL("no rest after 20 rounds");
}

namespace {

void check_child(peer& own, peer& other, const ike_side& ike, const child_sa_model& child) {
  INFO("child ", child.inbound_spi, " ", name_of(child.state));
  CHECK(child.state == child_state::installed);
  CHECK(!child.peers_successor);
  const ike_side* other_ike = nullptr;
  for (auto* one : other.live())
    if (one->model.own_spi() == ike.model.peer_spi()) other_ike = one;
  REQUIRE(other_ike != nullptr);
  const auto* mirror = other_ike->model.find_child(child.outbound_spi);
  REQUIRE(mirror != nullptr);
  CHECK(mirror->outbound_spi == child.inbound_spi);
  CHECK(mirror->local_selectors == child.remote_selectors);
  CHECK(mirror->remote_selectors == child.local_selectors);
  CHECK(mirror->mode == child.mode);
  CHECK(mirror->algorithms == child.algorithms);
  CHECK(mirror->created_by_us != child.created_by_us);
  const auto* sender = own.plane.find(direction::outbound, child.outbound_spi);
  const auto* receiver = other.plane.find(direction::inbound, child.outbound_spi);
  REQUIRE(sender != nullptr);
  REQUIRE(receiver != nullptr);
  CHECK(sender->encryption_key == receiver->encryption_key);
  CHECK(sender->integrity_key == receiver->integrity_key);
  CHECK(sender->reqid == child.reqid);
  CHECK(child.reqid != 0);
  CHECK(receiver->policies.size() == 1);
}

void check_peer(peer& own, peer& other) {
  CHECK(own.is_quiet());
  std::set<data_plane::spi> inbound, outbound;
  std::set<std::uint32_t> reqids;
  for (auto* ike : own.live()) {
    INFO("IKE SA ", ike->model.initiator_spi, " ", name_of(ike->model.state));
    CHECK(ike->model.state == sa_state::established);
    CHECK(!ike->model.rekey_in_flight);
    CHECK(!ike->model.child_exchange_in_flight);
    CHECK(!ike->model.peers_successor);
    CHECK(ike->model.init == nullptr);
    for (const auto& child : ike->model.children) {
      inbound.insert(child.inbound_spi);
      outbound.insert(child.outbound_spi);
      // One usable pair per policy.
      CHECK(reqids.insert(child.reqid).second);
      check_child(own, other, *ike, child);
    }
  }
  CHECK(own.plane.larval().empty());
  CHECK(own.plane.spis(direction::inbound) == inbound);
  CHECK(own.plane.spis(direction::outbound) == outbound);
}

}  // namespace

void duo::check_rest(std::size_t children) {
  CHECK(event_count() == 0);
  CHECK(tally->live == 0);
  CHECK(a.live().size() == b.live().size());
  CHECK(a.live().size() <= 1);
  CHECK(a.child_count() == children);
  CHECK(b.child_count() == children);
  {
    INFO("a");
    check_peer(a, b);
  }
  INFO("b");
  check_peer(b, a);
}

long explore(const std::function<std::unique_ptr<duo>()>& make,
             const std::function<void(duo&)>& check, long runs_max) {
  struct choice {
    std::size_t taken, of;
  };
  std::vector<choice> path;
  for (long runs = 1;; ++runs) {
    auto both = make();
    std::string story;
    for (std::size_t step = 0; both->event_count() != 0; ++step) {
      REQUIRE(step < 200);
      if (step == path.size()) path.push_back({0, both->event_count()});
      auto event = path[step].taken;
      story += event < both->in_flight.size() ? both->in_flight[event].label + "; " : "work; ";
      both->let_happen(event);
    }
    INFO("order: ", story);
    both->settle();
    check(*both);
    while (!path.empty() && path.back().taken + 1 == path.back().of) path.pop_back();
    if (path.empty() || runs == runs_max) return runs;
    ++path.back().taken;
  }
}

void disturb(duo& duo, std::uint64_t seed) {
  chosen_random dice{seed};
  for (int step = 0; step < 60; ++step) {
    if (duo.event_count() == 0) {
      duo.a.resend_requests();
      duo.b.resend_requests();
      if (duo.event_count() == 0) break;
    }
    auto event = dice.number() % duo.event_count();
    auto kind = dice.number() % 8;
    bool is_packet = event < duo.in_flight.size();
    if (is_packet && kind == 0) {
      duo.drop(event);
    } else if (is_packet && kind == 1) {
      duo.duplicate(event);
    } else {
      duo.let_happen(event);
    }
  }
  duo.settle();
}

}  // namespace imago::ikev2::testing
