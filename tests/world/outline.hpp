// What a world has come to, without the numbers that only name things (SPIs, ids).
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "actors/ike_sa.hpp"
#include "world/world.hpp"

namespace imago::testing {

inline std::string outline(world::world& in) {
  std::string out;
  for (const auto& host : in.hosts()) {
    std::vector<std::string> lines;
    for (auto who : host->living("ike_sa")) {
      const auto* actor = in.mail.who(who).actor;
      if (!actor) continue;
      const auto& model = static_cast<const actors::ike_sa&>(*actor).model();
      std::string line = std::string{ikev2::name_of(model.state)} +
                         (model.role == ikev2::role::initiator ? " initiator" : " responder");
      std::vector<std::string> children;
      for (const auto& child : model.children)
        children.push_back(" " + child.config->name + " " +
                           std::string{ikev2::name_of(child.state)} +
                           (child.created_by_us ? " ours" : " theirs"));
      std::sort(children.begin(), children.end());
      for (const auto& child : children) line += child;
      lines.push_back(line);
    }
    std::sort(lines.begin(), lines.end());
    out += host->name() + ":";
    for (const auto& line : lines) out += " [" + line + "]";
    if (host->fake())
      out += " " + std::to_string(host->fake()->sas().size()) + " SAs, " +
             std::to_string(host->fake()->policies().size()) + " policies";
    std::size_t answered = 0, failed = 0;
    for (const auto& [command, results] : host->answers->ended)
      for (const auto& result : results) ++(result ? answered : failed);
    out += ", " + std::to_string(answered) + " done " + std::to_string(failed) + " failed\n";
  }
  return out;
}

}  // namespace imago::testing
