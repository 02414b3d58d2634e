// A data plane of tables only: what a test sees, holds, spoils and permutes.
//
// A request is carried out inside submit(); its reply is given there too, or held until step().
// Faults are data: which request, the how-manieth, what happens.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

#include "core/base/random.hpp"
#include "kernel_if/backend.hpp"

namespace imago::kernel_if {

enum class fault_action : std::uint8_t {
  hold,          // carried out, the reply waits for step()
  refuse,        // not carried out; the reply is the error `code`
  lose_request,  // neither carried out nor answered
  lose_reply,    // carried out, never answered
  repeat_reply,  // carried out, answered twice
  fail_late,     // carried out, and yet the reply is the error `code`
};

struct fault {
  std::string request;    // as name_of(request); empty: any request
  std::uint32_t nth = 1;  // 1: the next one of that name; 0: every one
  fault_action action{};
  errc code = errc::no_buffer_space;
};

// An installed SA as a test may look at it: no keys, a digest of them instead.
struct fake_sa {
  data_plane::sa_id id;
  ip_address source;
  data_plane::mode mode{};
  std::uint32_t reqid = 0;
  encryption_algorithm encryption{};
  std::uint16_t key_bits = 0;
  integrity_algorithm integrity{};
  std::size_t key_fingerprint = 0;  // equal keys, equal numbers: do both peers agree?
  bool uses_esn = false;
  std::uint32_t replay_window = 0;
  std::optional<endpoint> encap_local;
  std::optional<endpoint> encap_remote;
  data_plane::lifetime lifetime;
  traffic_selectors local_selectors;
  traffic_selectors remote_selectors;
  bool reports_first_use = false;
  duration activity_interval{};
  std::optional<instant> activity_reported;
  std::uint64_t installed_order = 0;  // grows: the newest outbound SA of a reqid is the one used
  data_plane::sa_usage usage;
};

struct fake_larval {
  data_plane::sa_id id;
  ip_address remote;
};

struct held_reply {
  request_id id = 0;
  std::string request;  // name
};

class fake_backend final : public backend {
 public:
  struct options {
    kernel_if::capabilities capabilities{true, true, true, false, 4096, false, false, true};
    bool holds_replies = false;
    // Of SPIs that a request leaves to the data plane; null: count up from first_spi.
    random_source* random = nullptr;
    data_plane::spi first_spi = 0xc0000001;
  };
  fake_backend() : fake_backend(options{}) {}
  explicit fake_backend(options chosen) : options_{chosen}, next_spi_{chosen.first_spi} {}

  std::string_view name() const override { return "fake"; }
  kernel_if::capabilities capabilities() const override { return options_.capabilities; }
  status start(backend_sink& sink) override;
  void submit(request_id id, data_plane::request request) override;
  void stop() override;

  // --- what a test does -------------------------------------------------------------------------
  void inject_fault(fault what);
  void clear_faults();
  // False lets nothing go by itself: what is held stays held until stepped.
  void set_holding(bool holds);
  std::vector<held_reply> held() const;  // oldest first
  // Gives the oldest held reply, or that of one request; false if there is none.
  bool step();
  bool step(request_id id);
  // Gives it and keeps it, so that it can come again.
  bool step_and_keep(request_id id);
  void step_all();
  bool drop(request_id id);
  void inject_event(data_plane::event event);
  // What a packet from local to remote meets: the policy that an SPD would find, nothing if there
  // is none. One that protects and has no outbound SA is reported: sa_acquired.
  std::optional<data_plane::policy> send_packet(const traffic_selector& local,
                                                const traffic_selector& remote);

  // Somebody else removed it and that was not heard: events_lost, then what a dump tells of it.
  status lose_sa(const data_plane::sa_id& id);

  // What the SA carried, for query_sa; no_such_sa.
  status set_usage(const data_plane::sa_id& id, data_plane::sa_usage usage);
  // A packet of so many octets on that SA: counted, and reported as the SA asked for; no_such_sa.
  status carry_packet(const data_plane::sa_id& id, std::size_t octets, instant now);
  // The SA a packet of this reqid would leave by now.
  std::optional<data_plane::sa_id> outbound_sa_of(std::uint32_t reqid) const;

  // --- what a test sees -------------------------------------------------------------------------
  std::vector<fake_sa> sas() const;
  bool has_sa(const data_plane::sa_id& id) const;  // mature
  // The same SAs, as little as tells whether both peers agree: cheap.
  std::vector<std::pair<data_plane::sa_id, std::size_t>> key_fingerprints() const;
  bool has_policies() const;
  std::size_t larval_count() const;
  std::vector<data_plane::policy> policies() const;
  std::vector<fake_larval> larval() const;
  std::vector<std::string> submitted() const;  // names of all requests, in order
  bool is_empty() const;                       // no SA, no larval SA, no policy
  bool is_started() const;

 private:
  struct waiting {
    request_id id = 0;
    std::string request;
    data_plane::reply reply;
  };
  class sink_call;

  data_plane::reply carry_out(data_plane::allocate_spi& request);
  data_plane::reply carry_out(data_plane::install_sa& request);
  data_plane::reply carry_out(data_plane::remove_sa& request);
  data_plane::reply carry_out(data_plane::install_policy& request);
  data_plane::reply carry_out(data_plane::remove_policy& request);
  data_plane::reply carry_out(data_plane::update_sa& request);
  data_plane::reply carry_out(data_plane::query_sa& request);
  data_plane::reply carry_out(data_plane::query_activity& request);
  data_plane::reply carry_out(data_plane::flush& request);
  std::optional<fault> take_fault(std::string_view request);
  bool give(request_id id, bool keeps);
  void give_now(request_id id, const data_plane::reply& reply, int times);

  options options_;
  mutable std::mutex mutex_;
  std::condition_variable call_ended_;
  std::vector<std::thread::id> calls_;  // sink calls under way
  backend_sink* sink_ = nullptr;
  bool holds_replies_ = false;
  std::vector<fault> faults_;
  std::vector<waiting> held_;
  std::vector<std::string> submitted_;
  data_plane::spi next_spi_;
  std::uint64_t installed_count_ = 0;
  std::map<data_plane::sa_id, fake_sa> sas_;
  std::map<data_plane::sa_id, fake_larval> larval_;
  std::map<data_plane::policy, std::uint32_t> policies_;  // how often installed
};

}  // namespace imago::kernel_if
