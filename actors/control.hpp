// The control socket: the vici protocol on a UNIX socket, so that swanctl and imagoctl can speak to
// an engine. One thread moves octets for all clients; one actor a client executes its requests
// strictly in order, one at a time. Nobody waits for a client: what it does not read is bounded.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "core/base/result.hpp"

namespace imago::actors {

struct engine_parts;
class control_io;

// "unix://path" to the path. Errors: bad_value, not_supported for other schemes.
result<std::string> path_of_control_uri(std::string_view uri);

class control_server {
 public:
  // Listens when it returns. `reload` reads the configuration files again (reload-settings); it is
  // called on a thread of the scheduler. `parts` must outlive stop(). Errors: bad_value for the
  // URI, system_error (also when another daemon answers on the socket).
  static result<std::unique_ptr<control_server>> start(engine_parts& parts, std::string_view uri,
                                                       std::function<status()> reload);
  ~control_server();
  control_server(const control_server&) = delete;
  control_server& operator=(const control_server&) = delete;

  // Closes all clients and removes the socket file. Before the engine ends.
  void stop();

 private:
  control_server();
  std::unique_ptr<control_io> io_;
};

}  // namespace imago::actors
