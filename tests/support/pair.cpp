#include "tests/support/pair.hpp"

#include <algorithm>

#include <doctest/doctest.h>

#include "core/base/limits.hpp"

namespace imago::testing {

using namespace imago::actors;

namespace {

std::shared_ptr<crypto::library> shared_library() {
  static auto made = std::make_shared<crypto::library>();
  return made;
}

// Keeps the answers to the commands of one engine.
class probe final : public actor_base {
 public:
  probe(caf::actor_config& config, const services_ptr& shared,
        std::shared_ptr<command_answers> answers)
      : actor_base{config, "probe", shared->counted, shared->facts}, answers_{std::move(answers)} {}

  caf::behavior make_behavior() override {
    return handled_by(
        [this](const task_ended& one) { answers_->ended[one.command].push_back(one.result); },
        [this](const selection_made& one) {
          answers_->selected[one.command] = one.matches;
          if (auto at = answers_->expected.find(one.command); at != answers_->expected.end())
            at->second = one.matches;
        },
        [this](const ike_sas_listed& one) { answers_->listed = one.list; },
        [this](const engine_counted& one) { answers_->counted = one; },
        [this](const sa_event_happened& one) { answers_->events.push_back(one.event); },
        [this](const engine_stopped&) { ++answers_->engines_stopped; },
        [this](const actors::kill&) { quit(); });
  }

 private:
  std::shared_ptr<command_answers> answers_;
};

// One end of the wire.
class side_network final : public network {
 public:
  using taker = std::function<void(wire_datagram)>;
  side_network(bool is_a, const ip_address& address, taker take)
      : is_a_{is_a}, address_{address}, take_{std::move(take)} {}

  void send_ike(const endpoint& local, const endpoint& remote, bytes_view message) override {
    take_({is_a_, local, remote, to_bytes(message)});
  }
  void send_keepalive(const endpoint& local, const endpoint& remote) override {
    take_({is_a_, local, remote, {}});
  }
  result<endpoint> local_for(const endpoint& remote,
                             const std::vector<config::address_pattern>&) override {
    return endpoint{address_, static_cast<std::uint16_t>(remote.port == 500 ? 500 : 4500)};
  }
  endpoint on_nat_port(const endpoint& local) const override { return {local.address, 4500}; }
  bool is_nat_port(const endpoint& local) const override { return local.port == 4500; }

 private:
  bool is_a_;
  ip_address address_;
  taker take_;
};

}  // namespace

std::string wire_datagram::label() const {
  if (octets.empty()) return "keepalive";
  auto header = wire::parse_header(octets);
  return header ? wire::describe(*header) : "garbage";
}

bool command_answers::is_answered(std::uint64_t command) const {
  auto wanted = expected.find(command);
  if (wanted == expected.end()) return selected.count(command) != 0;
  auto at = ended.find(command);
  auto count = at == ended.end() ? 0 : at->second.size();
  return count == wanted->second;
}

status command_answers::result_of(std::uint64_t command) const {
  auto at = ended.find(command);
  REQUIRE(at != ended.end());
  REQUIRE(at->second.size() == 1);
  return at->second.front();
}

// --- one engine
// ----------------------------------------------------------------------------------

engine_side::engine_side(pair& both, bool is_a, const end& self, const pair_options& options)
    : self{self}, is_a{is_a}, both_{both} {
  engine_options chosen;
  chosen.clock = both.time;
  chosen.library = shared_library();
  chosen.sinks.emplace_back(ring, journal_filter::up_to(options.journal));
  if (options.adjust) options.adjust(is_a, chosen);
  shared = make_services(chosen, 1);
  crypto = std::make_shared<inline_crypto_executor>(run_with(shared->library));
  shared->crypto = crypto;
  shared->net = std::make_shared<side_network>(
      is_a, self.address, [this](wire_datagram what) { both_.on_sent(std::move(what)); });
  gate_ = std::make_shared<inbox_gate>(limits::demux_inbox_max);
  auto data_plane = options.data_plane;
  data_plane.holds_replies = true;
  data_plane.first_spi = is_a ? 0xa0000001 : 0xb0000001;
  plane = std::make_unique<kernel_if::fake_backend>(data_plane);
  actors::testing::threadless(*config_);
  system_ = std::make_unique<caf::actor_system>(*config_);
  spawn_tree(*system_, shared, options.has_data_plane ? plane.get() : nullptr);
  probe_ = system_->spawn<probe>(shared, answers);
  shared->engine.tell(subscribe_sa_events{probe_});
  sink_ = std::make_unique<kernel_sink>(shared->kernel.actor());
  REQUIRE(plane->start(*sink_));
  store_ = std::make_unique<engine_parts::credentials_store>(shared);
  load();
}

engine_side::~engine_side() {
  end_all();
  plane->stop();
  while (crypto->drop()) {
  }
  probe_ = {};
  sink_.reset();
  store_.reset();
  release_tree(*shared);
  if (shared->counted->live_total() != 0) {
    // The actor system would wait for ever.
    std::fprintf(stderr, "actors that did not end: %s\n", shared->counted->text().c_str());
    std::abort();
  }
  system_.reset();
}

void engine_side::end_all() {
  kill_tree(*shared);
  while (run_job()) {
  }
  // What the roots could not reach, so that a failed test ends as well.
  for (const auto& [id, known] : seen_)
    if (auto alive = caf::actor_cast<caf::actor>(known.second)) caf::anon_send(alive, kill{});
  while (run_job() || crypto->drop()) {
  }
}

caf::scheduler::test_coordinator& engine_side::scheduler() const {
  return dynamic_cast<caf::scheduler::test_coordinator&>(system_->scheduler());
}

// Every actor is a job before it does anything.
void engine_side::note_new_actors() {
  for (auto* job : scheduler().jobs)
    if (auto* actor = dynamic_cast<actor_base*>(job))
      seen_.try_emplace(actor->id(), actor->name(), actor->address());
}

bool engine_side::run_job() {
  note_new_actors();
  return scheduler().try_run_once();
}

void engine_side::run_actor(std::string_view kind, std::size_t count) {
  note_new_actors();
  auto& jobs = scheduler().jobs;
  for (; count > 0; --count) {
    auto at = std::find_if(jobs.begin(), jobs.end(), [&](auto* job) {
      auto* actor = dynamic_cast<actor_base*>(job);
      return actor && actor->name() == kind;
    });
    if (at == jobs.end()) return;
    std::rotate(jobs.begin(), at, at + 1);
    scheduler().run_once();
  }
}

void engine_side::load() {
  auto parts = self.credentials;
  parts.connections.clear();
  for (const auto& connection : self.connections)
    parts.connections.push_back(std::make_shared<config::connection_config>(connection));
  REQUIRE(store_->replace_files(std::move(parts)));
}

void engine_side::receive(const wire_datagram& what) {
  auto place = inbox_gate::enter(gate_);
  if (!place) return;
  auto arrived = std::make_shared<const actors::packet>(
      actors::packet{what.destination, what.source, what.octets, both_.time->now()});
  shared->demux.tell(receive_packet{std::move(arrived), std::move(place)});
}

std::uint64_t engine_side::initiate(std::string child, std::string connection) {
  auto command = shared->new_id();
  answers->expected[command] = 1;
  shared->engine.tell(initiate_sa{std::move(connection), std::move(child), command, probe_});
  return command;
}

std::uint64_t engine_side::terminate(sa_selector which, bool force) {
  auto command = shared->new_id();
  answers->expected[command] = SIZE_MAX;  // until the selection is known
  shared->engine.tell(terminate_sas{std::move(which), force, command, probe_});
  return command;
}

std::uint64_t engine_side::rekey(sa_selector which) {
  auto command = shared->new_id();
  shared->engine.tell(rekey_sas{std::move(which), command, probe_});
  return command;
}

std::uint64_t engine_side::kill_sas(sa_selector which) {
  auto command = shared->new_id();
  shared->engine.tell(actors::kill_sas{std::move(which), command, probe_});
  return command;
}

void engine_side::stop_engine() { shared->engine.tell(actors::stop_engine{probe_}); }

void engine_side::end_roots() {
  is_engine_killed = true;
  kill_tree(*shared);
}

std::vector<ike_sa_status_ptr> engine_side::list() {
  if (is_engine_killed) return {};
  answers->listed.clear();
  shared->engine.tell(list_ike_sas{{}, shared->new_id(), probe_});
  both_.run_until_quiet();
  return answers->listed;
}

ike_sa_status_ptr engine_side::only() {
  auto all = list();
  INFO(both_.text());
  REQUIRE(all.size() == 1);
  return all.front();
}

child_sa_status engine_side::only_child() {
  auto sa = only();
  INFO(both_.text());
  REQUIRE(sa->children.size() == 1);
  return sa->children.front();
}

std::vector<caf::actor> engine_side::living(std::string_view kind) const {
  std::vector<caf::actor> found;
  for (const auto& [id, known] : seen_)
    if (known.first == kind)
      if (auto alive = caf::actor_cast<caf::actor>(known.second)) found.push_back(alive);
  return found;
}

std::size_t engine_side::facts(std::string_view name) {
  shared->facts->drain();
  return ring->count(name);
}

std::vector<std::string> engine_side::problems() {
  shared->facts->drain();
  std::vector<std::string> found;
  for (const auto* name :
       {"unexpected_message", "actor_failed", "unexpected_down", "unexpected_error"})
    for (const auto& one : ring->named(name)) found.push_back(line_of(one));
  return found;
}

std::string engine_side::text() {
  shared->facts->drain();
  std::string out = is_a ? "--- a\n" : "--- b\n";
  for (const auto& one : ring->facts()) out += line_of(one) + "\n";
  return out;
}

// --- both
// ----------------------------------------------------------------------------------------

namespace {

std::shared_ptr<actors::testing::virtual_clock> clock_at_test_time() {
  auto made = std::make_shared<actors::testing::virtual_clock>();
  made->pass(std::chrono::seconds{test_now.seconds - made->wall().seconds});
  return made;
}

}  // namespace

pair::pair(pair_options options)
    : time{clock_at_test_time()},
      a{*this, true, options.ends.a, options},
      b{*this, false, options.ends.b, options} {
  run_until_quiet();
}

pair::~pair() {
  // Both, before either goes: what one sends at its end reaches nobody.
  a.end_all();
  b.end_all();
}

bool pair::step() {
  next_is_a_ = !next_is_a_;
  auto& first = next_is_a_ ? a : b;
  auto& second = next_is_a_ ? b : a;
  for (auto* side : {&first, &second})
    if (side->run_job()) return true;
  for (auto* side : {&first, &second})
    if (side->crypto->step()) return true;
  for (auto* side : {&first, &second}) {
    auto held = side->plane->held();
    if (held.empty()) continue;
    story.push_back((side->is_a ? "a replies " : "b replies ") + held.front().request);
    side->plane->step();
    return true;
  }
  if (in_flight.empty()) return false;
  deliver();
  return true;
}

void pair::run_until_quiet() {
  for (int count = 0; step(); ++count)
    if (count > 1'000'000) FAIL("it never becomes quiet: " << text());
  a.shared->facts->drain();
  b.shared->facts->drain();
}

void pair::run_actors() {
  auto waiting = std::exchange(in_flight, {});
  std::deque<wire_datagram> sent_now;
  do {
    while (!in_flight.empty()) {
      sent_now.push_back(std::move(in_flight.front()));
      in_flight.pop_front();
    }
  } while (step());
  in_flight = std::move(waiting);
  for (auto& one : sent_now) in_flight.push_back(std::move(one));
}

void pair::advance(duration by) {
  auto end = time->now() + by;
  run_until_quiet();
  while (true) {
    std::optional<instant> next;
    for (auto* side : {&a, &b})
      if (auto due = side->shared->timers->next_due(); due && (!next || *due < *next)) next = due;
    if (!next || *next > end) break;
    time->set(std::max(*next, time->now()));
    for (auto* side : {&a, &b}) side->shared->timers->advance(time->now());
    run_until_quiet();
  }
  time->set(end);
}

void pair::on_sent(wire_datagram what) {
  story.push_back((what.from_a ? "a sends " : "b sends ") + what.label());
  sent.push_back(what);
  if (on_wire && !on_wire(what)) return;
  if (!what.octets.empty()) in_flight.push_back(std::move(what));
}

void pair::deliver(std::size_t at) {
  REQUIRE(at < in_flight.size());
  auto what = std::move(in_flight[at]);
  in_flight.erase(in_flight.begin() + static_cast<std::ptrdiff_t>(at));
  for (auto* side : {&a, &b})
    if (what.destination.address == side->self.address) side->receive(what);
}

void pair::drop(std::size_t at) {
  REQUIRE(at < in_flight.size());
  in_flight.erase(in_flight.begin() + static_cast<std::ptrdiff_t>(at));
}

void pair::duplicate(std::size_t at) {
  REQUIRE(at < in_flight.size());
  auto copy = in_flight[at];
  in_flight.push_back(std::move(copy));
}

void pair::inject(const endpoint& source, const endpoint& destination, bytes octets) {
  in_flight.push_back({false, source, destination, std::move(octets)});
}

std::size_t pair::sent_count(bool from_a, std::string_view label) const {
  std::size_t count = 0;
  for (const auto& one : sent) count += one.from_a == from_a && one.label() == label;
  return count;
}

void pair::establish(std::string child) {
  auto command = a.initiate(std::move(child));
  run_until_quiet();
  INFO(text());
  REQUIRE(a.answers->result_of(command));
}

std::string pair::text() {
  std::string out = "--- story\n";
  for (const auto& one : story) out += one + "\n";
  return out + a.text() + b.text();
}

pair_options brisk(imago::testing::ends ends) {
  pair_options made;
  made.ends = std::move(ends);
  for (auto* one : {&made.ends.a, &made.ends.b})
    for (auto& connection : one->connections) connection.dpd_delay = std::chrono::seconds{10};
  made.adjust = [](bool, engine_options& options) {
    options.retransmission.tries_max = 3;
    options.retransmission.factor = 1.5;
    options.half_open_lifetime = std::chrono::seconds{10};
    options.closed_lifetime = std::chrono::seconds{10};
  };
  return made;
}

}  // namespace imago::testing
