// A data plane after whose start the process confines itself: then every socket, netlink and TUN
// descriptor is open, and the engine has not read a datagram yet.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "kernel_if/forwarding_backend.hpp"

namespace imago {

class confining_backend final : public kernel_if::forwarding_backend {
 public:
  // `confine` is called once, by start(); its error is start's.
  confining_backend(std::unique_ptr<kernel_if::backend> inner, std::function<status()> confine)
      : forwarding_backend{std::move(inner)}, confine_{std::move(confine)} {}

  status start(kernel_if::backend_sink& sink) override {
    if (auto started = forwarding_backend::start(sink); !started) return started;
    return confine_();
  }

 private:
  const std::function<status()> confine_;
};

}  // namespace imago
