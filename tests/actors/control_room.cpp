#include "tests/actors/control_room.hpp"

#include <cstdlib>
#include <cstring>

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "actors/actor_base.hpp"
#include "actors/callbacks.hpp"

namespace imago::actors::testing {

namespace {

constexpr auto long_time = std::chrono::seconds{20};

class pretending_engine final : public actor_base {
 public:
  pretending_engine(caf::actor_config& config, const services_ptr& shared,
                    std::shared_ptr<control_script> script)
      : actor_base{config, "engine", shared->counted, shared->facts}, script_{std::move(script)} {}

  caf::behavior make_behavior() override {
    return handled_by(
        [this](const initiate_sa& asked) { on_initiate(asked); },
        [this](const terminate_sas& asked) { on_terminate(asked); },
        [this](const rekey_sas& asked) {
          std::lock_guard guard{script_->mutex};
          script_->rekeyed.push_back(asked.which);
          caf::anon_send(asked.reply_to, selection_made{asked.command, script_->matches});
        },
        [this](const kill_sas& asked) {
          std::lock_guard guard{script_->mutex};
          script_->killed.push_back(asked.which);
          caf::anon_send(asked.reply_to, selection_made{asked.command, script_->matches});
        },
        [this](const list_ike_sas& asked) {
          std::lock_guard guard{script_->mutex};
          caf::anon_send(asked.reply_to, ike_sas_listed{asked.command, script_->sas});
        },
        [this](const install_child_policy& asked) { on_policy(asked, true); },
        [this](const uninstall_child_policy& asked) { on_policy(asked, false); },
        [this](const list_child_policies& asked) {
          std::lock_guard guard{script_->mutex};
          child_policies_listed listed{asked.command, {}};
          for (const auto& one : script_->policies)
            if (asked.child.empty() || one.child == asked.child) listed.list.push_back(one);
          caf::anon_send(asked.reply_to, std::move(listed));
        },
        [](const count_engine& asked) {
          caf::anon_send(asked.reply_to, engine_counted{asked.command, 3, 1, {}});
        },
        [this](const subscribe_sa_events& asked) {
          std::lock_guard guard{script_->mutex};
          subscribers_.push_back(asked.subscriber.address());
          ++script_->subscriptions;
          script_->changed.notify_all();
        },
        [this](const sa_event_happened& happened) {
          for (const auto& one : subscribers_)
            if (auto to = caf::actor_cast<caf::actor>(one)) caf::anon_send(to, happened);
        },
        [](const replace_policy&) {}, [this](const kill&) { quit(caf::exit_reason::kill); });
  }

 private:
  void on_initiate(const initiate_sa& asked) {
    std::lock_guard guard{script_->mutex};
    script_->initiations.push_back(asked);
    if (asked.reply_to && asked.child != "slow") {
      status result;
      if (asked.child == "bad") result = {errc::peer_refused, "AUTHENTICATION_FAILED"};
      if (asked.child == "nothing") result = {errc::not_found, "CHILD_SA config 'nothing'"};
      caf::anon_send(asked.reply_to, task_ended{asked.command, result});
    }
    script_->changed.notify_all();
  }
  template <class message>
  void on_policy(const message& asked, bool installs) {
    if (asked.child == "nothing")
      return asked.reply.answer({errc::not_found, "CHILD_SA config 'nothing'"});
    if (asked.child == "bad") return asked.reply.answer({errc::already_exists, "policy"});
    {
      std::lock_guard guard{script_->mutex};
      script_->policy_changes.emplace_back(installs, asked.connection + "/" + asked.child);
    }
    asked.reply.answer({});
  }
  void on_terminate(const terminate_sas& asked) {
    std::lock_guard guard{script_->mutex};
    script_->terminations.push_back(asked);
    caf::anon_send(asked.reply_to, selection_made{asked.command, script_->matches});
    if (asked.force || script_->ends_politely)
      for (std::size_t count = 0; count < script_->matches; ++count)
        caf::anon_send(asked.reply_to, task_ended{asked.command, {}});
    script_->changed.notify_all();
  }
  std::shared_ptr<control_script> script_;
  std::vector<caf::actor_addr> subscribers_;
};

class pretending_kernel final : public actor_base {
 public:
  pretending_kernel(caf::actor_config& config, const services_ptr& shared,
                    std::shared_ptr<control_script> script)
      : actor_base{config, "kernel", shared->counted, shared->facts}, script_{std::move(script)} {}

  caf::behavior make_behavior() override {
    return handled_by(
        [this](kernel_request& asked) {
          std::lock_guard guard{script_->mutex};
          auto request = asked.request.take();
          const auto* query = std::get_if<data_plane::query_sa>(&request);
          if (!script_->counts_usage || !query) return;
          data_plane::sa_usage usage;
          usage.octets = query->id.spi;
          usage.packets = 7;
          caf::anon_send(asked.reply_to, kernel_reply{asked.id, own(data_plane::reply{usage})});
        },
        [this](const kill&) { quit(caf::exit_reason::kill); });
  }

 private:
  std::shared_ptr<control_script> script_;
};

}  // namespace

bool control_script::wait_for_initiations(std::size_t count) {
  std::unique_lock guard{mutex};
  return changed.wait_for(guard, long_time, [&] { return initiations.size() >= count; });
}

bool control_script::wait_for_subscription() {
  std::unique_lock guard{mutex};
  return changed.wait_for(guard, long_time, [&] { return subscriptions > 0; });
}

control_room::control_room() {
  auto name = (std::filesystem::temp_directory_path() / "imago-control-XXXXXX").string();
  if (!::mkdtemp(name.data())) std::abort();
  folder_ = name;
  auto shared = parts_.shared = std::make_shared<services>();
  shared->library = std::make_shared<crypto::library>();
  shared->time = time_;
  shared->facts = std::make_shared<journal>(time_);
  shared->counted = std::make_shared<census>();
  shared->timers = std::make_shared<timer_wheel>(time_);
  shared->facts->start();
  parts_.system_config = std::make_unique<caf::actor_system_config>();
  configure_scheduler(*parts_.system_config, 2);
  parts_.system = std::make_unique<caf::actor_system>(*parts_.system_config);
  shared->engine = engine_handle{parts_.system->spawn<pretending_engine>(shared, script_)};
  shared->kernel = kernel_handle{parts_.system->spawn<pretending_kernel>(shared, script_)};
  parts_.credentials = std::make_unique<engine_parts::credentials_store>(shared);
}

control_room::~control_room() {
  server.reset();
  auto& shared = *parts_.shared;
  {
    // Commands that wait for ever hold their asker, and it them.
    std::lock_guard guard{script_->mutex};
    script_->initiations.clear();
    script_->terminations.clear();
  }
  shared.engine.tell_kill();
  shared.kernel.tell_kill();
  parts_.system->await_all_actors_done();
  shared.engine = {};
  shared.kernel = {};
  parts_.system.reset();
  shared.facts->stop();
  std::filesystem::remove_all(folder_);
}

status control_room::start() {
  auto started = control_server::start(parts_, uri(), [this] { return reload(); });
  if (!started) return started.failure();
  server = std::move(*started);
  return {};
}

void control_room::pass(duration by) {
  time_->pass(by);
  parts_.shared->timers->advance(time_->now());
}

bool control_room::eventually(const std::function<bool()>& holds) {
  auto until = std::chrono::steady_clock::now() + long_time;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::yield();
  }
  return true;
}

void control_room::record(std::string connection, std::uint64_t ike_sa, std::string text) {
  fact what;
  what.level = journal_level::control;
  what.group = journal_group::ike;
  what.name = "said";
  what.connection = std::move(connection);
  what.ike_sa = ike_sa;
  what.fields = {{"text", std::move(text)}};
  what.story = "{text}";
  parts_.shared->facts->record(std::move(what));
}

test_client::test_client(const control_room& room) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  auto path = room.path();
  std::memcpy(address.sun_path, path.data(), path.size());
  fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    disconnect();
}

test_client::~test_client() { disconnect(); }

void test_client::disconnect() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

bool test_client::send_octets(bytes_view octets) {
  while (!octets.empty()) {
    auto count = ::send(fd_, octets.data(), octets.size(), MSG_NOSIGNAL);
    if (count <= 0) return false;
    octets = octets.subspan(static_cast<std::size_t>(count));
  }
  return true;
}

bool test_client::send_some(bytes_view octets) {
  return ::send(fd_, octets.data(), octets.size(), MSG_NOSIGNAL | MSG_DONTWAIT) > 0;
}

void test_client::send(vici::packet_type type, std::string name, vici::message body) {
  auto octets = vici::encode_packet({type, std::move(name), std::move(body)});
  if (octets) (void)send_octets(*octets);
}

std::optional<vici::packet> test_client::receive() {
  for (;;) {
    if (auto segment = input_.next()) {
      auto packet = vici::parse_packet(*segment);
      if (!packet) return std::nullopt;
      return std::move(*packet);
    }
    pollfd one{fd_, POLLIN, 0};
    std::uint8_t buffer[16384];
    if (::poll(&one, 1, 20000) != 1) return std::nullopt;
    auto count = ::recv(fd_, buffer, sizeof buffer, 0);
    if (count <= 0) return std::nullopt;
    if (!input_.add({buffer, static_cast<std::size_t>(count)})) return std::nullopt;
  }
}

bool test_client::has_input() const {
  pollfd one{fd_, POLLIN, 0};
  return ::poll(&one, 1, 0) == 1;
}

bool test_client::is_closed() {
  for (;;) {
    pollfd one{fd_, POLLIN, 0};
    std::uint8_t buffer[16384];
    if (::poll(&one, 1, 20000) != 1) return false;
    if (::recv(fd_, buffer, sizeof buffer, 0) <= 0) return true;
  }
}

vici::message test_client::call(std::string command, vici::message body) {
  send(vici::packet_type::command_request, std::move(command), std::move(body));
  for (;;) {
    auto packet = receive();
    if (!packet) return {};
    if (packet->type == vici::packet_type::command_response) return std::move(packet->body);
    if (packet->type != vici::packet_type::event) return {};
    events.push_back(std::move(*packet));
  }
}

bool test_client::listen_to(std::string event) {
  send(vici::packet_type::event_register, std::move(event));
  for (;;) {
    auto packet = receive();
    if (!packet || packet->type != vici::packet_type::event)
      return packet && packet->type == vici::packet_type::event_confirm;
    events.push_back(std::move(*packet));
  }
}

std::optional<vici::packet> test_client::next_event(std::string_view name) {
  for (auto at = events.begin(); at != events.end(); ++at) {
    if (at->name != name) continue;
    auto found = std::move(*at);
    events.erase(at);
    return found;
  }
  for (;;) {
    auto packet = receive();
    if (!packet) return std::nullopt;
    if (packet->type == vici::packet_type::event && packet->name == name) return packet;
    events.push_back(std::move(*packet));
  }
}

vici::message body(std::initializer_list<std::pair<const char*, const char*>> values) {
  vici::message out;
  for (const auto& [key, value] : values) out.add(key, value);
  return out;
}

ike_sa_status_ptr sample_sa(std::uint64_t id, std::string connection, std::string child) {
  auto sa = std::make_shared<ike_sa_status>();
  sa->id = id;
  sa->connection = std::move(connection);
  sa->state = "ESTABLISHED";
  sa->role = ikev2::role::initiator;
  sa->initiator_spi = 0xabc;
  sa->responder_spi = 0xdef;
  sa->local = {*ip_address::parse("192.0.2.1"), 4500};
  sa->remote = {*ip_address::parse("192.0.2.2"), 4500};
  sa->local_identity = *config::parse_identity("a.example");
  sa->remote_identity = *config::parse_identity("b.example");
  sa->algorithms = {encryption_algorithm::aes_gcm_16, 128, integrity_algorithm::none,
                    prf_algorithm::hmac_sha2_256, ke_method::curve25519};
  sa->established_at = {std::chrono::seconds{990}};
  sa->rekey_at = {std::chrono::seconds{1600}};
  child_sa_status net;
  net.id = id + 100;
  net.name = std::move(child);
  net.state = "INSTALLED";
  net.model.inbound_spi = 0xc0000001;
  net.model.outbound_spi = 0xc0000002;
  net.model.reqid = 5;
  net.model.is_encapsulated = true;
  net.model.algorithms = {encryption_algorithm::aes_cbc, 256,
                          integrity_algorithm::hmac_sha2_256_128, ke_method::ecp_256, true};
  net.model.local_selectors = {traffic_selector::from_prefix(*ip_prefix::parse("10.1.0.0/16"))};
  net.model.remote_selectors = {traffic_selector::from_prefix(*ip_prefix::parse("10.2.0.0/16"))};
  net.installed_at = {std::chrono::seconds{995}};
  net.inbound = {data_plane::direction::inbound, sa->local.address, net.model.inbound_spi};
  net.outbound = {data_plane::direction::outbound, sa->remote.address, net.model.outbound_spi};
  sa->children.push_back(std::move(net));
  return sa;
}

}  // namespace imago::actors::testing
