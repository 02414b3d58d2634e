// Watches the interfaces of the calling thread's network namespace by rtnetlink: links, addresses
// and, as a mere "something changed", the routes of the main table.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "core/base/bytes.hpp"
#include "core/base/result.hpp"
#include "kernel_if/route/links.hpp"

struct mnl_socket;

namespace imago::kernel_if {

// What rtnetlink has said so far. No socket: octets in, links out.
class link_table {
 public:
  struct change {
    bool has_links = false;
    bool has_routes = false;
    bool is_broken = false;  // not netlink: what follows cannot be found
  };
  // One datagram of RTM_{NEW,DEL}{LINK,ADDR,ROUTE}; other messages are passed over.
  change apply(bytes_view datagram);
  std::vector<link> links() const;
  void clear() { links_.clear(); }

 private:
  bool on_link(bytes_view payload, bool is_new);
  bool on_address(bytes_view payload, bool is_new);
  std::map<std::uint32_t, link> links_;  // without a name: only its addresses are known yet
};

class link_watch {
 public:
  struct listener {
    std::function<void(std::vector<link>)> on_links;  // first when it starts, then what changed
    std::function<void()> on_routes;
  };
  // Both are called from the watch's own thread. Error: system_error.
  static result<std::unique_ptr<link_watch>> start(listener who);
  ~link_watch();  // returns when nobody is called any more
  link_watch(const link_watch&) = delete;
  link_watch& operator=(const link_watch&) = delete;

 private:
  link_watch() = default;
  void run();
  bool ask_for_all();
  bool ask(std::uint16_t type, std::size_t header_size);
  void on_dump_end(std::uint32_t number);
  void receive();

  listener who_;
  mnl_socket* socket_ = nullptr;
  int end_event_ = -1;
  std::uint32_t sequence_ = 0;
  bool asks_links_ = false;   // the dump under way; that of the addresses follows
  bool is_complete_ = false;  // both are through
  link_table table_;
  std::thread thread_;
};

}  // namespace imago::kernel_if
