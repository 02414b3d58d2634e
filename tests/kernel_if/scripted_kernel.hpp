// A kernel of tables behind a netlink transport, that answers as badly as a test wants.
#pragma once

#include <deque>
#include <map>
#include <set>

#include "kernel_if/xfrm/backend.hpp"
#include "tests/kernel_if/backend_fixture.hpp"
#include "tests/kernel_if/xfrm_fixture.hpp"

namespace imago::testing {

enum class answer_fault : std::uint8_t {
  refuse,    // not carried out; the answer is `code`
  lose,      // carried out, the answer is dropped and the socket says so (ENOBUFS)
  silence,   // carried out, the answer is dropped and nothing says so
  late,      // carried out, the answer waits for release()
  twice,     // carried out, answered two times
  truncate,  // carried out, the answer ends too early
};

struct kernel_fault {
  std::uint16_t type = 0;  // XFRM_MSG_*; 0: any
  unsigned count = 1;      // how many times in a row
  answer_fault what{};
  int code = 0;
};

class scripted_kernel {
 public:
  std::deque<kernel_fault> faults;    // those of a type take effect in order
  std::map<xfrm::sa_key, bytes> sas;  // a larval one is empty, else the request that made it
  std::map<xfrm::sa_key, ip_address> larval_sources;
  std::map<xfrm::policy_key, xfrm::policy_entry> policies;
  std::map<xfrm::policy_key, std::uint32_t> indices;
  std::vector<bytes> acquired;       // larval SAs of packets that wait, as they are shown
  std::vector<std::uint16_t> types;  // of all requests, in order
  std::vector<std::size_t> sends;    // how many messages each had
  std::vector<int> send_errors;      // of the next sends, taken from the front
  data_plane::spi next_spi = 0xc0000001;
  std::size_t buffer_octets = 1 << 20;
  std::size_t answers_waiting_max = 0;
  unsigned jiffies_per_second = 250;
  std::map<xfrm::sa_key, std::uint32_t> timers;  // XFRMA_ETIMER_THRESH as last set

  // What is waiting to be received on each socket: a datagram or an errno.
  struct arrival {
    int code = 0;
    bytes datagram;
  };
  std::deque<arrival> answers, events;

  void release() {
    for (auto& one : held_) answers.push_back({0, std::move(one)});
    held_.clear();
  }
  std::size_t count_of(std::uint16_t type) const {
    return static_cast<std::size_t>(std::count(types.begin(), types.end(), type));
  }

  int send(bytes_view messages) {
    if (!send_errors.empty()) {
      int code = send_errors.front();
      send_errors.erase(send_errors.begin());
      if (code != 0) return code;
    }
    sends.push_back(0);
    while (!messages.empty()) {
      nlmsghdr head;
      std::memcpy(&head, messages.data(), sizeof head);
      ++sends.back();
      types.push_back(head.nlmsg_type);
      on_request(head, messages.first(head.nlmsg_len));
      messages = messages.subspan(head.nlmsg_len);
    }
    answers_waiting_max = std::max(answers_waiting_max, answers.size());
    return 0;
  }

 private:
  struct outcome {
    int code = 0;
    std::vector<bytes> datagrams;  // empty: an acknowledgement of `code`
  };

  void on_request(const nlmsghdr& head, bytes_view octets) {
    kernel_fault fault{};
    bool is_faulty = false;
    for (auto at = faults.begin(); at != faults.end(); ++at) {
      if (at->type != 0 && at->type != head.nlmsg_type) continue;
      fault = *at;
      is_faulty = true;
      if (--at->count == 0) faults.erase(at);
      break;
    }
    if (is_faulty && fault.what == answer_fault::refuse)
      return answers.push_back({0, acknowledgement_of(head.nlmsg_seq, fault.code)});
    auto done = carry_out(head, octets);
    if (done.datagrams.empty())
      done.datagrams.push_back(acknowledgement_of(head.nlmsg_seq, done.code));
    for (auto& one : done.datagrams) deliver(is_faulty ? &fault : nullptr, std::move(one));
  }

  void deliver(const kernel_fault* fault, bytes datagram) {
    if (!fault) return answers.push_back({0, std::move(datagram)});
    switch (fault->what) {
      case answer_fault::refuse:
      case answer_fault::silence: return;
      case answer_fault::lose: return answers.push_back({ENOBUFS, {}});
      case answer_fault::late: return held_.push_back(std::move(datagram));
      case answer_fault::twice:
        answers.push_back({0, datagram});
        return answers.push_back({0, std::move(datagram)});
      case answer_fault::truncate:
        datagram.resize(datagram.size() - 4);
        return answers.push_back({0, std::move(datagram)});
    }
  }

  static xfrm::sa_key named(bytes_view octets) {
    xfrm_usersa_id id;
    std::memcpy(&id, octets.data() + sizeof(nlmsghdr), sizeof id);
    auto family = *xfrm::family_of(id.family == 0 ? AF_INET : id.family);
    return {xfrm::address_of(id.daddr, family), ntohl(id.spi), {}};
  }
  bytes shown(bytes octets, xfrm::sequence number) const {
    std::uint16_t type = XFRM_MSG_NEWSA;
    std::memcpy(octets.data() + offsetof(nlmsghdr, nlmsg_type), &type, sizeof type);
    std::memcpy(octets.data() + offsetof(nlmsghdr, nlmsg_seq), &number, sizeof number);
    return octets;
  }

  outcome carry_out(const nlmsghdr& head, bytes_view octets) {
    switch (head.nlmsg_type) {
      case XFRM_MSG_ALLOCSPI: return allocate(head, octets);
      case XFRM_MSG_NEWSA:
      case XFRM_MSG_UPDSA: return install(head, octets);
      case XFRM_MSG_DELSA: return {sas.erase(named(octets)) != 0 ? 0 : ESRCH, {}};
      case XFRM_MSG_GETSA: return show(head, octets);
      case XFRM_MSG_NEWAE: return {sas.count(remember_timer(octets)) != 0 ? 0 : ESRCH, {}};
      case XFRM_MSG_GETAE: return show_timer(head, octets);
      case XFRM_MSG_NEWPOLICY:
      case XFRM_MSG_UPDPOLICY: return install_policy(head, octets);
      case XFRM_MSG_DELPOLICY:
      case XFRM_MSG_GETPOLICY: return on_policy(head, octets);
      default: return {};
    }
  }

  outcome allocate(const nlmsghdr& head, bytes_view octets) {
    xfrm_userspi_info range;
    std::memcpy(&range, octets.data() + sizeof head, sizeof range);
    auto family = *xfrm::family_of(range.info.family);
    auto local = xfrm::address_of(range.info.id.daddr, family);
    auto spi = range.min == range.max ? range.min : next_spi++;
    if (sas.count({local, spi, {}}) != 0) return {ENOENT, {}};
    sas[{local, spi, {}}] = {};
    auto from = xfrm::address_of(range.info.saddr, family);
    larval_sources[{local, spi, {}}] = from;
    return {0, {larval_answer(head.nlmsg_seq, from, local, spi)}};
  }

  outcome install(const nlmsghdr& head, bytes_view octets) {
    xfrm::message_reader reader{octets};
    auto one = reader.next();
    if (!one) return {EINVAL, {}};
    auto key = std::get<xfrm::sa_image>(one->body).key;
    auto at = sas.find(key);
    if (head.nlmsg_type == XFRM_MSG_NEWSA && at != sas.end()) return {EEXIST, {}};
    if (head.nlmsg_type == XFRM_MSG_UPDSA && at == sas.end()) return {ESRCH, {}};
    sas[key] = to_bytes(octets);
    timers[key] = timer_in(octets);
    return {};
  }

  // From NEWAE, NEWSA and UPDSA alike: the attributes follow a struct that begins with the name.
  xfrm::sa_key remember_timer(bytes_view octets) {
    xfrm::message_reader reader{octets};
    auto one = reader.next();
    auto* set = one ? std::get_if<xfrm::sa_activity>(&one->body) : nullptr;
    if (!set) return {};
    timers[set->key] = set->timer.value_or(0);
    return set->key;
  }

  // In tenths of a second, as the kernel shows what it takes in jiffies.
  outcome show_timer(const nlmsghdr& head, bytes_view octets) {
    auto key = named(octets);
    if (sas.count(key) == 0) return {ESRCH, {}};
    xfrm_aevent_id id{};
    id.sa_id = sa_name(key.destination, key.spi);
    id.flags = XFRM_AE_ETHR;
    std::uint32_t tenths = timers[key] * 10 / jiffies_per_second;
    return {0,
            {kernel_message{XFRM_MSG_NEWAE, head.nlmsg_seq}
                 .put(id)
                 .attribute(XFRMA_ETIMER_THRESH, tenths)
                 .octets()}};
  }

  static std::uint32_t timer_in(bytes_view octets) {
    auto rest = octets.subspan(sizeof(nlmsghdr) + sizeof(xfrm_usersa_info));
    while (rest.size() >= sizeof(nlattr)) {
      nlattr head;
      std::memcpy(&head, rest.data(), sizeof head);
      if (head.nla_type == XFRMA_ETIMER_THRESH) {
        std::uint32_t value = 0;
        std::memcpy(&value, rest.data() + sizeof head, sizeof value);
        return value;
      }
      rest = rest.subspan(std::min<std::size_t>((head.nla_len + 3u) & ~3u, rest.size()));
    }
    return 0;
  }

  outcome show(const nlmsghdr& head, bytes_view octets) {
    if ((head.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP) {
      outcome all;
      for (const auto& one : acquired) all.datagrams.push_back(shown(one, head.nlmsg_seq));
      for (const auto& [key, request] : sas)
        all.datagrams.push_back(request.empty() ? larval_answer(head.nlmsg_seq, larval_sources[key],
                                                                key.destination, key.spi)
                                                : shown(request, head.nlmsg_seq));
      all.datagrams.push_back(dump_end(head.nlmsg_seq));
      return all;
    }
    auto at = sas.find(named(octets));
    if (at == sas.end()) return {ESRCH, {}};
    if (at->second.empty())
      return {0,
              {larval_answer(head.nlmsg_seq, larval_sources[at->first], at->first.destination,
                             at->first.spi)}};
    return {0, {shown(at->second, head.nlmsg_seq)}};
  }

  outcome install_policy(const nlmsghdr& head, bytes_view octets) {
    xfrm::message_reader reader{octets};
    auto one = reader.next();
    if (!one) return {EINVAL, {}};
    const auto& image = std::get<xfrm::policy_image>(one->body);
    const auto& entry = image.entry;
    if (head.nlmsg_type == XFRM_MSG_NEWPOLICY && policies.count(entry.key) != 0)
      return {EEXIST, {}};
    // Of one that is replaced the index stays.
    if (policies.count(entry.key) == 0) indices[entry.key] = image.index;
    policies[entry.key] = entry;
    return {};
  }

  outcome on_policy(const nlmsghdr& head, bytes_view octets) {
    xfrm_userpolicy_id id;
    if ((head.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP) {
      outcome all;
      for (const auto& [key, entry] : policies)
        all.datagrams.push_back(to_bytes(
            xfrm::encode_policy(xfrm::policy_command::add, entry, head.nlmsg_seq, indices[key])
                .view()));
      all.datagrams.push_back(dump_end(head.nlmsg_seq));
      return all;
    }
    std::memcpy(&id, octets.data() + sizeof head, sizeof id);
    xfrm::policy_key key{
        static_cast<xfrm::policy_direction>(id.dir), *xfrm::selector_of(id.sel), {}, 0};
    auto at = policies.find(key);
    if (at == policies.end()) return {ENOENT, {}};
    if (id.index != 0 && id.index != indices[key]) return {ENOENT, {}};
    if (head.nlmsg_type == XFRM_MSG_GETPOLICY)
      return {
          0,
          {to_bytes(
              xfrm::encode_policy(xfrm::policy_command::add, at->second, head.nlmsg_seq).view())}};
    policies.erase(at);
    return {};
  }

  std::vector<bytes> held_;
};

class scripted_transport final : public xfrm::netlink_transport {
 public:
  scripted_transport(scripted_kernel& kernel, bool is_events)
      : kernel_{kernel}, arrivals_{is_events ? kernel.events : kernel.answers} {}
  int descriptor() const override { return -1; }
  std::size_t receive_buffer_octets() const override { return kernel_.buffer_octets; }
  int send(bytes_view messages) override { return kernel_.send(messages); }
  int receive(bytes& datagram) override {
    if (arrivals_.empty()) return EAGAIN;
    auto one = std::move(arrivals_.front());
    arrivals_.pop_front();
    datagram = std::move(one.datagram);
    return one.code;
  }

 private:
  scripted_kernel& kernel_;
  std::deque<scripted_kernel::arrival>& arrivals_;
};

// The back-end over such a kernel, stepped by the test; time passes only by pass().
struct scripted_plane {
  scripted_kernel kernel;
  remembering_sink sink;
  instant now = second(1000);
  ends e;
  std::unique_ptr<xfrm::backend> plane;
  kernel_if::request_id last_id = 0;

  // `lease_folder`: where it notes its leases, of a kernel as somebody left it.
  explicit scripted_plane(std::string lease_folder = {}, scripted_kernel found = {})
      : kernel{std::move(found)} {
    xfrm::options options;
    options.lease_folder = std::move(lease_folder);
    options.has_thread = false;
    options.clock = [this] { return now; };
    using opened = result<std::unique_ptr<xfrm::netlink_transport>>;
    options.open_requests = [this] {
      return opened{std::make_unique<scripted_transport>(kernel, false)};
    };
    options.open_events = [this] {
      return opened{std::make_unique<scripted_transport>(kernel, true)};
    };
    plane = std::make_unique<xfrm::backend>(std::move(options));
    if (!plane->start(sink)) std::abort();
  }
  ~scripted_plane() { plane->stop(); }
  scripted_plane(const scripted_plane&) = delete;
  scripted_plane& operator=(const scripted_plane&) = delete;

  void pass(duration by) {
    now = now + by;
    plane->step();
  }
  kernel_if::request_id submit(data_plane::request request) {
    plane->submit(++last_id, std::move(request));
    return last_id;
  }
  bool is_answered(kernel_if::request_id id) {
    auto order = sink.order();
    return std::find(order.begin(), order.end(), id) != order.end();
  }
  // Steps until it is answered; time passes in steps of 50 ms, at most a minute.
  data_plane::reply ask(data_plane::request request) {
    auto id = submit(std::move(request));
    plane->step();
    for (int i = 0; i < 1200 && !is_answered(id); ++i) pass(std::chrono::milliseconds{50});
    if (!is_answered(id)) return errc::timed_out;
    return sink.wait_for(id);
  }
  data_plane::spi allocate() {
    auto reply = ask(data_plane::allocate_spi{e.own.outer.address, e.other.outer.address});
    if (!reply) return 0;
    return std::get<data_plane::spi_allocated>(*reply).spi;
  }
  data_plane::sa_parameters inbound(data_plane::spi spi) {
    return e.sa(data_plane::direction::inbound, spi);
  }
  data_plane::sa_parameters outbound(data_plane::spi spi) {
    return e.sa(data_plane::direction::outbound, spi);
  }
  data_plane::policy policy() { return policy_between(e.how, e.own, e.other); }
  xfrm::sa_key inbound_key(data_plane::spi spi) { return {e.own.outer.address, spi, {}}; }
  xfrm::sa_key outbound_key(data_plane::spi spi) { return {e.other.outer.address, spi, {}}; }
};

}  // namespace imago::testing
