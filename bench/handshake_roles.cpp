#include "bench/handshake_roles.hpp"

#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <mutex>
#include <thread>

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include "actors/engine.hpp"
#include "actors/engine_parts.hpp"
#include "actors/live_network.hpp"
#include "bench/crypto_floor.hpp"
#include "core/config/configuration.hpp"
#include "kernel_if/fake/fake_backend.hpp"

namespace imago::bench {

namespace {

constexpr std::size_t floor_rounds = 500;
constexpr auto progress_after = std::chrono::seconds{2};
// Longer than all retransmissions of one message: what has not ended by then never will.
constexpr auto stall_max = std::chrono::minutes{4};

std::uint64_t process_cpu_us() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  auto us = [](const timeval& time) {
    return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000 +
           static_cast<std::uint64_t>(time.tv_usec);
  };
  return us(used.ru_utime) + us(used.ru_stime);
}

std::uint64_t process_rss_kb() {
  std::ifstream file{"/proc/self/statm"};
  std::uint64_t all = 0, resident = 0;
  file >> all >> resident;
  return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE)) / 1024;
}

// The `index`-th core that this process may use, if it may use more than one.
void pin_to_core(int index) {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0 || CPU_COUNT(&allowed) < 2) return;
  int seen = 0;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (!CPU_ISSET(core, &allowed) || seen++ != index) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(core, &one);
    sched_setaffinity(0, sizeof one, &one);  // refused: it runs where it may
    return;
  }
}

std::string client_name(std::size_t index) { return "c" + std::to_string(index) + ".bench.test"; }

// One connection of a responder for all, or of one client.
std::string text_of(const algorithm_set& measured, std::string_view local, std::string_view remote,
                    std::string_view address, std::uint16_t port) {
  std::string text = "connections { bench { ";
  auto line = [&](std::string_view key, std::string_view value) {
    text += std::string{key} + " = " + std::string{value} + "\n";
  };
  line("remote_addrs", address);
  if (port != 0) line("remote_port", std::to_string(port));
  line("proposals", measured.proposal);
  line("unique", "never");
  text += "local { auth = psk \n id = " + std::string{local} + "\n }\n";
  text += "remote { auth = psk \n id = " + std::string{remote} + "\n }\n";
  text += "children { net { esp_proposals = aes128gcm16 \n local_ts = 10.0.0.0/8 \n";
  text += "remote_ts = 10.0.0.0/8 \n } } } }\n";
  text += "secrets { ike { secret = \"a secret of the benchmark alone\" } }";
  return text;
}

result<config::configuration> build(const std::string& text) {
  config::file_access none;
  none.read = [](const std::string& path) { return result<std::string>{errc::not_found, path}; };
  none.glob = [](const std::string&) { return std::vector<std::string>{}; };
  auto settings = config::parse_settings(text, "bench", none);
  if (!settings) return settings.failure();
  auto built = config::build_configuration(**settings, ".", none);
  if (auto* wrong = std::get_if<config::configuration_errors>(&built)) return wrong->errors.front();
  return std::move(std::get<config::configuration>(built));
}

void use_certificate(config::connection_config& connection, const testing::credential& own) {
  connection.local.authentication = config::authentication::pubkey;
  connection.remote.authentication = config::authentication::pubkey;
  connection.local.certificates = {own.certificate};
}

void add_credentials(config::configuration& all, const credentials& made,
                     const testing::credential& own) {
  auto pem = own.key.pem();
  all.private_keys.push_back({"bench", secret{bytes_view{to_bytes(pem)}}, {}});
  all.authorities.push_back({"bench", made.authority.certificate});
}

result<config::configuration> responder_configuration(const algorithm_set& measured,
                                                      const credentials* made) {
  auto all = build(text_of(measured, "gateway.bench.test", "*.bench.test", "%any", 0));
  if (!all || made == nullptr) return all;
  use_certificate(all->connections.front(), made->responder);
  add_credentials(*all, *made, made->responder);
  return all;
}

result<config::configuration> initiator_configuration(const algorithm_set& measured,
                                                      const credentials* made, std::size_t count,
                                                      std::uint16_t port) {
  auto all = build(text_of(measured, client_name(0), "gateway.bench.test", "127.0.0.1", port));
  if (!all) return all;
  if (made != nullptr) add_credentials(*all, *made, made->clients.front());
  auto pattern = std::move(all->connections.front());
  all->connections.clear();
  for (std::size_t index = 0; index < count; ++index) {
    auto one = pattern;
    one.name = client_name(index);
    one.local.identity = *config::parse_identity(one.name);
    if (made != nullptr) use_certificate(one, made->clients[index]);
    all->connections.push_back(std::move(one));
  }
  return all;
}

engine_options options_of(const run_options& options) {
  engine_options chosen;
  chosen.addresses = {*ip_address::parse("127.0.0.1")};
  chosen.ike_port = chosen.nat_port = 0;
  chosen.scheduler_threads = options.scheduler_threads;
  chosen.crypto_threads = options.crypto_threads;
  // What is measured is the work of handshakes, not that of cookies under load.
  chosen.cookie_threshold = options.in_flight_max * 4 + 1000;
  chosen.make_backend = [](auto&, auto&) -> result<std::unique_ptr<kernel_if::backend>> {
    return std::make_unique<kernel_if::fake_backend>();
  };
  return chosen;
}

struct snapshot {
  std::uint64_t cpu_us, datagrams, rss_kb;
  explicit snapshot(engine& of)
      : cpu_us{process_cpu_us()},
        datagrams{of.parts().net->datagrams_received() + of.parts().net->datagrams_sent()},
        rss_kb{process_rss_kb()} {}
};

role_report report_between(const snapshot& begun, const snapshot& ended) {
  role_report report;
  report.cpu_us = ended.cpu_us - begun.cpu_us;
  report.datagrams = ended.datagrams - begun.datagrams;
  report.rss_kb_grown = ended.rss_kb > begun.rss_kb ? ended.rss_kb - begun.rss_kb : 0;
  return report;
}

int fail(const char* role, const error& why) {
  std::fprintf(stderr, "bench: the %s: %s\n", role, why.text().c_str());
  return 1;
}

// IKE SAs of the engine that are up with one Child SA. The last of a run may need a moment more
// than their peer, whose Child SA is up when it has the response.
std::uint64_t count_up(engine& of, std::size_t expected) {
  for (int attempt = 0;; ++attempt) {
    std::uint64_t up = 0;
    for (const auto& sa : of.list())
      if (sa->state == "ESTABLISHED" && sa->children.size() == 1) ++up;
    if (up >= expected || attempt == 100) return up;
    std::this_thread::sleep_for(std::chrono::milliseconds{20});
  }
}

// Starts one connection after the other, so that never more than in_flight_max are under way.
class load {
 public:
  load(engine& under, const run_options& options, std::string_view title)
      : engine_{under}, options_{options}, title_{title} {}

  void run() {
    auto begun = std::chrono::steady_clock::now();
    auto moved = begun;
    std::size_t before = 0;
    std::unique_lock lock{mutex_};
    while (ended_ < options_.count) {
      start_more(lock);
      wakeup_.wait_for(lock, std::chrono::milliseconds{500});
      auto now = std::chrono::steady_clock::now();
      if (std::exchange(before, ended_) != ended_) moved = now;
      if (now - begun > progress_after && now - shown_ > std::chrono::seconds{1}) show(now);
      if (now - moved > stall_max) {
        failure_ = "nothing has moved for minutes";
        return;
      }
    }
  }
  std::string failure() {
    std::lock_guard guard{mutex_};
    return failure_;
  }

 private:
  void start_more(std::unique_lock<std::mutex>& lock) {
    while (started_ < options_.count && started_ - ended_ < options_.in_flight_max) {
      auto name = client_name(started_++);
      lock.unlock();
      engine_.initiate(name, "net", [this](status result) { on_end(result); });
      lock.lock();
    }
  }

  void on_end(const status& result) {
    std::lock_guard guard{mutex_};
    ++ended_;
    if (!result && failure_.empty()) failure_ = result.failure().text();
    wakeup_.notify_one();
  }

  void show(std::chrono::steady_clock::time_point now) {
    shown_ = now;
    std::fprintf(stderr, "%.*s: %zu of %zu handshakes\n", static_cast<int>(title_.size()),
                 title_.data(), ended_, options_.count);
  }

  engine& engine_;
  const run_options& options_;
  std::string_view title_;  // of a table that lives as long as the program
  std::mutex mutex_;
  std::condition_variable wakeup_;
  std::size_t started_ = 0, ended_ = 0;
  std::string failure_;
  std::chrono::steady_clock::time_point shown_{};
};

}  // namespace

int run_responder(const algorithm_set& measured, const credentials* made,
                  const run_options& options, int channel) {
  if (options.pins) pin_to_core(0);
  crypto_floor floor{measured, made};
  auto floor_before = floor.measure(floor_rounds);
  auto started = engine::start(options_of(options));
  if (!started) return fail("responder", started.failure());
  auto& here = **started;
  auto configured = responder_configuration(measured, made);
  if (!configured) return fail("responder", configured.failure());
  if (auto loaded = here.load(std::move(*configured)); !loaded)
    return fail("responder", loaded.failure());
  go word;
  if (!tell(channel, role_ready{here.nat_port()}) || !hear(channel, word)) return 1;
  snapshot begun{here};
  if (!tell(channel, word) || !hear(channel, word)) return 1;
  snapshot ended{here};
  auto report = report_between(begun, ended);
  report.handshakes = count_up(here, options.count);
  // Before and after, so that what else the machine does weighs on both alike.
  report.floor_us = (floor_before + floor.measure(floor_rounds)) / 2;
  return tell(channel, report) ? 0 : 1;
}

int run_initiator(const algorithm_set& measured, const credentials* made,
                  const run_options& options, int channel) {
  if (options.pins) pin_to_core(1);
  role_ready peer;
  if (!hear(channel, peer)) return 1;
  auto started = engine::start(options_of(options));
  if (!started) return fail("initiator", started.failure());
  auto& here = **started;
  auto configured = initiator_configuration(measured, made, options.count, peer.port);
  if (!configured) return fail("initiator", configured.failure());
  if (auto loaded = here.load(std::move(*configured)); !loaded)
    return fail("initiator", loaded.failure());
  // Answers only when the engine has taken the configuration in.
  (void)here.list();
  go word;
  if (!tell(channel, role_ready{}) || !hear(channel, word)) return 1;
  snapshot begun{here};
  load generator{here, options, measured.name};
  generator.run();
  snapshot ended{here};
  auto report = report_between(begun, ended);
  report.handshakes = count_up(here, options.count);
  std::strncpy(report.failure, generator.failure().c_str(), sizeof report.failure - 1);
  if (!tell(channel, report)) return 1;
  hear(channel, word);  // the SAs stay up until the responder has counted its own
  return 0;
}

}  // namespace imago::bench
