// One control client: an actor that executes its requests in order, one at a time. A command that
// needs answers of other actors is a control_command; the client goes on when it has answered.
#pragma once

#include <deque>
#include <map>
#include <string>

#include "actors/actor_base.hpp"
#include "actors/control_channel.hpp"
#include "actors/engine_parts.hpp"

namespace imago::actors {

// --- messages, from the I/O thread and the journal's ---
struct control_request_received {
  owned<vici::packet> packet;
  bool is_malformed = false;  // a command whose message could not be read
};
struct control_client_gone {};
struct control_output_drained {};
struct control_log_written {  // what was recorded while the command ran has been sent
  std::uint64_t command = 0;
};

// What all clients of one socket share. Thread-safe.
struct control_context {
  control_context(engine_parts& of, std::function<status()> reload_files)
      : parts{of}, reload{std::move(reload_files)} {}
  engine_parts& parts;
  std::function<status()> reload;
  // The policy knows authorities by content; clients name them.
  std::mutex authorities_mutex;
  std::map<std::string, bytes> authorities;  // name: DER
};
using control_context_ptr = std::shared_ptr<control_context>;

class control_client;

// A command while it runs: gets what answers its questions, ends by control_client::answer().
class control_command {
 public:
  explicit control_command(control_client& client) : client_{client} {}
  virtual ~control_command() = default;
  control_command(const control_command&) = delete;
  control_command& operator=(const control_command&) = delete;

  virtual void begin() = 0;
  virtual void on_selection(const selection_made&) {}
  virtual void on_task_ended(const task_ended&) {}
  virtual void on_listed(const ike_sas_listed&) {}
  virtual void on_counted(const engine_counted&) {}
  virtual void on_policies_listed(const child_policies_listed&) {}
  virtual void on_kernel_reply(kernel_reply&) {}
  virtual void on_timeout() {}
  virtual void on_drained() {}

 protected:
  control_client& client_;  // owns this
};

class control_client final : public actor_base {
 public:
  control_client(caf::actor_config& config, control_context_ptr context,
                 control_channel_ptr channel, std::uint64_t number);
  caf::behavior make_behavior() override;
  void on_exit() override;

  // --- for commands ---
  control_context& context() { return *context_; }
  services& shared() { return *context_->parts.shared; }
  caf::actor self() { return caf::actor_cast<caf::actor>(this); }
  std::uint64_t number() const { return number_; }  // of this client
  // The running command's number: questions carry it, so that late answers are known as such.
  std::uint64_t command() const { return command_number_; }
  bool is_registered(std::string_view event) const;
  // An event of the running command; nothing if the client did not register it.
  void stream(std::string_view event, vici::message message);
  bool should_wait() { return channel_->should_wait(); }  // then on_drained follows
  // As long as it lives, the events streamed leave together.
  class burst {
   public:
    explicit burst(control_client& of) : channel_{of.channel_} { channel_->hold_back(); }
    ~burst() { channel_->let_go(); }
    burst(const burst&) = delete;
    burst& operator=(const burst&) = delete;

   private:
    control_channel_ptr channel_;
  };
  void arm_timer(duration delay) { timer_.arm(address(), delay); }
  void cancel_timer() { timer_.cancel(); }
  // Streams facts as control-log until the command is answered.
  void stream_log(std::function<bool(const fact&)> wants, std::int64_t level);
  // Ends the running command.
  void answer(vici::message message);

 private:
  void on_request(control_request_received& request);
  void run_next();
  void execute(vici::packet request, bool is_malformed);
  void register_event(const std::string& name);
  void unregister_event(const std::string& name);
  void on_sa_event(const sa_event& event);
  void send(vici::packet_type type, vici::message body = {});
  void finish();
  template <class message>
  void pass_on(const message& what, void (control_command::*handler)(const message&)) {
    if (running_ && !answer_ && what.command == command_number_) ((*running_).*handler)(what);
    finish();
  }

  control_context_ptr context_;
  control_channel_ptr channel_;
  const std::uint64_t number_;  // of this client, for the log
  struct waiting {
    vici::packet packet;
    bool is_malformed = false;
  };
  std::deque<waiting> waiting_;
  std::unique_ptr<control_command> running_, ended_;
  std::uint64_t command_number_ = 0;
  std::string command_name_;
  std::optional<vici::message> answer_;  // waits for the log to be written
  actor_timer timer_;
  std::map<std::string, unsigned, std::less<>> events_;  // how often registered
  std::map<std::string, journal::sink_id, std::less<>> log_sinks_;
  std::optional<journal::sink_id> command_log_;
  bool is_subscribed_ = false;
};

// The event packet of a fact: group, level, ikesa-name, ikesa-uniqueid, msg.
vici::packet log_event(std::string name, const fact& what);
// Level 1 is the most that `log` tells (a client may be the cause of more).
inline constexpr std::string_view log_event_name = "log";
// Ours: every level.
inline constexpr std::string_view debug_log_event_name = "log-debug";

}  // namespace imago::actors

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(imago::actors::control_request_received)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(imago::actors::control_client_gone)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(imago::actors::control_output_drained)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(imago::actors::control_log_written)
