// kill -9 with a real kernel: what the process left is removed by the next one, what is foreign
// stays. Needs a kernel that has ESP: ./dev kernel-test runs it in one.
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <regex>

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel_if/xfrm/backend.hpp"
#include "tests/kernel_if/backend_fixture.hpp"
#include "tests/kernel_if/own_namespace.hpp"
#include "tests/kernel_if/xfrm_fixture.hpp"

using namespace imago;
using namespace imago::testing;
using namespace imago::kernel_if;

namespace {

struct live_xfrm {
  explicit live_xfrm(const std::string& folder) : plane{with(folder)} {}
  static xfrm::options with(const std::string& folder) {
    xfrm::options options;
    options.lease_folder = folder;
    return options;
  }
  bool ask(data_plane::request request) {
    plane.submit(++last, std::move(request));
    return sink.wait_for(last).has_value();
  }
  // An SPI of its own, a pair of SAs with policies, a discard: all that there can be.
  bool install_all() {
    ends e;
    auto local = e.own.outer.address, remote = e.other.outer.address;
    auto discard = policy_between(e.how, e.own, e.other);
    discard.reqid = 0;
    discard.processing = data_plane::processing::discard;
    discard.local_selectors = {selector_with("10.77.0.0/16", 0, 0, 65535)};
    return ask(data_plane::allocate_spi{local, remote, 0x1111}) &&
           ask(data_plane::allocate_spi{local, remote, 0x2222}) &&
           ask(data_plane::install_sa{e.sa(data_plane::direction::inbound, 0x2222),
                                      {policy_between(e.how, e.own, e.other)}}) &&
           ask(data_plane::install_sa{e.sa(data_plane::direction::outbound, 0x3333), {}}) &&
           ask(data_plane::install_policy{discard});
  }
  remembering_sink sink;
  xfrm::backend plane;
  request_id last = 0;
};

std::string sas() { return output_of("ip xfrm state"); }
std::string policies() { return output_of("ip xfrm policy show nosock"); }
std::size_t count_in(const std::string& text, const std::string& what) {
  std::size_t count = 0;
  for (auto at = text.find(what); at != text.npos; at = text.find(what, at + 1)) ++count;
  return count;
}

// A process that installs all of it and is killed by SIGKILL. False: it could not install.
bool leave_behind(const std::string& folder) {
  int ends[2];
  if (pipe(ends) != 0) return false;
  std::fflush(nullptr);
  pid_t child = fork();
  if (child == 0) {
    live_xfrm doomed{folder};
    char said = doomed.plane.start(doomed.sink) && doomed.install_all() ? 'y' : 'n';
    if (::write(ends[1], &said, 1) != 1) _exit(1);
    for (;;) pause();
  }
  char said = 'n';
  bool heard = ::read(ends[0], &said, 1) == 1;
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  ::close(ends[0]);
  ::close(ends[1]);
  return heard && said == 'y';
}

const char* const foreign_key =
    " aead 'rfc4106(gcm(aes))' 0x5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a 128";

std::string run_all(const std::string& folder) {
  network_namespace own;
  if (!own.is_made()) return "skip: no network namespace of our own";
  if (auto usable = xfrm::check_host(); !usable) return "skip: " + usable.failure().text();
  if (!run("ip xfrm state add src 192.0.2.9 dst 192.0.2.2 proto esp spi 0x9999 reqid 99 mode "
           "tunnel" +
           std::string{foreign_key}) ||
      !run("ip xfrm policy add src 10.98.0.0/24 dst 10.99.0.0/24 dir out priority 77 tmpl src "
           "192.0.2.2 dst 192.0.2.9 proto esp reqid 99 mode tunnel"))
    return "skip: no foreign SA";
  auto sas_before = sas(), policies_before = policies();
  for (bool is_disturbed : {false, true}) {
    if (!leave_behind(folder)) return "it could not install";
    if (count_in(sas(), "proto esp") != 4 || count_in(policies(), "dir ") != 7)
      return "not all is there: " + sas() + policies();
    if (is_disturbed) {
      // Others take names that were ours: an SPI with another reqid; a policy that is the same but
      // for its index, one with another priority.
      auto inside = std::string{"src 10.1.0.0/16 dst 10.2.0.0/16 dir in"};
      auto outside = std::string{"src 10.2.0.0/16 dst 10.1.0.0/16 dir out"};
      auto tmpl = std::string{" tmpl src 192.0.2.1 dst 192.0.2.2 proto esp reqid 7 mode tunnel"};
      std::smatch found;
      auto shown = output_of("ip xfrm policy get " + inside);
      if (!std::regex_search(shown, found, std::regex{"priority ([0-9]+)"})) return "no priority";
      auto name = std::string{"src 192.0.2.2 dst 192.0.2.1 proto esp spi 0x3333"};
      if (!run("ip xfrm policy delete " + inside) ||
          !run(fmt::format("ip xfrm policy add {} priority {}{}", inside, found[1].str(), tmpl)) ||
          !run("ip xfrm policy update " + outside +
               " priority 5 tmpl src 192.0.2.2 dst 192.0.2.1 proto esp reqid 7 mode tunnel") ||
          !run("ip xfrm state delete " + name) ||
          !run("ip xfrm state add " + name + " reqid 98 mode tunnel" + foreign_key))
        return "others could not take names";
    }
    live_xfrm next{folder};
    if (auto started = next.plane.start(next.sink); !started) return started.failure().text();
    if (!next.plane.warnings().empty()) return next.plane.warnings().front();
    // Answered after what was left behind has gone.
    (void)next.ask(data_plane::flush{});
    if (!is_disturbed) {
      if (sas() != sas_before || policies() != policies_before)
        return "not only what is foreign is there: " + sas() + policies();
      if (!next.install_all()) return "it cannot be installed again";
    } else {
      auto now_sas = sas(), now_policies = policies();
      if (count_in(now_sas, "proto esp") != 2 || count_in(now_sas, "reqid 98") != 1 ||
          count_in(now_sas, "reqid 99") != 1)
        return "SAs: " + now_sas;
      if (count_in(now_policies, "dir ") != 3 || count_in(now_policies, "priority 5 ") != 1 ||
          count_in(now_policies, "priority 77 ") != 1 || count_in(now_policies, "dir in ") != 1)
        return "policies: " + now_policies;
    }
    next.plane.stop();
  }
  return {};
}

}  // namespace

TEST_CASE("xfrm: after kill -9 the next process removes what is ours and nothing else") {
  auto name = (std::filesystem::temp_directory_path() / "imago-leases-XXXXXX").string();
  REQUIRE(::mkdtemp(name.data()));
  auto said = in_child([&] { return run_all(name); });
  std::filesystem::remove_all(name);
  if (said.starts_with("skip: ")) {
    if (std::getenv("IMAGO_NEEDS_XFRM")) FAIL(said);
    MESSAGE(said);
    return;
  }
  CHECK(said == "");
}
