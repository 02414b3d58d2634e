#include "core/ikev2/selectors.hpp"

#include <algorithm>

#include "core/base/limits.hpp"

namespace imago::ikev2 {

namespace {

// Adds one intersection, unless it is inside one that is there; those inside it go.
void add_widest(traffic_selectors& kept, const traffic_selector& one) {
  auto contains_it = [&](const traffic_selector& other) { return other.contains(one); };
  if (std::any_of(kept.begin(), kept.end(), contains_it)) return;
  auto inside_it = [&](const traffic_selector& other) { return one.contains(other); };
  kept.erase(std::remove_if(kept.begin(), kept.end(), inside_it), kept.end());
  // What does not fit into a TS payload is narrowed away too.
  if (kept.size() < limits::selector_count_max) kept.push_back(one);
}

// RFC 7296 §2.9: a subset of what was asked, in its order. The packet that caused the request, put
// first by the initiator, vanishes as any other that a wider one contains; if none does, it stays,
// so that the answer always includes what was asked first where policy allows it.
traffic_selectors intersections(const traffic_selectors& ours, const traffic_selectors& asked) {
  traffic_selectors kept;
  for (const auto& wanted : asked)
    for (const auto& allowed : ours)
      if (auto common = wanted.intersection(allowed)) add_widest(kept, *common);
  return kept;
}

// Can a packet fit one at one end and the other at the other end? Its addresses are of one family
// and it has one protocol.
bool go_together(const traffic_selector& one, const traffic_selector& other) {
  return one.family() == other.family() &&
         (one.ip_protocol == 0 || other.ip_protocol == 0 || one.ip_protocol == other.ip_protocol);
}

void drop_without_counterpart(traffic_selectors& selectors, const traffic_selectors& others) {
  auto has_none = [&](const traffic_selector& one) {
    return std::none_of(others.begin(), others.end(),
                        [&](const traffic_selector& other) { return go_together(one, other); });
  };
  selectors.erase(std::remove_if(selectors.begin(), selectors.end(), has_none), selectors.end());
}

}  // namespace

result<selector_pair> narrow(const traffic_selectors& our_local,
                             const traffic_selectors& our_remote,
                             const traffic_selectors& asked_local,
                             const traffic_selectors& asked_remote) {
  selector_pair pair{intersections(our_local, asked_local),
                     intersections(our_remote, asked_remote)};
  drop_without_counterpart(pair.local, pair.remote);
  drop_without_counterpart(pair.remote, pair.local);
  if (pair.local.empty() || pair.remote.empty())
    return {errc::traffic_selectors_unacceptable,
            text_of(asked_local) + " === " + text_of(asked_remote)};
  return pair;
}

status check_narrowed(const traffic_selectors& proposed, const traffic_selectors& returned) {
  if (returned.empty()) return {errc::traffic_selectors_unacceptable, "none returned"};
  for (const auto& one : returned) {
    auto contains_it = [&](const traffic_selector& wider) { return wider.contains(one); };
    if (std::none_of(proposed.begin(), proposed.end(), contains_it))
      return {errc::traffic_selectors_unacceptable, one.text()};
  }
  return {};
}

}  // namespace imago::ikev2
