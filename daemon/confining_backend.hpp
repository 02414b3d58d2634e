// A data plane after whose start the process confines itself: then every socket, netlink and TUN
// descriptor is open, and the engine has not read a datagram yet.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "kernel_if/backend.hpp"

namespace imago {

class confining_backend final : public kernel_if::backend {
 public:
  // `confine` is called once, by start(); its error is start's.
  confining_backend(std::unique_ptr<kernel_if::backend> inner, std::function<status()> confine)
      : inner_{std::move(inner)}, confine_{std::move(confine)} {}

  std::string_view name() const override { return inner_->name(); }
  kernel_if::capabilities capabilities() const override { return inner_->capabilities(); }
  status start(kernel_if::backend_sink& sink) override {
    if (auto started = inner_->start(sink); !started) return started;
    return confine_();
  }
  void submit(kernel_if::request_id id, data_plane::request request) override {
    inner_->submit(id, std::move(request));
  }
  std::vector<std::string> warnings() const override { return inner_->warnings(); }
  void stop() override { inner_->stop(); }
  status adopt_socket(int descriptor, ip_family family, bool is_nat_port) override {
    return inner_->adopt_socket(descriptor, family, is_nat_port);
  }
  void deliver_esp(const endpoint& local, const endpoint& remote, bytes_view packet) override {
    inner_->deliver_esp(local, remote, packet);
  }

 private:
  const std::unique_ptr<kernel_if::backend> inner_;
  const std::function<status()> confine_;
};

}  // namespace imago
