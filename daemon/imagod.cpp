// imagod: the engine as a daemon. Command line, configuration, control socket, signals.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <mutex>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "actors/control.hpp"
#include "actors/engine.hpp"
#include "actors/engine_parts.hpp"
#include "actors/journal_sinks.hpp"
#include "daemon/confining_backend.hpp"
#include "daemon/privileges.hpp"
#include "daemon/sandbox.hpp"
#include "daemon/service_manager.hpp"
#include "kernel_if/fake/fake_backend.hpp"
#include "kernel_if/user_esp/backend.hpp"
#include "kernel_if/xfrm/backend.hpp"

namespace {

using namespace imago;  // NOLINT(google-build-using-namespace): a program, not a library

constexpr int exit_runtime = 1;
constexpr int exit_configuration = 2;

struct arguments {
  std::string config = "/etc/imago/imago.conf";
  std::string control = "unix:///run/imago/vici";
  std::string backend = "auto";
  std::string state = "/run/imago";
  int log_level = 1;
  std::string log_format = "text";
  std::string user;
  bool has_sandbox = true;
  bool checks_only = false;
  bool allows_impair = false;
};

void say(std::string_view text) { fmt::print(stderr, "imagod: {}\n", text); }

// The configuration with its keys and certificates read; every error said, one a line.
std::optional<config::configuration> read_configuration(const std::string& path) {
  auto loaded = config::load_configuration(path, config::real_files());
  if (auto* errors = std::get_if<config::configuration_errors>(&loaded)) {
    for (const auto& one : errors->errors) say(one.where);  // which is a whole sentence
    return std::nullopt;
  }
  return std::move(std::get<config::configuration>(loaded));
}

// What the engine does with it, without an engine.
int check_configuration(const arguments& chosen) {
  auto configuration = read_configuration(chosen.config);
  if (!configuration) return exit_configuration;
  crypto::library library;
  auto count = configuration->connections.size();
  auto parts = ikev2::parse_credentials(library, std::move(*configuration));
  if (!parts) return say(parts.failure().text()), exit_configuration;
  auto policy = ikev2::build_policy(library, std::move(*parts));
  if (!policy) return say(policy.failure().text()), exit_configuration;
  fmt::print("{}: good, {} connection{}\n", chosen.config, count, count == 1 ? "" : "s");
  return 0;
}

actors::journal_filter filter_of(int level) {
  auto highest = static_cast<int>(actors::journal_level_count) - 1;
  return actors::journal_filter::up_to(
      static_cast<actors::journal_level>(std::clamp(level, 0, highest)));
}

// A kernel without IPv6 has no such sockets; one that only forbids it has.
bool has_ipv6() {
  int probe = ::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (probe < 0) return false;
  ::close(probe);
  return true;
}

// The kernel's IPsec where it is there and ours to use, else user-space ESP.
bool chooses_xfrm(const arguments& chosen) {
  if (chosen.backend != "auto") return chosen.backend == "xfrm";
  auto usable = kernel_if::xfrm::check_host();
  if (!usable) say("data plane: user-esp, since XFRM is not usable: " + usable.failure().text());
  return usable.has_value();
}

engine_options options_of(const arguments& chosen) {
  engine_options options;
  options.allows_impair = chosen.allows_impair;
  options.watches_uplinks = true;
  if (has_ipv6()) options.addresses.push_back(ip_address::any(ip_family::v6));
  options.sinks.emplace_back(chosen.log_format == "json" ? actors::json_sink(STDERR_FILENO)
                                                         : actors::text_sink(STDERR_FILENO),
                             filter_of(chosen.log_level));
  using made = result<std::unique_ptr<kernel_if::backend>>;
  if (chosen.backend == "fake") {
    options.make_backend = [](kernel_if::esp_sender&, random_source& random) -> made {
      kernel_if::fake_backend::options fake;
      fake.random = &random;
      return std::unique_ptr<kernel_if::backend>{std::make_unique<kernel_if::fake_backend>(fake)};
    };
    return options;
  }
  if (chooses_xfrm(chosen)) {
    kernel_if::xfrm::options xfrm;
    xfrm.lease_folder = chosen.state;
    options.make_backend = [xfrm](kernel_if::esp_sender&, random_source&) -> made {
      return std::unique_ptr<kernel_if::backend>{std::make_unique<kernel_if::xfrm::backend>(xfrm)};
    };
    return options;
  }
  // The routes of user-space ESP lead everything but these sockets into the tunnel.
  kernel_if::user_esp::options user_esp;
  options.socket_mark = user_esp.routes.mark;
  options.make_backend = [user_esp](kernel_if::esp_sender& sender, random_source& random) -> made {
    return std::unique_ptr<kernel_if::backend>{
        std::make_unique<kernel_if::user_esp::backend>(user_esp, sender, random)};
  };
  return options;
}

void record_reload(engine& engine, const std::vector<error>& errors) {
  auto& journal = *engine.parts().shared->facts;
  for (const auto& one : errors) {
    actors::fact failed;
    failed.level = actors::journal_level::audit;
    failed.group = actors::journal_group::config;
    failed.name = "configuration_refused";
    failed.fields = {{"reason", one.where}};
    failed.story = "configuration refused: {reason}";
    journal.record(std::move(failed));
  }
  if (!errors.empty()) return;
  actors::fact loaded;
  loaded.group = actors::journal_group::config;
  loaded.name = "configuration_loaded";
  loaded.story = "configuration loaded";
  journal.record(std::move(loaded));
}

// By SIGHUP or reload-settings, one at a time. An error changes nothing.
class reloader {
 public:
  reloader(engine& engine, std::string path) : engine_{engine}, path_{std::move(path)} {}

  status operator()() {
    std::lock_guard guard{mutex_};
    auto loaded = config::load_configuration(path_, config::real_files());
    std::vector<error> errors;
    if (auto* found = std::get_if<config::configuration_errors>(&loaded))
      errors = std::move(found->errors);
    else if (auto done = engine_.load(std::move(std::get<config::configuration>(loaded))); !done)
      errors.push_back({done.failure().code, done.failure().text()});
    record_reload(engine_, errors);
    return errors.empty() ? status{} : status{errors.front()};
  }

 private:
  engine& engine_;
  std::string path_;
  std::mutex mutex_;
};

// Before any thread begins, and before anything is read: what this user may not read is said now,
// not at the first reload.
status give_up_privileges(const arguments& chosen, const std::string& control_path) {
  if (!chosen.has_sandbox) return {};
  auto slash = control_path.rfind('/');
  if (!chosen.user.empty() && slash != std::string::npos && slash != 0)
    if (auto made = make_folder_of(control_path.substr(0, slash), chosen.user); !made) return made;
  return drop_privileges(chosen.user);
}

// The sandbox begins between the data plane's start and the first datagram.
void confine_on_start(engine_options& options, std::size_t& call_count) {
  auto confine = [&call_count](bool keeps_files) -> status {
    auto entered = enter_sandbox({keeps_files});
    if (!entered) return entered.failure();
    call_count = *entered;
    return {};
  };
  using made = result<std::unique_ptr<kernel_if::backend>>;
  options.make_backend = [make = std::move(options.make_backend), confine](
                             kernel_if::esp_sender& sender, random_source& random) -> made {
    auto inner = make(sender, random);
    if (!inner) return inner.failure();
    // The kernel's IPsec keeps its leases in a file.
    auto confine_with = [confine, keeps_files = (*inner)->name() == "xfrm"] {
      return confine(keeps_files);
    };
    return std::unique_ptr<kernel_if::backend>{
        std::make_unique<confining_backend>(std::move(*inner), std::move(confine_with))};
  };
}

void record_confinement(engine& engine, const arguments& chosen, std::size_t call_count) {
  actors::fact said;
  if (!chosen.has_sandbox) {
    said.level = actors::journal_level::audit;
    said.name = "sandbox_omitted";
    said.story = "no sandbox, all privileges are kept: --no-sandbox is for debugging";
  } else if (!has_sandbox()) {
    said.name = "sandbox_omitted";
    said.story = "privileges dropped, but no sandbox: this build has a sanitizer, which needs more";
  } else {
    said.name = "sandbox_entered";
    said.fields = {{"calls", static_cast<std::uint64_t>(call_count)}};
    said.story = "privileges dropped; in a sandbox of {calls} system calls";
  }
  engine.parts().shared->facts->record(std::move(said));
}

// Before any thread begins, so that all of them leave signals to sigwait.
sigset_t block_signals() {
  sigset_t ours;
  sigemptyset(&ours);
  for (int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&ours, number);
  pthread_sigmask(SIG_BLOCK, &ours, nullptr);
  std::signal(SIGPIPE, SIG_IGN);  // of stderr; sockets say MSG_NOSIGNAL
  return ours;
}

// Before any thread begins, so that all of them have it: who has a message to handle soon gets its
// turn, also on a core that another thread of ours would keep busy. Linux 6.12 listens, an older
// one does as it always does. glibc has no call for it.
void prefer_short_slices() {
  struct {
    std::uint32_t size, policy;
    std::uint64_t flags;
    std::int32_t nice;
    std::uint32_t priority;
    std::uint64_t slice_ns, deadline_ns, period_ns;
  } wanted{};
  wanted.size = sizeof wanted;
  wanted.policy = SCHED_OTHER;
  wanted.nice = ::getpriority(PRIO_PROCESS, 0);
  wanted.slice_ns = 100'000;  // the shortest there is
  if (::sched_getscheduler(0) == SCHED_OTHER) (void)::syscall(SYS_sched_setattr, 0, &wanted, 0);
}

void serve_until_told(const sigset_t& ours, reloader& reload) {
  for (int number = 0; sigwait(&ours, &number) == 0;) {
    if (number != SIGHUP) return;
    (void)reload();  // what was wrong is in the log
  }
}

int run(const arguments& chosen) {
  auto control_path = actors::path_of_control_uri(chosen.control);
  if (!control_path) return say(control_path.failure().text()), exit_configuration;
  if (auto dropped = give_up_privileges(chosen, *control_path); !dropped)
    return say(dropped.failure().text()),
           dropped.failure().code == errc::not_found ? exit_configuration : exit_runtime;
  auto configuration = read_configuration(chosen.config);
  if (!configuration) return exit_configuration;

  auto ours = block_signals();
  prefer_short_slices();
  const bool is_confined = chosen.has_sandbox && has_sandbox();
  std::size_t call_count = 0;
  auto options = options_of(chosen);
  if (is_confined) confine_on_start(options, call_count);
  auto started = engine::start(std::move(options));
  if (!started) return say(started.failure().text()), exit_runtime;
  auto& engine = **started;
  record_confinement(engine, chosen, call_count);
  if (auto loaded = engine.load(std::move(*configuration)); !loaded)
    return say(loaded.failure().text()), exit_configuration;
  reloader reload{engine, chosen.config};
  auto control = actors::control_server::start(engine.parts(), chosen.control, std::ref(reload));
  if (!control) return say(control.failure().text()), exit_runtime;
  if (is_confined)
    if (auto closed = close_sandbox(); !closed) return say(closed.failure().text()), exit_runtime;

  say("ready");
  notify_service_manager("READY=1");
  serve_until_told(ours, reload);
  notify_service_manager("STOPPING=1");
  engine.stop();
  (*control)->stop();
  return 0;
}

void declare(CLI::App& app, arguments& chosen) {
  app.description("IKEv2 keying daemon. It runs in the foreground and logs to standard error.");
  app.footer(
      "signals: SIGTERM and SIGINT end it cleanly, SIGHUP reads the configuration again.\n"
      "exit codes: 0 after a clean end, 1 when the host refuses something, 2 for a wrong command\n"
      "line or configuration.");
  app.set_version_flag("--version", "imagod " IMAGO_VERSION);
  app.add_option("--config", chosen.config,
                 "the configuration: a file, or a directory of *.conf files")
      ->capture_default_str();
  app.add_option("--control", chosen.control, "the control socket (vici), unix://PATH")
      ->capture_default_str();
  app.add_option("--backend", chosen.backend, "the data plane: auto, user-esp, xfrm or fake")
      ->capture_default_str()
      ->check(CLI::IsMember({"auto", "user-esp", "xfrm", "fake"}));
  app.add_option("--state", chosen.state,
                 "the folder of what must outlive a kill: the leases in the kernel")
      ->capture_default_str();
  app.add_option("--log-level", chosen.log_level, "from -1 and 0 (audit) over 1 to 4 (everything)")
      ->capture_default_str()
      ->check(CLI::Range(-1, 4));
  app.add_option("--log-format", chosen.log_format, "text for people, json for programs")
      ->capture_default_str()
      ->check(CLI::IsMember({"text", "json"}));
  app.add_flag("--allow-impair", chosen.allows_impair,
               "let control clients make faults (imagoctl impair); for tests only");
  auto* user = app.add_option(
      "--user", chosen.user, "become this user before anything is read (default: stay who we are)");
  app.add_flag("!--no-sandbox", chosen.has_sandbox,
               "keep all privileges and system calls; for debugging only")
      ->excludes(user);
  app.add_flag("--check", chosen.checks_only, "read the configuration, say what is wrong, end");
}

}  // namespace

int main(int count, char** values) {
  arguments chosen;
  CLI::App app;
  declare(app, chosen);
  try {
    app.parse(count, values);
  } catch (const CLI::ParseError& wrong) {
    return app.exit(wrong) == 0 ? 0 : exit_configuration;
  }
  return chosen.checks_only ? check_configuration(chosen) : run(chosen);
}
