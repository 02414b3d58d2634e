// Floods of IKE_SA_INIT: from spoofed addresses, returning cookies, or broken. They keep nothing of
// what they send: a request can be made again from its SPI.
#pragma once

#include "bench/load/figures.hpp"
#include "bench/load/messages.hpp"
#include "bench/load/transport.hpp"

namespace imago::bench {

// The first octet of an initiator's SPI says whose it is.
enum class sender : std::uint8_t { client = 0xc1, flooder = 0xf1, nobody = 0xe1 };

class flood {
 public:
  flood(const load_options& options, const messages& maker, transport& out)
      : options_{options},
        pattern_{maker.make_template()},
        out_{out},
        seed_{maker.library().number()} {}

  void send_spoofed();
  void send_malformed();
  void send_returning();
  // An answer to one that returns cookies.
  void receive(const wire::header& header, bytes_view datagram);

  const flood_figures& spoofed() const { return spoofed_; }
  const flood_figures& malformed() const { return malformed_; }
  const flood_figures& returning() const { return returning_; }

 private:
  std::uint64_t next_number();
  bytes_view fill(sender whose, std::uint32_t number);
  static bytes_view cookie_in(bytes_view datagram);

  const load_options& options_;
  messages::flood_template pattern_;
  transport& out_;
  std::uint64_t seed_;
  std::uint32_t flooder_count_ = 0;
  flood_figures spoofed_, malformed_, returning_;
};

}  // namespace imago::bench
