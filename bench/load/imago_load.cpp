// imago-load: an IKEv2 initiator and flooder for thousands of peers, to measure responders with.
#include <cstdio>

#include <CLI/CLI.hpp>

#include "bench/load/generator.hpp"

namespace imago::bench {

namespace {

struct arguments {
  load_options load;
  std::string target = "127.0.0.1";
  std::uint16_t port = 500;
  std::string clients = "127.0.0.1/32", flooders, spoofed = "100.64.0.0/10", method = "x25519";
  std::size_t credential_count = 0;
  bool ignores_cookies = false, forgets = false, wants_json = false;
};

int complain(std::string_view what) {
  std::fprintf(stderr, "imago-load: %.*s\n", static_cast<int>(what.size()), what.data());
  return 2;
}

void declare_targets(CLI::App& app, arguments& chosen) {
  app.add_option("--to", chosen.target, "the responder's IPv4 address")->capture_default_str();
  app.add_option("--port", chosen.port, "the responder's UDP port")->capture_default_str();
  app.add_flag("--marker", chosen.load.with_marker,
               "the port is one for NAT traversal (4500): four octets of zero before each message");
  app.add_option("--source-port", chosen.load.source_port, "0: any (500: no NAT is seen)")
      ->capture_default_str();
  app.add_option("--clients", chosen.clients, "prefix of the clients' addresses; each has its own")
      ->capture_default_str();
  app.add_option("--flooders", chosen.flooders,
                 "prefix of those that flood and return cookies (default: that of --clients)");
  app.add_option("--spoofed", chosen.spoofed, "prefix of spoofed addresses")->capture_default_str();
  app.add_option("--ke", chosen.method, "key exchange method: x25519 or p256")
      ->capture_default_str()
      ->check(CLI::IsMember({"x25519", "p256"}));
  app.add_option("--psk", chosen.load.shared_key, "the shared key of all clients");
  app.add_option("--credentials", chosen.load.credentials_folder,
                 "certificates instead: a folder made by --make-credentials");
  app.add_option("--make-credentials", chosen.credential_count,
                 "makes certificates for so many clients and a gateway there, and ends");
  app.add_flag("--ignore-cookies", chosen.ignores_cookies, "never return a cookie");
}

void declare_load(CLI::App& app, arguments& chosen) {
  auto& load = chosen.load;
  app.add_option("--hold", load.hold_steps, "IKE SAs to set up first; several numbers: in steps")
      ->delimiter(',');
  app.add_option("--window", load.window, "how many of these (and deletes) are under way at once")
      ->capture_default_str()
      ->check(CLI::Range(1, 100'000));
  app.add_flag("--forget", chosen.forgets, "keep no keys of those held: no exchange can follow");
  app.add_option("--seconds", load.seconds, "the measured time, in which all rates below are kept");
  app.add_option("--handshakes", load.handshakes, "new clients a second");
  app.add_option("--dpd", load.dpds, "liveness checks a second, over the SAs held");
  app.add_option("--rekey", load.rekeys, "rekeys of Child SAs a second, over the SAs held");
  app.add_option("--spoofed-flood", load.spoofed_flood, "IKE_SA_INIT a second, addresses spoofed");
  app.add_option("--cookie-flood", load.cookie_flood,
                 "IKE_SA_INIT a second that return cookies and then stay half open");
  app.add_option("--malformed-flood", load.malformed_flood, "broken IKE_SA_INIT a second");
  app.add_option("--patience", load.patience_seconds, "seconds to wait for answers at the end")
      ->capture_default_str();
  app.add_flag("--teardown", load.tears_down, "afterwards, delete the SAs held");
  app.add_option("--retransmit-ms", load.retransmit_ms, "until a request is sent again")
      ->capture_default_str()
      ->check(CLI::Range(10, 60'000));
  app.add_option("--attempts", load.attempts_max, "to send it, before giving up")
      ->capture_default_str()
      ->check(CLI::Range(1, 15));
  app.add_flag("--stepwise", load.is_stepwise,
               "after each phase, wait for a line on standard input");
  app.add_flag("--json", chosen.wants_json, "one JSON object a phase");
}

// Of an address the prefix that is only itself.
bool read_prefix(const std::string& text, ip_prefix& to) {
  auto parsed = ip_prefix::parse(text);
  if (!parsed || !parsed->address.is_v4()) return false;
  to = *parsed;
  return true;
}

int run(arguments& chosen) {
  auto& load = chosen.load;
  if (chosen.credential_count > 0) {
    if (load.credentials_folder.empty()) return complain("--make-credentials needs --credentials");
    auto written = write_credentials(load.credentials_folder, chosen.credential_count);
    return written ? 0 : complain(written.failure().text());
  }
  auto target = ip_address::parse(chosen.target);
  if (!target || !target->is_v4()) return complain("--to is not an IPv4 address");
  load.target = {*target, chosen.port};
  if (chosen.flooders.empty()) chosen.flooders = chosen.clients;
  if (!read_prefix(chosen.clients, load.clients) || !read_prefix(chosen.flooders, load.flooders) ||
      !read_prefix(chosen.spoofed, load.spoofed))
    return complain("--clients, --flooders and --spoofed are IPv4 prefixes");
  load.method = chosen.method == "p256" ? ke_method::ecp_256 : ke_method::curve25519;
  load.honours_cookies = !chosen.ignores_cookies;
  load.keeps_keys = !chosen.forgets;
  if (load.hold_steps.empty() && load.seconds <= 0)
    return complain("nothing to do: say --hold or --seconds");
  auto maker = messages::create(load);
  if (!maker) return complain(maker.failure().text());
  auto out = transport::open(load);
  if (!out) return complain(out.failure().text());
  generator all{load, *maker, **out};
  return all.run(chosen.wants_json) ? 0 : 1;
}

}  // namespace

}  // namespace imago::bench

int main(int argc, char** argv) {
  imago::bench::arguments chosen;
  CLI::App app{
      "An IKEv2 initiator and flooder for thousands of peers, to measure responders with."};
  app.footer(
      "First --hold SAs are set up, `--window` at once. Then, for --seconds, everything that has "
      "a\n"
      "rate happens at its times, whether or not answers come; latencies count from these times.\n"
      "Peers are c0.bench.test, c1.bench.test, ...; the responder is gateway.bench.test. Each "
      "asks\n"
      "for a Child SA of one address in 10.128.0.0/9 with 192.168.0.0/16.");
  imago::bench::declare_targets(app, chosen);
  imago::bench::declare_load(app, chosen);
  CLI11_PARSE(app, argc, argv);
  return imago::bench::run(chosen);
}
