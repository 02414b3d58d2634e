// SAs that are up on two hosts from the beginning: their durable models, without the exchanges that
// would make them. Exploration begins here, schedule after schedule.
//
// A model is taken once from a world in which the exchanges did happen. To put it into another
// world, an ike_sa actor is born with it as the successor of a rekeyed IKE SA is, and adopts its
// Child SAs as such a successor does; keys are new and the same on both sides. Nothing but
// production's messages are used.
#pragma once

#include "world/world.hpp"

namespace imago::world {

class established {
 public:
  // All that is up on both hosts, which are quiet. Errors: not_found (nothing is).
  static result<established> take(host& a, host& b);

  // Into two hosts that have loaded the same configuration and have no SA yet. Done when quiet.
  void give(host& a, host& b) const;

 private:
  struct one_side {
    ikev2::ike_sa_model model;
    ikev2::connection_policy_ptr connection;
  };
  static result<one_side> side_of(host& from);
  static void give_side(const one_side& side, host& to);
  one_side a_, b_;
};

}  // namespace imago::world
