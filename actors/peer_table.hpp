// IKE SAs by who speaks with whom.
//
// Both ends may initiate at once; RFC 7296 resolves that for rekeys only (§2.8). Then two IKE SAs
// serve the same two identities, each with the same Child SAs. Both ends know both of them, so one
// rule serves both: the IKE SA with the lower initiator SPI is redundant, and who initiated it
// deletes it. One end acts, with an ordinary Delete, some time after both were up: a peer without
// this rule (charon keeps both) is not disturbed by it.
#pragma once

#include <functional>
#include <map>
#include <set>

#include "actors/status.hpp"

namespace imago::actors {

class peer_table {
 public:
  // Established now. True: not the only one between these two.
  bool add(const ike_sa_status& sa);
  void remove(const ike_sa_status& sa);

  struct finding {
    std::vector<std::uint64_t> redundant;  // ours to delete
    bool is_settled = true;                // else look again: something is under way
  };
  // `status_of` knows every id that was added and not removed.
  finding find_redundant(
      const std::function<const ike_sa_status&(std::uint64_t id)>& status_of) const;
  std::size_t size() const { return pairs_.size(); }

 private:
  struct peer_pair {
    std::string connection, local, remote;
    friend auto operator<=>(const peer_pair&, const peer_pair&) = default;
  };
  static peer_pair pair_of(const ike_sa_status& sa);

  std::map<peer_pair, std::set<std::uint64_t>> pairs_;
  std::set<peer_pair> doubled_;  // those with more than one
};

}  // namespace imago::actors
