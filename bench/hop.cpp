// What actors cost: a message from one to another, and making and ending one.
#include <cstdio>
#include <future>

#include <CLI/CLI.hpp>
#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/send.hpp>
#include <nlohmann/json.hpp>

#include "actors/actor_base.hpp"
#include "actors/handle.hpp"
#include "actors/scheduler_policy.hpp"
#include "bench/clock.hpp"

namespace imago::bench {

struct ball {
  std::size_t remaining = 0;
  caf::actor back;
};

}  // namespace imago::bench

template <>
struct caf::allowed_unsafe_message_type<imago::bench::ball> : std::true_type {};

namespace imago::bench {

namespace {

struct world {
  std::shared_ptr<actors::census> counted = std::make_shared<actors::census>();
  std::shared_ptr<actors::journal> facts =
      std::make_shared<actors::journal>(std::make_shared<actors::system_clock_source>());
};

class player final : public actors::actor_base {
 public:
  player(caf::actor_config& config, const world& in, std::promise<void>* over)
      : actor_base{config, "player", in.counted, in.facts}, done_{over} {}
  caf::behavior make_behavior() override {
    return {[this](ball& one) {
              if (one.remaining == 0) return done_->set_value();
              auto to = std::move(one.back);
              caf::anon_send(to, ball{one.remaining - 1, caf::actor_cast<caf::actor>(this)});
            },
            [this](const actors::kill&) { quit(caf::exit_reason::kill); }};
  }

 private:
  std::promise<void>* done_;
};

double hop_ns(caf::actor_system& system, const world& in, std::size_t count) {
  std::promise<void> done;
  auto here = system.spawn<player>(in, &done);
  auto there = system.spawn<player>(in, &done);
  auto begun = cpu_ns(CLOCK_PROCESS_CPUTIME_ID);
  caf::anon_send(here, ball{count, there});
  done.get_future().wait();
  auto used = cpu_ns(CLOCK_PROCESS_CPUTIME_ID) - begun;
  for (const auto& one : {here, there}) caf::anon_send(one, actors::kill{});
  return used / static_cast<double>(count);
}

double life_ns(caf::actor_system& system, const world& in, std::size_t count) {
  std::promise<void> unused;
  std::vector<caf::actor> all;
  all.reserve(count);
  auto begun = cpu_ns(CLOCK_PROCESS_CPUTIME_ID);
  for (std::size_t index = 0; index < count; ++index)
    all.push_back(system.spawn<player>(in, &unused));
  for (const auto& one : all) caf::anon_send<caf::message_priority::high>(one, actors::kill{});
  all.clear();
  system.await_all_actors_done();
  return (cpu_ns(CLOCK_PROCESS_CPUTIME_ID) - begun) / static_cast<double>(count);
}

void tell(bool as_json, const char* what, double ns) {
  if (as_json)
    std::printf("%s\n", nlohmann::ordered_json{{"what", what}, {"cpu_ns", ns}}.dump().c_str());
  else
    std::printf("%-44s %8.0f ns CPU\n", what, ns);
}

int run(int argc, char** argv) {
  CLI::App program{"What a message between actors costs, and making and ending an actor."};
  bool wants_json = false;
  std::size_t count = 200'000, threads = 2;
  program.add_option("--count", count, "messages, actors")->check(CLI::Range(100, 10'000'000));
  program.add_option("--threads", threads, "of the scheduler")->check(CLI::Range(1, 64));
  program.add_flag("--json", wants_json, "one JSON object a line");
  CLI11_PARSE(program, argc, argv);
  world in;
  caf::actor_system_config config;
  actors::configure_scheduler(config, threads);
  caf::actor_system system{config};
  tell(wants_json, "a message to another actor", hop_ns(system, in, count));
  tell(wants_json, "an actor made, killed and gone", life_ns(system, in, count / 10));
  return 0;
}

}  // namespace

}  // namespace imago::bench

int main(int argc, char** argv) { return imago::bench::run(argc, argv); }
