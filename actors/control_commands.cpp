#include "actors/control_commands.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <malloc.h>
#include <sys/utsname.h>

namespace imago::actors {

namespace {

vici::message version(control_context&, vici::message&) {
  utsname host{};
  (void)::uname(&host);
  vici::message out;
  out.add("daemon", "imagod").add("version", IMAGO_VERSION);
  out.add("sysname", host.sysname).add("release", host.release).add("machine", host.machine);
  return out;
}

vici::message reload_settings(control_context& context, vici::message&) {
  if (!context.reload) return refusal("there is no configuration file to read again");
  auto reloaded = context.reload();
  return reloaded ? success() : refusal(reloaded.failure().where);
}

vici::message nothing_to_flush(control_context&, vici::message&) { return success(); }
vici::message no_pools(control_context&, vici::message&) { return {}; }

template <class algorithm, class... algorithms>
vici::message names_of(std::string_view from, algorithm first, algorithms... others) {
  vici::message out;
  out.add(text_of(first), std::string{from});
  (out.add(text_of(others), std::string{from}), ...);
  return out;
}

vici::message get_algorithms(control_context&, vici::message&) {
  constexpr std::string_view from = "openssl";
  vici::message out;
  using enum encryption_algorithm;
  out.add_section("encryption", names_of(from, aes_cbc));
  out.add_section("integrity", names_of(from, integrity_algorithm::hmac_sha2_256_128,
                                        integrity_algorithm::hmac_sha2_384_192,
                                        integrity_algorithm::hmac_sha2_512_256));
  out.add_section("aead", names_of(from, aes_gcm_16, chacha20_poly1305));
  out.add_section("prf", names_of(from, prf_algorithm::hmac_sha2_256, prf_algorithm::hmac_sha2_384,
                                  prf_algorithm::hmac_sha2_512));
  out.add_section("ke", names_of(from, ke_method::modp_2048, ke_method::modp_3072,
                                 ke_method::modp_4096, ke_method::ecp_256, ke_method::ecp_384,
                                 ke_method::ecp_521, ke_method::curve25519));
  return out;
}

// stats: what the engine counts, then what the process does.
class stats_command final : public control_command {
 public:
  using control_command::control_command;
  void begin() override {
    client_.shared().engine.tell(count_engine{client_.command(), client_.self()});
  }
  void on_counted(const engine_counted& counted) override {
    auto& shared = client_.shared();
    auto age =
        std::chrono::duration_cast<std::chrono::seconds>(shared.time->now() - counted.started_at);
    vici::message out, uptime, ike_sas, living, memory;
    uptime.add("running", fmt::format("{} seconds", age.count()));
    uptime.add("since", time_text(shared.time->wall().seconds - age.count()));
    out.add_section("uptime", std::move(uptime));
    add_workers(out);
    out.add("scheduled", std::to_string(shared.timers->pending()));
    ike_sas.add("total", std::to_string(counted.ike_sas));
    ike_sas.add("half-open", std::to_string(counted.half_open));
    out.add_section("ikesas", std::move(ike_sas));
    out.add_list("plugins", plugins());
    for (const auto& [kind, count] : shared.counted->living())
      living.add(kind, std::to_string(count));
    out.add_section("living", std::move(living));
    auto heap = ::mallinfo2();
    memory.add("sbrk", std::to_string(heap.arena)).add("mmap", std::to_string(heap.hblkhd));
    memory.add("used", std::to_string(heap.uordblks)).add("free", std::to_string(heap.fordblks));
    out.add_section("mallinfo", std::move(memory));
    client_.answer(std::move(out));
  }

 private:
  static std::string time_text(std::int64_t seconds) {
    auto at = static_cast<std::time_t>(seconds);
    std::tm parts{};
    char text[64];
    if (!::localtime_r(&at, &parts)) return {};
    return {text, std::strftime(text, sizeof text, "%b %d %H:%M:%S %Y", &parts)};
  }
  // The crypto threads are what charon's workers are; actors have no queues by priority.
  void add_workers(vici::message& out) const {
    auto& options = client_.shared().options;
    auto threads = std::to_string(options.scheduler_threads + options.crypto_threads);
    vici::message workers, active, queues;
    for (const auto* priority : {"critical", "high", "medium", "low"}) {
      active.add(priority, "0");
      queues.add(priority, "0");
    }
    workers.add("total", threads).add("idle", threads);
    workers.add_section("active", std::move(active));
    out.add_section("workers", std::move(workers)).add_section("queues", std::move(queues));
  }
  std::vector<std::string> plugins() const {
    std::vector<std::string> names{"openssl", "vici"};
    if (const auto& backend = client_.context().parts.backend) names.emplace_back(backend->name());
    return names;
  }
};

std::unique_ptr<control_command> make_stats(control_client& client, vici::message&) {
  return std::make_unique<stats_command>(client);
}

const command_row commands[] = {
    {"version", &version},
    {"stats", &make_stats},
    {"reload-settings", &reload_settings},
    {"initiate", &make_initiate},
    {"terminate", &make_terminate},
    {"rekey", &make_rekey},
    {"kill", &make_kill},  // ours
    {"install", &make_install},
    {"uninstall", &make_uninstall},
    {"list-sas", &make_list_sas},
    {"list-policies", &make_list_policies},
    {"list-conns", &make_list_connections},
    {"list-certs", &make_list_certificates},
    {"list-authorities", &make_list_authorities},
    {"load-conn", &load_connections},
    {"unload-conn", &unload_connection},
    {"get-conns", &get_connections},
    {"load-cert", &load_certificate},
    {"load-key", &load_key},
    {"unload-key", &unload_key},
    {"get-keys", &get_keys},
    {"load-shared", &load_shared_key},
    {"unload-shared", &unload_shared_key},
    {"get-shared", &get_shared_keys},
    {"clear-creds", &clear_credentials},
    {"flush-certs", &nothing_to_flush},
    {"load-authority", &load_authority},
    {"unload-authority", &unload_authority},
    {"get-authorities", &get_authorities},
    {"get-pools", &no_pools},
    {"get-algorithms", &get_algorithms},
    {"impair", &make_impair},  // ours, as the next two
    {"impair-list", &list_impairments},
    {"impair-clear", &clear_impairments},
};

constexpr std::array events = {
    log_event_name,
    debug_log_event_name,
    std::string_view{"control-log"},
    std::string_view{"list-sa"},
    std::string_view{"list-policy"},
    std::string_view{"list-conn"},
    std::string_view{"list-cert"},
    std::string_view{"list-authority"},
};
constexpr std::array sa_events = {
    std::string_view{"ike-updown"},
    std::string_view{"ike-rekey"},
    std::string_view{"child-updown"},
    std::string_view{"child-rekey"},
};

}  // namespace

const command_row* find_command(std::string_view name) {
  for (const auto& row : commands)
    if (row.name == name) return &row;
  return nullptr;
}

bool is_sa_event(std::string_view name) {
  return std::find(sa_events.begin(), sa_events.end(), name) != sa_events.end();
}

bool is_event(std::string_view name) {
  return is_sa_event(name) || std::find(events.begin(), events.end(), name) != events.end();
}

vici::message success() {
  vici::message out;
  out.add("success", "yes");
  return out;
}

vici::message refusal(std::string why) {
  vici::message out;
  out.add("success", "no").add("errmsg", std::move(why));
  return out;
}

vici::message reply_of(const status& result) {
  return result ? success() : refusal(result.failure().text());
}

}  // namespace imago::actors
