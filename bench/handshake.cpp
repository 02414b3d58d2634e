// How much CPU time a handshake costs: N IKE SAs with a Child SA each, between two engines over UDP
// on the loopback device, each engine in a process of its own, with a data plane of tables only.
#include <cstdio>
#include <ctime>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/crypto_floor.hpp"
#include "bench/handshake_roles.hpp"

namespace imago::bench {

namespace {

struct figures {
  std::string_view algorithms;
  double responder_cpu_us = 0, initiator_cpu_us = 0, floor_us = 0, ratio = 0;
  double messages = 0, rss_kb_per_sa = 0;
  std::uint64_t handshakes = 0;
};

// --- certificates
// ----------------------------------------------------------------------------------

testing::credential make(const std::string& name, const testing::test_key& key,
                         const testing::credential* issuer) {
  auto now = static_cast<std::int64_t>(std::time(nullptr));
  testing::certificate_options options;
  options.subject = "C=CH, O=Imago, CN=" + name;
  options.is_ca = issuer == nullptr;
  if (issuer != nullptr) options.dns_names = {name};
  options.not_before = wall_time{now - 86'400};
  options.not_after = wall_time{now + 86'400};
  return testing::make_certificate(options, key, issuer);
}

std::unique_ptr<credentials> make_credentials(proof how, std::size_t count) {
  if (how == proof::shared_key) return nullptr;
  auto type = how == proof::rsa_2048 ? testing::key_type::rsa_2048 : testing::key_type::ecdsa_p256;
  auto authority = make("authority", testing::test_key::make(type), nullptr);
  auto responder = make("gateway.bench.test", testing::test_key::make(type), &authority);
  auto made = std::make_unique<credentials>(credentials{authority, responder, {}});
  auto key = testing::test_key::make(type);
  for (std::size_t index = 0; index < count; ++index)
    made->clients.push_back(make("c" + std::to_string(index) + ".bench.test", key, &authority));
  return made;
}

// --- processes
// -------------------------------------------------------------------------------------

using role = int (*)(const algorithm_set&, const credentials*, const run_options&, int);

// A child process and the channel to it; ended and waited for when this goes.
class process {
 public:
  process(role runs, const algorithm_set& measured, const credentials* made,
          const run_options& options) {
    int ends[2] = {-1, -1};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return;
    std::fflush(nullptr);
    id_ = ::fork();
    if (id_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::close(ends[0]);
      ::_exit(runs(measured, made, options, ends[1]));
    }
    ::close(ends[1]);
    channel_ = ends[0];
  }
  ~process() {
    if (channel_ >= 0) ::close(channel_);
    if (id_ > 0) ::waitpid(id_, nullptr, 0);
  }
  process(const process&) = delete;
  process& operator=(const process&) = delete;
  int channel() const { return channel_; }

 private:
  int channel_ = -1;
  pid_t id_ = -1;
};

// Nothing: a role ended early, or not all came up; said on stderr.
std::optional<figures> measure(const algorithm_set& measured, const run_options& options) {
  auto made = make_credentials(measured.proof, options.count);
  process responder{run_responder, measured, made.get(), options};
  process initiator{run_initiator, measured, made.get(), options};
  auto there = responder.channel();
  auto here = initiator.channel();
  role_ready ready;
  role_report asked, answered;
  go word;
  bool done = hear(there, ready) && tell(here, ready) && hear(here, ready) && tell(there, word) &&
              hear(there, word) && tell(here, word) && hear(here, asked) && tell(there, word) &&
              hear(there, answered);
  auto title = std::string{measured.name};
  if (!done) {
    std::fprintf(stderr, "bench: %s: a process ended before its report\n", title.c_str());
    return std::nullopt;
  }
  if (asked.handshakes != options.count || answered.handshakes != options.count) {
    std::fprintf(
        stderr, "bench: %s: of %zu, %zu are up at the initiator, %zu at the responder%s%s\n",
        title.c_str(), options.count, static_cast<std::size_t>(asked.handshakes),
        static_cast<std::size_t>(answered.handshakes), asked.failure[0] ? ": " : "", asked.failure);
    return std::nullopt;
  }
  auto count = static_cast<double>(options.count);
  figures found;
  found.algorithms = measured.name;
  found.responder_cpu_us = static_cast<double>(answered.cpu_us) / count;
  found.initiator_cpu_us = static_cast<double>(asked.cpu_us) / count;
  found.floor_us = answered.floor_us;
  found.ratio = found.responder_cpu_us / found.floor_us;
  found.messages = static_cast<double>(answered.datagrams) / count;
  found.rss_kb_per_sa = static_cast<double>(answered.rss_kb_grown) / count;
  found.handshakes = answered.handshakes;
  return found;
}

// --- output
// ----------------------------------------------------------------------------------------

double rounded(double value) { return std::round(value * 100) / 100; }

void print_json(const figures& one) {
  nlohmann::ordered_json line{{"algorithms", one.algorithms},
                              {"responder_cpu_us", rounded(one.responder_cpu_us)},
                              {"initiator_cpu_us", rounded(one.initiator_cpu_us)},
                              {"floor_us", rounded(one.floor_us)},
                              {"ratio", rounded(one.ratio)},
                              {"messages", rounded(one.messages)},
                              {"rss_kb_per_sa", rounded(one.rss_kb_per_sa)},
                              {"handshakes", one.handshakes}};
  std::printf("%s\n", line.dump().c_str());
  std::fflush(stdout);
}

void print_head() {
  std::printf("%-30s %12s %12s %9s %6s %9s %10s %10s\n", "algorithms", "responder us",
              "initiator us", "floor us", "ratio", "messages", "KB per SA", "handshakes");
}

void print_row(const figures& one) {
  std::printf("%-30s %12.1f %12.1f %9.1f %6.2f %9.2f %10.1f %10zu\n",
              std::string{one.algorithms}.c_str(), one.responder_cpu_us, one.initiator_cpu_us,
              one.floor_us, one.ratio, one.messages, one.rss_kb_per_sa,
              static_cast<std::size_t>(one.handshakes));
  std::fflush(stdout);
}

// The floor alone, on the core that the caller chose.
void print_floor(const algorithm_set& measured, bool wants_json) {
  constexpr std::size_t clients = 100, rounds = 2000;
  auto made = make_credentials(measured.proof, clients);
  auto floor_us = crypto_floor{measured, made.get()}.measure(rounds);
  if (!wants_json) {
    std::printf("%-30s %9.1f us\n", std::string{measured.name}.c_str(), floor_us);
    return;
  }
  nlohmann::ordered_json line{{"algorithms", measured.name}, {"floor_us", rounded(floor_us)}};
  std::printf("%s\n", line.dump().c_str());
}

int run(int argc, char** argv) {
  CLI::App program{"CPU time of IKE_SA_INIT + IKE_AUTH with a Child SA, between two engines."};
  program.footer(
      "responder us, initiator us: CPU time of the process for one handshake, user and system.\n"
      "floor us: the bare OpenSSL calls of a responder, same process, same run; ratio: to it.\n"
      "Each client has a certificate of its own, which the responder meets for the first time.\n"
      "messages: datagrams for one handshake, retransmissions and fragments counted.\n"
      "KB per SA: what the responder's resident memory grew by.\n"
      "Ends with 0 if every handshake came up, else with 1.");
  run_options options;
  bool wants_json = false, anywhere = false, only_floor = false;
  std::vector<std::string> names, known;
  for (const auto& one : algorithm_sets) known.emplace_back(one.name);
  program.add_option("--count", options.count, "IKE SAs of each set")
      ->check(CLI::Range(1, 50'000))
      ->capture_default_str();
  program.add_option("--in-flight", options.in_flight_max, "handshakes under way at once")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  program.add_option("--set", names, "only these algorithms; may be repeated")
      ->check(CLI::IsMember(known));
  program
      .add_option("--scheduler-threads", options.scheduler_threads,
                  "of each engine; 0: one for each of its CPUs")
      ->check(CLI::Range(0, 256))
      ->capture_default_str();
  program
      .add_option("--crypto-threads", options.crypto_threads,
                  "of each engine; 0: one for each of its CPUs")
      ->check(CLI::Range(0, 256))
      ->capture_default_str();
  program.add_flag("--anywhere", anywhere, "do not give each role one core of its own");
  program.add_flag("--floor", only_floor, "measure the floor alone");
  program.add_flag("--json", wants_json, "one JSON object a line");
  CLI11_PARSE(program, argc, argv);
  options.pins = !anywhere;
  if (!wants_json && !only_floor) print_head();
  int code = 0;
  for (const auto& one : algorithm_sets) {
    if (!names.empty() && std::find(names.begin(), names.end(), one.name) == names.end()) continue;
    if (only_floor) {
      print_floor(one, wants_json);
      continue;
    }
    auto found = measure(one, options);
    if (!found)
      code = 1;
    else if (wants_json)
      print_json(*found);
    else
      print_row(*found);
  }
  return code;
}

}  // namespace

}  // namespace imago::bench

int main(int argc, char** argv) { return imago::bench::run(argc, argv); }
