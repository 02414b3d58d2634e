// The thread of the control socket: accepts clients, cuts what they send into packets, writes what
// waits for them. Never blocks on a client. Private to control.
//
// Data path, in: socket -> segmenter -> packet -> control_client actor (at most
// limits::control_requests_max of a client; then it is not read). Out: actor or journal ->
// control_channel (bounded) -> this thread -> socket.
#pragma once

#include <atomic>
#include <map>
#include <thread>

#include <sys/types.h>

#include "actors/control_client.hpp"

namespace imago::actors {

class control_io {
 public:
  explicit control_io(control_context_ptr context) : context_{std::move(context)} {}
  ~control_io() { stop(); }
  control_io(const control_io&) = delete;
  control_io& operator=(const control_io&) = delete;

  status listen(const std::string& path);
  void stop();

 private:
  struct client {
    int fd = -1;
    control_channel_ptr channel;
    caf::actor actor;
    vici::segmenter input;
    bool wants_write = false, wants_read = true;
  };

  void run();
  void accept_clients();
  bool serve(std::uint64_t number, client& one, std::uint32_t ready);  // false: it is over
  bool read_from(client& one, std::uint32_t ready);
  void take_packets(client& one);
  void take_segment(client& one, bytes segment);
  bool write_to(client& one);
  void update_interest(std::uint64_t number, client& one);
  void close_client(std::uint64_t number);

  control_context_ptr context_;
  std::shared_ptr<control_waker> waker_ = std::make_shared<control_waker>();
  std::string path_;
  dev_t device_ = 0;  // of the socket file, which is ours only as long as these fit
  ino_t inode_ = 0;
  int listener_ = -1;
  int poll_ = -1;
  int spare_ = -1;  // a descriptor to give up when there are no more
  std::atomic<bool> is_stopping_{false};
  std::map<std::uint64_t, client> clients_;
  std::uint64_t next_number_ = 2;  // 0 and 1 name the listener and the waker
  bytes buffer_ = bytes(std::size_t{64} * 1024);
  std::thread thread_;
};

}  // namespace imago::actors
