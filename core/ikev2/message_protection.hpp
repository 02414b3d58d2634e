// Sealing and opening whole IKE messages: SK payloads (RFC 7296 §3.14) and fragments (RFC 7383).
#pragma once

#include <map>
#include <vector>

#include "core/crypto/protection.hpp"
#include "core/wire/message.hpp"

namespace imago::ikev2 {

// The datagrams of one message: one SK message if it fits `datagram_size_max` octets (IKE header
// included, UDP header not) or if that is 0; else SKF messages of at most that size.
// Errors: counter_exhausted, limit_exceeded (more fragments than fragment_count_max).
result<std::vector<bytes>> seal_message(crypto::protection& protection, random_source& random,
                                        const wire::header& header, const wire::payloads& payloads,
                                        std::size_t datagram_size_max);

// What one protected datagram contains once verified and opened.
struct opened {
  payload_type first_inner{};
  secret plaintext;  // a whole chain, or one fragment of it
  std::uint16_t number = 1, total = 1;
};
// Finds the SK or SKF payload at the end, verifies and decrypts. Payloads before it are ignored,
// being unauthenticated in meaning. Errors: missing_payload, integrity_failed, those of parsing.
result<opened> open_message(crypto::protection& protection, bytes_view datagram);

// Collects verified fragments of one message. Bounded: fragment_count_max fragments, and
// limits::reassembled_size_max octets. A larger total restarts (RFC 7383 §2.6); doubles are
// dropped.
class fragment_assembler {
 public:
  // The whole chain when the last piece has come, else nothing. Errors: limit_exceeded, bad_value.
  struct whole {
    payload_type first_inner{};
    secret plaintext;
  };
  result<std::optional<whole>> add(opened piece);
  bool is_collecting() const { return !pieces_.empty(); }
  void clear();

 private:
  std::uint16_t total_ = 0;
  payload_type first_inner_{};
  std::size_t size_ = 0;
  std::map<std::uint16_t, secret> pieces_;
};

}  // namespace imago::ikev2
