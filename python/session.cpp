#include "python/session.hpp"

#include <utility>

#include <fmt/format.h>

namespace imago::python {

namespace {

const char* text_of(callback_kind kind) {
  switch (kind) {
    case callback_kind::rule: return "a rule";
    case callback_kind::predicate: return "a predicate of run_until()";
    case callback_kind::act: return "an act of happen()";
  }
  return "";
}

}  // namespace

struct session::companion {
  explicit companion(link of) : of_{std::move(of)} {}
  companion(const companion&) = delete;
  companion& operator=(const companion&) = delete;
  ~companion() {
    if (auto session = of_.lock()) session->world_ = nullptr;
  }
  link of_;
};

std::shared_ptr<session> session::create(world::world_options options) {
  if (!options.entropy) options.entropy = exploration_scope::of_thread().entropy;
  std::shared_ptr<session> made{new session};
  // The mailroom takes the thread's mail when it is made; here, only while it is entered.
  auto* before = actors::actor_base::intercept_mail(nullptr);
  made->owned_ = std::make_unique<world::world>(std::move(options));
  made->world_ = made->owned_.get();
  made->interceptor_ = actors::actor_base::intercept_mail(before);
  return made;
}

session::~session() {
  close();
  forget_callbacks();
}

void session::close() {
  letter_rules.clear();
  datagram_rules.clear();
  if (owned_) {
    auto* before = actors::actor_base::intercept_mail(interceptor_);
    world_ = nullptr;
    owned_.reset();
    actors::actor_base::intercept_mail(before);
  }
  world_ = nullptr;
}

std::unique_ptr<world::world> session::lend() {
  if (!owned_) return nullptr;
  owned_->companion = std::make_shared<companion>(weak_from_this());
  // Its mailroom stays the thread's until the borrower ends the world.
  actors::actor_base::intercept_mail(interceptor_);
  return std::move(owned_);
}

PyObject* session::keep(py::handle callback) {
  if (!callback || callback.is_none()) return nullptr;
  if (PyCallable_Check(callback.ptr()) == 0)
    throw py::type_error("a function is wanted here, not " +
                         std::string{py::str(py::type::of(callback))});
  kept_.push_back(callback.inc_ref().ptr());
  return callback.ptr();
}

int session::traverse(visitproc visit, void* argument) const {
  for (auto* one : kept_)
    if (int outcome = visit(one, argument)) return outcome;
  return 0;
}

void session::forget_callbacks() {
  letter_rules.clear();
  datagram_rules.clear();
  for (auto* one : std::exchange(kept_, {})) Py_DECREF(one);
}

py::object session::call(callback_kind kind, PyObject* callback, py::args arguments) {
  if (failure_) return {};  // one at a time: the first is what matters
  callbacks_.push_back(kind);
  auto* interceptor = actors::actor_base::intercept_mail(nullptr);
  py::object result;
  try {
    result = py::reinterpret_borrow<py::object>(callback)(*arguments);
  } catch (...) {
    note_failure(std::current_exception());
  }
  actors::actor_base::intercept_mail(interceptor);
  callbacks_.pop_back();
  return result;
}

void session::note_failure(std::exception_ptr what) {
  if (!failure_) failure_ = std::move(what);
}

void session::rethrow() {
  // Inside a callback the outermost call raises, when all is in order again.
  if (failure_ && callbacks_.empty()) std::rethrow_exception(std::exchange(failure_, nullptr));
}

entry::entry(const link& to, access how, const char* what) : session_{to.lock()} {
  if (!session_ || !session_->is_open())
    throw script_error{error_kind::world_gone,
                       fmt::format("{}: the world is gone; keep it in a variable for as long as "
                                   "its hosts and letters are used, and close it last",
                                   what)};
  if (session_->thread_ != std::this_thread::get_id())
    throw script_error{error_kind::general,
                       fmt::format("{}: a world belongs to the thread that made it; call it from "
                                   "there, or make another world here",
                                   what)};
  if (!session_->callbacks_.empty()) {
    auto innermost = session_->callbacks_.back();
    if (how == access::runs || (how == access::sends && innermost == callback_kind::rule))
      throw script_error{
          error_kind::world_busy,
          fmt::format(
              "{}: not from inside {}, where the world is not at rest; {}", what,
              text_of(innermost),
              innermost == callback_kind::rule
                  ? "let the rule hold what it matches, and act when step() or run() returns"
                  : "note what is to be done, and do it when the call returns")};
  }
  before_ = actors::actor_base::intercept_mail(session_->interceptor_);
  ++session_->depth_;
}

entry::~entry() {
  --session_->depth_;
  actors::actor_base::intercept_mail(before_);
}

world::host& entry::host(world::host_number number) const {
  return *session_->world_->hosts().at(number);
}

world::host& entry::host(const std::string& name) const {
  if (auto* found = session_->world_->find_host(name)) return *found;
  std::string all;
  for (const auto& one : session_->world_->hosts()) all += (all.empty() ? "" : ", ") + one->name();
  throw script_error{error_kind::not_found,
                     fmt::format("there is no host '{}'; the world has {}", name,
                                 all.empty() ? "none: add_host() first" : all)};
}

bool entry::run_until(const std::function<bool()>& holds, duration longest) const {
  std::uint64_t count = 0;
  return in().run_until(
      [&] {
        if (++count % 1024 == 0 && PyErr_CheckSignals() != 0)
          session_->note_failure(std::make_exception_ptr(py::error_already_set{}));
        return session_->has_failed() || holds();
      },
      longest);
}

exploration_scope::state& exploration_scope::of_thread() {
  thread_local state mine;
  return mine;
}

exploration_scope::exploration_scope()
    : before_{std::exchange(of_thread(), {std::make_shared<world::entropy_pool>(), false})},
      interceptor_before_{actors::actor_base::intercept_mail(nullptr)} {}

exploration_scope::~exploration_scope() {
  of_thread() = std::move(before_);
  actors::actor_base::intercept_mail(interceptor_before_);
}

void exploration_scope::set_quiet(bool is_quiet) { of_thread().is_quiet = is_quiet; }
bool exploration_scope::is_quiet() { return of_thread().is_quiet; }

}  // namespace imago::python
