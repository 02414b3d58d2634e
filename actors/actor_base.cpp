#include "actors/actor_base.hpp"

#include <array>
#include <cstdlib>
#include <mutex>
#include <utility>

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/logger.hpp>
#include <caf/message_view.hpp>
#include <caf/sec.hpp>
#include <cxxabi.h>

#if defined(__SANITIZE_THREAD__)
#define IMAGO_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define IMAGO_THREAD_SANITIZER 1
#endif
#endif

#ifdef IMAGO_THREAD_SANITIZER
extern "C" {
void __tsan_acquire(void*);
void __tsan_release(void*);
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
}
#endif

namespace imago::actors {

namespace {

#ifdef IMAGO_THREAD_SANITIZER
void acquire(void* what) { __tsan_acquire(what); }
void release(void* what) { __tsan_release(what); }

// While it lives, ThreadSanitizer does not look at what this thread reads and writes.
struct not_looked_at {
  not_looked_at() {
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
  }
  ~not_looked_at() {
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  }
  not_looked_at(const not_looked_at&) = delete;
  not_looked_at& operator=(const not_looked_at&) = delete;
};
#else
void acquire(void*) {}
void release(void*) {}
struct not_looked_at {
  not_looked_at() {}
};
#endif

std::string demangled(const std::type_info& type) {
  int status = 0;
  std::unique_ptr<char, decltype(&std::free)> text{
      abi::__cxa_demangle(type.name(), nullptr, nullptr, &status), &std::free};
  return status == 0 ? text.get() : type.name();
}

// The types of what a message holds. Never its values: they may be secret.
std::string types_of(const caf::type_erased_tuple& content) {
  std::string out;
  for (std::size_t index = 0; index < content.size(); ++index) {
    if (index) out += ", ";
    // CAF knows its built-in types by a number only.
    const auto type = content.type(index);
    out += type.second ? demangled(*type.second) : "builtin " + std::to_string(type.first);
  }
  return out;
}

std::string what_of(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const std::exception& exception) {
    return exception.what();
  } catch (...) {
    return "not a std::exception";
  }
}

thread_local mail_interceptor* interceptor_of_thread = nullptr;

struct never_sent {};

}  // namespace
}  // namespace imago::actors

namespace caf {
template <>
struct allowed_unsafe_message_type<imago::actors::never_sent> : std::true_type {};
}  // namespace caf

namespace imago::actors {

actor_base::actor_base(caf::actor_config& config, static_text kind,
                       const std::shared_ptr<census>& counted, std::shared_ptr<journal> facts)
    : caf::event_based_actor{config},
      kind_{kind},
      counted_{counted->enter(kind)},
      facts_{std::move(facts)} {
  set_default_handler(default_handler{&on_unexpected});
  set_exception_handler(exception_handler{&on_exception});
  set_down_handler(down_handler{&on_unexpected_down});
  set_error_handler(error_handler{&on_unexpected_error});
  release(this);
}

mail_interceptor* actor_base::intercept_mail(mail_interceptor* interceptor) {
  return std::exchange(interceptor_of_thread, interceptor);
}

void actor_base::enqueue(caf::mailbox_element_ptr what, caf::execution_unit* host) {
  if (interceptor_of_thread) return interceptor_of_thread->on_mail(*this, std::move(what));
  accept(std::move(what), host);
}

void actor_base::accept(caf::mailbox_element_ptr what, caf::execution_unit* host) {
  release(what.get());
  release(&mailbox_);
  caf::event_based_actor::enqueue(std::move(what), host);
}

caf::resumable::resume_result actor_base::resume(caf::execution_unit* host, std::size_t count_max) {
  acquire(this);
  // CAF's log is compiled out, yet a thread that has a logger tells it who runs at every resume, by
  // a hash table under a lock that all threads share.
  if (caf::logger::current_logger()) caf::logger::set_current_actor_system(nullptr);
  auto outcome = caf::event_based_actor::resume(host, count_max);
  // The caller still holds a reference: this is alive.
  release(this);
  return outcome;
}

caf::invoke_message_result actor_base::consume(caf::mailbox_element& what) {
  acquire(&what);
  if (handlers_ && what.mid.is_async() && handlers_->handle(what.content()))
    return caf::invoke_message_result::consumed;
  if (what.content().match_elements<caf::down_msg>()) {
    auto at = watches_.find(what.content().get_as<caf::down_msg>(0).source.id());
    if (at != watches_.end()) watches_.erase(at);
  }
  return caf::event_based_actor::consume(what);  // CAF's own messages, and what nobody expects
}

// CAF ends an actor without a behavior; this one never matches.
const caf::behavior& actor_base::nothing_else() {
  static const caf::behavior nothing{[](const never_sent&) {}};
  return nothing;
}

bool actor_base::cleanup(caf::error&& reason, caf::execution_unit* host) {
  acquire(&mailbox_);
  // The library closes the mailbox and destroys what is left in it at one go. What was queued since
  // the line above is ordered by the closing, which cannot be said from here.
  auto why = reason;
  bool is_done = false;
  {
    not_looked_at unread;
    is_done = caf::event_based_actor::cleanup(std::move(reason), host);
  }
  stop_watching();
  tell_watchers(why, host);
  return is_done;
}

// --- who watches whom ----------------------------------------------------------------------------

namespace {

// Watchers of one actor and those of another seldom come at the same moment: few locks do for all.
std::mutex& lock_of(caf::actor_id id) {
  static std::array<std::mutex, 64> locks;
  return locks[id % locks.size()];
}

actor_base* our_own(const caf::strong_actor_ptr& actor) {
  return actor ? dynamic_cast<actor_base*>(caf::actor_cast<caf::abstract_actor*>(actor)) : nullptr;
}

void tell_down(const caf::actor_addr& watcher, const caf::actor_addr& ended,
               const caf::error& reason, caf::execution_unit* host) {
  auto alive = caf::actor_cast<caf::strong_actor_ptr>(watcher);
  if (!alive) return;
  caf::actor_cast<caf::abstract_actor*>(alive)->enqueue(
      caf::make_mailbox_element(nullptr, caf::make_message_id(), {}, caf::down_msg{ended, reason}),
      host);
}

}  // namespace

void actor_base::monitor(const caf::actor_addr& whom) {
  auto alive = caf::actor_cast<caf::strong_actor_ptr>(whom);
  auto* other = our_own(alive);
  if (alive && !other) return caf::event_based_actor::monitor(alive);
  auto entry = other ? other->admit_watcher(address()) : 0;
  if (entry == 0) return tell_down(address(), whom, caf::exit_reason::unknown, context());
  watches_.emplace(whom.id(), watched{whom, entry});
}

void actor_base::demonitor(const caf::actor_addr& whom) {
  if (!whom) return;
  auto alive = caf::actor_cast<caf::strong_actor_ptr>(whom);
  auto* other = our_own(alive);
  if (alive && !other) return caf::event_based_actor::demonitor(whom);
  auto at = watches_.find(whom.id());
  if (at == watches_.end()) return;
  if (other) other->dismiss_watcher(at->second.entry);
  watches_.erase(at);
}

actor_base::ticket actor_base::admit_watcher(const caf::actor_addr& who) {
  std::lock_guard lock{lock_of(id())};
  if (has_ended_) return 0;
  if (!watchers_) watchers_ = std::make_unique<watchers>();
  auto entry = watchers_->empty() ? 1 : watchers_->begin()->first + 1;
  watchers_->emplace(entry, who);
  return entry;
}

void actor_base::dismiss_watcher(ticket entry) {
  std::lock_guard lock{lock_of(id())};
  if (watchers_) watchers_->erase(entry);
}

void actor_base::stop_watching() {
  for (const auto& [id, one] : std::exchange(watches_, {}))
    if (auto alive = caf::actor_cast<caf::strong_actor_ptr>(one.whom))
      our_own(alive)->dismiss_watcher(one.entry);
}

void actor_base::tell_watchers(const caf::error& reason, caf::execution_unit* host) {
  std::unique_ptr<watchers> all;
  {
    std::lock_guard lock{lock_of(id())};
    has_ended_ = true;
    all = std::move(watchers_);
  }
  if (!all) return;
  for (const auto& [entry, who] : *all) tell_down(who, address(), reason, host);
}

void actor_base::intrusive_ptr_release_impl() {
  release(this);  // whoever lets the last reference go may be another thread
  caf::event_based_actor::intrusive_ptr_release_impl();
}

void actor_base::on_destroy() {
  acquire(this);
  acquire(&mailbox_);
  caf::event_based_actor::on_destroy();
}

caf::result<caf::message> actor_base::on_unexpected(caf::scheduled_actor* base,
                                                    caf::message_view& what) {
  auto* self = static_cast<actor_base*>(base);
  self->facts_->record(journal_level::control, journal_group::engine, [&] {
    return fact{.name = "unexpected_message",
                .fields = {{"actor", self->kind_.view()}, {"types", types_of(what.content())}},
                .story = "actor {actor} does not expect a message of {types}"};
  });
  // An asynchronous sender shall not be answered with an error it does not expect either.
  if (!self->current_message_id().is_request()) return caf::message{};
  return caf::sec::unexpected_message;
}

caf::error actor_base::on_exception(caf::scheduled_actor* base, std::exception_ptr& what) {
  auto* self = static_cast<actor_base*>(base);
  self->facts_->record(journal_level::audit, journal_group::engine, [&] {
    return fact{.name = "actor_failed",
                .fields = {{"actor", self->kind_.view()}, {"what", what_of(what)}},
                .story = "actor {actor} ends by an exception: {what}"};
  });
  return caf::sec::runtime_error;
}

void actor_base::on_unexpected_down(caf::scheduled_actor* base, caf::down_msg& what) {
  auto* self = static_cast<actor_base*>(base);
  self->facts_->record(journal_level::detail, journal_group::engine, [&] {
    return fact{.name = "unexpected_down",
                .fields = {{"actor", self->kind_.view()},
                           {"source", what.source ? what.source.id() : 0},
                           {"reason", self->system().render(what.reason)}},
                .story = "actor {actor} does not expect the end of actor {source}: {reason}"};
  });
}

void actor_base::on_unexpected_error(caf::scheduled_actor* base, caf::error& what) {
  auto* self = static_cast<actor_base*>(base);
  self->facts_->record(journal_level::detail, journal_group::engine, [&] {
    return fact{.name = "unexpected_error",
                .fields = {{"actor", self->kind_.view()}, {"what", self->system().render(what)}},
                .story = "actor {actor} does not expect an error message: {what}"};
  });
}

}  // namespace imago::actors
