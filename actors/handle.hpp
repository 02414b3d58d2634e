// handle<messages...>: an actor as far as one may talk to it. The compiler refuses every message
// that is not in the list, which is what CAF's typed actors would give, without their cost in
// compile time and with KILL's priority in one place (decision 0002).
#pragma once

#include <type_traits>
#include <utility>

#include <caf/actor.hpp>
#include <caf/actor_cast.hpp>
#include <caf/send.hpp>

namespace imago::actors {

// Ends an actor at once: overtakes what waits in its mailbox (CAF's own exit messages do not).
// Whatever it holds is wiped and given back.
struct kill {};

template <class... accepted>
class handle {
 public:
  handle() = default;
  explicit handle(caf::actor target) : actor_{std::move(target)} {}

  explicit operator bool() const { return static_cast<bool>(actor_); }
  const caf::actor& actor() const { return actor_; }
  caf::actor_addr address() const { return actor_ ? actor_.address() : caf::actor_addr{}; }

  // Nothing happens if the handle is empty or the actor gone.
  template <class message>
  requires(std::is_same_v<std::remove_cvref_t<message>, accepted> || ...)  //
      void tell(message&& what) const {
    if (actor_) caf::anon_send(actor_, std::forward<message>(what));
  }
  // Overtakes what was told without haste; messages in haste keep their order.
  template <class message>
  requires(std::is_same_v<std::remove_cvref_t<message>, accepted> || ...)  //
      void tell_in_haste(message&& what) const {
    if (actor_) caf::anon_send<caf::message_priority::high>(actor_, std::forward<message>(what));
  }
  void tell_kill() const {
    if (actor_) caf::anon_send<caf::message_priority::high>(actor_, kill{});
  }

  friend bool operator==(const handle& one, const handle& other) {
    return one.actor_ == other.actor_;
  }

 private:
  caf::actor actor_;
};

}  // namespace imago::actors
