#include "world/planted.hpp"

#include "world/scenarios.hpp"

namespace imago::world {

const std::vector<planted_case>& planted_cases() {
  static const std::vector<planted_case> all{
      {planted_bug::larval_assert, "larval-assert",
       "an SA is seen larval, promoted, and the packet put where larval SAs keep theirs",
       larval_race({false, true})},
      {planted_bug::leaked_digest, "leaked-digest",
       "a state killed during crypto leaves its digest in the list of the suspended",
       kill_beside_rekey({})},
      {planted_bug::late_result, "late-result",
       "the result for a killed exchange goes to the exchange that has its place now",
       late_result({true, false})},
      {planted_bug::early_response, "early-response",
       "the response leaves before the kernel has acknowledged the inbound SA",
       *find_scenario("new-child")},
      {planted_bug::kept_redundant_child, "kept-redundant-child",
       "after a rekey collision nobody deletes the redundant Child SA",
       *find_scenario("child-rekey-collision")},
      {planted_bug::delete_overtakes, "delete-overtakes",
       "a Delete is worked on before the CREATE_CHILD_SA response that came first",
       *find_scenario("child-rekey-and-delete")},
      {planted_bug::changed_retransmission, "changed-retransmission",
       "a retransmitted request is answered with a response sealed anew", lost_response()},
  };
  return all;
}

exploration search_planted(const planted_case& what, strategy how,
                           const exploration_limits& limits) {
  planted_now = what.bug;
  auto result = explore(what.where, how, limits);
  planted_now = planted_bug::none;
  return result;
}

}  // namespace imago::world
