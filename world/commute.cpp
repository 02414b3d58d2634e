#include "world/commute.hpp"

#include <string_view>

#include "actors/messages.hpp"

namespace imago::world {

namespace {

template <class Message>
bool is(const choice& one) {
  return one.type == &typeid(Message);
}

// The directory keeps one entry an SA: what two SAs say does not meet.
bool is_report(const choice& one) {
  return is<actors::status_published>(one) || is<actors::sa_event_happened>(one);
}

}  // namespace

bool do_acts_depend(const choice& one, const choice& other) {
  for (const auto* act : {&one, &other})
    if (act->kind == letter_kind::act && act->receiver == "crypto") return false;
  for (const auto* act : {&one, &other})
    if (act->kind == letter_kind::act && act->receiver != "esp") return true;
  return one.host == other.host && (one.receiver == "kernel" || one.receiver == "esp") &&
         (other.receiver == "kernel" || other.receiver == "esp");
}

bool do_commute(const choice& one, const choice& other) {
  // What was sent to somebody who ended is gone in either order.
  if (one.kind == letter_kind::ghost && other.kind == letter_kind::ghost) return true;
  if (one.kind != letter_kind::mail || other.kind != letter_kind::mail) return false;
  auto kind = one.receiver;
  bool same_sender = one.from == other.from;
  if (kind == "probe") return !same_sender;  // collects answers by their number
  if (kind == "engine") return !same_sender && is_report(one) && is_report(other);
  if (kind == "kernel") {
    // Each request has its own SPI and its own number.
    if (is<actors::backend_replied>(one) && is<actors::backend_replied>(other)) return true;
    if (is<actors::kernel_request>(one) || is<actors::kernel_request>(other)) return !same_sender;
  }
  return false;
}

}  // namespace imago::world
