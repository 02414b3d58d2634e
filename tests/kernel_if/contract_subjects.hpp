// The data planes that the contract is asked of. A new back-end joins by one line in `subjects`.
#pragma once

#include <atomic>
#include <cstring>
#include <set>

#include <doctest/doctest.h>
#include <netinet/in.h>

#include "kernel_if/xfrm/backend.hpp"
#include "tests/kernel_if/backend_fixture.hpp"
#include "tests/kernel_if/own_namespace.hpp"

namespace imago::testing {

using data_plane::direction;
using kernel_if::request_id;

class subject {
 public:
  virtual ~subject() = default;
  virtual kernel_if::backend& plane() = 0;
  virtual std::string absent() { return {}; }
  // One packet on that inbound SA, a little time after the last.
  virtual bool carry(const data_plane::sa_id& id) = 0;

  remembering_sink sink;
  peer own{{at("192.0.2.2"), 4500}, net("10.2.0.0/16"), 2};
  peer other{{at("192.0.2.1"), 4500}, net("10.1.0.0/16"), 1};
  plan how;

  data_plane::reply ask(data_plane::request request) {
    auto id = ++last_id_;
    plane().submit(id, std::move(request));
    return sink.wait_for(id);
  }
  errc refusal(data_plane::request request) {
    auto reply = ask(std::move(request));
    REQUIRE_FALSE(reply.has_value());
    return reply.failure().code;
  }
  data_plane::spi allocate() {
    auto reply = ask(data_plane::allocate_spi{own.outer.address, other.outer.address});
    REQUIRE(reply.has_value());
    auto* allocated = std::get_if<data_plane::spi_allocated>(&*reply);
    REQUIRE(allocated);
    return allocated->spi;
  }
  data_plane::sa_parameters inbound(data_plane::spi spi) {
    return parameters(how, direction::inbound, own, other, spi);
  }
  data_plane::sa_parameters outbound(data_plane::spi spi) {
    return parameters(how, direction::outbound, own, other, spi);
  }
  data_plane::policy policy() { return policy_between(how, own, other); }
  bool is_installed(const data_plane::sa_id& id) {
    return ask(data_plane::query_sa{id}).has_value();
  }

 private:
  request_id last_id_ = 0;
};

class fake_subject final : public subject {
 public:
  ~fake_subject() override { plane_.stop(); }
  kernel_if::backend& plane() override { return plane_; }
  bool carry(const data_plane::sa_id& id) override {
    now_ = now_ + std::chrono::milliseconds{70};
    return plane_.carry_packet(id, 100, now_).has_value();
  }

 private:
  instant now_ = second(1);
  kernel_if::fake_backend plane_;
};

class user_esp_subject final : public subject {
 public:
  ~user_esp_subject() override { live_.plane->stop(); }
  kernel_if::backend& plane() override { return *live_.plane; }
  bool carry(const data_plane::sa_id& id) override {
    if (carried_.insert(id).second) {
      auto sa = parameters(how, direction::outbound, other, own, id.spi);
      CHECK(
          other.carry_out(data_plane::install_sa{std::move(sa), {policy_between(how, other, own)}})
              .has_value());
    }
    live_.milliseconds_ahead += 70;
    other.out.clear();
    other.processor.on_inner_packet(hello(), second(2), other.out);
    if (other.out.esp.size() != 1) return false;
    plane().deliver_esp(own.outer, other.outer, other.out.esp[0].packet);
    return !live_.read().empty();
  }

 private:
  live_esp live_;
  std::set<data_plane::sa_id> carried_;
};

// The kernel's, in a network namespace of the test's own.
class xfrm_subject final : public subject {
 public:
  xfrm_subject() : before_{open("/proc/thread-self/ns/net", O_CLOEXEC)} {}
  ~xfrm_subject() override {
    plane_.stop();
    for (int one : {receiver_, sender_})
      if (one >= 0) close(one);
    if (setns(before_, CLONE_NEWNET) != 0) std::abort();
    close(before_);
  }
  kernel_if::backend& plane() override { return plane_; }
  // Both ends of the way are addresses of the loopback device; `other` seals, the kernel opens.
  bool carry(const data_plane::sa_id& id) override {
    if (receiver_ < 0) {
      CHECK(
          run("ip link set lo up && ip address add 192.0.2.1/32 dev lo && "
              "ip address add 192.0.2.2/32 dev lo"));
      receiver_ = socket_at(own.outer);
      sender_ = socket_at(other.outer);
      CHECK(plane_.adopt_socket(receiver_, ip_family::v4, true).has_value());
      auto sa = parameters(how, direction::outbound, other, own, id.spi);
      CHECK(
          other.carry_out(data_plane::install_sa{std::move(sa), {policy_between(how, other, own)}})
              .has_value());
    }
    other.out.clear();
    other.processor.on_inner_packet(hello(), second(2), other.out);
    if (other.out.esp.size() != 1) return false;
    auto to = socket_address_of(own.outer);
    const auto& packet = other.out.esp[0].packet;
    return sendto(sender_, packet.data(), packet.size(), 0, reinterpret_cast<sockaddr*>(&to),
                  sizeof to) == static_cast<ssize_t>(packet.size());
  }
  // Why it cannot be here; empty: it can.
  std::string absent() override {
    network_namespace probe;
    if (!probe.is_made()) return "no network namespace of our own";
    auto usable = kernel_if::xfrm::check_host();
    return usable ? std::string{} : usable.failure().text();
  }

 private:
  static sockaddr_in socket_address_of(const endpoint& from) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(from.port);
    std::memcpy(&address.sin_addr, from.address.octets().data(), 4);
    return address;
  }
  static int socket_at(const endpoint& where) {
    int made = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    auto address = socket_address_of(where);
    CHECK(bind(made, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    return made;
  }

  int before_;
  int receiver_ = -1, sender_ = -1;
  kernel_if::xfrm::backend plane_;
};

struct subject_kind {
  const char* name;
  std::unique_ptr<subject> (*make)();
};
inline const subject_kind subjects[] = {
    {"fake", []() -> std::unique_ptr<subject> { return std::make_unique<fake_subject>(); }},
    {"user-esp", []() -> std::unique_ptr<subject> { return std::make_unique<user_esp_subject>(); }},
    {"xfrm", []() -> std::unique_ptr<subject> { return std::make_unique<xfrm_subject>(); }},
};

inline void with_each(const std::function<void(subject&)>& test) {
  for (const auto& kind : subjects) {
    CAPTURE(kind.name);
    auto made = kind.make();
    if (auto why = made->absent(); !why.empty()) {
      // ./dev kernel-test runs this with a kernel that has it.
      if (std::getenv("IMAGO_NEEDS_XFRM")) FAIL("no XFRM: " << why);
      static std::set<std::string> said;
      if (said.insert(kind.name).second)
        MESSAGE(std::string{kind.name} << " is not tested here: " << why);
      continue;
    }
    CHECK(made->plane().name() == kind.name);
    REQUIRE(made->plane().start(made->sink).has_value());
    test(*made);
  }
}

}  // namespace imago::testing
