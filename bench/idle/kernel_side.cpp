// One thread does it all, so that the time a step takes is what it costs: packets are sealed here
// and sent to the kernel's inbound SAs over the loopback device, and after each the event socket
// is looked at, as the back-end's own thread would.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <thread>

#include <linux/netlink.h>
#include <netinet/in.h>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/idle/idle.hpp"
#include "core/crypto/library.hpp"
#include "kernel_if/user_esp/esp.hpp"
#include "kernel_if/xfrm/backend.hpp"
#include "kernel_if/xfrm/request_pipeline.hpp"

namespace imago::bench {

namespace {

namespace xfrm = kernel_if::xfrm;
using std::chrono::steady_clock;
using seconds_of = std::chrono::duration<double>;
using json = nlohmann::ordered_json;

constexpr data_plane::spi first_spi = 0x10000;
constexpr std::size_t requests_at_once = 200;
constexpr auto tick = std::chrono::milliseconds{10};
constexpr auto patience = std::chrono::seconds{30};

instant monotonic_now() { return {steady_clock::now().time_since_epoch()}; }

// Counts whole netlink messages in both directions.
class counting_transport final : public xfrm::netlink_transport {
 public:
  counting_transport(std::unique_ptr<netlink_transport> inner, std::size_t& messages)
      : inner_{std::move(inner)}, messages_{messages} {}
  int descriptor() const override { return inner_->descriptor(); }
  std::size_t receive_buffer_octets() const override { return inner_->receive_buffer_octets(); }
  int send(bytes_view messages) override {
    count(messages);
    return inner_->send(messages);
  }
  int receive(bytes& datagram) override {
    int code = inner_->receive(datagram);
    if (code == 0) count(datagram);
    return code;
  }

 private:
  void count(bytes_view octets) {
    nlmsghdr head{};
    while (octets.size() >= sizeof head) {
      std::memcpy(&head, octets.data(), sizeof head);
      ++messages_;
      auto length = (std::size_t{head.nlmsg_len} + 3) / 4 * 4;
      if (length < sizeof head || length > octets.size()) return;
      octets = octets.subspan(length);
    }
  }

  std::unique_ptr<netlink_transport> inner_;
  std::size_t& messages_;
};

class counting_sink final : public kernel_if::backend_sink {
 public:
  void on_reply(kernel_if::request_id, data_plane::reply reply) override {
    ++replies;
    if (!reply) failure = reply.failure().text();
  }
  void on_event(data_plane::event event) override {
    if (std::holds_alternative<data_plane::sa_active>(event)) ++active;
  }
  std::size_t replies = 0, active = 0;
  std::string failure;
};

// Inbound ESP SAs at 127.0.0.1, one key for all.
class kernel_sas {
 public:
  kernel_sas(const kernel_plan& plan, std::size_t count, bool has_esp)
      : plan_{plan}, count_{count}, has_esp_{has_esp}, plane_{options()} {}
  ~kernel_sas() {
    plane_.stop();
    if (socket_ >= 0) close(socket_);
  }

  status set_up();
  json measure();

 private:
  xfrm::options options();
  data_plane::sa_parameters parameters(std::size_t index) const;
  status ask_all(const std::function<data_plane::request(std::size_t)>& request);
  void send_packet(std::size_t index);
  void step();
  json leave_alone();
  json use();
  json ask_each();
  json dump_all();

  const kernel_plan& plan_;
  std::size_t count_;
  bool has_esp_;
  std::size_t messages_ = 0;
  double busy_seconds_ = 0;  // of the back-end
  int requests_descriptor_ = -1, events_descriptor_ = -1, socket_ = -1;
  counting_sink sink_;
  xfrm::backend plane_;
  crypto::library random_;
  std::optional<kernel_if::user_esp::esp_transform> transform_;
  std::uint64_t rounds_ = 0;  // packets sent on each SA
  bytes inner_ = bytes(64), packet_;
};

xfrm::options kernel_sas::options() {
  xfrm::options how;
  how.has_thread = false;
  auto counted = [this](auto open, int& descriptor) {
    return [this, open, &descriptor]() -> result<std::unique_ptr<xfrm::netlink_transport>> {
      auto opened = open();
      if (!opened) return opened.failure();
      descriptor = (*opened)->descriptor();
      return std::unique_ptr<xfrm::netlink_transport>{
          std::make_unique<counting_transport>(std::move(*opened), messages_)};
    };
  };
  how.open_requests = counted(xfrm::open_request_socket, requests_descriptor_);
  how.open_events = counted(xfrm::open_event_socket, events_descriptor_);
  return how;
}

data_plane::sa_parameters kernel_sas::parameters(std::size_t index) const {
  data_plane::sa_parameters sa;
  sa.id = {data_plane::direction::inbound, *ip_address::parse("127.0.0.1"),
           static_cast<data_plane::spi>(first_spi + index)};
  // Each its own peer: the kernel looks for a larval SA in a list of those of one pair.
  sa.source =
      *ip_address::parse("127." + std::to_string(1 + index / 65536) + "." +
                         std::to_string(index / 256 % 256) + "." + std::to_string(index % 256));
  sa.reqid = 1;
  sa.encryption = encryption_algorithm::aes_gcm_16;
  sa.key_bits = 128;
  sa.encryption_key = secret{bytes(20, 0x5a)};
  sa.local_selectors = {traffic_selector::from_prefix(*ip_prefix::parse("10.2.0.0/16"))};
  sa.remote_selectors = {traffic_selector::from_prefix(*ip_prefix::parse("10.1.0.0/16"))};
  sa.activity_interval = std::chrono::duration_cast<duration>(seconds_of{plan_.period_seconds});
  return sa;
}

status kernel_sas::ask_all(const std::function<data_plane::request(std::size_t)>& request) {
  for (std::size_t index = 0; index < count_;) {
    auto wanted = sink_.replies;
    for (; index < count_ && wanted < sink_.replies + requests_at_once; ++index, ++wanted)
      plane_.submit(index + 1, request(index));
    for (auto until = steady_clock::now() + patience; sink_.replies < wanted;) {
      plane_.step();
      if (steady_clock::now() > until) return {errc::timed_out, "the kernel"};
    }
    if (!sink_.failure.empty()) return {errc::system_error, sink_.failure};
  }
  return {};
}

status kernel_sas::set_up() {
  if (auto started = plane_.start(sink_); !started) return started;
  // Larval ones must still be there when they are asked for.
  std::ofstream{"/proc/sys/net/core/xfrm_acq_expires"} << 3600 << std::endl;
  auto done = ask_all([&](std::size_t index) {
    auto sa = parameters(index);
    return data_plane::request{data_plane::allocate_spi{sa.id.destination, sa.source, sa.id.spi}};
  });
  if (!done || !has_esp_) return done;
  done = ask_all([&](std::size_t index) {
    return data_plane::request{data_plane::install_sa{parameters(index), {}}};
  });
  if (!done) return done;
  auto made = kernel_if::user_esp::esp_transform::make(parameters(0));
  if (!made) return made.failure();
  transform_.emplace(std::move(*made));
  inner_[0] = 0x45;  // an IPv4 header is enough: what counts happens before it is looked at
  inner_[3] = 64;
  socket_ = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ESP);
  sockaddr_in from{};
  from.sin_family = AF_INET;
  from.sin_addr.s_addr = htonl(0x7f000002);
  if (socket_ < 0 || bind(socket_, reinterpret_cast<sockaddr*>(&from), sizeof from) != 0)
    return {errc::system_error, "raw socket"};
  // The first packet of each, and what the back-end has to set after it.
  ++rounds_;
  for (std::size_t index = 0; index < count_; ++index) send_packet(index);
  for (auto until = steady_clock::now() + patience; sink_.active < count_;) {
    step();
    if (steady_clock::now() > until)
      return {errc::timed_out, std::to_string(sink_.active) + " SAs told of their first packet"};
  }
  for (int i = 0; i < 10; ++i) plane_.step();
  return {};
}

void kernel_sas::send_packet(std::size_t index) {
  auto spi = static_cast<data_plane::spi>(first_spi + index);
  if (!transform_->seal({spi, rounds_}, kernel_if::user_esp::next_header_ipv4, inner_, random_,
                        packet_))
    std::abort();
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(0x7f000001);
  // One that is lost shows as an event less.
  (void)sendto(socket_, packet_.data(), packet_.size(), 0, reinterpret_cast<sockaddr*>(&to),
               sizeof to);
}

// What the back-end's thread would do now, and how long it takes.
void kernel_sas::step() {
  auto begun = steady_clock::now();
  pollfd watched[2] = {{requests_descriptor_, POLLIN, 0}, {events_descriptor_, POLLIN, 0}};
  if (poll(watched, 2, 0) <= 0) return;
  plane_.step();
  busy_seconds_ += seconds_of{steady_clock::now() - begun}.count();
}

json kernel_sas::leave_alone() {
  messages_ = 0, busy_seconds_ = 0;
  auto begun = steady_clock::now();
  for (auto end = begun + seconds_of{plan_.idle_seconds}; steady_clock::now() < end;) {
    std::this_thread::sleep_for(tick);
    step();
  }
  return {{"seconds", seconds_of{steady_clock::now() - begun}.count()},
          {"messages", messages_},
          {"busy_seconds", busy_seconds_}};
}

json kernel_sas::use() {
  messages_ = 0, busy_seconds_ = 0, sink_.active = 0;
  const auto packets = count_ * plan_.packets_a_period * plan_.periods;
  const auto begun = steady_clock::now();
  const double rate = static_cast<double>(count_) * plan_.packets_a_period / plan_.period_seconds;
  for (std::size_t sent = 0; sent < packets;) {
    std::this_thread::sleep_for(tick);
    seconds_of passed = steady_clock::now() - begun;
    auto due = std::min(static_cast<std::size_t>(passed.count() * rate), packets);
    for (; sent < due; ++sent) {
      if (sent % count_ == 0) ++rounds_;
      send_packet(sent % count_);
      step();
    }
    step();  // timers speak without a packet
  }
  return {{"seconds", seconds_of{steady_clock::now() - begun}.count()},
          {"messages", messages_},
          {"events", sink_.active},
          {"busy_seconds", busy_seconds_}};
}

// A request and its answer for each, one after the other: so it is when each has a timer.
json kernel_sas::ask_each() {
  auto opened = xfrm::open_request_socket();
  if (!opened) return {};
  std::size_t messages = 0, answers = 0;
  counting_transport transport{std::move(*opened), messages};
  xfrm::request_pipeline pipeline{transport, {}};
  const auto begun = steady_clock::now();
  for (std::size_t index = 0; index < count_; ++index) {
    xfrm::sa_key key{
        *ip_address::parse("127.0.0.1"), static_cast<data_plane::spi>(first_spi + index), {}};
    pipeline.ask(xfrm::encode_get_sa(key, 0), xfrm::answer_kind::object,
                 [&](xfrm::answer& said) { answers += said.code == 0 ? 1 : 0; });
    while (!pipeline.is_idle()) pipeline.step(monotonic_now());
  }
  return {{"asked", count_},
          {"answers", answers},
          {"messages", messages},
          {"busy_seconds", seconds_of{steady_clock::now() - begun}.count()}};
}

json kernel_sas::dump_all() {
  auto opened = xfrm::open_request_socket();
  if (!opened) return {};
  std::size_t messages = 0, sas = 0;
  counting_transport transport{std::move(*opened), messages};
  xfrm::request_pipeline pipeline{transport, {}};
  const auto begun = steady_clock::now();
  pipeline.ask(
      xfrm::encode_dump_sas(0), xfrm::answer_kind::dump, [](xfrm::answer&) {},
      [&](xfrm::message_body&) { ++sas; });
  while (!pipeline.is_idle()) pipeline.step(monotonic_now());
  return {{"sas", sas}, {"busy_seconds", seconds_of{steady_clock::now() - begun}.count()}};
}

json kernel_sas::measure() {
  json told{{"sas", count_}, {"has_esp", has_esp_}, {"period_seconds", plan_.period_seconds}};
  if (has_esp_) {
    told["idle"] = leave_alone();
    told["active"] = use();
  }
  told["each"] = ask_each();
  told["dump"] = dump_all();
  return told;
}

}  // namespace

int measure_kernel(const kernel_plan& plan) {
  if (unshare(CLONE_NEWNET) != 0 || std::system("ip link set lo up") != 0)
    return std::fprintf(stderr, "bench_idle: no network namespace of its own\n"), 1;
  const bool has_esp = xfrm::check_host().has_value();
  for (auto count : plan.sizes) {
    kernel_sas sas{plan, count, has_esp};
    if (auto set_up = sas.set_up(); !set_up)
      return std::fprintf(stderr, "bench_idle: %zu SAs: %s\n", count,
                          set_up.failure().text().c_str()),
             1;
    std::printf("%s\n", sas.measure().dump().c_str());
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace imago::bench
