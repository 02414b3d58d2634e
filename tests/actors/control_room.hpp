// A control server with everything it needs, and an engine that only pretends: what the tests of
// the control socket share.
#pragma once

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <thread>

#include "actors/control.hpp"
#include "actors/engine_parts.hpp"
#include "actors/impair.hpp"
#include "actors/journal_sinks.hpp"
#include "actors/scheduler_policy.hpp"
#include "core/vici/message.hpp"

namespace imago::actors::testing {

// May be moved while others read it.
class shared_clock final : public clock {
 public:
  instant now() const override { return {duration{now_ns_.load()}}; }
  wall_time wall() const override { return {1'800'000'000}; }
  void pass(duration by) { now_ns_ += by.count(); }

 private:
  std::atomic<std::int64_t> now_ns_{std::int64_t{1000} * 1'000'000'000};
};

// What the pretending engine and data plane do, and what they were asked. Thread-safe.
struct control_script {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<initiate_sa> initiations;
  std::vector<terminate_sas> terminations;
  std::vector<sa_selector> rekeyed, killed;
  std::size_t subscriptions = 0;
  std::atomic<std::size_t> matches = 1;
  std::atomic<bool> ends_politely = true;  // a termination without force is answered
  std::atomic<bool> counts_usage = true;   // the data plane answers
  std::vector<ike_sa_status_ptr> sas;
  std::vector<child_policy_status> policies;
  std::vector<std::pair<bool, std::string>> policy_changes;  // installed? and which

  // Until that many initiations have come. False after a long time.
  bool wait_for_initiations(std::size_t count);
  bool wait_for_subscription();
};

class control_room {
 public:
  control_room();
  ~control_room();

  status start();
  std::string uri() const { return "unix://" + path(); }
  std::string path() const { return (folder_ / "control").string(); }
  const std::filesystem::path& folder() const { return folder_; }
  engine_parts& parts() { return parts_; }
  control_script& script() { return *script_; }
  // Lets time pass and fires what is due.
  void pass(duration by);
  // Turns the wheel until it is so; a long time without is a failure.
  bool eventually(const std::function<bool()>& holds);
  void record(std::string connection, std::uint64_t ike_sa, std::string text);

  std::function<status()> reload = [] { return status{}; };
  std::unique_ptr<control_server> server;

 private:
  std::filesystem::path folder_;
  std::shared_ptr<shared_clock> time_ = std::make_shared<shared_clock>();
  std::shared_ptr<control_script> script_ = std::make_shared<control_script>();
  engine_parts parts_;
};

// A client that does what a test wants, also what no client should.
class test_client {
 public:
  explicit test_client(const control_room& room);
  ~test_client();
  test_client(const test_client&) = delete;
  test_client& operator=(const test_client&) = delete;

  bool is_connected() const { return fd_ >= 0; }
  bool send_octets(bytes_view octets);  // false: the server has closed
  // As much as goes at once; false: nothing goes now or any more.
  bool send_some(bytes_view octets);
  void send(vici::packet_type type, std::string name, vici::message body = {});
  // The next packet; nothing if the server has closed (or a long time has passed).
  std::optional<vici::packet> receive();
  bool has_input() const;  // something to receive is there already
  bool is_closed();        // waits for the end, skipping what comes before
  void disconnect();

  // A command's response; its events are appended to `events`.
  vici::message call(std::string command, vici::message body = {});
  bool listen_to(std::string event);
  // The next event of that name, from `events` or the socket.
  std::optional<vici::packet> next_event(std::string_view name);
  std::vector<vici::packet> events;

 private:
  int fd_ = -1;
  vici::segmenter input_;
};

vici::message body(std::initializer_list<std::pair<const char*, const char*>> values);
ike_sa_status_ptr sample_sa(std::uint64_t id, std::string connection, std::string child);

}  // namespace imago::actors::testing
