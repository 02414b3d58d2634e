// What the journal costs: a fact with octets of a peer's choice, recorded and written at each
// level.
#include <cstdio>
#include <string>

#include <CLI/CLI.hpp>
#include <fcntl.h>
#include <nlohmann/json.hpp>

#include "actors/journal_sinks.hpp"
#include "bench/clock.hpp"

namespace imago::bench {

namespace {

using namespace actors;  // NOLINT(google-build-using-namespace): a program, not a library

fact make_fact(const bytes& of_peer) {
  fact made;
  made.group = journal_group::ike;
  made.name = "sa_established";
  made.connection = "gateway";
  made.ike_sa = 4711;
  made.fields = {{"remote", endpoint{*ip_address::parse("192.0.2.1"), 500}},
                 {"identity", peer_bytes{of_peer}},
                 {"seconds", 3}};
  made.story = "IKE SA with {remote} ({identity}) established after {seconds} s";
  return made;
}

// Made, recorded and written: CPU nanoseconds of each, of one fact.
struct figures {
  double record_ns = 0, write_ns = 0;
};

figures measure(journal_level asked, journal_level wanted, const bytes& of_peer,
                std::shared_ptr<journal_sink> (*make_sink)(int)) {
  constexpr std::size_t count = 2000;
  auto out = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  journal facts{std::make_shared<system_clock_source>()};
  facts.add_sink(make_sink(out), journal_filter::up_to(wanted));
  figures found;
  for (int round = 0; round < 7; ++round) {
    auto begun = cpu_ns();
    for (std::size_t index = 0; index < count; ++index)
      facts.record(asked, journal_group::ike, [&] { return make_fact(of_peer); });
    auto recorded = cpu_ns();
    facts.drain();
    auto written = cpu_ns();
    auto record_ns = (recorded - begun) / count, write_ns = (written - recorded) / count;
    if (round == 0 || record_ns < found.record_ns) found.record_ns = record_ns;
    if (round == 0 || write_ns < found.write_ns) found.write_ns = write_ns;
  }
  ::close(out);
  return found;
}

int run(int argc, char** argv) {
  CLI::App program{"What one fact costs in the journal, recorded by an actor and written as text."};
  bool wants_json = false;
  program.add_flag("--json", wants_json, "one JSON object a line");
  CLI11_PARSE(program, argc, argv);
  const bytes plain(18, 'a'), hostile(512, 0x1b);
  struct measured {
    const char* name;
    journal_level asked, wanted;
    const bytes* octets;
    std::shared_ptr<journal_sink> (*sink)(int);
  };
  const measured all[] = {
      {"audit, wanted", journal_level::audit, journal_level::debug, &plain, text_sink},
      {"control, wanted", journal_level::control, journal_level::debug, &plain, text_sink},
      {"detail, wanted", journal_level::detail, journal_level::debug, &plain, text_sink},
      {"debug, wanted", journal_level::debug, journal_level::debug, &plain, text_sink},
      {"debug, not wanted", journal_level::debug, journal_level::control, &plain, text_sink},
      {"audit, 512 octets to escape", journal_level::audit, journal_level::debug, &hostile,
       text_sink},
      {"audit, as JSON", journal_level::audit, journal_level::debug, &plain, json_sink},
      {"audit, JSON, 512 to escape", journal_level::audit, journal_level::debug, &hostile,
       json_sink},
  };
  if (!wants_json) std::printf("%-32s %10s %10s\n", "a fact", "record ns", "write ns");
  for (const auto& one : all) {
    auto found = measure(one.asked, one.wanted, *one.octets, one.sink);
    if (wants_json) {
      nlohmann::ordered_json line{
          {"fact", one.name}, {"record_ns", found.record_ns}, {"write_ns", found.write_ns}};
      std::printf("%s\n", line.dump().c_str());
    } else {
      std::printf("%-32s %10.0f %10.0f\n", one.name, found.record_ns, found.write_ns);
    }
  }
  return 0;
}

}  // namespace

}  // namespace imago::bench

int main(int argc, char** argv) { return imago::bench::run(argc, argv); }
