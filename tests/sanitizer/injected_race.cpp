// Two actors write to one plain number at the same time. Built with ThreadSanitizer only, which has
// to report it: a suppression that matches a frame below every handler would hide all our races.
#include <barrier>
#include <cstdio>

#include "tests/actors/infrastructure.hpp"

using namespace imago;
using namespace imago::actors;

namespace {

struct shared_by_mistake {
  std::barrier<> both_begin{2};
  int number = 0;
};

class careless final : public actor_base {
 public:
  careless(caf::actor_config& config, const std::shared_ptr<census>& counted,
           std::shared_ptr<journal> facts, std::shared_ptr<shared_by_mistake> shared)
      : actor_base{config, "careless", counted, std::move(facts)}, shared_{std::move(shared)} {}

  caf::behavior make_behavior() override {
    return handled_by([this](actors::testing::retire) {
      shared_->both_begin.arrive_and_wait();  // on two threads; nothing orders what follows
      ++shared_->number;
      quit();
    });
  }

 private:
  std::shared_ptr<shared_by_mistake> shared_;
};

}  // namespace

int main() {
  auto shared = std::make_shared<shared_by_mistake>();
  {
    actors::testing::engine_room room{3};
    for (int i = 0; i < 2; ++i)
      caf::anon_send(room.spawn<careless>(shared), actors::testing::retire{});
  }
  std::printf("number: %d\n", shared->number);
}
