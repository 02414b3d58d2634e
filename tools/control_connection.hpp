// The client's side of the control socket: a blocking socket with a deadline.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "core/vici/message.hpp"

namespace imago {

class control_connection {
 public:
  using clock = std::chrono::steady_clock;
  using on_event = std::function<void(const vici::packet&)>;

  // Errors: bad_value (URI), system_error (nobody answers there).
  static result<control_connection> open(const std::string& uri);
  control_connection(control_connection&& other) noexcept;
  control_connection& operator=(control_connection&&) = delete;
  ~control_connection();

  // Nothing: as long as it takes.
  void set_deadline(std::optional<clock::time_point> deadline) { deadline_ = deadline; }

  // A command's response; events that come before it go to `tell`.
  // Errors: timed_out, not_supported (the daemon does not know it), system_error.
  result<vici::message> call(std::string command, vici::message request, const on_event& tell = {});
  // Errors: as above.
  status listen_to(std::string event);
  // Passes on what comes until the connection ends.
  status follow(const on_event& tell);
  // The next packet.
  result<vici::packet> receive();

 private:
  explicit control_connection(int fd) : fd_{fd} {}
  status send(const vici::packet& packet);
  status wait_for(short what);

  int fd_;
  vici::segmenter input_;
  std::optional<clock::time_point> deadline_;
};

}  // namespace imago
