// Traffic selector narrowing (RFC 7296 §2.9).
#pragma once

#include "core/base/result.hpp"
#include "core/base/traffic_selector.hpp"

namespace imago::ikev2 {

struct selector_pair {
  traffic_selectors local, remote;  // seen from this end
};

// The subset of what the peer asks that our policy allows: all pairwise intersections, without
// those contained in another, in the order of the peer's list. The peer's first selector may be
// the packet that caused the request (specific ports): if the intersections of the rest cover it,
// it does not appear. Errors: traffic_selectors_unacceptable if either side becomes empty or
// families do not match up.
result<selector_pair> narrow(const traffic_selectors& our_local,
                             const traffic_selectors& our_remote,
                             const traffic_selectors& asked_local,
                             const traffic_selectors& asked_remote);

// Initiator: is every returned selector inside what we proposed?
// Errors: traffic_selectors_unacceptable.
status check_narrowed(const traffic_selectors& proposed, const traffic_selectors& returned);

}  // namespace imago::ikev2
