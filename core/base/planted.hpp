// Known defects, each of which a build for that purpose can be told to have again. What searches
// for defects must find these, else its silence about others proves nothing (world/planted.hpp).
//
// In every other build is_planted() is false and costs nothing. The two that name a test double are
// in the world, not in production code.
#pragma once

#include <cstdint>

namespace imago {

enum class planted_bug : std::uint8_t {
  none,
  larval_assert,         // an SA is seen larval, promoted, then used as larval (double: esp_plane)
  leaked_digest,         // a state killed during crypto leaves its digest behind
  late_result,           // a result finds who has the place of its asker now (double: world_crypto)
  early_response,        // a response leaves before its inbound SA is installed
  kept_redundant_child,  // nobody deletes the redundant Child SA of a rekey collision
  delete_overtakes,      // a Delete is worked on before the CREATE_CHILD_SA response before it
  changed_retransmission  // a retransmitted request is answered with a response sealed anew
};

#ifdef IMAGO_PLANTED
inline planted_bug planted_now = planted_bug::none;
inline bool is_planted(planted_bug which) { return planted_now == which; }
#else
constexpr bool is_planted(planted_bug) { return false; }
#endif

}  // namespace imago
