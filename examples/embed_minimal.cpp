// Two engines in one process bring up a tunnel over loopback, with a data plane of tables only.
// Build: find_package(imago REQUIRED), target_link_libraries(... imago::imago).
#include <cstdio>
#include <future>

#include "actors/engine.hpp"
#include "kernel_if/fake/fake_backend.hpp"

namespace {

imago::engine_options options() {
  imago::engine_options chosen;
  chosen.addresses = {*imago::ip_address::parse("127.0.0.1")};
  chosen.ike_port = chosen.nat_port = 0;  // any free port, no privileges
  chosen.make_backend = [](auto&,
                           auto&) -> imago::result<std::unique_ptr<imago::kernel_if::backend>> {
    return std::make_unique<imago::kernel_if::fake_backend>();
  };
  return chosen;
}

std::string configuration(const std::string& remote) {
  return "connections { demo { remote_addrs = 127.0.0.1 \n" + remote + R"(
      local { auth = psk
              id = a.test }
      remote { auth = psk
               id = a.test }
      children { net { local_ts = 10.1.0.0/16
                       remote_ts = 10.1.0.0/16 } } } }
  secrets { ike { secret = "correct horse battery staple" } })";
}

}  // namespace

int main() {
  auto responder = imago::engine::start(options());
  auto initiator = imago::engine::start(options());
  if (!responder || !initiator) return std::fputs("cannot start\n", stderr), 1;
  auto port = "remote_port = " + std::to_string((*responder)->nat_port());
  if (!(*responder)->load_text(configuration("")) || !(*initiator)->load_text(configuration(port)))
    return std::fputs("bad configuration\n", stderr), 1;
  std::promise<imago::status> up;
  (*initiator)->initiate("demo", "net", [&](imago::status result) { up.set_value(result); });
  if (auto result = up.get_future().get(); !result)
    return std::fprintf(stderr, "%s\n", result.failure().text().c_str()), 1;
  for (const auto& sa : (*initiator)->list())
    std::printf("%s %s with %zu Child SA\n", sa->connection.c_str(), sa->state.c_str(),
                sa->children.size());
  (*initiator)->stop();
  return 0;
}
