// Leases on disk: what a process leaves in the kernel is taken away by the next one, and nothing
// else is.
#include <filesystem>
#include <fstream>

#include <doctest/doctest.h>
#include <unistd.h>

#include "tests/kernel_if/scripted_kernel.hpp"

using namespace imago;
using namespace imago::testing;
using namespace imago::kernel_if;
using namespace imago::kernel_if::xfrm;
using data_plane::install_sa;

namespace {

class folder {
 public:
  folder() {
    auto name = (std::filesystem::temp_directory_path() / "imago-leases-XXXXXX").string();
    if (!::mkdtemp(name.data())) std::abort();
    path_ = name;
  }
  ~folder() { std::filesystem::remove_all(path_); }
  folder(const folder&) = delete;
  folder& operator=(const folder&) = delete;
  std::string path() const { return path_.string(); }
  std::filesystem::path file() const {
    return std::filesystem::directory_iterator { path_ } -> path();
  }

 private:
  std::filesystem::path path_;
};

std::unique_ptr<lease_journal> opened(const folder& in, std::size_t compaction_least = 1 << 20) {
  lease_journal_options how;
  how.folder = in.path();
  how.compaction_least = compaction_least;
  auto journal = lease_journal::open(std::move(how));
  REQUIRE_MESSAGE(journal, (journal ? "" : journal.failure().where));
  return std::move(*journal);
}

sa_lease sa_named(data_plane::spi spi, std::uint32_t reqid = 7) {
  return {{at("192.0.2.1"), spi, {}}, at("192.0.2.2"), reqid};
}
policy_entry policy_named(std::uint32_t priority = 0x12345) {
  ends e;
  auto entry = entries_of(policy_between(e.how, e.own, e.other))->front();
  entry.priority = priority;
  return entry;
}

bytes content_of(const std::filesystem::path& file) {
  std::ifstream in{file, std::ios::binary};
  std::string text{std::istreambuf_iterator<char>{in}, {}};
  return to_bytes({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}
void write_content(const std::filesystem::path& file, bytes_view octets) {
  std::ofstream out{file, std::ios::binary | std::ios::trunc};
  out.write(reinterpret_cast<const char*>(octets.data()),
            static_cast<std::streamsize>(octets.size()));
}

// The kernel as one process leaves it, and the next one finds it.
struct generations {
  scripted_kernel kernel;
  folder state;
  std::unique_ptr<scripted_plane> living;

  scripted_plane& begin() {
    living = std::make_unique<scripted_plane>(state.path(), std::move(kernel));
    return *living;
  }
  // Nothing is removed: kill -9.
  void kill() {
    auto behind = living->kernel;
    auto file = content_of(state.file());
    auto path = state.file();
    living.reset();
    kernel = std::move(behind);
    kernel.answers.clear();
    kernel.events.clear();
    kernel.types.clear();
    write_content(path, file);
  }
};

}  // namespace

TEST_CASE("leases: what was noted and is not gone is read again") {
  folder state;
  auto entry = policy_named();
  {
    auto journal = opened(state);
    CHECK(journal->leases().empty());
    journal->note(sa_named(1000));
    journal->note(sa_named(1001, 0));
    journal->note(sa_named(1001));  // promoted
    journal->note(sa_named(1002));
    journal->note(entry);
    journal->note(policy_named(5));
    journal->note_end(sa_key{at("192.0.2.1"), 1002, {}});
    journal->note_end(sa_key{at("192.0.2.1"), 999, {}});  // never was
    auto writes = journal->writes();
    CHECK(journal->flush());
    CHECK(journal->writes() == writes + 1);  // all of it in one
    CHECK(journal->flush());
    CHECK(journal->writes() == writes + 1);
  }
  auto salt = opened(state)->salt();
  auto journal = opened(state);
  CHECK(journal->salt() == salt);
  REQUIRE(journal->leases().sas.size() == 2);
  // Either may be what the kernel has.
  CHECK(journal->leases().sas.at(sa_named(1001).key) ==
        std::vector<sa_lease>{sa_named(1001, 0), sa_named(1001)});
  CHECK(journal->leases().policies.at(entry.key) ==
        std::vector<policy_entry>{entry, policy_named(5)});
  journal->clear();
  journal.reset();
  CHECK(opened(state)->leases().empty());
}

TEST_CASE("leases: a living process keeps its file to itself") {
  folder state;
  auto journal = opened(state);
  lease_journal_options how;
  how.folder = state.path();
  auto other = lease_journal::open(how);
  REQUIRE_FALSE(other.has_value());
  CHECK(other.failure().code == errc::already_exists);
  how.folder = "/proc/none/imago";
  CHECK_FALSE(lease_journal::open(how).has_value());
}

TEST_CASE("leases: a file cut off anywhere is read up to there, and goes on from there") {
  folder state;
  std::filesystem::path file;
  {
    auto journal = opened(state);
    for (data_plane::spi spi = 1000; spi < 1005; ++spi) journal->note(sa_named(spi));
    journal->note(policy_named());
    CHECK(journal->flush());
    file = state.file();
  }
  auto whole = content_of(file);
  std::size_t before = 0;
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    write_content(file, bytes_view{whole}.first(size));
    auto journal = opened(state);
    auto count = journal->leases().size();
    CHECK(count >= before);
    before = count;
    journal->note(sa_named(2000));
    CHECK(journal->flush());
    journal.reset();
    CHECK(opened(state)->leases().size() == count + 1);
  }
  CHECK(before == 6);
  // Spoilt in the middle: what is before it holds.
  whole[whole.size() / 2] ^= 0xff;
  write_content(file, whole);
  auto some = opened(state)->leases().size();
  CHECK(some > 0);
  CHECK(some < 6);
}

TEST_CASE("leases: a file of another boot or namespace is begun anew") {
  for (bool is_boot : {true, false}) {
    folder state;
    opened(state)->flush();
    auto file = state.file();
    auto origin = parse_leases(content_of(file))->origin;
    if (is_boot) origin.boot[0] ^= 1;
    if (!is_boot) ++origin.namespace_inode;
    auto content = encode_lease_header(origin);
    append(content, encode_lease(sa_named(1000)));
    CHECK(parse_leases(content)->leases.size() == 1);
    write_content(file, content);
    auto journal = opened(state);
    CHECK(journal->leases().empty());
    CHECK(journal->salt() != origin.salt);
    // Whatever the header says of itself, wrong is wrong.
    content[20] ^= 1;
    CHECK_FALSE(parse_leases(content).has_value());
  }
}

TEST_CASE("leases: the file stays as small as what lives") {
  folder state;
  auto journal = opened(state, 64 * 1024);
  for (data_plane::spi spi = 1000; spi < 41'000; ++spi) {
    journal->note(sa_named(spi));
    if (spi > 1010) journal->note_end(sa_named(spi - 10).key);
    if (spi % 50 == 0) REQUIRE(journal->flush());
  }
  CHECK(journal->flush());
  CHECK(journal->file_octets() < 80 * 1024);
  CHECK(std::filesystem::file_size(state.file()) == journal->file_octets());
  auto living = journal->leases().size();
  journal.reset();
  CHECK(opened(state)->leases().size() == living);
}

TEST_CASE("leases: labels are never 0, keep the direction and differ") {
  std::set<std::uint32_t> seen;
  auto entry = policy_named();
  for (std::uint64_t salt = 0; salt < 1000; ++salt) {
    CHECK(label_of(salt, 4711) != 0);
    for (auto direction :
         {policy_direction::in, policy_direction::out, policy_direction::forward}) {
      entry.key.direction = direction;
      auto index = index_of(salt, entry.key);
      CHECK(index > 7);
      CHECK((index & 7) == static_cast<unsigned>(direction));
      seen.insert(index);
    }
  }
  CHECK(seen.size() > 2990);
}

// lint: long because its parts begin with the same kernel
TEST_CASE("leases: kill -9, start: what was ours is gone, what is foreign stays") {
  generations g;
  auto& first = g.begin();
  auto spi = first.allocate();
  auto larval = first.allocate();
  REQUIRE(first.ask(install_sa{first.inbound(spi), {first.policy()}}).has_value());
  REQUIRE(first.ask(install_sa{first.outbound(4711), {}}).has_value());
  data_plane::policy shunt = first.policy();
  shunt.reqid = 0;
  shunt.processing = data_plane::processing::discard;
  shunt.local_selectors = {selector_with("10.77.0.0/16", 0, 0, 65535)};
  REQUIRE(first.ask(data_plane::install_policy{shunt}).has_value());
  // Removed in its life: not looked for later.
  REQUIRE(first.ask(install_sa{first.outbound(4712), {}}).has_value());
  REQUIRE(first.ask(data_plane::remove_sa{first.outbound(4712).id}).has_value());
  REQUIRE(first.kernel.sas.size() == 3);
  REQUIRE(first.kernel.policies.size() == 6);
  auto inbound_key = first.inbound_key(spi), larval_key = first.inbound_key(larval);
  g.kill();

  // Foreign: another SPI; one that took the name of ours with another reqid, or another label.
  auto foreign = encode_sa(
      sa_command::add,
      g.living ? g.living->outbound(1) : ends{}.sa(data_plane::direction::outbound, 1), {}, 0);
  REQUIRE(foreign.has_value());
  auto& sas = g.kernel.sas;
  auto outbound_key = ends{}.sa(data_plane::direction::outbound, 4711).id;
  sa_key ours{outbound_key.destination, 4711, {}};
  sas[{outbound_key.destination, 1, {}}] = to_bytes(foreign->view());
  auto& policies = g.kernel.policies;
  auto one = policies.begin(), two = std::next(one), three = std::next(two);
  auto key_of_priority = one->first, key_of_reqid = two->first, key_of_index = three->first;
  one->second.priority += 1;
  if (two->second.protection)
    two->second.protection->reqid += 1;
  else
    two->second.action = policy_action::allow;
  g.kernel.indices[key_of_index] += 8;

  SUBCASE("all of ours goes") {
    auto& second = g.begin();
    second.plane->step();
    second.pass(duration{});
    CHECK(second.kernel.sas.size() == 1);
    CHECK(second.kernel.sas.count({outbound_key.destination, 1, {}}) == 1);
    CHECK(second.kernel.sas.count(inbound_key) + second.kernel.sas.count(larval_key) == 0);
    CHECK(second.kernel.policies.size() == 3);
    for (const auto& key : {key_of_priority, key_of_reqid, key_of_index})
      CHECK(second.kernel.policies.count(key) == 1);
    CHECK(second.plane->journal()->leases().empty());
    // And it serves.
    CHECK(second.ask(install_sa{second.outbound(4711), {}}).has_value());
  }
  SUBCASE("an SA of the same name with another label stays") {
    auto other =
        encode_sa(sa_command::add, ends{}.sa(data_plane::direction::outbound, 4711), {}, 0, 12345);
    sas[ours] = to_bytes(other->view());
    auto& second = g.begin();
    second.plane->step();
    second.pass(duration{});
    CHECK(second.kernel.sas.count(ours) == 1);
    CHECK(second.kernel.sas.size() == 2);
  }
  SUBCASE("a dump that fails is begun again; if it never goes well nothing is touched") {
    g.kernel.faults.push_back({XFRM_MSG_GETSA, 1000, answer_fault::refuse, EBUSY});
    auto before = sas;
    auto& second = g.begin();
    for (int i = 0; i < 20; ++i) second.pass(std::chrono::milliseconds{50});
    CHECK(second.kernel.sas == before);
    CHECK(second.kernel.policies.size() == 6);
    CHECK_FALSE(second.plane->journal()->leases().empty());
    second.kernel.faults.clear();
    CHECK(second.ask(install_sa{second.outbound(4800), {}}).has_value());
    g.kill();
    g.begin();
    g.living->plane->step();
    g.living->pass(duration{});
    CHECK(g.living->kernel.sas.size() == 1);
  }
  SUBCASE("a request that comes at once waits for it") {
    auto& second = g.begin();
    auto asked = second.submit(install_sa{second.outbound(4711), {}});
    second.plane->step();
    second.pass(duration{});
    CHECK(second.sink.wait_for(asked).has_value());
    CHECK(second.kernel.sas.count(ours) == 1);
  }
}

TEST_CASE("leases: a clean end leaves nothing noted; many SAs are few writes") {
  folder state;
  {
    scripted_plane p{state.path()};
    auto before = p.plane->journal()->writes();
    for (data_plane::spi spi = 1000; spi < 1500; ++spi) p.submit(install_sa{p.outbound(spi), {}});
    p.plane->step();
    p.pass(duration{});
    CHECK(p.kernel.sas.size() == 500);
    CHECK(p.plane->journal()->leases().sas.size() == 500);
    // As many as there were sends: 32 KiB each.
    CHECK(p.plane->journal()->writes() - before <= p.kernel.sends.size());
    CHECK(p.kernel.sends.size() < 20);
  }
  CHECK(opened(state)->leases().empty());
}

TEST_CASE("leases: a folder that cannot be used is a warning, not an end") {
  scripted_plane p{"/proc/none/imago"};
  REQUIRE(p.plane->warnings().size() == 1);
  CHECK(p.plane->warnings()[0].find("/proc/none/imago") != std::string::npos);
  CHECK(p.ask(install_sa{p.outbound(4711), {}}).has_value());
}
