// Configurations of the two ends that the tests of this room share.
#pragma once

#include "tests/support/pair.hpp"

namespace imago::testing {

// ECDSA P-256 certificates of one authority, made once.
const testing::ends& ecdsa_ends();
// RSA ones with long names: IKE_AUTH does not fit into one datagram.
const testing::ends& large_certificate_ends();

// Shared keys, and a second child "net2": 10.3/16 === 10.4/16.
testing::ends two_children_ends();
// ... and Child SAs rekeyed with a key exchange of their own.
testing::ends pfs_ends();
// b does not take the group that a guesses.
testing::ends other_group_ends();

inline const actors::sa_selector the_ike_sa{"moon-sun", "", 0, 0};
inline const actors::sa_selector the_child_sa{"moon-sun", "net", 0, 0};

}  // namespace imago::testing
