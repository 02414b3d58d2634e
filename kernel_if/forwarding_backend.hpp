// A back-end before another: it passes on whatever a derived class does not change. The one place
// that must know of every function of a back-end, lest one be lost on the way.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernel_if/backend.hpp"

namespace imago::kernel_if {

class forwarding_backend : public backend {
 public:
  explicit forwarding_backend(std::unique_ptr<backend> inner) : inner_{std::move(inner)} {}

  std::string_view name() const override { return inner_->name(); }
  kernel_if::capabilities capabilities() const override { return inner_->capabilities(); }
  status start(backend_sink& sink) override { return inner_->start(sink); }
  void submit(request_id id, data_plane::request request) override {
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
  const std::unique_ptr<backend> inner_;
};

}  // namespace imago::kernel_if
