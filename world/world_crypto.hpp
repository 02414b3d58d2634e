// The crypto pool of a host in a world: what it computes are letters of channels of their own.
#pragma once

#include <algorithm>
#include <deque>

#include "actors/crypto_pool.hpp"
#include "world/host.hpp"

namespace imago::world {

class world_crypto final : public actors::crypto_executor {
 public:
  // `by_place`: a double that has planted_bug::late_result.
  world_crypto(mailroom& mail, std::uint32_t host, actors::job_runner run, bool by_place)
      : mail_{mail}, host_{host}, bench_{std::move(run)}, by_place_{by_place} {}

  bool submit(actors::crypto_task task) override {
    if (waiting_.size() >= limits::crypto_queue_max) {
      bench_.count_shed();
      return false;
    }
    auto number = ++submitted_;
    auto place = by_place_ ? place_of(task.reply_to) : 0;
    waiting_.push_back({number, place, std::move(task)});
    if (mode_ == crypto_mode::at_once) perform_number(number);
    if (mode_ == crypto_mode::letters)
      mail_.add_act(mail_.add_outside(host_, "crypto", number),
                    [this, number] { perform_number(number); });
    return true;
  }
  actors::crypto_counters counters() const override { return bench_.counters(waiting_.size()); }

  // What waits keeps waiting.
  void set_mode(crypto_mode mode) { mode_ = mode; }
  std::size_t waiting() const { return waiting_.size(); }
  bool perform(std::size_t index) {
    return index < waiting_.size() && perform_number(waiting_[index].number);
  }
  // Its result never comes.
  bool drop(std::size_t index) {
    if (index >= waiting_.size()) return false;
    waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(index));
    return true;
  }

 private:
  struct waiting_task {
    std::uint32_t number = 0;
    std::size_t place = 0;
    actors::crypto_task task;
  };

  bool perform_number(std::uint32_t number) {
    auto at = std::find_if(waiting_.begin(), waiting_.end(),
                           [number](const waiting_task& one) { return one.number == number; });
    if (at == waiting_.end()) return false;
    auto taken = std::move(*at);
    waiting_.erase(at);
    if (by_place_) {
      taken.task.reply_to = places_[taken.place];
      taken.task.token.reset();
    }
    mail_.as(mail_.add_outside(host_, "crypto", number),
             [&] { bench_.perform(std::move(taken.task)); });
    return true;
  }

  // The asker's place in a table; that of one who ended is given again, without telling apart who
  // has it now and who had it.
  std::size_t place_of(const caf::actor_addr& who) {
    auto is_free = [this](const caf::actor_addr& one) {
      auto party = mail_.party_of(one);
      return party == 0 || mail_.who(party).has_ended;
    };
    auto at = std::find(places_.begin(), places_.end(), who);
    if (at == places_.end()) at = std::find_if(places_.begin(), places_.end(), is_free);
    if (at == places_.end()) at = places_.insert(at, who);
    *at = who;
    return static_cast<std::size_t>(at - places_.begin());
  }

  mailroom& mail_;
  std::uint32_t host_;
  actors::crypto_bench bench_;
  const bool by_place_;
  std::vector<caf::actor_addr> places_;
  crypto_mode mode_ = crypto_mode::at_once;
  std::deque<waiting_task> waiting_;
  std::uint32_t submitted_ = 0;
};

}  // namespace imago::world
