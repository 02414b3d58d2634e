// msg_digest (md): one packet being understood. It is moved, never copied; the flow that works on
// it owns it, so it lives exactly as long as the flow's frame.
#pragma once

#include <atomic>
#include <memory>

#include "core/base/address.hpp"
#include "core/base/secret.hpp"
#include "core/base/time.hpp"
#include "core/wire/message.hpp"

namespace imago::ikev2 {

// How many digests of one engine are alive: tests prove with it that none is left.
struct digest_tally {
  std::atomic<long> live{0};
};
using digest_tally_ptr = std::shared_ptr<digest_tally>;

class msg_digest {
 public:
  msg_digest() = default;
  explicit msg_digest(digest_tally_ptr tally) : tally_{std::move(tally)} {
    if (tally_) tally_->live.fetch_add(1, std::memory_order_relaxed);
  }
  msg_digest(msg_digest&& other) noexcept = default;
  msg_digest& operator=(msg_digest&& other) noexcept {
    if (this != &other) {
      release();
      take(std::move(other));
    }
    return *this;
  }
  msg_digest(const msg_digest&) = delete;
  msg_digest& operator=(const msg_digest&) = delete;
  ~msg_digest() { release(); }

  wire::header header;
  endpoint local;   // where it arrived
  endpoint remote;  // where it came from
  instant received_at;
  bytes raw;                // IKE_SA_INIT only: AUTH signs it (RFC 7296 §2.15)
  secret plaintext;         // protected messages: the opened chain
  wire::payloads payloads;  // what may be believed: inside SK if protected, else outside
  bool is_protected = false;

 private:
  void take(msg_digest&& other) {
    tally_ = std::move(other.tally_);
    header = other.header;
    local = other.local;
    remote = other.remote;
    received_at = other.received_at;
    raw = std::move(other.raw);
    plaintext = std::move(other.plaintext);
    payloads = std::move(other.payloads);
    is_protected = other.is_protected;
  }
  void release() {
    if (tally_) tally_->live.fetch_sub(1, std::memory_order_relaxed);
    tally_ = nullptr;
  }
  digest_tally_ptr tally_;
};

}  // namespace imago::ikev2
