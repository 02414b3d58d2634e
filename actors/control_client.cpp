#include "actors/control_client.hpp"

#include <algorithm>

#include "actors/control_commands.hpp"
#include "actors/control_listing.hpp"
#include "actors/journal_sinks.hpp"

namespace imago::actors {

namespace {

// The journal's thread is asked to say when it is through; that long it may take.
constexpr auto log_wait_max = std::chrono::milliseconds{200};

// The fact that ends a command is also the mark up to which its log has been written.
constexpr std::string_view ended_fact = "control_command_ended";

std::uint64_t number_of(const fact& what, std::string_view key) {
  const auto* field = what.find(key);
  const auto* number = field ? std::get_if<std::uint64_t>(&field->get()) : nullptr;
  return number ? *number : 0;
}

journal_level level_of(std::int64_t level) {
  auto highest = static_cast<std::int64_t>(journal_level_count) - 1;
  return static_cast<journal_level>(std::clamp<std::int64_t>(level, 0, highest));
}

}  // namespace

vici::packet log_event(std::string name, const fact& what) {
  vici::packet packet{vici::packet_type::event, std::move(name), {}};
  packet.body.add("group", std::string{vici_text_of(what.group)})
      .add("level", std::to_string(static_cast<unsigned>(what.level)));
  if (!what.connection.empty()) packet.body.add("ikesa-name", escaped(what.connection));
  if (what.ike_sa != 0) packet.body.add("ikesa-uniqueid", std::to_string(what.ike_sa));
  packet.body.add("msg", story_of(what));
  return packet;
}

control_client::control_client(caf::actor_config& config, control_context_ptr context,
                               control_channel_ptr channel, std::uint64_t number)
    : actor_base{config, "control_client", context->parts.shared->counted,
                 context->parts.shared->facts},
      context_{std::move(context)},
      channel_{std::move(channel)},
      number_{number},
      timer_{context_->parts.shared->timers, timer_kind::reply_due} {}

caf::behavior control_client::make_behavior() {
  // Without the engine there is nobody to answer.
  monitor(shared().engine.actor());
  set_down_handler([this](const caf::down_msg&) { quit(caf::exit_reason::user_shutdown); });
  return handled_by(
      [this](control_request_received& request) { on_request(request); },
      [this](const control_client_gone&) { quit(caf::exit_reason::normal); },
      [this](const control_output_drained&) {
        if (running_ && !answer_) running_->on_drained();
        finish();
      },
      [this](const control_log_written& written) {
        if (answer_ && written.command == command_number_) {
          timer_.cancel();
          facts().remove_sink(*std::exchange(command_log_, std::nullopt));
          send(vici::packet_type::command_response, std::move(*std::exchange(answer_, {})));
          ended_ = std::move(running_);
        }
        finish();
      },
      [this](const selection_made& what) { pass_on(what, &control_command::on_selection); },
      [this](const task_ended& what) { pass_on(what, &control_command::on_task_ended); },
      [this](const ike_sas_listed& what) { pass_on(what, &control_command::on_listed); },
      [this](const engine_counted& what) { pass_on(what, &control_command::on_counted); },
      [this](const child_policies_listed& what) {
        pass_on(what, &control_command::on_policies_listed);
      },
      [this](kernel_reply& what) {
        if (running_ && !answer_) running_->on_kernel_reply(what);
        finish();
      },
      [this](const sa_event_happened& happened) { on_sa_event(happened.event); },
      [this](const timer_due& due) {
        if (!timer_.accept(due)) return;
        if (answer_)
          caf::anon_send(self(), control_log_written{command_number_});
        else if (running_)
          running_->on_timeout();
        finish();
      },
      [this](const kill&) { quit(caf::exit_reason::kill); });
}

void control_client::on_exit() {
  timer_.cancel();
  for (const auto& [event, sink] : log_sinks_) facts().remove_sink(sink);
  if (command_log_) facts().remove_sink(*command_log_);
  running_.reset();
  ended_.reset();
  waiting_.clear();
  channel_->end();
  channel_.reset();
  context_.reset();
  actor_base::on_exit();
}

void control_client::send(vici::packet_type type, vici::message body) {
  channel_->send({type, {}, std::move(body)});
  channel_->request_answered();
}

void control_client::on_request(control_request_received& request) {
  if (!request.packet.has_value()) return;
  waiting_.push_back({request.packet.take(), request.is_malformed});
  run_next();
}

void control_client::run_next() {
  while (!running_ && !waiting_.empty()) {
    auto next = std::move(waiting_.front());
    waiting_.pop_front();
    execute(std::move(next.packet), next.is_malformed);
    ended_.reset();
  }
}

void control_client::execute(vici::packet request, bool is_malformed) {
  using enum vici::packet_type;
  if (request.type == event_register) return register_event(request.name);
  if (request.type == event_unregister) return unregister_event(request.name);
  if (request.type != command_request) {
    channel_->request_answered();  // no client sends these: ignored, as charon does
    return;
  }
  const auto* row = find_command(request.name);
  if (!row) return send(command_unknown);
  if (is_malformed) return send(command_response, refusal("parsing request failed"));
  facts().record(journal_level::detail, journal_group::control, [&] {
    fact received;
    received.name = "control_command_received";
    received.fields = {{"client", number_}, {"command", request.name}};
    received.story = "client {client}: {command}";
    return received;
  });
  if (const auto* immediate = std::get_if<immediate_command>(&row->run))
    return send(command_response, (*immediate)(*context_, request.body));
  command_number_ = shared().new_id();
  command_name_ = request.name;
  running_ = std::get<lasting_command>(row->run)(*this, request.body);
  running_->begin();
}

// A command that has answered is destroyed here, when none of its functions runs any more.
void control_client::finish() {
  if (!ended_) return;
  ended_.reset();
  run_next();
}

void control_client::answer(vici::message message) {
  if (!running_ || answer_) return;
  timer_.cancel();
  if (!command_log_) {
    send(vici::packet_type::command_response, std::move(message));
    ended_ = std::move(running_);
    return;
  }
  // The log is written by another thread; the response follows its last line.
  fact ended;
  ended.level = journal_level::control;
  ended.group = journal_group::control;
  ended.name = "control_command_ended";
  ended.fields = {{"client", number_},
                  {"command", command_name_},
                  {"number", command_number_},
                  {"success", message.value_or("success", "yes")}};
  ended.story = "client {client}: {command} ended, success: {success}";
  answer_ = std::move(message);
  facts().record(std::move(ended));
  timer_.arm(address(), log_wait_max);
}

bool control_client::is_registered(std::string_view event) const {
  return events_.find(event) != events_.end();
}

void control_client::stream(std::string_view event, vici::message message) {
  if (is_registered(event))
    channel_->send({vici::packet_type::event, std::string{event}, std::move(message)});
}

void control_client::stream_log(std::function<bool(const fact&)> wants, std::int64_t level) {
  if (!is_registered("control-log") || level < 0) return;
  if (command_log_) facts().remove_sink(*command_log_);
  auto filter = journal_filter::up_to(level_of(level));
  filter.set(journal_group::control, std::max(level_of(level), journal_level::control));
  auto write = [channel = channel_, to = self(), number = command_number_,
                wants = std::move(wants)](const fact& what) {
    if (what.name.view() == ended_fact) {
      if (number_of(what, "number") == number) caf::anon_send(to, control_log_written{number});
    } else if (wants(what)) {
      channel->send_if_it_reads(log_event("control-log", what));
    }
  };
  command_log_ = facts().add_sink(std::make_shared<callback_sink>(std::move(write)), filter);
}

void control_client::register_event(const std::string& name) {
  if (!is_event(name)) return send(vici::packet_type::event_unknown);
  ++events_[name];
  if (is_sa_event(name) && !is_subscribed_) {
    shared().engine.tell(subscribe_sa_events{self()});
    is_subscribed_ = true;
  }
  if ((name == log_event_name || name == debug_log_event_name) && log_sinks_.count(name) == 0) {
    auto level = name == log_event_name ? journal_level::control : journal_level::debug;
    auto write = [channel = channel_, name](const fact& what) {
      channel->send_if_it_reads(log_event(name, what));
    };
    log_sinks_[name] = facts().add_sink(std::make_shared<callback_sink>(std::move(write)),
                                        journal_filter::up_to(level));
  }
  // What happens after the confirmation is told.
  send(vici::packet_type::event_confirm);
}

void control_client::unregister_event(const std::string& name) {
  auto at = events_.find(name);
  if (at == events_.end()) return send(vici::packet_type::event_unknown);
  if (--at->second == 0) {
    events_.erase(at);
    if (auto sink = log_sinks_.find(name); sink != log_sinks_.end()) {
      facts().remove_sink(sink->second);
      log_sinks_.erase(sink);
    }
  }
  send(vici::packet_type::event_confirm);
}

void control_client::on_sa_event(const sa_event& event) {
  auto packet = packet_of(event, shared().time->now());
  if (is_registered(packet.name)) channel_->send_if_it_reads(packet);
}

}  // namespace imago::actors
