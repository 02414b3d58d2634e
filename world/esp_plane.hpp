// User-space ESP as a data plane of a world: production's esp_processor without device, socket,
// thread or clock of its own. Requests are carried out when submitted; replies leave at once.
#pragma once

#include <functional>
#include <set>

#include "kernel_if/backend.hpp"
#include "kernel_if/user_esp/esp_processor.hpp"
#include "world/esp_ledger.hpp"

namespace imago::world {

class esp_plane final : public kernel_if::backend {
 public:
  using send_packet =
      std::function<void(const endpoint& local, const endpoint& remote, bytes_view packet)>;
  using receive_packet = std::function<void(bytes_view inner)>;

  // `random` and `ledger` outlive it.
  esp_plane(random_source& random, std::function<instant()> now, send_packet send,
            receive_packet receive, esp_ledger& ledger, host_number number)
      : now_{std::move(now)},
        send_{std::move(send)},
        receive_{std::move(receive)},
        ledger_{ledger},
        number_{number},
        processor_{random} {}

  std::string_view name() const override { return "user-esp"; }
  kernel_if::capabilities capabilities() const override { return {true, true, true, true, 4096}; }
  status start(kernel_if::backend_sink& sink) override {
    sink_ = &sink;
    return {};
  }
  void submit(kernel_if::request_id id, data_plane::request request) override {
    if (!sink_) return;
    data_plane::spi promoted = 0;
    if (const auto* install = std::get_if<data_plane::install_sa>(&request)) {
      if (install->sa.id.direction == data_plane::direction::inbound) promoted = install->sa.id.spi;
      larval_.erase(install->sa.id.spi);
    }
    if (const auto* allocate = std::get_if<data_plane::allocate_spi>(&request))
      larval_.insert(allocate->spi);
    if (const auto* remove = std::get_if<data_plane::remove_sa>(&request)) {
      larval_.erase(remove->id.spi);
      ledger_.removed(number_, remove->id.spi);
    }
    auto dropped = drop_count();
    auto reply = processor_.carry_out(std::move(request), now_(), outputs_);
    give_out();
    if (promoted != 0 && reply) ledger_.promoted(number_, promoted, drop_count() - dropped);
    sink_->on_reply(id, std::move(reply));
  }
  void stop() override {
    data_plane::request all{data_plane::flush{}};
    (void)processor_.carry_out(std::move(all), now_(), outputs_);
    outputs_.clear();
    sink_ = nullptr;
  }
  void deliver_esp(const endpoint& local, const endpoint& remote, bytes_view packet) override {
    using kernel_if::user_esp::drop_reason;
    auto full = processor_.drops(drop_reason::larval_queue_full);
    processor_.on_esp_packet(local, remote, packet, now_(), outputs_);
    if (processor_.drops(drop_reason::larval_queue_full) != full) ledger_.refused(number_, packet);
    give_out();
  }
  void send_inner(bytes_view packet) {
    sending_ = packet;
    processor_.on_inner_packet(packet, now_(), outputs_);
    give_out();
    sending_ = {};
  }

  const kernel_if::user_esp::esp_processor& processor() const { return processor_; }
  // Is the SA of this ESP packet allocated, but not installed yet?
  bool is_larval(bytes_view packet) const {
    data_plane::spi spi = 0;
    for (std::size_t at = 0; at < 4 && at < packet.size(); ++at) spi = spi << 8 | packet[at];
    return is_larval(spi);
  }
  bool is_larval(data_plane::spi spi) const { return larval_.count(spi) != 0; }
  bool is_empty() const {
    return processor_.sa_count() + processor_.larval_count() + processor_.policy_count() == 0;
  }

 private:
  void give_out() {
    kernel_if::user_esp::outputs now;
    std::swap(now, outputs_);  // sending may come back here
    auto waited = now.released.begin();
    for (const auto& one : now.esp) {
      if (waited != now.released.end())
        ledger_.sent(*waited++, one.packet);
      else if (!sending_.empty())
        ledger_.sent(sending_, one.packet);
      send_(one.local, one.remote, one.packet);
    }
    for (const auto& one : now.inner) {
      ledger_.delivered(number_, one, [this](data_plane::spi spi) { return is_larval(spi); });
      receive_(one);
    }
    if (sink_)
      for (auto& event : now.events) sink_->on_event(std::move(event));
  }

  std::uint64_t drop_count() const {
    std::uint64_t sum = 0;
    for (auto one : processor_.drops()) sum += one;
    return sum;
  }

  std::function<instant()> now_;
  send_packet send_;
  receive_packet receive_;
  esp_ledger& ledger_;
  const host_number number_;
  bytes_view sending_;  // the inner packet whose ESP packet comes next
  kernel_if::user_esp::esp_processor processor_;
  kernel_if::user_esp::outputs outputs_;
  kernel_if::backend_sink* sink_ = nullptr;
  std::set<data_plane::spi> larval_;
};

}  // namespace imago::world
