#include "actors/engine.hpp"

#include <algorithm>

#include <sched.h>

#include "actors/assembly.hpp"
#include "actors/bridge.hpp"
#include "actors/engine_parts.hpp"
#include "actors/errand.hpp"
#include "actors/front_door.hpp"
#include "actors/impaired.hpp"
#include "actors/live_network.hpp"
#include "actors/scheduler_policy.hpp"

namespace imago {

using namespace actors;  // NOLINT(google-build-using-namespace): this file is the door to it

namespace {

// std::thread::hardware_concurrency() counts those of the machine, not those of the process.
std::size_t usable_cpu_count() {
  cpu_set_t usable;
  if (sched_getaffinity(0, sizeof usable, &usable) != 0) return 1;
  return static_cast<std::size_t>(std::max(CPU_COUNT(&usable), 1));
}

void record_warning(journal& facts, const std::string& warning) {
  fact said;
  said.level = journal_level::audit;
  said.group = journal_group::kernel;
  said.name = "data_plane_limited";
  said.fields = {{"what", warning}};
  said.story = "data plane: {what}";
  facts.record(std::move(said));
}

// New peers are admitted when the scheduler has nothing else to do.
void call_at_leisure(caf::actor_system& system, services& shared) {
  auto admission = caf::make_counted<errand>(
      errand_rank::at_leisure, [weak = shared.demux.actor().address()](caf::execution_unit*) {
        if (auto there = caf::actor_cast<caf::actor>(weak))
          demux_handle{there}.tell(admit_new_peers{});
      });
  shared.door->call_with([admission, &at = system.scheduler()] { do_errand(at, admission); });
}

}  // namespace

result<std::unique_ptr<engine>> engine::start(engine_options options) {
  const auto cpu_count = usable_cpu_count();
  if (options.scheduler_threads == 0) options.scheduler_threads = cpu_count;
  if (options.crypto_threads == 0) options.crypto_threads = cpu_count;
  std::unique_ptr<engine> made{new engine};
  made->parts_ = std::make_unique<engine_parts>();
  auto& parts = *made->parts_;
  auto shared = parts.shared = make_services(options);

  if (options.allows_impair) parts.faults = std::make_shared<impairments>(shared->facts);
  auto net = live_network::open(options);
  if (!net) return net.failure();
  parts.net = *net;
  shared->net = impaired(parts.faults, std::shared_ptr<network>{parts.net});
  if (options.make_backend) {
    auto backend = options.make_backend(*parts.net, *shared->library);
    if (!backend) return backend.failure();
    parts.backend = impaired(parts.faults, std::move(*backend));
  }
  parts.crypto =
      std::make_shared<thread_crypto_pool>(options.crypto_threads, run_with(shared->library));
  shared->crypto = impaired(parts.faults, std::shared_ptr<crypto_executor>{parts.crypto});
  parts.callbacks = std::make_unique<callback_thread>(options.executor);

  parts.system_config = std::make_unique<caf::actor_system_config>();
  configure_scheduler(*parts.system_config, options.scheduler_threads);
  parts.system = std::make_unique<caf::actor_system>(*parts.system_config);
  auto& system = *parts.system;
  parts.crypto->lend_brief_jobs(system.scheduler());
  spawn_tree(system, shared, parts.backend.get());
  call_at_leisure(system, *shared);
  start_impairments(parts);
  if (options.on_event) {
    auto observer =
        system.spawn<observer_actor>(shared, std::ref(*parts.callbacks), options.on_event);
    shared->engine.tell(subscribe_sa_events{observer});
  }
  parts.credentials = std::make_unique<engine_parts::credentials_store>(shared);

  shared->facts->start();
  parts.timer_driver = std::make_unique<timer_thread>(*shared->timers);
  parts.timer_driver->start();
  if (parts.backend) {
    parts.sink = std::make_unique<kernel_sink>(shared->kernel.actor());
    if (auto started = parts.backend->start(*parts.sink); !started) return started.failure();
    for (const auto& warning : parts.backend->warnings()) record_warning(*shared->facts, warning);
  }
  if (options.watches_uplinks) {
    auto links =
        kernel_if::link_watch::start({[to = shared->uplinks](std::vector<kernel_if::link> list) {
                                        to.tell(links_changed{std::move(list)});
                                      },
                                      [to = shared->uplinks] { to.tell(routes_changed{}); }});
    if (!links) return links.failure();
    parts.links = std::move(*links);
  }
  if (auto reading = parts.net->start(shared, parts.backend.get()); !reading)
    return reading.failure();
  return made;
}

// In the order of dependence: nothing new comes in, actors end, the data plane is emptied, threads
// are joined.
engine::~engine() {
  auto& parts = *parts_;
  if (parts.net) parts.net->stop();
  parts.links.reset();
  auto& shared = *parts.shared;
  stop_impairments(parts);
  if (parts.system) {
    kill_tree(shared);
    parts.system->await_all_actors_done();
  }
  if (parts.backend) parts.backend->stop();
  if (parts.crypto) parts.crypto->stop();
  if (parts.timer_driver) parts.timer_driver->stop();
  parts.sink.reset();
  release_tree(shared);
  parts.system.reset();
  if (parts.callbacks) parts.callbacks->stop();
  if (shared.facts) shared.facts->stop();
}

namespace {

template <class message, class question>
std::optional<message> ask(engine_parts& parts, question asked) {
  auto promise = std::make_shared<std::promise<message>>();
  auto future = promise->get_future();
  asked.reply_to = parts.system->spawn<promise_actor<message>>(parts.shared, std::move(promise));
  parts.shared->engine.tell(std::move(asked));
  try {
    return future.get();
  } catch (const std::future_error&) {
    return std::nullopt;  // the engine ended first
  }
}

}  // namespace

status engine::load(config::configuration configuration) {
  auto parsed = ikev2::parse_credentials(*parts_->shared->library, std::move(configuration));
  if (!parsed) return parsed.failure();
  return parts_->credentials->replace_files(std::move(*parsed));
}

status engine::load_text(std::string_view text) {
  config::file_access none;
  none.read = [](const std::string& path) { return result<std::string>{errc::not_found, path}; };
  none.glob = [](const std::string&) { return std::vector<std::string>{}; };
  auto settings = config::parse_settings(text, "text", none);
  if (!settings) return settings.failure();
  auto built = config::build_configuration(**settings, ".", none);
  if (auto* errors = std::get_if<config::configuration_errors>(&built))
    return errors->errors.front();
  return load(std::move(std::get<config::configuration>(built)));
}

void engine::initiate(std::string connection, std::string child, callback done) {
  auto waiter = parts_->system->spawn<command_actor>(parts_->shared, std::ref(*parts_->callbacks),
                                                     std::move(done), true);
  parts_->shared->engine.tell(
      initiate_sa{std::move(connection), std::move(child), parts_->shared->new_id(), waiter});
}

void engine::terminate(std::string connection, std::string child, callback done) {
  auto waiter = parts_->system->spawn<command_actor>(parts_->shared, std::ref(*parts_->callbacks),
                                                     std::move(done), true);
  parts_->shared->engine.tell(terminate_sas{
      {std::move(connection), std::move(child), 0, 0}, false, parts_->shared->new_id(), waiter});
}

void engine::rekey(std::string connection, std::string child, callback done) {
  auto waiter = parts_->system->spawn<command_actor>(parts_->shared, std::ref(*parts_->callbacks),
                                                     std::move(done), false);
  parts_->shared->engine.tell(
      rekey_sas{{std::move(connection), std::move(child), 0, 0}, parts_->shared->new_id(), waiter});
}

std::vector<ike_sa_status_ptr> engine::list() {
  auto listed = ask<ike_sas_listed>(*parts_, list_ike_sas{{}, parts_->shared->new_id(), {}});
  return listed ? std::move(listed->list) : std::vector<ike_sa_status_ptr>{};
}

std::uint16_t engine::nat_port() const { return parts_->net->nat_port(); }
kernel_if::backend* engine::backend() { return parts_->backend.get(); }
instant engine::now() const { return parts_->shared->time->now(); }

void engine::stop() { (void)ask<engine_stopped>(*parts_, stop_engine{}); }

}  // namespace imago
