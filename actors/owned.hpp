// owned<T>: a box in which a move-only value travels inside a CAF message.
//
// CAF 0.17 keeps message content behind a shared, copy-on-write pointer and therefore insists that
// content can be copied. A digest, a secret or a job must never be copied, so the copy constructor
// exists and aborts. It never runs as long as (1) a message with a box is sent to one receiver and
// not kept by the sender, and (2) the handler takes it by reference (`[](job_done& done)`), never
// by value. CAF then hands over the one instance (measured: no copy on send, delegate and relay).
// A message dropped on the way destroys its content, which wipes what is secret in it.
#pragma once

#include <cstdlib>
#include <memory>
#include <type_traits>
#include <utility>

#include <caf/allowed_unsafe_message_type.hpp>

namespace imago::actors {

template <class T>
class owned {
 public:
  owned() = default;  // empty; CAF wants messages default-constructible
  explicit owned(T&& value) : value_{std::make_unique<T>(std::move(value))} {}
  explicit owned(std::unique_ptr<T> value) : value_{std::move(value)} {}
  owned(owned&&) noexcept = default;
  owned& operator=(owned&&) noexcept = default;
  [[noreturn]] owned(const owned&) { std::abort(); }
  [[noreturn]] owned& operator=(const owned&) { std::abort(); }
  ~owned() = default;

  bool has_value() const { return value_ != nullptr; }
  // Borrowed until take(). An empty box aborts.
  const T& peek() const {
    if (!value_) std::abort();
    return *value_;
  }
  // Moves the value out and leaves the box empty. An empty box aborts.
  T take() {
    if (!value_) std::abort();
    auto value = std::move(value_);
    return std::move(*value);
  }
  std::unique_ptr<T> take_pointer() { return std::move(value_); }

 private:
  std::unique_ptr<T> value_;
};

template <class T>
owned<std::remove_cvref_t<T>> own(T&& value) {
  return owned<std::remove_cvref_t<T>>{std::forward<T>(value)};
}

}  // namespace imago::actors

namespace caf {
template <class T>
struct allowed_unsafe_message_type<imago::actors::owned<T>> : std::true_type {};
}  // namespace caf
