// The base of every actor: counted in the census, never prints, never ends silently.
//
// What CAF would write to stderr (an unexpected message, an exception) becomes a fact. An exception
// ends the actor, with a reason, and its observers learn it by DOWN.
//
// An actor's members live until its last strong handle goes, which may be later than its end. What
// must go at the end (a digest, keys, timers) is released in on_exit(); an override calls
// actor_base::on_exit().
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <unordered_map>

#include <caf/event_based_actor.hpp>

#include "actors/census.hpp"
#include "actors/handlers.hpp"
#include "actors/journal.hpp"

namespace imago::actors {

class actor_base;

// Takes the messages of one thread before they enter a mailbox, to deliver them in an order of its
// own (actor_base::accept). Without one, which is how an engine runs, they enter at once.
class mail_interceptor {
 public:
  virtual ~mail_interceptor() = default;
  // `to` may have ended already.
  virtual void on_mail(actor_base& to, caf::mailbox_element_ptr what) = 0;
};

class actor_base : public caf::event_based_actor {
 public:
  // `kind` is a literal, "ike_sa": the actor's name in CAF, in the census and in facts.
  actor_base(caf::actor_config& config, static_text kind, const std::shared_ptr<census>& counted,
             std::shared_ptr<journal> facts);

  const char* name() const override { return kind_.view().data(); }

  // The sanitizer of threads cannot see inside libcaf_core: these tell it what CAF's lock-free
  // mailbox and reference counts order. Otherwise they only pass on.
  using caf::abstract_actor::enqueue;
  void enqueue(caf::mailbox_element_ptr what, caf::execution_unit* host) override;
  // Into the mailbox, past any interceptor.
  void accept(caf::mailbox_element_ptr what, caf::execution_unit* host);
  // Of the calling thread; returns the one before. Not owned.
  static mail_interceptor* intercept_mail(mail_interceptor* interceptor);
  resume_result resume(caf::execution_unit* host, std::size_t count_max) override;
  caf::invoke_message_result consume(caf::mailbox_element& what) override;
  bool cleanup(caf::error&& reason, caf::execution_unit* host) override;
  void intrusive_ptr_release_impl() override;
  void on_destroy() override;

 protected:
  // As CAF's: the down handler learns that `whom` has ended, at once if it has already. But in
  // O(log n) however many watch it, and without a trace of a watcher that has ended: CAF keeps a
  // kilobyte of each until `whom` ends, which demux and kernel actor do not, and searches a list
  // for the one that does not want to know any more.
  void monitor(const caf::actor& whom) { monitor(whom.address()); }
  void monitor(const caf::actor_addr& whom);
  void demonitor(const caf::actor_addr& whom);
  // What make_behavior() returns: one function for each type of message, void(const T&) or
  // void(T&).
  template <class... functions>
  caf::behavior handled_by(functions... all) {
    handlers_ = std::make_unique<handlers_of<functions...>>(std::move(all)...);
    return nothing_else();
  }
  journal& facts() const { return *facts_; }

 private:
  // Of the one that is watched; the newest first, as CAF tells them.
  using ticket = std::uint64_t;
  using watchers = std::map<ticket, caf::actor_addr, std::greater<>>;
  struct watched {
    caf::actor_addr whom;
    ticket entry = 0;
  };
  ticket admit_watcher(const caf::actor_addr& who);  // 0: this one has ended
  void dismiss_watcher(ticket entry);
  void stop_watching();
  void tell_watchers(const caf::error& reason, caf::execution_unit* host);

  static const caf::behavior& nothing_else();
  static caf::result<caf::message> on_unexpected(caf::scheduled_actor* self,
                                                 caf::message_view& what);
  static caf::error on_exception(caf::scheduled_actor* self, std::exception_ptr& what);
  static void on_unexpected_down(caf::scheduled_actor* self, caf::down_msg& what);
  static void on_unexpected_error(caf::scheduled_actor* self, caf::error& what);

  static_text kind_;
  std::unique_ptr<handlers> handlers_;
  std::unordered_multimap<caf::actor_id, watched> watches_;
  std::unique_ptr<watchers> watchers_;  // these two under its lock (lock_of)
  bool has_ended_ = false;
  census::entry counted_;
  std::shared_ptr<journal> facts_;
};

}  // namespace imago::actors
