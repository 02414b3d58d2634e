// Problem 1 (strongswan f8e5e38b12, issues/2791): more initiations than worker threads dead-locked
// the daemon; its control socket did not answer any more.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include "tests/world/fleet.hpp"
#include "tests/world/hosts.hpp"
#include "world/invariants.hpp"

using namespace imago;
using namespace imago::testing;
using namespace imago::world;
using namespace std::chrono_literals;

namespace {

// What `asked` sets off is answered by the engine actor alone, whatever else waits: nobody but it
// and the asker is run.
template <class Asked, class Answered>
bool is_answered_by_engine_alone(imago::world::world& in, Asked asked, Answered answered) {
  asked();
  for (int deliveries = 0; deliveries < 100'000 && !answered(); ++deliveries) {
    const letter* next = nullptr;
    for (const auto* one : in.mail.deliverable()) {
      std::string_view receiver = in.mail.who(one->to).kind;
      if (receiver == "engine" || receiver == "probe") next = one;
      if (next) break;
    }
    if (!next) return false;
    in.deliver(next->id);
  }
  return answered();
}

}  // namespace

TEST_CASE("problem 1: 2,000 initiations, half to black holes: answers meanwhile, cancel works") {
  constexpr std::size_t half = 1000;
  fleet_options options;
  options.peers = options.black_holes = half;
  auto in = make_fleet(options);
  invariants watch{*in};
  auto& gateway = *in->find_host("gateway");
  auto& answers = *gateway.answers;
  std::vector<std::uint64_t> commands;
  for (std::size_t index = 0; index < half; ++index)
    for (auto which : {index, half + index})
      commands.push_back(gateway.initiate(fleet_connection(which), "net0"));

  std::size_t questions = 0;
  for (std::size_t deliveries = 0; in->step(); ++deliveries) {
    if (deliveries % 10'000 != 0) continue;
    ++questions;
    answers.counted.reset();
    answers.listed.clear();
    REQUIRE(is_answered_by_engine_alone(
        *in,
        [&] {
          gateway.as_user([&] {
            auto asker = gateway.asker();
            gateway.shared->engine.tell(actors::count_engine{1, asker});
            gateway.shared->engine.tell(actors::list_ike_sas{{}, 2, asker});
          });
        },
        [&] { return answers.counted && answers.listed.size() == answers.counted->ike_sas; }));
  }
  CHECK(questions > 5);

  // No virtual time has passed: a reachable peer waits for nobody.
  std::size_t up = 0, waiting = 0;
  for (std::size_t index = 0; index < commands.size(); ++index) {
    auto result = answers.result_of(commands[index]);
    if (result && *result) ++up;
    if (!answers.is_answered(commands[index])) ++waiting;
  }
  CHECK(up == half);
  CHECK(waiting == half);
  CHECK(gateway.fake()->sas().size() == 2 * half);
  say(fmt::format("problem 1: {} up, {} wait for black holes, {} questions answered meanwhile", up,
                  waiting, questions));

  // Terminate cancels the rest at once: no time passes, nothing more is sent to black holes.
  gateway.terminate({});
  REQUIRE(in->run_until_quiet());
  for (auto command : commands) CHECK(answers.is_answered(command));
  CHECK(gateway.living("ike_sa").empty());
  auto sent = in->net.sent_count();
  in->advance(long_enough);
  CHECK(in->net.sent_count() == sent);
  auto wrong = watch.check_empty();
  CHECK_MESSAGE(!wrong, wrong.value_or(""));
}
