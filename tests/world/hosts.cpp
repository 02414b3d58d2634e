#include "tests/world/hosts.hpp"

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

}  // namespace imago::testing
