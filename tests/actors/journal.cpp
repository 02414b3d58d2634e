#include "actors/journal.hpp"

#include <future>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "actors/journal_sinks.hpp"
#include "tests/actors/infrastructure.hpp"

using namespace imago;
using namespace imago::actors;
using imago::actors::testing::virtual_clock;

namespace {

struct journal_room {
  std::shared_ptr<virtual_clock> time = std::make_shared<virtual_clock>();
  std::shared_ptr<ring_sink> ring = std::make_shared<ring_sink>(100);
  journal facts{time};
};

fact established() {
  return {.level = journal_level::control,
          .group = journal_group::ike,
          .name = "sa_established",
          .connection = "gw-a",
          .ike_sa = 12,
          .fields = {{"id", 12u},
                     {"remote", endpoint{*ip_address::parse("192.0.2.1"), 4500}},
                     {"ms", 31}},
          .story = "IKE SA {id} with {remote} established in {ms} ms"};
}

// What arrived at the reading end of a pipe.
struct line_pipe {
  line_pipe() { REQUIRE(::pipe(ends) == 0); }
  ~line_pipe() {
    ::close(ends[0]);
    if (ends[1] >= 0) ::close(ends[1]);
  }
  std::string read_all() {
    ::close(std::exchange(ends[1], -1));
    std::string all;
    char piece[4096];
    for (ssize_t size; (size = ::read(ends[0], piece, sizeof piece)) > 0;)
      all.append(piece, static_cast<std::size_t>(size));
    return all;
  }
  int ends[2];
};

bool is_harmless(std::string_view line) {
  for (unsigned char octet : line)
    if (octet < 0x20 || octet > 0x7e) return false;
  return true;
}

}  // namespace

TEST_CASE("journal: a line tells the time, the group, the SA and the story") {
  journal_room room;
  line_pipe pipe;
  room.facts.add_sink(text_sink(pipe.ends[1]), journal_filter::up_to(journal_level::control));
  room.time->pass(std::chrono::milliseconds{61'123});
  room.facts.record(established());
  CHECK(room.facts.drain() == 1);
  CHECK(pipe.read_all() ==
        "2026-11-20T07:01:01.123Z ike     gw-a#12  "
        "IKE SA 12 with 192.0.2.1:4500 established in 31 ms\n");
}

TEST_CASE("journal: what nobody wants is not even made") {
  journal_room room;
  int made = 0;
  const auto make = [&made] {
    ++made;
    return fact{.name = "noise"};
  };
  CHECK(!room.facts.enabled(journal_level::audit, journal_group::net));
  room.facts.record(journal_level::audit, journal_group::net, make);
  CHECK(made == 0);
  auto filter = journal_filter{}.set(journal_group::net, journal_level::control);
  auto id = room.facts.add_sink(room.ring, filter);
  CHECK(room.facts.enabled(journal_level::control, journal_group::net));
  CHECK(!room.facts.enabled(journal_level::detail, journal_group::net));
  CHECK(!room.facts.enabled(journal_level::audit, journal_group::ike));
  room.facts.record(journal_level::detail, journal_group::net, make);
  room.facts.record(journal_level::control, journal_group::net, make);
  CHECK(made == 1);
  room.facts.set_filter(id, journal_filter::up_to(journal_level::debug));
  CHECK(room.facts.enabled(journal_level::debug, journal_group::ike));
  room.facts.remove_sink(id);
  CHECK(!room.facts.enabled(journal_level::audit, journal_group::ike));
}

TEST_CASE("journal: a value becomes words only at a sink that prints it") {
  journal_room room;
  room.facts.add_sink(room.ring, journal_filter::up_to(journal_level::debug));
  auto formatted = std::make_shared<int>(0);
  room.facts.record(journal_level::detail, journal_group::child, [&] {
    return fact{.name = "selectors_narrowed",
                .fields = {{"selectors",
                            [formatted] {
                              ++*formatted;
                              return std::string{"10.0.0.0/8"};
                            }}},
                .story = "narrowed to {selectors}"};
  });
  room.facts.drain();
  CHECK(*formatted == 0);
  auto kept = room.ring->named("selectors_narrowed");
  REQUIRE(kept.size() == 1);
  CHECK(story_of(kept[0]) == "narrowed to 10.0.0.0/8");
  CHECK(*formatted == 1);
}

TEST_CASE("journal: no line of a peer's making") {
  std::string evil = "gw\n2026-11-20T07:00:00.000Z ike \x1b[2J\x9b\x7f\\ \xc3\xa9";
  fact what{.group = journal_group::ike,
            .name = "peer_identified",
            .connection = evil,
            .fields = {{"identity", peer_bytes{to_bytes(evil)}},
                       {"text", evil},
                       {"late", [evil] { return evil; }}},
            .story = "the peer is {identity} or {text} or {late}"};
  CHECK(is_harmless(line_of(what)));
  CHECK(is_harmless(json_of(what)));
  CHECK(line_of(what).find("\\x0a2026") != std::string::npos);
  what.story = {};
  CHECK(is_harmless(line_of(what)));
  what.fields = {{"identity", peer_bytes{bytes(100'000, 0x0a)}}};
  CHECK(line_of(what).size() < 4096);
  CHECK(line_of(what).find("(100000 octets)") != std::string::npos);
}

TEST_CASE("journal: a story names its fields; what it does not know stays as it is") {
  fact what{.name = "odd",
            .fields = {{"a", true}, {"b", errc::timed_out}, {"c", -5}, {"d", 0.5}},
            .story = "{a} {b} {c} {d} {unknown} {open"};
  CHECK(story_of(what) == "yes it took too long -5 0.5 {unknown} {open");
  what.story = {};
  CHECK(story_of(what) == "odd a=yes b=it took too long c=-5 d=0.5");
}

TEST_CASE("journal: JSON lines parse back with their types") {
  journal_room room;
  line_pipe pipe;
  room.facts.add_sink(json_sink(pipe.ends[1]), journal_filter::up_to(journal_level::debug));
  auto what = established();
  what.fields.push_back({"large", std::uint64_t{18'446'744'073'709'551'615u}});
  what.fields.push_back({"negative", -1});
  what.fields.push_back({"share", 0.25});
  what.fields.push_back({"flag", true});
  what.fields.push_back({"code", errc::no_proposal_chosen});
  what.fields.push_back({"identity", peer_bytes{{'a', 0, '"', 0xff}}});
  room.facts.record(std::move(what));
  room.facts.record({.name = "second"});
  room.facts.drain();
  auto text = pipe.read_all();
  auto end = text.find('\n');
  REQUIRE(end != std::string::npos);
  auto json = nlohmann::json::parse(text.substr(0, end));
  CHECK(json["time"] == "2026-11-20T07:00:00.000Z");
  CHECK(json["name"] == "sa_established");
  CHECK(json["level"] == "control");
  CHECK(json["group"] == "ike");
  CHECK(json["connection"] == "gw-a");
  CHECK(json["ike_sa"] == 12);
  const auto& fields = json["fields"];
  CHECK(fields["large"].get<std::uint64_t>() == 18'446'744'073'709'551'615u);
  CHECK(fields["negative"] == -1);
  CHECK(fields["share"] == 0.25);
  CHECK(fields["flag"] == true);
  CHECK(fields["code"] == "no_proposal_chosen");
  CHECK(fields["remote"] == "192.0.2.1:4500");
  CHECK(fields["identity"] == "a\\x00\"\\xff");
  CHECK(nlohmann::json::parse(text.substr(end + 1))["name"] == "second");
}

TEST_CASE("journal: what does not fit is counted and said") {
  auto time = std::make_shared<virtual_clock>();
  auto ring = std::make_shared<ring_sink>(100);
  journal facts{time, 3};
  facts.add_sink(ring, journal_filter::up_to(journal_level::debug));
  for (int i = 0; i < 10; ++i) facts.record({.name = "flood"});
  CHECK(facts.overflowed() == 7);
  CHECK(facts.waiting() == 3);
  CHECK(facts.drain() == 4);
  CHECK(ring->count("flood") == 3);
  auto lost = ring->named("journal_overflowed");
  REQUIRE(lost.size() == 1);
  CHECK(story_of(lost[0]) == "7 facts were not recorded: the journal was full");
  facts.record({.name = "after"});
  facts.drain();
  CHECK(ring->count("journal_overflowed") == 1);
  CHECK(ring->count("after") == 1);
}

TEST_CASE("journal: subscribers get their level, group and connection only") {
  journal_room room;
  std::vector<std::string> told;
  auto filter = journal_filter{}.set(journal_group::ike, journal_level::control);
  filter.connection = "gw-a";
  room.facts.add_sink(
      std::make_shared<callback_sink>([&](const fact& what) { told.push_back(story_of(what)); }),
      filter);
  room.facts.add_sink(room.ring, journal_filter::up_to(journal_level::debug));
  const auto record = [&](journal_level level, journal_group group, std::string connection) {
    room.facts.record(
        {.level = level, .group = group, .name = "heard", .connection = std::move(connection)});
  };
  record(journal_level::control, journal_group::ike, "gw-a");
  record(journal_level::audit, journal_group::ike, "gw-a");
  record(journal_level::detail, journal_group::ike, "gw-a");
  record(journal_level::control, journal_group::net, "gw-a");
  record(journal_level::control, journal_group::ike, "gw-b");
  room.facts.drain();
  CHECK(told.size() == 2);
  CHECK(room.ring->count("heard") == 5);
}

TEST_CASE("journal: a subscriber may leave while it is being told") {
  journal_room room;
  int told = 0;
  journal::sink_id id = 0;
  id = room.facts.add_sink(std::make_shared<callback_sink>([&](const fact&) {
                             ++told;
                             room.facts.remove_sink(id);
                             room.facts.record({.name = "from a sink"});
                           }),
                           journal_filter::up_to(journal_level::debug));
  room.facts.record({.name = "first"});
  CHECK(room.facts.drain() == 1);
  CHECK(room.facts.drain() == 0);
  CHECK(told == 1);
}

TEST_CASE("journal: with its own thread it tells everything that four threads record") {
  auto time = std::make_shared<system_clock_source>();
  journal facts{time, 100'000};
  std::size_t told = 0;
  facts.add_sink(std::make_shared<callback_sink>([&](const fact&) { ++told; }),
                 journal_filter::up_to(journal_level::debug));
  facts.start();
  std::vector<std::thread> writers;
  for (int i = 0; i < 4; ++i)
    writers.emplace_back([&facts] {
      for (int k = 0; k < 1000; ++k) facts.record({.name = "one", .fields = {{"k", k}}});
    });
  for (auto& each : writers) each.join();
  facts.stop();
  CHECK(told == 4000);
  CHECK(facts.overflowed() == 0);
}

TEST_CASE("journal: a sink that cannot be written to loses lines, not the daemon") {
  journal_room room;
  auto sink = std::make_shared<line_sink>(-1, &line_of);
  room.facts.add_sink(sink, journal_filter::up_to(journal_level::debug));
  room.facts.record(established());
  room.facts.record(established());
  room.facts.drain();
  CHECK(sink->failed_count() == 2);
}

TEST_CASE("journal: groups have strongSwan's names for vici clients") {
  CHECK(vici_text_of(journal_group::child) == "CHD");
  CHECK(text_of(journal_group::child) == "child");
  CHECK(text_of(journal_level::audit) == "audit");
}
