// The anti-replay window of one inbound SA (RFC 4303 §3.4.3, appendix A).
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace imago::kernel_if::user_esp {

class replay_window {
 public:
  // `size` in packets, at most 4096; 0: no check, only the inference of ESN's high half.
  replay_window(std::uint32_t size, bool uses_esn);

  // The full sequence number of a packet that shows only its low half (RFC 4303 §A2.2). Nothing
  // if it would lie before the first one.
  std::optional<std::uint64_t> infer(std::uint32_t low) const;
  // Neither seen nor too old. Ask before and, since time passes not, act after the ICV check.
  bool is_fresh(std::uint64_t sequence) const;
  // To be called once the packet's ICV is verified. True if it is the highest so far.
  bool accept(std::uint64_t sequence);

  std::uint64_t highest() const { return highest_; }
  // Goes on from a number known otherwise; all up to it count as seen.
  void restart(std::uint64_t highest);

 private:
  std::uint32_t size_;
  bool uses_esn_;
  std::uint64_t highest_ = 0;
  // A ring, one word longer than the window so that clearing a whole word never hits the window.
  std::vector<std::uint64_t> words_;
};

}  // namespace imago::kernel_if::user_esp
