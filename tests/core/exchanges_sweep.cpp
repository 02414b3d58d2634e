// The kill sweep at the level of flows: each scenario is run once to count its events, then again
// with an end after every one of them. Wherever a flow is destroyed, its md, its secrets and what
// it leased are gone.
#include <doctest/doctest.h>

#include "tests/support/duo.hpp"

using namespace imago;
using namespace imago::ikev2;
using namespace imago::ikev2::testing;
using namespace imago::testing;

namespace {

struct scenario {
  std::string name;
  std::function<ends()> make;
  bool is_established = true;  // before it begins
  std::function<void(duo&)> begin;
};

ends with_forward_secrecy() {
  auto ends = shared_key_ends();
  for (auto* end : {&ends.a, &ends.b})
    end->child().proposals = proposals_of(protocol_id::esp, "aes128gcm16-x25519-ecp256");
  // a guesses wrongly: one more round.
  ends.b.child().proposals = proposals_of(protocol_id::esp, "aes128gcm16-ecp256");
  return ends;
}

ends with_certificates() {
  static const auto root = make_authority("C=CH, O=Imago, CN=root");
  auto issued = [&](const std::string& name) {
    certificate_options options;
    options.dns_names = {name};
    return make_end_entity(root, options, key_type::ecdsa_p256);
  };
  static const auto a = issued("moon.example"), b = issued("sun.example");
  return certificate_ends(root, a, b);
}

void initiate(duo& both) { both.a.initiate("moon-sun", "net"); }

std::function<void(duo&)> task_of_a(task_kind kind) {
  return [kind](duo& both) { both.a.add(peer::of_kind(kind)); };
}

std::vector<scenario> scenarios() {
  auto widened = [](duo& both) {
    both.b.tampers = [](exchange_type, bool is_response, wire::payloads& payloads) {
      for (auto& payload : payloads)
        if (auto* found = std::get_if<wire::traffic_selector_payload>(&payload))
          if (is_response) found->selectors = {selector_of("0.0.0.0/0").selector};
    };
    initiate(both);
  };
  auto wrong_auth = [](duo& both) {
    both.b.tampers = [](exchange_type, bool, wire::payloads& payloads) {
      for (auto& payload : payloads)
        if (auto* auth = std::get_if<wire::authentication_payload>(&payload)) auth->data[0] ^= 1;
    };
    initiate(both);
  };
  auto with_cookies = [](duo& both) {
    both.b.wants_cookies = true;
    initiate(both);
  };
  auto rekey = [](duo& both) { both.a.add(both.a.rekey_child()); };
  return {
      {"shared key", shared_key_ends, false, initiate},
      {"certificates", with_certificates, false, initiate},
      {"cookies", shared_key_ends, false, with_cookies},
      {"the initiator refuses the Child SA", shared_key_ends, false, widened},
      {"the initiator refuses the responder", with_certificates, false, wrong_auth},
      {"new Child SA", shared_key_ends, true,
       [](duo& both) { both.a.add(both.a.create_child("net")); }},
      {"Child SA rekey", shared_key_ends, true, rekey},
      {"Child SA rekey with forward secrecy", with_forward_secrecy, true, rekey},
      {"Child SA delete", shared_key_ends, true,
       [](duo& both) { both.a.add(both.a.delete_child()); }},
      {"IKE SA rekey", shared_key_ends, true, task_of_a(task_kind::rekey_ike)},
      {"IKE SA delete", shared_key_ends, true, task_of_a(task_kind::delete_ike)},
      {"liveness check", shared_key_ends, true, task_of_a(task_kind::check_liveness)},
      {"both rekey the Child SA", with_forward_secrecy, true,
       [](duo& both) {
         both.a.add(both.a.rekey_child());
         both.b.add(both.b.rekey_child());
       }},
      {"both rekey the IKE SA", shared_key_ends, true,
       [](duo& both) {
         both.a.add(peer::of_kind(task_kind::rekey_ike));
         both.b.add(peer::of_kind(task_kind::rekey_ike));
       }},
  };
}

std::unique_ptr<duo> begin(const scenario& one) {
  auto both = std::make_unique<duo>(one.make());
  if (one.is_established) both->establish();
  both->a.holds_work = both->b.holds_work = true;
  one.begin(*both);
  return both;
}

// Runs at most `count` events; how many there were.
std::size_t run(duo& both, std::size_t count) {
  std::size_t done = 0;
  while (done < count && both.event_count() != 0) {
    both.let_happen(0);
    ++done;
  }
  return done;
}

void kill_all(peer& one) {
  for (std::size_t i = 0; i < one.ikes.size(); ++i)
    if (!one.ikes[i]->closed || one.ikes[i]->own) one.kill(*one.ikes[i]);
  one.expire_lingering();
}

}  // namespace

TEST_CASE("sweep: a kill after any event leaves no md, no SPI and no SA") {
  for (const auto& one : scenarios()) {
    CAPTURE(one.name);
    auto events = run(*begin(one), 1000);
    CHECK(events >= 2);
    CHECK(events < 1000);
    for (std::size_t k = 0; k <= events; ++k) {
      CAPTURE(k);
      auto both = begin(one);
      run(*both, k);
      kill_all(both->a);
      kill_all(both->b);
      CHECK(both->tally->live == 0);
      CHECK(both->a.plane.is_empty());
      CHECK(both->b.plane.is_empty());
      CHECK(both->a.held_count() + both->b.held_count() == 0);
    }
  }
}

TEST_CASE("sweep: a kill of one end alone lets the other come to an end by itself") {
  for (const auto& one : scenarios()) {
    CAPTURE(one.name);
    auto events = run(*begin(one), 1000);
    for (std::size_t k = 0; k <= events; ++k) {
      CAPTURE(k);
      auto both = begin(one);
      run(*both, k);
      kill_all(both->a);
      both->run();
      for (int round = 0; round < 10 && both->b.has_request_in_flight(); ++round) {
        for (std::size_t i = 0; i < both->b.ikes.size(); ++i)
          if (auto& own = both->b.ikes[i]->own; own && own->response_index)
            both->b.time_out(*both->b.ikes[i]);
        both->run();
      }
      CHECK(!both->b.has_request_in_flight());
      CHECK(both->tally->live == 0);
      CHECK(both->b.plane.larval().empty());
      kill_all(both->b);
      CHECK(both->b.plane.is_empty());
    }
  }
}

TEST_CASE("sweep: an error in any job or data plane request ends in an orderly way") {
  for (const auto& one : scenarios()) {
    CAPTURE(one.name);
    std::size_t total = 0;
    for (std::size_t k = 0; k == 0 || k < total; ++k) {
      CAPTURE(k);
      auto both = begin(one);
      std::size_t count = 0;
      for (auto* end : {&both->a, &both->b}) end->fails = [&](const need&) { return count++ == k; };
      both->settle();
      total = count;
      for (auto* end : {&both->a, &both->b}) {
        CHECK(end->plane.larval().empty());
        CHECK(end->is_quiet());
        kill_all(*end);
        CHECK(end->plane.is_empty());
      }
      CHECK(both->tally->live == 0);
    }
  }
}
