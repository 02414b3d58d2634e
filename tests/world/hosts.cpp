#include "tests/world/hosts.hpp"

#include <cstdio>

#include <doctest/doctest.h>

#include "world/invariants.hpp"
#include "world/scenarios.hpp"

namespace imago::testing {

world::host_options host_of(std::string name, const end& self) {
  world::host_options made;
  made.name = std::move(name);
  made.addresses = {self.address};
  made.configuration = self.credentials;
  made.configuration.connections.clear();
  for (const auto& connection : self.connections)
    made.configuration.connections.push_back(
        std::make_shared<config::connection_config>(connection));
  return made;
}

std::unique_ptr<world::world> world_of_two(world::world_options options, const ends& both) {
  options.wall = test_now;  // inside the validity of the test certificates
  auto made = std::make_unique<world::world>(std::move(options));
  made->add_host(host_of("a", both.a));
  made->add_host(host_of("b", both.b));
  (void)made->run_until_quiet();
  return made;
}

std::unique_ptr<world::world> brisk_world_of_two(world::world_options options, const ends& both) {
  options.wall = test_now;
  auto made = std::make_unique<world::world>(std::move(options));
  for (bool is_a : {true, false}) {
    auto self = is_a ? both.a : both.b;
    for (auto& connection : self.connections) connection.dpd_delay = std::chrono::seconds{20};
    auto host = host_of(is_a ? "a" : "b", self);
    host.engine = world::brisk_options();
    host.journal = actors::journal_level::control;
    made->add_host(std::move(host));
  }
  (void)made->run_until_quiet();
  return made;
}

const world::scenario& swept_scenario(std::string_view name) {
  for (const auto& one : world::kill_scenarios())
    if (one.name == name) return one;
  FAIL("there is no scenario " << name);
  return world::kill_scenarios().front();
}

std::optional<std::string> close_all(world::world& in, world::invariants& watch) {
  if (watch.check_quiet()) return watch.violated();
  world::uninstall_all(in);
  for (const auto& one : in.hosts())
    if (!one->has_ended() && !one->list().empty()) one->terminate({});
  in.advance(long_enough);
  return watch.check_empty();
}

std::optional<std::string> find_broken_path(world::world& in) {
  for (const auto& one : in.hosts())
    for (const auto& sa : one->list())
      for (const auto& child : sa->children) {
        const auto& from = child.model;
        if (from.state != ikev2::child_state::installed) continue;
        auto used = one->fake()->outbound_sa_of(from.reqid);
        if (!used) return one->name() + " has no outbound SA for " + child.name;
        bool arrives = false;
        for (const auto& other : in.hosts())
          arrives = arrives || (other != one && other->address() == used->destination &&
                                other->fake()->has_sa({data_plane::direction::inbound,
                                                       used->destination, used->spi}));
        if (!arrives) return one->name() + " sends " + child.name + " on an SA the peer lacks";
      }
  return std::nullopt;
}

void say(const std::string& line) {
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

}  // namespace imago::testing
