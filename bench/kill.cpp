// From KILL to the last resource freed, while the crypto pool has a thousand jobs to do: an IKE SA
// that waits for one of them is killed, again and again.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <thread>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "actors/engine.hpp"
#include "actors/engine_parts.hpp"
#include "bench/load/histogram.hpp"
#include "kernel_if/fake/fake_backend.hpp"

namespace imago::bench {

namespace {

constexpr std::size_t queued_jobs = 1000;
constexpr auto patience = std::chrono::seconds{10};

using moment = std::chrono::steady_clock::time_point;

std::uint64_t us_since(moment begun) {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                        std::chrono::steady_clock::now() - begun)
                                        .count());
}

// True as soon as it is so; false if it never is. Watched without pause: what is measured is short.
template <class condition>
bool wait_for(condition&& is_true) {
  auto begun = std::chrono::steady_clock::now();
  while (!is_true()) {
    if (std::chrono::steady_clock::now() - begun > patience) return false;
    std::this_thread::yield();
  }
  return true;
}

engine_options make_options() {
  engine_options options;
  options.addresses = {*ip_address::parse("127.0.0.1")};
  options.ike_port = options.nat_port = 0;
  options.crypto_threads = 1;
  options.make_backend = [](auto&, auto&) -> result<std::unique_ptr<kernel_if::backend>> {
    return std::make_unique<kernel_if::fake_backend>();
  };
  return options;
}

// Key pairs that take milliseconds each; nobody waits for them.
void fill(actors::engine_parts& parts) {
  while (parts.crypto->counters().waiting < queued_jobs) {
    actors::crypto_task task;
    task.job = crypto::generate_key_exchange_job{ke_method::modp_4096};
    if (!parts.crypto->submit(std::move(task))) return;
  }
}

constexpr std::string_view configuration = R"(connections { bench {
  remote_addrs = 127.0.0.1
  remote_port = 9
  proposals = aes128gcm16-prfsha256-modp3072
  local { auth = psk
    id = here.bench.test
  }
  remote { auth = psk
    id = there.bench.test
  }
  children { net { esp_proposals = aes128gcm16 } }
} }
secrets { ike { secret = "a secret of the benchmark alone" } })";

// What an IKE SA and its exchange hold, by the engine's own count.
std::int64_t held(const actors::census& counted) {
  return counted.live("ike_sa") + counted.live("exchange") + counted.live("msg_digest") +
         counted.live("flow");
}

std::optional<std::uint64_t> kill_once(engine& of) {
  auto& parts = of.parts();
  const auto& counted = *parts.shared->counted;
  fill(parts);
  // An exchange asks for its key pair as soon as it is there, and waits. A request that meets the
  // IKE SA killed before, whose connection has not heard of it yet, ends with that: asked again.
  for (auto begun = std::chrono::steady_clock::now(); counted.live("exchange") == 0;) {
    auto has_ended = std::make_shared<std::atomic<bool>>(false);
    of.initiate("bench", "net", [has_ended](const status&) { *has_ended = true; });
    if (!wait_for([&] { return counted.live("exchange") > 0 || *has_ended; })) return std::nullopt;
    if (std::chrono::steady_clock::now() - begun > patience) return std::nullopt;
  }
  auto begun = std::chrono::steady_clock::now();
  parts.shared->engine.tell(actors::kill_sas{{"bench", {}, 0, 0}, parts.shared->new_id(), {}});
  if (!wait_for([&] { return held(counted) == 0; })) return std::nullopt;
  return us_since(begun);
}

int run(int argc, char** argv) {
  CLI::App program{"From KILL to the last resource freed, with the crypto pool saturated."};
  std::size_t count = 300;
  bool wants_json = false;
  program.add_option("--count", count, "kills")->check(CLI::Range(1, 100'000));
  program.add_flag("--json", wants_json, "one JSON object");
  CLI11_PARSE(program, argc, argv);
  auto started = engine::start(make_options());
  if (!started) return std::fprintf(stderr, "bench: %s\n", started.failure().text().c_str()), 1;
  auto& here = **started;
  if (auto loaded = here.load_text(configuration); !loaded)
    return std::fprintf(stderr, "bench: %s\n", loaded.failure().text().c_str()), 1;
  histogram took;
  for (std::size_t index = 0; index < count; ++index) {
    auto us = kill_once(here);
    if (!us) {
      std::fprintf(stderr, "bench: after kill %zu these are left: %s\n", index,
                   here.parts().shared->counted->text().c_str());
      return 1;
    }
    took.record(*us);
  }
  auto waiting = here.parts().crypto->counters().waiting;
  if (wants_json) {
    nlohmann::ordered_json line{{"kills", took.count()},
                                {"p50_us", took.quantile(0.5)},
                                {"p99_us", took.quantile(0.99)},
                                {"highest_us", took.highest()},
                                {"jobs_waiting", waiting}};
    std::printf("%s\n", line.dump().c_str());
  } else {
    std::printf("%zu kills: p50 %zu us, p99 %zu us, at most %zu us; %zu jobs wait\n",
                static_cast<std::size_t>(took.count()),
                static_cast<std::size_t>(took.quantile(0.5)),
                static_cast<std::size_t>(took.quantile(0.99)),
                static_cast<std::size_t>(took.highest()), waiting);
  }
  return 0;
}

}  // namespace

}  // namespace imago::bench

int main(int argc, char** argv) { return imago::bench::run(argc, argv); }
