// The two processes of the handshake benchmark, and what they tell the one that started them.
#pragma once

#include <sys/socket.h>

#include "bench/algorithm_set.hpp"

namespace imago::bench {

struct run_options {
  std::size_t count = 2000;
  std::size_t in_flight_max = 32;
  std::size_t scheduler_threads = 0, crypto_threads = 0;  // 0: one for each CPU of the role
  bool pins = true;  // each role to a core of its own, where there are two
};

// What goes over a channel, a connected SOCK_SEQPACKET: whole messages, in this order. "go" is sent
// to start and to end a measurement, and answered when what it asks has been done.
struct go {
  char octet = 0;
};
struct role_ready {
  std::uint16_t port = 0;  // the responder's, told to the initiator
};
struct role_report {
  std::uint64_t cpu_us = 0;     // user and system, of the process
  std::uint64_t datagrams = 0;  // sent and received
  std::uint64_t rss_kb_grown = 0;
  std::uint64_t handshakes = 0;  // IKE SAs up with their Child SA
  double floor_us = 0;           // responder only
  char failure[256] = {};        // the first one, if any
};

template <class message>
bool tell(int channel, const message& what) {
  return ::send(channel, &what, sizeof what, MSG_NOSIGNAL) == sizeof what;
}
// False: the other end has gone.
template <class message>
bool hear(int channel, message& into) {
  return ::recv(channel, &into, sizeof into, 0) == sizeof into;
}

// Each runs in a process of its own, forked before any thread, and gives its exit code.
// `made`: null for a shared key.
//   responder: says role_ready; go, go; (handshakes); go, role_report
//   initiator: hears role_ready, says it; go; (handshakes); role_report
int run_responder(const algorithm_set& measured, const credentials* made,
                  const run_options& options, int channel);
int run_initiator(const algorithm_set& measured, const credentials* made,
                  const run_options& options, int channel);

}  // namespace imago::bench
