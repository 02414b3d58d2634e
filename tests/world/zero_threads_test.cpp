// The same engine with threads and without: the journals tell the same story. There is no second
// code path for "no helper threads"; a world has none at all.
#include <future>
#include <map>

#include <doctest/doctest.h>

#include "actors/engine.hpp"
#include "tests/world/hosts.hpp"

using namespace imago;
using namespace imago::testing;

namespace {

// What each IKE SA said, in its order; by its place among the IKE SAs of its engine.
using stories = std::vector<std::vector<std::string>>;

stories stories_of(const actors::ring_sink& ring) {
  std::map<std::uint64_t, std::vector<std::string>> by_sa;
  for (const auto& one : ring.facts())
    if (one.ike_sa != 0) by_sa[one.ike_sa].emplace_back(one.name.view());
  stories all;
  for (auto& [id, names] : by_sa) all.push_back(std::move(names));
  return all;
}

std::string text_of(const stories& all) {
  std::string out;
  for (const auto& one : all) {
    out += "IKE SA:";
    for (const auto& name : one) out += " " + name;
    out += "\n";
  }
  return out;
}

std::string configuration(const std::string& remote) {
  return R"(connections { demo {
      )" +
         remote +
         R"(
      proposals = aes128gcm16-prfsha256-x25519
      local { auth = psk
              id = a.test }
      remote { auth = psk
               id = a.test }
      children { net { local_ts = 10.1.0.0/16
                       remote_ts = 10.1.0.0/16
                       esp_proposals = aes128gcm16 } } } }
  secrets { ike { secret = "correct horse battery staple" } })";
}

// Waits for facts of a live engine; each one wakes the waiter.
class awaited final : public actors::journal_sink {
 public:
  void write(const actors::fact& what) override {
    std::lock_guard guard{mutex_};
    ++seen_[std::string{what.name.view()}];
    changed_.notify_all();
  }
  void wait_for(const std::string& name, int count) {
    std::unique_lock lock{mutex_};
    REQUIRE(changed_.wait_for(lock, std::chrono::minutes{2}, [&] { return seen_[name] >= count; }));
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, int> seen_;
};

struct live {
  explicit live(std::size_t threads) {
    engine_options options;
    options.addresses = {*ip_address::parse("127.0.0.1")};
    options.ike_port = options.nat_port = 0;
    options.scheduler_threads = options.crypto_threads = threads;
    options.make_backend = [](auto&, auto&) -> result<std::unique_ptr<kernel_if::backend>> {
      return std::make_unique<kernel_if::fake_backend>();
    };
    auto filter = actors::journal_filter::up_to(actors::journal_level::detail);
    options.sinks = {{ring, filter}, {facts, filter}};
    auto started = engine::start(options);
    REQUIRE(started);
    engine = std::move(*started);
  }
  std::shared_ptr<actors::ring_sink> ring = std::make_shared<actors::ring_sink>(5000);
  std::shared_ptr<awaited> facts = std::make_shared<awaited>();
  std::unique_ptr<imago::engine> engine;
};

struct both_stories {
  stories initiator, responder;
};

both_stories with_threads(std::size_t threads) {
  both_stories told;
  live responder{threads}, initiator{threads};
  REQUIRE(responder.engine->load_text(configuration("remote_addrs = 127.0.0.1")));
  REQUIRE(initiator.engine->load_text(configuration("remote_addrs = 127.0.0.1\n remote_port = " +
                                                    std::to_string(responder.engine->nat_port()))));
  auto ask = [](auto begin) {
    std::promise<status> done;
    begin([&](status result) { done.set_value(std::move(result)); });
    CHECK(done.get_future().get());
  };
  ask([&](auto done) { initiator.engine->initiate("demo", "net", done); });
  initiator.facts->wait_for("child_sa_installed", 1);
  responder.facts->wait_for("child_sa_installed", 1);
  ask([&](auto done) { initiator.engine->terminate("demo", "", done); });
  responder.facts->wait_for("ike_sa_closed", 1);
  initiator.engine.reset();
  responder.engine.reset();
  told.initiator = stories_of(*initiator.ring);
  told.responder = stories_of(*responder.ring);
  return told;
}

both_stories without_threads() {
  both_stories told;
  world::world in;
  for (const auto* name : {"responder", "initiator"}) {
    world::host_options options;
    options.name = name;
    options.addresses = {
        *ip_address::parse(std::string{name} == "responder" ? "127.0.0.1" : "127.0.0.2")};
    options.journal = actors::journal_level::detail;
    in.add_host(options);
  }
  auto& responder = *in.hosts()[0];
  auto& initiator = *in.hosts()[1];
  REQUIRE(responder.load_text(configuration("remote_addrs = 127.0.0.2")));
  REQUIRE(initiator.load_text(configuration("remote_addrs = 127.0.0.1\n remote_port = 4500")));
  REQUIRE(in.run_until_quiet());
  initiator.initiate("demo", "net");
  REQUIRE(in.run_until_quiet());
  initiator.terminate({"demo", "", 0, 0});
  REQUIRE(in.run_until_quiet());
  in.time().pass(std::chrono::seconds{1});
  initiator.shared->facts->drain();
  responder.shared->facts->drain();
  told.initiator = stories_of(*initiator.ring);
  told.responder = stories_of(*responder.ring);
  return told;
}

}  // namespace

TEST_CASE("zero threads: an engine without any thread tells the story that one with many tells") {
  auto none = without_threads();
  REQUIRE(none.initiator.size() == 1);
  CHECK(none.initiator.front().size() > 6);
  for (std::size_t threads : {1, 4}) {
    auto many = with_threads(threads);
    INFO(threads << " threads");
    CHECK(text_of(many.initiator) == text_of(none.initiator));
    CHECK(text_of(many.responder) == text_of(none.responder));
  }
}
