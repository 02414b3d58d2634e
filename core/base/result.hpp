// result<T>: a value or an error. Using the value without asking is a programming error and aborts.
#pragma once

#include <cstdlib>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "core/base/error.hpp"

namespace imago {

template <class T>
class [[nodiscard]] result {
 public:
  using value_type = T;

  template <class U = T>
  requires(std::is_constructible_v<T, U&&> && !std::is_same_v<std::remove_cvref_t<U>, result> &&
           !std::is_same_v<std::remove_cvref_t<U>, error>)
      result(U&& value)  // NOLINT(google-explicit-constructor): `return value;` is the point
      : state_{std::in_place_index<0>, std::forward<U>(value)} {}
  result(error failure)  // NOLINT(google-explicit-constructor)
      : state_{std::in_place_index<1>, std::move(failure)} {}
  result(errc code, std::string where = {}) : state_{std::in_place_index<1>} {
    std::get<1>(state_) = error{code, std::move(where)};
  }

  bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }

  T& operator*() & { return checked(); }
  const T& operator*() const& { return const_cast<result*>(this)->checked(); }
  T&& operator*() && { return std::move(checked()); }
  T* operator->() { return &checked(); }
  const T* operator->() const { return &const_cast<result*>(this)->checked(); }

  const error& failure() const& {
    if (has_value()) std::abort();
    return *std::get_if<1>(&state_);
  }
  error&& failure() && {
    if (has_value()) std::abort();
    return std::move(*std::get_if<1>(&state_));
  }

 private:
  T& checked() {
    if (!has_value()) std::abort();
    return *std::get_if<0>(&state_);
  }
  std::variant<T, error> state_;
};

template <>
class [[nodiscard]] result<void> {
 public:
  result() = default;
  result(error failure)  // NOLINT(google-explicit-constructor)
      : failure_{std::move(failure)} {}
  result(errc code, std::string where = {}) : failure_{error{code, std::move(where)}} {}

  bool has_value() const { return !failure_.has_value(); }
  explicit operator bool() const { return has_value(); }
  const error& failure() const {
    if (!failure_) std::abort();
    return *failure_;
  }

 private:
  std::optional<error> failure_;
};

using status = result<void>;

}  // namespace imago
