// The back-end's work without its thread: requests become netlink messages, answers replies,
// kernel events facts. Stepped by whoever owns it; a test puts a script where the kernel is.
//
// Data path: submit() -> work_order (what may run side by side) -> request_pipeline -> kernel
// -> reply. Beside it: event socket -> fact. When events were lost, the SAs are dumped once and
// compared with what was installed: what an event would have said is said then.
#pragma once

#include <functional>

#include "kernel_if/xfrm/installed.hpp"
#include "kernel_if/xfrm/lease_journal.hpp"
#include "kernel_if/xfrm/request_pipeline.hpp"
#include "kernel_if/xfrm/work_order.hpp"

namespace imago::kernel_if::xfrm {

struct driver_options {
  pipeline_options pipeline;
  data_plane::spi spi_least = 0x100;  // RFC 4303 §2.1: those below are reserved
  data_plane::spi spi_most = 0xffffffff;
  unsigned resync_attempts_max = 3;
  lease_journal* journal = nullptr;  // outlives the driver; null: nothing is noted
  // Of the host, for last_used: what the kernel calls now.
  std::function<std::int64_t()> wall_seconds;
};

class driver {
 public:
  // All must outlive it; the sink is called from step() and submit().
  driver(netlink_transport& requests, netlink_transport& events, backend_sink& sink,
         driver_options chosen);

  void submit(request_id id, data_plane::request request);
  void step(instant now);
  bool is_idle() const { return order_.is_idle() && pipeline_.is_idle(); }
  std::optional<instant> next_due() const { return pipeline_.next_due(); }
  // What has not begun is answered shutting_down.
  void refuse_unbegun();
  // As flush, without a reply.
  void remove_all();
  // Before all that is submitted later: removes what the journal's leases say was left behind, as
  // far as it is still there and still ours.
  void reclaim();

  const pipeline_counters& counters() const { return pipeline_.counters(); }
  std::uint64_t resyncs() const { return resyncs_; }
  std::size_t reclaimed() const { return reclaimed_; }  // SAs and policies

 private:
  struct step_of_install;
  struct reclamation;

  void begin_ready();
  void begin(const job_ptr& one);
  void carry_out(const job_ptr& one, data_plane::allocate_spi& request);
  void carry_out(const job_ptr& one, data_plane::install_sa& request);
  void carry_out(const job_ptr& one, data_plane::remove_sa& request);
  void carry_out(const job_ptr& one, data_plane::install_policy& request);
  void carry_out(const job_ptr& one, data_plane::remove_policy& request);
  void carry_out(const job_ptr& one, data_plane::update_sa& request);
  void carry_out(const job_ptr& one, data_plane::query_sa& request);
  void carry_out(const job_ptr& one, data_plane::query_activity& request);
  void carry_out(const job_ptr& one, data_plane::flush& request);
  void finish(const job_ptr& one, data_plane::reply reply);
  void finish_allocation(const job_ptr& one, const answer& said);
  void look_for_larval(const job_ptr& one);  // that an earlier copy of the request may have made

  // install_sa and install_policy.
  using install_ptr = std::shared_ptr<step_of_install>;
  void ask_sa(const install_ptr& at, secret message);
  void ask_changes(const install_ptr& at, std::vector<policy_change> changes);
  void ask_add(const install_ptr& at, const policy_entry& entry);
  void count_down(const install_ptr& at);
  void complete(const install_ptr& at);
  void undo(const install_ptr& at);
  void undo_sa(const install_ptr& at, const install_ptr& back);

  // update_sa.
  void move(const job_ptr& one, const sa_image& image);
  void finish_move(const job_ptr& one, const sa_key& key, const ip_address& before,
                   const ip_address& after);

  // driver_leases.cpp
  void carry_out_reclaim(const job_ptr& one);
  void ask_dump(const std::shared_ptr<reclamation>& at, bool of_policies);
  void remove_found(const std::shared_ptr<reclamation>& at);
  void note(const installed_sa& sa);
  void note(const policy_entry& entry);
  void note_end(const sa_key& key);
  void note_end(const policy_key& key);
  sequence label_for(data_plane::spi spi) const;
  std::uint32_t index_for(const policy_key& key) const;

  void receive_events();
  void on_event(message_body& body);
  void on_expire(const sa_expire& expired);

  // driver_activity.cpp
  void on_activity(const sa_activity& said);
  void on_packets(installed_sa& sa, std::uint64_t packets);
  activity_thresholds thresholds_of(const installed_sa& sa) const;
  void set_thresholds(const installed_sa& sa);
  void measure_jiffies(const installed_sa& sa);
  data_plane::sa_usage activity_of(installed_sa& sa, const sa_image& image);
  void resync();
  void compare(const std::map<sa_key, data_plane::sa_usage>& seen,
               const std::set<data_plane::sa_id>& asked);

  backend_sink& sink_;
  driver_options options_;
  netlink_transport& events_;
  request_pipeline pipeline_;
  work_order order_;
  sa_table sas_;
  policy_table policies_;
  instant now_;
  bool must_resync_ = false;
  bool is_resyncing_ = false;
  unsigned resync_attempts_ = 0;
  std::uint64_t resyncs_ = 0;
  std::optional<unsigned> jiffies_per_second_;
  bool is_measuring_jiffies_ = false;
  job_ptr reclaiming_;
  std::size_t reclaimed_ = 0;
};

}  // namespace imago::kernel_if::xfrm
