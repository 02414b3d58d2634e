#include "world/established.hpp"

#include <caf/send.hpp>

#include "actors/child_sa.hpp"
#include "actors/ike_sa.hpp"
#include "core/ikev2/exchanges/child_negotiation.hpp"

namespace imago::world {

using namespace imago::actors;  // NOLINT(google-build-using-namespace): its actors and messages

namespace {

const bytes nonce_of_initiator(32, 1), nonce_of_responder(32, 2);

// Keys as good as any: both sides have them, and nothing need be derived in every schedule.
result<ikev2::derived_ike_keys> common_keys(const crypto::library& library,
                                            const ikev2::ike_algorithms& chosen) {
  auto sizes = crypto::sizes_of(chosen.encryption, chosen.key_bits, chosen.integrity);
  auto prf_size = crypto::prf_size(chosen.prf);
  auto key = [](std::size_t size, std::uint8_t octet) { return secret{bytes(size, octet)}; };
  auto protection = [&](std::uint8_t octet) {
    return crypto::protection::create(library, chosen.encryption, chosen.key_bits, chosen.integrity,
                                      key(sizes.encryption_key, octet),
                                      key(sizes.integrity_key, octet));
  };
  auto from_initiator = protection(1), from_responder = protection(2);
  if (!from_initiator) return std::move(from_initiator).failure();
  if (!from_responder) return std::move(from_responder).failure();
  return ikev2::derived_ike_keys{
      ikev2::ike_keys{key(prf_size, 3), key(prf_size, 4), key(prf_size, 5)},
      *std::move(from_initiator), *std::move(from_responder)};
}

// Installs the Child SAs of a restored IKE SA, one after the other, and ends.
class restorer final : public actor_base {
 public:
  restorer(caf::actor_config& config, services_ptr shared, ike_sa_handle owner,
           std::shared_ptr<const ikev2::ike_sa_model> sa)
      : actor_base{config, "restorer", shared->counted, shared->facts},
        shared_{std::move(shared)},
        owner_{std::move(owner)},
        sa_{std::move(sa)} {}

  caf::behavior make_behavior() override {
    install_next();
    return handled_by(
        [this](kernel_reply& reply) {
          if (!reply.reply.has_value() || !reply.reply.take()) return quit();
          if (std::exchange(is_allocated_, true)) return transfer();
          ask(data_plane::request{std::move(keyed_->inbound)});
        },
        [this](const leases_transferred&) {
          child_sa_handle{adoption_.children.back().child_sa}.tell(activate_child{});
          ++done_;
          install_next();
        },
        [this](const actors::kill&) { quit(); });
  }

 private:
  void install_next() {
    if (done_ == sa_->children.size()) {
      owner_.tell(std::move(adoption_));
      return quit();
    }
    const auto& child = sa_->children[done_];
    auto keyed = ikev2::key_child(shared_->flow_context(), *sa_, child, {}, nonce_of_initiator,
                                  nonce_of_responder, sa_->algorithms.prf, sa_->keys->sk_d);
    if (!keyed) return quit();
    keyed_.emplace(std::move(*keyed));
    is_allocated_ = false;
    auto asked = ikev2::spi_request(*sa_);
    asked.spi = child.inbound_spi;
    ask(data_plane::request{asked});
  }
  void ask(data_plane::request request) {
    shared_->kernel.tell(
        kernel_request{1, own(std::move(request)), caf::actor_cast<caf::actor>(this)});
  }
  void transfer() {
    const auto& model = sa_->children[done_];
    child_sa_status status;
    status.id = shared_->new_id();
    status.name = model.config->name;
    status.model = model;
    status.installed_at = shared_->time->now();
    status.outbound = keyed_->outbound.sa.id;
    status.inbound = {data_plane::direction::inbound, sa_->local.address, model.inbound_spi};
    auto child = home_system().spawn<child_sa>(
        shared_, owner_, std::make_shared<const ikev2::child_sa_model>(model), status.inbound,
        own(std::move(keyed_->outbound)), false, duration{}, duration{});
    transfer_leases transfer{{{status.inbound, child}}, caf::actor_cast<caf::actor>(this)};
    adoption_.children.push_back({model, child, std::move(status)});
    shared_->kernel.tell(std::move(transfer));
  }

  services_ptr shared_;
  ike_sa_handle owner_;
  std::shared_ptr<const ikev2::ike_sa_model> sa_;
  adopt_children adoption_;
  std::optional<ikev2::keyed_child> keyed_;
  std::size_t done_ = 0;
  bool is_allocated_ = false;
};

}  // namespace

result<established::one_side> established::side_of(host& from) {
  auto found = from.living("ike_sa");
  if (found.size() != 1) return {errc::not_found, from.name() + ": not just one IKE SA is up"};
  const auto& actor = *from.mail().who(found.front()).actor;
  auto model = dynamic_cast<const ike_sa&>(actor).model();
  if (model.state != ikev2::sa_state::established || !model.connection)
    return {errc::not_found, from.name() + ": its IKE SA is not established"};
  return one_side{model, model.connection};
}

result<established> established::take(host& a, host& b) {
  auto of_a = side_of(a);
  if (!of_a) return of_a.failure();
  auto of_b = side_of(b);
  if (!of_b) return of_b.failure();
  established taken;
  taken.a_ = std::move(*of_a);
  taken.b_ = std::move(*of_b);
  return taken;
}

void established::give(host& a, host& b) const {
  give_side(a_, a);
  give_side(b_, b);
}

void established::give_side(const one_side& side, host& to) {
  auto model = side.model;
  auto keys = common_keys(*to.shared->library, model.algorithms);
  if (!keys) return;
  model.keys = std::make_shared<const ikev2::ike_keys>(std::move(keys->keys));
  // What is negotiated from now on gets reqids of its own.
  auto& reqid = to.shared->numbers->reqid;
  for (const auto& child : model.children)
    if (reqid.load() < child.reqid) reqid.store(child.reqid);
  auto whole = std::make_shared<const ikev2::ike_sa_model>(model);
  model.children.clear();
  ike_sa_birth birth;
  birth.id = to.shared->new_id();
  birth.model = std::move(model);
  birth.keys.emplace(*std::move(keys));
  to.as_user([&] {
    ike_sa_handle made{to.system().spawn<ike_sa>(to.shared, own(std::move(birth)))};
    to.system().spawn<restorer>(to.shared, made, std::move(whole));
  });
}

}  // namespace imago::world
