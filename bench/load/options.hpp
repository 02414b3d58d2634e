// What the load generator is told.
#pragma once

#include <string>
#include <vector>

#include "core/base/address.hpp"
#include "core/base/iana.hpp"

namespace imago::bench {

struct load_options {
  endpoint target;                // IPv4
  std::uint16_t source_port = 0;  // 0: any
  bool with_marker = false;       // the target speaks UDP 4500: four octets of zero before IKE
  // Where requests come from; the first is a host prefix where there is one address only.
  ip_prefix clients, flooders, spoofed;

  ke_method method = ke_method::curve25519;
  std::string shared_key = "a secret of the benchmark alone";
  std::string credentials_folder;  // empty: PSK
  bool honours_cookies = true;

  // Before the measured time: IKE SAs to set up, in steps; how many are under way at once.
  std::vector<std::size_t> hold_steps;
  std::size_t window = 32;
  bool keeps_keys = true;  // of those held; without, no exchange can follow

  // The measured time, and what happens in it: rates are a second.
  double seconds = 0;
  double handshakes = 0, dpds = 0, rekeys = 0;
  double spoofed_flood = 0, cookie_flood = 0, malformed_flood = 0;
  double patience_seconds = 3;  // for answers to what was asked in it
  bool tears_down = false;      // afterwards: deletes what it holds, `window` at once

  unsigned retransmit_ms = 1000;  // the first time; doubled each time
  unsigned attempts_max = 5;
  bool is_stepwise = false;  // pauses between phases until a line comes on standard input
};

}  // namespace imago::bench
