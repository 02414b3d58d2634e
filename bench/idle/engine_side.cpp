#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>
#include <thread>

#include <nlohmann/json.hpp>

#include "actors/engine.hpp"
#include "bench/clock.hpp"
#include "bench/idle/idle.hpp"
#include "kernel_if/fake/fake_backend.hpp"

namespace imago::bench {

namespace {

constexpr auto tick = std::chrono::milliseconds{10};

using seconds_of = std::chrono::duration<double>;

engine_options options_at(const ip_address& address, kernel_if::fake_backend*& plane) {
  engine_options options;
  options.addresses = {address};
  options.make_backend =
      [&plane](auto&, random_source& random) -> result<std::unique_ptr<kernel_if::backend>> {
    kernel_if::fake_backend::options fake;
    fake.random = &random;
    auto made = std::make_unique<kernel_if::fake_backend>(fake);
    plane = made.get();
    return std::unique_ptr<kernel_if::backend>{std::move(made)};
  };
  return options;
}

// Says sa_active for each SA once a period, evenly, as the kernel does while packets flow; with no
// period, nothing.
nlohmann::ordered_json measure(kernel_if::fake_backend& plane, double seconds, double period) {
  std::vector<data_plane::sa_id> inbound;
  for (const auto& [id, fingerprint] : plane.key_fingerprints())
    if (id.direction == data_plane::direction::inbound) inbound.push_back(id);
  const auto requests_before = plane.submitted().size();
  const auto cpu_before = cpu_ns(CLOCK_PROCESS_CPUTIME_ID);
  const auto begun = std::chrono::steady_clock::now();
  const auto end =
      begun + std::chrono::duration_cast<std::chrono::nanoseconds>(seconds_of{seconds});
  const double rate = period > 0 ? static_cast<double>(inbound.size()) / period : 0;
  std::size_t events = 0;
  while (std::chrono::steady_clock::now() < end) {
    if (rate == 0) {
      std::this_thread::sleep_until(end);
      break;
    }
    std::this_thread::sleep_for(tick);
    seconds_of passed = std::chrono::steady_clock::now() - begun;
    const auto due = static_cast<std::size_t>(passed.count() * rate);
    for (; events < due; ++events)
      plane.inject_event(data_plane::sa_active{inbound[events % inbound.size()]});
  }
  seconds_of passed = std::chrono::steady_clock::now() - begun;
  const auto cpu = cpu_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_before;
  return {{"sas", inbound.size()},
          {"seconds", passed.count()},
          {"events", events},
          {"requests", plane.submitted().size() - requests_before},
          {"cpu_seconds", cpu / 1e9}};
}

}  // namespace

int measure_engine(const std::string& configuration, const std::string& address) {
  auto here = ip_address::parse(address);
  std::ifstream file{configuration};
  std::string text{std::istreambuf_iterator<char>{file}, {}};
  if (!here || text.empty())
    return std::fprintf(stderr, "bench_idle: no address or no configuration\n"), 2;
  kernel_if::fake_backend* plane = nullptr;
  auto started = engine::start(options_at(*here, plane));
  if (!started) return std::fprintf(stderr, "bench: %s\n", started.failure().text().c_str()), 1;
  if (auto loaded = (*started)->load_text(text); !loaded)
    return std::fprintf(stderr, "bench: %s\n", loaded.failure().text().c_str()), 1;
  std::cout << "ready" << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words{line};
    std::string what;
    double seconds = 0, period = 0;
    words >> what >> seconds >> period;
    std::cout << measure(*plane, seconds, what == "active" ? period : 0).dump() << std::endl;
  }
  return 0;
}

}  // namespace imago::bench
