// A policy of ours -> the kernel's policies: every pair of selectors, every direction.
#pragma once

#include "kernel_if/xfrm/messages.hpp"

namespace imago::kernel_if::xfrm {

// All that the kernel needs for one policy: out and in, for a tunnel also forward. Address ranges
// become prefixes, port ranges masked ports; pairs of two families or two IP protocols do not
// exist. Errors: bad_value (nothing is left), not_supported (OPAQUE ports, ICMP ranges that masks
// cannot say), limit_exceeded (limits::policy_entries_max).
result<std::vector<policy_entry>> entries_of(const data_plane::policy& policy);

// Lower wins: of two selectors that overlap the narrower one, by prefix lengths, then by
// protocol, then by ports. Between 0x10000 and 0x1ffff; below are policies that bypass, which
// win always, above those that discard, which win never.
std::uint32_t priority_of(const selector& what);

// The traffic selector that covers the same as one side of a kernel's selector.
traffic_selector source_of(const selector& what);
traffic_selector destination_of(const selector& what);

}  // namespace imago::kernel_if::xfrm
