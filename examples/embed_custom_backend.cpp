// An embedder's own data plane: two engines in one process, each with one of these, and every
// callback on the thread that runs main. The data plane keeps tables and prints what it is asked;
// a real one would move packets.
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <map>
#include <mutex>
#include <utility>

#include "actors/engine.hpp"

namespace {

using namespace imago::data_plane;

// Work for one thread: engines post, main drains.
class work_queue {
 public:
  void post(std::function<void()> work) {
    std::lock_guard guard{mutex_};
    queue_.push_back(std::move(work));
    wakeup_.notify_one();
  }
  void run_until(const std::function<bool()>& is_done) {
    while (!is_done()) {
      std::unique_lock lock{mutex_};
      wakeup_.wait(lock, [&] { return !queue_.empty(); });
      auto work = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      work();
    }
  }

 private:
  std::mutex mutex_;
  std::condition_variable wakeup_;
  std::deque<std::function<void()>> queue_;
};

// What a data plane holds. It outlives its engine here, so that main can look at it to the end.
// Keys stay in it: they are wiped when their SA goes.
struct tables {
  std::mutex mutex;
  spi last_spi;
  std::map<sa_id, sa_parameters> sas;
  std::map<policy, int> policies;  // counted: two Child SAs may share one

  explicit tables(spi first) : last_spi{first} {}
  bool is_empty() {
    std::lock_guard guard{mutex};
    return sas.empty() && policies.empty();
  }
};

// It carries each request out inside submit() and answers there. Requests come from one thread at a
// time, in order; main reads the tables from another, hence the mutex.
class table_data_plane final : public imago::kernel_if::backend {
 public:
  table_data_plane(std::string owner, std::shared_ptr<tables> held, work_queue& queue)
      : owner_{std::move(owner)}, held_{std::move(held)}, queue_{queue} {}

  std::string_view name() const override { return "tables"; }
  imago::kernel_if::capabilities capabilities() const override { return {}; }
  imago::status start(imago::kernel_if::backend_sink& sink) override {
    sink_ = &sink;
    return {};
  }
  void submit(imago::kernel_if::request_id id, request asked) override {
    std::printf("%s: %s\n", owner_.c_str(), std::string{name_of(asked)}.c_str());
    std::unique_lock lock{held_->mutex};
    auto answer = std::visit([this](auto& one) { return carry_out(one); }, asked);
    lock.unlock();
    sink_->on_reply(id, std::move(answer));
    queue_.post([] {});  // main looks again
  }
  void stop() override {
    std::lock_guard guard{held_->mutex};
    held_->sas.clear();
    held_->policies.clear();
  }

 private:
  // The engine names the SPI that it wants.
  reply carry_out(allocate_spi& asked) {
    return spi_allocated{asked.spi != 0 ? asked.spi : ++held_->last_spi};
  }
  reply carry_out(install_sa& asked) {
    std::printf("%s:   %s, %s\n", owner_.c_str(), text_of(asked.sa.id).c_str(),
                text_of(asked.sa.encryption).c_str());
    for (const auto& one : asked.policies) ++held_->policies[one];
    auto id = asked.sa.id;
    held_->sas.insert_or_assign(id, std::move(asked.sa));
    return done{};
  }
  reply carry_out(remove_sa& asked) {
    held_->sas.erase(asked.id);  // a larval SA is not in the table
    return done{};
  }
  reply carry_out(install_policy& asked) {
    ++held_->policies[asked.policy];
    return done{};
  }
  reply carry_out(remove_policy& asked) {
    auto at = held_->policies.find(asked.policy);
    if (at == held_->policies.end()) return imago::error{imago::errc::not_found, "policy"};
    if (--at->second == 0) held_->policies.erase(at);
    return done{};
  }
  reply carry_out(update_sa&) { return done{}; }
  reply carry_out(query_sa& asked) {
    if (held_->sas.count(asked.id) == 0) return imago::error{imago::errc::no_such_sa, "query"};
    return sa_usage{};
  }
  reply carry_out(query_activity& asked) {
    activity_list list;
    for (const auto& id : asked.sas)
      if (held_->sas.count(id) != 0) list.sas.emplace_back(id, sa_usage{});
    return list;
  }
  reply carry_out(flush&) {
    held_->sas.clear();
    held_->policies.clear();
    return done{};
  }

  std::string owner_;
  std::shared_ptr<tables> held_;
  work_queue& queue_;
  imago::kernel_if::backend_sink* sink_ = nullptr;
};

std::unique_ptr<imago::engine> start(const std::string& name, work_queue& queue,
                                     const std::shared_ptr<tables>& held) {
  imago::engine_options options;
  options.addresses = {*imago::ip_address::parse("127.0.0.1")};
  options.ike_port = options.nat_port = 0;  // any free port, no privileges
  options.executor = [&queue](std::function<void()> work) { queue.post(std::move(work)); };
  options.on_event = [name](const imago::sa_event& event) {
    std::printf("%s: event %s of %s\n", name.c_str(),
                std::string{imago::name_of(event.kind)}.c_str(), event.ike_sa->connection.c_str());
  };
  options.make_backend = [&queue, name, held](
                             auto&,
                             auto&) -> imago::result<std::unique_ptr<imago::kernel_if::backend>> {
    return std::make_unique<table_data_plane>(name, held, queue);
  };
  auto started = imago::engine::start(std::move(options));
  if (!started) std::fprintf(stderr, "%s\n", started.failure().text().c_str());
  return started ? std::move(*started) : nullptr;
}

imago::status load(imago::engine& into, const std::string& local, const std::string& remote,
                   const std::string& port) {
  return into.load_text("connections { tunnel { remote_addrs = 127.0.0.1 \n" + port +
                        "\n local { auth = psk \n id = " + local + "\n }" +
                        "\n remote { auth = psk \n id = " + remote + "\n }" +
                        "\n children { net { local_ts = 10.1.0.0/16 \n remote_ts = 10.1.0.0/16 \n"
                        "} } } }\n secrets { ike { secret = \"correct horse battery staple\" } }");
}

// Does each SA of the one have its other end in the other, with the same key?
bool is_agreed(tables& one, tables& other) {
  std::scoped_lock guard{one.mutex, other.mutex};
  if (one.sas.size() != 2 || other.sas.size() != 2) return false;
  for (const auto& [id, sa] : one.sas) {
    auto far = id;
    far.direction = id.direction == direction::inbound ? direction::outbound : direction::inbound;
    auto at = other.sas.find(far);
    if (at == other.sas.end() || !(at->second.encryption_key == sa.encryption_key)) return false;
  }
  return !one.policies.empty() && !other.policies.empty();
}

bool run() {
  work_queue queue;
  auto moon_tables = std::make_shared<tables>(0xa0000000);
  auto sun_tables = std::make_shared<tables>(0xb0000000);
  auto moon = start("moon", queue, moon_tables);
  auto sun = start("sun", queue, sun_tables);
  if (!moon || !sun) return false;
  auto port = "remote_port = " + std::to_string(sun->nat_port());
  if (!load(*sun, "sun.test", "moon.test", "") || !load(*moon, "moon.test", "sun.test", port))
    return std::fputs("bad configuration\n", stderr), false;

  std::optional<imago::status> up, down;
  moon->initiate("tunnel", "net", [&](imago::status result) { up = result; });
  queue.run_until([&] { return up.has_value(); });
  if (!*up) return std::fprintf(stderr, "%s\n", up->failure().text().c_str()), false;
  // The responder's outbound SA follows its response.
  queue.run_until([&] { return is_agreed(*moon_tables, *sun_tables); });
  std::puts("both data planes hold the same SAs with the same keys");

  moon->terminate("tunnel", "", [&](imago::status result) { down = result; });
  queue.run_until(
      [&] { return down.has_value() && moon_tables->is_empty() && sun_tables->is_empty(); });
  if (!*down) return std::fprintf(stderr, "%s\n", down->failure().text().c_str()), false;
  std::puts("both data planes are empty again");
  return true;
}

}  // namespace

int main() { return run() ? 0 : 1; }
