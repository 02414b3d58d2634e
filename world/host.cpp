#include "world/host.hpp"

#include <cstdio>
#include <mutex>

#include <caf/atom.hpp>

#include "core/base/limits.hpp"
#include "core/config/configuration.hpp"
#include "world/world.hpp"
#include "world/world_crypto.hpp"

namespace imago::world {

using namespace imago::actors;  // NOLINT(google-build-using-namespace): its actors and messages

namespace {

// Read by every actor system of the process; parsing CAF's options anew costs as much as a
// schedule.
caf::actor_system_config& threadless() {
  static auto* const made = [] {
    auto* config = new caf::actor_system_config;  // as long as the last system
    config->set("scheduler.policy", caf::atom("testing"));
    return config;
  }();
  return *made;
}

// Actor systems without actors, to be used again: making and ending one is a twentieth of a
// schedule.
class idle_systems {
 public:
  // As long as the process: CAF's own statics may go before ours.
  static idle_systems& of_process() {
    static auto* const all = new idle_systems;
    return *all;
  }
  std::unique_ptr<caf::actor_system> take() {
    std::lock_guard guard{mutex_};
    if (idle_.empty()) return std::make_unique<caf::actor_system>(threadless());
    auto taken = std::move(idle_.back());
    idle_.pop_back();
    return taken;
  }
  void give_back(std::unique_ptr<caf::actor_system> system) {
    std::lock_guard guard{mutex_};
    if (idle_.size() < kept_max) idle_.push_back(std::move(system));
  }

 private:
  static constexpr std::size_t kept_max = 8;
  std::mutex mutex_;
  std::vector<std::unique_ptr<caf::actor_system>> idle_;
};

constexpr party_id esp_wire = UINT32_MAX;  // in place of a sending actor

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
        [this](const child_policies_listed& one) { answers_->policies = one.list; },
        [this](const engine_counted& one) { answers_->counted = one; },
        [this](const sa_event_happened& one) { answers_->events.push_back(one.event); },
        [this](const engine_stopped&) { ++answers_->engines_stopped; },
        [this](const actors::kill&) { quit(); });
  }

 private:
  std::shared_ptr<command_answers> answers_;
};

}  // namespace

bool command_answers::is_answered(std::uint64_t command) const {
  auto wanted = expected.find(command);
  if (wanted == expected.end()) return selected.count(command) != 0;
  auto at = ended.find(command);
  auto count = at == ended.end() ? 0 : at->second.size();
  return count == wanted->second;
}

std::optional<status> command_answers::result_of(std::uint64_t command) const {
  auto at = ended.find(command);
  if (at == ended.end() || at->second.size() != 1) return std::nullopt;
  return at->second.front();
}

// What the data plane says reaches the kernel actor as letters from "plane".
class host::sink final : public kernel_if::backend_sink {
 public:
  sink(mailroom& mail, party_id plane, const caf::actor& kernel)
      : mail_{mail}, plane_{plane}, to_{kernel} {}
  void on_reply(kernel_if::request_id id, data_plane::reply reply) override {
    // Pipelined requests are answered in any order.
    mail_.as(mail_.add_outside(mail_.who(plane_).host, "plane", static_cast<std::uint32_t>(id)),
             [&] { to_.on_reply(id, std::move(reply)); });
  }
  void on_event(data_plane::event event) override {
    mail_.as(plane_, [&] { to_.on_event(std::move(event)); });
  }

 private:
  mailroom& mail_;
  party_id plane_;
  kernel_sink to_;
};

// The engine's side of the network.
class host::wire_end final : public actors::network {
 public:
  explicit wire_end(host& self) : self_{self} {}

  void send_ike(const endpoint& local, const endpoint& remote, bytes_view message) override {
    self_.in_.net.send(self_.in_.time().now(), self_.number_, local, remote, to_bytes(message),
                       false);
  }
  void send_keepalive(const endpoint& local, const endpoint& remote) override {
    self_.in_.net.send(self_.in_.time().now(), self_.number_, local, remote, {}, false);
  }
  result<endpoint> local_for(const endpoint& remote,
                             const std::vector<config::address_pattern>&) override {
    for (const auto& address : self_.options_.addresses)
      if (address.family() == remote.address.family())
        return endpoint{address, static_cast<std::uint16_t>(remote.port == 500 ? 500 : 4500)};
    return {errc::peer_unreachable, remote.text()};
  }
  endpoint on_nat_port(const endpoint& local) const override { return {local.address, 4500}; }
  bool is_nat_port(const endpoint& local) const override { return local.port == 4500; }

 private:
  host& self_;
};

host::host(world& in, host_number number, host_options options)
    : in_{in}, number_{number}, options_{std::move(options)} {
  auto chosen = options_.engine;
  chosen.clock = in.shared_time();
  chosen.library = in.options().entropy->library(number, options_.seed);
  if (options_.journal) {
    ring = std::make_shared<ring_sink>(20'000);
    chosen.sinks.emplace_back(ring, journal_filter::up_to(*options_.journal));
    if (in.options().merges_journals)
      chosen.sinks.emplace_back(
          std::make_shared<callback_sink>([to = in.merged_, name = options_.name](const fact& one) {
            *to += name + " " + line_of(one) + "\n";
          }),
          journal_filter::up_to(*options_.journal));
  }
  shared = make_services(chosen, 1);
  gate_ = std::make_shared<inbox_gate>(limits::demux_inbox_max);
  system_ = idle_systems::of_process().take();
  mail_number_ = in.mail.attach(*system_);
  user_ = in.mail.add_outside(mail_number_, "user");
  timers_ = in.mail.add_outside(mail_number_, "timers");
  plane_ = in.mail.add_outside(mail_number_, "plane");
  crypto_ = std::make_shared<world_crypto>(
      in.mail, mail_number_,
      options_.crypto_runner ? options_.crypto_runner : run_with(shared->library),
      options_.doubles.results_by_place);
  shared->crypto = crypto_;
  shared->net = std::make_shared<wire_end>(*this);
  in.net.add_host(number, options_.addresses, [this](const datagram& what) { receive(what); });
}

void host::start() {
  if (options_.data_plane == data_plane_kind::fake) {
    auto chosen = options_.fake;
    if (chosen.first_spi == kernel_if::fake_backend::options{}.first_spi)
      chosen.first_spi = 0xa0000001 + (number_ << 24);
    fake_ = std::make_unique<kernel_if::fake_backend>(chosen);
  } else if (options_.data_plane == data_plane_kind::user_esp) {
    esp_ = std::make_unique<esp_plane>(
        *shared->library, [this] { return in_.time().now(); },
        [this](const endpoint& local, const endpoint& remote, bytes_view packet) {
          in_.net.send(in_.time().now(), number_, local, remote, to_bytes(packet), true);
        },
        [this](bytes_view inner) { received_inner.push_back(to_bytes(inner)); }, in_.esp, number_);
  }
  in_.mail.as(user_, [&] {
    spawn_tree(*system_, shared, plane());
    probe_ = system_->spawn<probe>(shared, answers);
    shared->engine.tell(subscribe_sa_events{probe_});
    sink_ = std::make_unique<sink>(in_.mail, plane_, shared->kernel.actor());
    if (plane()) (void)plane()->start(*sink_);
    store_ = std::make_unique<engine_parts::credentials_store>(shared);
  });
  on_link(true);
  if (options_.policy)
    use_policy(options_.policy);
  else if (!options_.configuration.connections.empty())
    (void)load(options_.configuration);
}

kernel_if::backend* host::plane() const {
  if (fake_) return fake_.get();
  return esp_.get();
}

host::~host() {
  end_all();
  if (plane()) plane()->stop();
  while (crypto_->drop(0)) {
  }
  probe_ = {};
  in_.mail.detach(mail_number_);
  sink_.reset();
  store_.reset();
  release_tree(*shared);
  if (shared->counted->live_total() != 0) {
    // The actor system would wait for ever.
    std::fprintf(stderr, "actors that did not end: %s\n", shared->counted->text().c_str());
    std::abort();
  }
  idle_systems::of_process().give_back(std::move(system_));
}

void host::end_all() {
  if (is_over_) return;
  has_ended_ = is_over_ = true;
  in_.mail.as(user_, [&] {
    kill_tree(*shared);
    caf::anon_send<caf::message_priority::high>(probe_, actors::kill{});
  });
  auto run = [this] {
    while (const auto* next = in_.mail.oldest()) in_.mail.deliver(next->id);
  };
  in_.mail.for_each([this](const letter& one) { in_.mail.hold(one.id, false); });
  run();
  if (shared->counted->live_total() == 0) return;
  // What the roots could not reach, so that a failed test ends as well.
  kill({});
  run();
}

std::size_t host::kill(std::string_view kind, std::uint32_t number) {
  std::size_t count = 0;
  for (auto who : living(kind)) {
    const auto& one = in_.mail.who(who);
    if (number != 0 && one.number != number) continue;
    auto alive = caf::actor_cast<caf::actor>(one.address);
    if (!alive) continue;
    ++count;
    in_.mail.as(user_, [&] { caf::anon_send<caf::message_priority::high>(alive, actors::kill{}); });
  }
  return count;
}

std::vector<party_id> host::living(std::string_view kind) const {
  return in_.mail.living(mail_number_, kind);
}

status host::load(ikev2::policy_parts configuration) {
  status result;
  in_.mail.as(user_, [&] { result = store_->replace_files(std::move(configuration)); });
  return result;
}

status host::load_text(std::string_view text) {
  config::file_access none;
  none.read = [](const std::string& path) {
    return imago::result<std::string>{errc::not_found, path};
  };
  none.glob = [](const std::string&) { return std::vector<std::string>{}; };
  return load_text(text, ".", none);
}

status host::load_text(std::string_view text, const std::string& base,
                       const config::file_access& files) {
  auto settings = config::parse_settings(text, "text", files);
  if (!settings) return settings.failure();
  auto built = config::build_configuration(**settings, base, files);
  if (auto* errors = std::get_if<config::configuration_errors>(&built))
    return errors->errors.front();
  auto parts =
      ikev2::parse_credentials(*shared->library, std::move(std::get<config::configuration>(built)));
  if (!parts) return parts.failure();
  return load(std::move(*parts));
}

std::vector<config::connection_config_ptr> host::connections() const {
  return store_->files().connections;
}

template <class Message>
void host::tell_engine(Message what) {
  in_.mail.as(user_, [&] { shared->engine.tell(std::move(what)); });
}

void host::use_policy(ikev2::policy_ptr policy) {
  in_.mail.as(user_, [&] { shared->demux.tell(update_policy{policy}); });
  tell_engine(replace_policy{std::move(policy), 0, {}});
}

std::uint64_t host::initiate(std::string connection, std::string child) {
  auto command = shared->new_id();
  answers->expected[command] = 1;
  tell_engine(initiate_sa{std::move(connection), std::move(child), command, probe_});
  return command;
}

std::uint64_t host::terminate(sa_selector which, bool force) {
  auto command = shared->new_id();
  answers->expected[command] = SIZE_MAX;  // until the selection is known
  tell_engine(terminate_sas{std::move(which), force, command, probe_});
  return command;
}

std::uint64_t host::rekey(sa_selector which) {
  auto command = shared->new_id();
  tell_engine(rekey_sas{std::move(which), command, probe_});
  return command;
}

std::uint64_t host::kill_sas(sa_selector which) {
  auto command = shared->new_id();
  tell_engine(actors::kill_sas{std::move(which), command, probe_});
  return command;
}

void host::stop_engine() { tell_engine(actors::stop_engine{probe_}); }

void host::end_roots() {
  has_ended_ = true;
  in_.mail.as(user_, [&] { kill_tree(*shared); });
}

std::vector<ike_sa_status_ptr> host::list() {
  if (has_ended_) return {};
  answers->listed.clear();
  tell_engine(list_ike_sas{{}, shared->new_id(), probe_});
  (void)in_.run_until_quiet();
  return answers->listed;
}

std::vector<child_policy_status> host::list_policies() {
  if (has_ended_) return {};
  answers->policies.clear();
  tell_engine(list_child_policies{{}, {}, 0, probe_});
  (void)in_.run_until_quiet();
  return answers->policies;
}

std::size_t host::facts(std::string_view name) {
  shared->facts->drain();
  return ring ? ring->count(name) : 0;
}

std::vector<std::string> host::problems() {
  std::vector<std::string> found;
  if (!ring) return found;
  shared->facts->drain();
  for (const auto* name :
       {"unexpected_message", "actor_failed", "unexpected_down", "unexpected_error"})
    for (const auto& one : ring->named(name)) found.push_back(line_of(one));
  return found;
}

std::vector<std::string> host::journal_lines() {
  shared->facts->drain();
  std::vector<std::string> lines;
  if (ring)
    for (const auto& one : ring->facts()) lines.push_back(line_of(one));
  return lines;
}

mailroom& host::mail() const { return in_.mail; }
void host::as_user(const std::function<void()>& act) { in_.mail.as(user_, act); }

void host::set_crypto_mode(crypto_mode mode) { crypto_->set_mode(mode); }
std::size_t host::crypto_waiting() const { return crypto_->waiting(); }
bool host::perform_crypto(std::size_t index) { return crypto_->perform(index); }
bool host::drop_crypto(std::size_t index) { return crypto_->drop(index); }

bool host::send_inner(bytes_view packet) {
  if (!esp_) return false;
  auto before = in_.net.sent_count();
  esp_->send_inner(packet);
  return in_.net.sent_count() != before;
}

// One wire for each actor that sends: what different actors send at once arrives in any order.
party_id host::wire_of(const datagram& what) {
  auto sender = in_.mail.sender();
  auto& wire = wires_[{what.from, sender}];
  if (wire == 0 || in_.options().reorders_datagrams)
    wire = in_.mail.add_outside(mail_number_, "wire", static_cast<std::uint32_t>(wires_.size()));
  return wire;
}

void host::receive_esp(const datagram& what) {
  if (!esp_) return;
  auto& wire = wires_[{what.from, esp_wire}];
  if (wire == 0) wire = in_.mail.add_outside(mail_number_, "esp", what.from + 1);
  in_.mail.add_act(wire, [this, what] {
    in_.esp.arrived(number_, what.octets);
    if (!options_.doubles.looks_before_acting || !esp_->is_larval(what.octets))
      return esp_->deliver_esp(what.destination, what.source, what.octets);
    // planted_bug::larval_assert: what was seen is believed when it is acted on.
    in_.mail.add_act(in_.mail.add_outside(mail_number_, "esp"), [this, what] {
      if (esp_->is_larval(what.octets))
        esp_->deliver_esp(what.destination, what.source, what.octets);
    });
  });
}

void host::on_link(bool is_up) {
  down_since_ = is_up ? std::nullopt : std::optional{in_.time().now()};
  kernel_if::link only{1, "eth0", is_up, {options_.addresses.begin(), options_.addresses.end()}};
  if (!has_ended_)
    in_.mail.as(user_, [&] { shared->uplinks.tell(links_changed{{std::move(only)}}); });
}

void host::receive(const datagram& what) {
  if (has_ended_) return;
  if (what.is_esp) return receive_esp(what);
  if (what.octets.empty()) return;  // a keepalive: the socket's reader drops it
  auto place = inbox_gate::enter(gate_);
  if (!place) return;
  in_.mail.as(wire_of(what), [&] {
    auto arrived = std::make_shared<const packet>(
        packet{what.destination, what.source, what.octets, in_.time().now()});
    shared->demux.tell(receive_packet{std::move(arrived), std::move(place)});
  });
}

}  // namespace imago::world
