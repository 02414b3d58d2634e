// flow: one exchange as a coroutine, straight down. It suspends on what it needs (crypto jobs, data
// plane requests, the peer's response); whoever drives it - the exchange actor, a unit test, a
// fuzzer, the world - carries the needs out and gives the answers. The frame owns the md and every
// secret; destroying the flow at any suspension wipes and frees all of it.
//
// Rules: parameters by value; nothing that can change outside the frame is referenced across
// co_await; the job is named before it is awaited (g++ 12 destroys some temporaries twice).
#pragma once

#include <coroutine>
#include <tuple>
#include <utility>

#include "core/crypto/job.hpp"
#include "core/ikev2/model.hpp"

namespace imago::ikev2 {

// Our own request, to be sealed and sent by the ike_sa; answered by the peer's response.
struct send_request {
  exchange_type exchange{};
  wire::payloads payloads;
};

using need = std::variant<crypto::job, data_plane::request, send_request>;
using answer = std::variant<crypto::job_result, data_plane::reply, result<msg_digest>>;

class [[nodiscard]] flow {
 public:
  struct promise_type {
    std::vector<need> needs;                     // asked, not yet taken by the driver
    std::vector<std::optional<answer>> answers;  // one place per need
    std::size_t missing = 0;
    std::optional<ikev2::outcome> outcome;

    flow get_return_object() { return flow{handle_type::from_promise(*this)}; }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_value(ikev2::outcome value) { outcome = std::move(value); }
    // Only memory exhaustion throws below a flow; the exchange then fails, the daemon lives.
    void unhandled_exception() {
      outcome.emplace();
      outcome->effects.push_back(ike_failed{{errc::out_of_memory, "exchange"}, {}});
    }
    void ask(std::vector<need> list) {
      needs = std::move(list);
      answers.clear();
      answers.resize(needs.size());
      missing = needs.size();
    }
  };
  using handle_type = std::coroutine_handle<promise_type>;

  flow() = default;
  flow(flow&& other) noexcept : handle_{std::exchange(other.handle_, nullptr)} {}
  flow& operator=(flow&& other) noexcept {
    if (this != &other) {
      if (handle_) handle_.destroy();
      handle_ = std::exchange(other.handle_, nullptr);
    }
    return *this;
  }
  ~flow() {
    if (handle_) handle_.destroy();
  }

  explicit operator bool() const { return handle_ != nullptr; }
  // Runs to the first suspension or the end. Once.
  void start() { handle_.resume(); }
  // What the flow waits for, to be carried out by the driver; the position in the list is the
  // index for give(). Each need is handed out once.
  std::vector<need> take_needs() { return std::exchange(handle_.promise().needs, {}); }
  // Answers a need; the flow runs on when all of the present ones are answered. An answer of the
  // wrong kind or for an index that is not open is a programming error in the driver: ignored.
  void give(std::size_t index, answer value) {
    auto& promise = handle_.promise();
    if (done() || index >= promise.answers.size() || promise.answers[index]) return;
    promise.answers[index].emplace(std::move(value));
    if (--promise.missing == 0) handle_.resume();
  }
  bool done() const { return handle_.done(); }
  ikev2::outcome take_outcome() { return std::move(*handle_.promise().outcome); }

 private:
  explicit flow(handle_type handle) : handle_{handle} {}
  handle_type handle_ = nullptr;
};

// --- what can be awaited ---

namespace detail {

template <class T>
struct answer_of;
template <>
struct answer_of<crypto::generate_key_exchange_job> {
  using type = crypto::key_exchange_generated;
};
template <>
struct answer_of<crypto::respond_key_exchange_job> {
  using type = crypto::key_exchange_responded;
};
template <>
struct answer_of<crypto::derive_shared_secret_job> {
  using type = crypto::shared_secret_derived;
};
template <>
struct answer_of<crypto::sign_job> {
  using type = crypto::signature_made;
};
template <>
struct answer_of<crypto::verify_job> {
  using type = crypto::verified;
};
template <>
struct answer_of<data_plane::allocate_spi> {
  using type = data_plane::spi_allocated;
};
template <>
struct answer_of<data_plane::install_sa> {
  using type = data_plane::done;
};
template <>
struct answer_of<data_plane::remove_sa> {
  using type = data_plane::done;
};
template <>
struct answer_of<send_request> {
  using type = msg_digest;
};
template <class T>
using answer_of_t = typename answer_of<T>::type;

template <class T>
inline constexpr bool is_job = std::is_constructible_v<crypto::job, T&&>;

// The typed result of one need out of its untyped answer.
template <class T>
result<answer_of_t<T>> unpack(answer&& value) {
  if constexpr (std::is_same_v<T, send_request>) {
    if (auto* response = std::get_if<result<msg_digest>>(&value)) return std::move(*response);
  } else {
    using outer_type = std::conditional_t<is_job<T>, crypto::job_result, data_plane::reply>;
    if (auto* outer = std::get_if<outer_type>(&value)) {
      if (!*outer) return outer->failure();
      if (auto* inner = std::get_if<answer_of_t<T>>(&**outer)) return std::move(*inner);
    }
  }
  return {errc::bad_value, "answer of another kind"};
}

template <class T>
need as_need(T&& one) {
  using kind = std::remove_cvref_t<T>;
  if constexpr (std::is_same_v<kind, send_request>) {
    return need{std::forward<T>(one)};
  } else if constexpr (is_job<kind>) {
    return need{std::in_place_type<crypto::job>, std::forward<T>(one)};
  } else {
    return need{std::in_place_type<data_plane::request>, std::forward<T>(one)};
  }
}

template <class... kinds>
struct awaiter {
  std::vector<need> needs;
  flow::promise_type* promise = nullptr;

  bool await_ready() const noexcept { return false; }
  void await_suspend(flow::handle_type handle) {
    promise = &handle.promise();
    promise->ask(std::move(needs));
  }
  auto await_resume() { return resume(std::index_sequence_for<kinds...>{}); }

 private:
  template <std::size_t... at>
  auto resume(std::index_sequence<at...>) {
    if constexpr (sizeof...(kinds) == 1) {
      return unpack<kinds...>(std::move(*promise->answers[0]));
    } else {
      return std::tuple<result<answer_of_t<kinds>>...>{
          unpack<kinds>(std::move(*promise->answers[at]))...};
    }
  }
};

}  // namespace detail

// co_await offload(job) gives result<...>; co_await offload(one, other) a tuple of results, both
// being carried out at the same time. Data plane requests and send_request work alike.
template <class... kinds>
detail::awaiter<std::remove_cvref_t<kinds>...> offload(kinds&&... needs) {
  detail::awaiter<std::remove_cvref_t<kinds>...> awaiter;
  (awaiter.needs.push_back(detail::as_need(std::forward<kinds>(needs))), ...);
  return awaiter;
}

}  // namespace imago::ikev2
