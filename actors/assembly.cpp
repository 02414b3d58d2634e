#include "actors/assembly.hpp"

#include <map>
#include <mutex>

#include "actors/demux.hpp"
#include "actors/engine_actor.hpp"
#include "actors/front_door.hpp"
#include "actors/kernel.hpp"
#include "actors/uplinks.hpp"

namespace imago::actors {

namespace {

// One entry a configured child, kept for good: a trap that comes back finds the SA of the one
// before. Flows and connections on all threads ask; there is nobody to own it.
class reqid_table {
 public:
  std::uint32_t of(ikev2::number_source& numbers, const config::connection_config& connection,
                   const config::child_config& child) {
    std::lock_guard guard{mutex_};
    auto& known = reqids_[{connection.name, child.name}];
    if (known == 0) known = numbers.next_reqid();
    return known;
  }

 private:
  std::mutex mutex_;
  std::map<std::pair<std::string, std::string>, std::uint32_t> reqids_;
};

void remember_reqids(ikev2::number_source& numbers) {
  numbers.remembered_reqid = [&numbers, table = std::make_shared<reqid_table>()](
                                 const auto& connection, const auto& child) {
    return table->of(numbers, connection, child);
  };
}

}  // namespace

services_ptr make_services(const engine_options& options, std::size_t timer_shards) {
  auto shared = std::make_shared<services>();
  shared->library = options.library ? options.library : std::make_shared<crypto::library>();
  shared->time = options.clock ? options.clock : std::make_shared<system_clock_source>();
  shared->facts = std::make_shared<journal>(shared->time);
  for (const auto& [sink, filter] : options.sinks) shared->facts->add_sink(sink, filter);
  shared->counted = std::make_shared<census>();
  shared->timers = std::make_shared<timer_wheel>(shared->time, timer_shards);
  shared->numbers = std::make_shared<ikev2::number_source>();
  remember_reqids(*shared->numbers);
  shared->certificates = std::make_shared<crypto::certificate_cache>();
  shared->digests = std::make_shared<ikev2::digest_tally>();
  shared->door = std::make_shared<front_door>(*shared->library, *shared->library);
  shared->options = options;
  return shared;
}

void spawn_tree(caf::actor_system& system, const services_ptr& shared,
                kernel_if::backend* backend) {
  if (backend) {
    auto can = backend->capabilities();
    shared->abilities = {can.transport_mode, can.esn, can.requires_udp_encapsulation,
                         can.replay_window_max};
  }
  shared->kernel = kernel_handle{system.spawn<actors::kernel>(shared, backend)};
  shared->demux = demux_handle{system.spawn<actors::demux>(shared)};
  if (shared->options.watches_uplinks)
    shared->uplinks = uplinks_handle{system.spawn<uplinks>(shared)};
  shared->engine = engine_handle{system.spawn<engine_actor>(shared)};
}

void kill_tree(const services& shared) {
  shared.engine.tell_kill();
  shared.demux.tell_kill();
  shared.kernel.tell_kill();
  shared.uplinks.tell_kill();
}

void release_tree(services& shared) {
  shared.engine = {};
  shared.demux = {};
  shared.kernel = {};
  shared.uplinks = {};
  shared.net.reset();
}

void kernel_sink::on_reply(kernel_if::request_id id, data_plane::reply reply) {
  caf::anon_send(kernel_, backend_replied{id, own(std::move(reply))});
}

void kernel_sink::on_event(data_plane::event event) {
  caf::anon_send(kernel_, backend_reported{std::move(event)});
}

}  // namespace imago::actors
