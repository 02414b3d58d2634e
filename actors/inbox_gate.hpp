// Bounds what is on its way to one actor: a place is taken at the sender and given back when the
// message is destroyed, handled or not. CAF's mailboxes have no bound of their own.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

namespace imago::actors {

class inbox_gate {
 public:
  explicit inbox_gate(std::size_t places) : free_{static_cast<long>(places)} {}

  // Null: full; the caller drops what it has and counts it.
  static std::shared_ptr<void> enter(const std::shared_ptr<inbox_gate>& gate) {
    if (gate->free_.fetch_sub(1, std::memory_order_relaxed) <= 0) {
      gate->free_.fetch_add(1, std::memory_order_relaxed);
      return nullptr;
    }
    return std::shared_ptr<void>{
        gate.get(), [gate](void*) { gate->free_.fetch_add(1, std::memory_order_relaxed); }};
  }

 private:
  std::atomic<long> free_;
};

}  // namespace imago::actors
