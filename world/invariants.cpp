#include "world/invariants.hpp"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "actors/demux.hpp"
#include "actors/ike_sa.hpp"
#include "actors/kernel.hpp"
#include "core/base/limits.hpp"

namespace imago::world {

namespace {

using namespace imago::actors;  // NOLINT(google-build-using-namespace): its actors and messages

const ikev2::ike_sa_model* model_of(const host& one, party_id who) {
  const auto& party = one.mail().who(who);
  if (!party.actor || party.has_ended || !party.is_started) return nullptr;
  return &static_cast<const ike_sa&>(*party.actor).model();
}

bool is_up(const ikev2::ike_sa_model& model) {
  return model.state == ikev2::sa_state::established || model.state == ikev2::sa_state::rekeyed ||
         model.state == ikev2::sa_state::deleting;
}

std::string text_of_spis(const ikev2::ike_sa_model& model) {
  return fmt::format("{:016x}/{:016x}", model.initiator_spi, model.responder_spi);
}

using spi_pair = std::pair<data_plane::spi, data_plane::spi>;
std::set<spi_pair> children_of(const ikev2::ike_sa_model& model, bool mirrored) {
  std::set<spi_pair> found;
  for (const auto& child : model.children)
    found.insert(mirrored ? spi_pair{child.outbound_spi, child.inbound_spi}
                          : spi_pair{child.inbound_spi, child.outbound_spi});
  return found;
}

// What is up twice for both sides; empty: nothing. If their configurations differ, one side's twins
// may be two different Child SAs of the other's.
std::string twin_of(const ikev2::ike_sa_model& one, const ikev2::ike_sa_model& other) {
  std::set<std::pair<std::string, std::string>> usable;
  for (const auto& child : one.children)
    for (const auto& mirror : other.children)
      if (child.inbound_spi == mirror.outbound_spi &&
          child.state == ikev2::child_state::installed &&
          mirror.state == ikev2::child_state::installed &&
          !usable.emplace(child.config->name, mirror.config->name).second)
        return child.config->name;
  return {};
}

}  // namespace

invariants::invariants(world& in) : in_{in}, outer_on_wire_{in.net.on_wire} {
  in.net.on_wire = [this](datagram& what) {
    on_wire(what);
    return !outer_on_wire_ || outer_on_wire_(what);
  };
  in.before_delivery = [this](const letter& what) { before(what); };
  in.after_delivery = [this](party_id receiver) { after(receiver); };
}

invariants::~invariants() {
  in_.net.on_wire = outer_on_wire_;
  in_.before_delivery = nullptr;
  in_.after_delivery = nullptr;
}

void invariants::fail(std::string what) {
  if (!violated_) violated_ = std::move(what);
}

// RFC 7296 §2.1: a retransmission is the same message, octet for octet.
void invariants::on_wire(const datagram& what) {
  // Who watches its uplinks has been told, and time does not pass before it has understood.
  const auto& from = *in_.hosts()[what.from];
  if (from.options().engine.watches_uplinks && from.down_since() && !what.is_esp &&
      *from.down_since() < in_.time().now())
    fail(fmt::format("{} sends {} on an uplink that is down", from.name(), what.label()));
  if (what.is_esp || what.octets.empty()) return;
  auto header = wire::parse_header(what.octets);
  if (!header) return fail("an engine sends octets that are no IKE message");
  bool is_init = header->exchange == exchange_type::ike_sa_init;
  // A request may come again with a cookie or another group; one without state has no SPI.
  if (is_init && (!header->is_response || header->responder_spi == 0)) return;
  std::uint16_t fragment = 0;
  if (header->next_payload == payload_type::encrypted_fragment && what.octets.size() > 34)
    fragment = static_cast<std::uint16_t>(what.octets[32] << 8 | what.octets[33]);
  message_key key{what.from,
                  header->initiator_spi,
                  header->responder_spi,
                  header->message_id,
                  header->is_response,
                  header->from_initiator,
                  fragment};
  std::string_view text{reinterpret_cast<const char*>(what.octets.data()), what.octets.size()};
  auto hash = std::hash<std::string_view>{}(text);
  auto [at, is_new] = said_.try_emplace(key, hash);
  if (!is_new && at->second != hash)
    fail(fmt::format("{} says {} twice with different octets", in_.hosts()[what.from]->name(),
                     what.label()));
  if (is_new && header->is_response) check_response(what);
}

// The response that lets the peer send ESP leaves only when the inbound SA is there.
void invariants::check_response(const datagram& what) {
  auto& host = *in_.hosts()[what.from];
  if (has_killed_ || !host.fake() || in_.mail.sender() == 0) return;
  const auto& sender = in_.mail.who(in_.mail.sender());
  if (std::string_view{sender.kind} != "ike_sa" || !sender.actor) return;
  const auto& model = static_cast<const ike_sa&>(*sender.actor).model();
  for (const auto& child : model.children) {
    data_plane::sa_id id{data_plane::direction::inbound, model.local.address, child.inbound_spi};
    const auto& kernel = host.look_at<actors::kernel>(host.shared->kernel.actor());
    if (!host.fake()->has_sa(id) || kernel.is_installing(id))
      return fail(fmt::format("{} sends {} before its inbound SA {:08x} is acknowledged",
                              host.name(), what.label(), child.inbound_spi));
  }
}

void invariants::before(const letter& what) {
  if (what.kind != letter_kind::mail) return;
  if (what.type == &typeid(actors::kill)) has_killed_ = true;
  if (what.type != &typeid(receive_packet)) return;
  const auto& packet = what.content->content().get_as<receive_packet>(0).what;
  if (std::string_view{in_.mail.who(what.to).kind} == "demux") {
    arrived_[packet.get()] = what.id;
    return;
  }
  auto at = arrived_.find(packet.get());
  auto& last = last_packet_[what.to];
  if (at == arrived_.end()) return;
  if (at->second < last) fail(in_.name_of(what.to) + " gets a packet after one that came later");
  last = at->second;
  arrived_.erase(at);
}

void invariants::after(party_id receiver) {
  if (in_.esp.violated()) fail(*in_.esp.violated());
  const auto& party = in_.mail.who(receiver);
  if (!party.actor || std::string_view{party.kind} != "ike_sa") return;
  const auto& model = static_cast<const ike_sa&>(*party.actor).model();
  auto& epoch = epochs_[receiver];
  if (model.epoch < epoch)
    fail(fmt::format("the epoch of {} goes back from {} to {}", in_.name_of(receiver), epoch,
                     model.epoch));
  epoch = model.epoch;
  if (model.keys) keys_[receiver] = model.keys;
}

const std::optional<std::string>& invariants::check_quiet() {
  for (const auto& one : in_.hosts()) {
    if (one->has_ended()) continue;
    check_host_quiet(*one);
    for (const auto& other : in_.hosts())
      if (one->number() < other->number() && !other->has_ended()) check_pair(*one, *other);
  }
  return violated_;
}

void invariants::check_host_quiet(host& one) {
  for (const auto& [who, keys] : keys_)
    if (in_.mail.who(who).has_ended && !keys.expired())
      fail("keys of " + in_.name_of(who) + " outlive it");
  if (auto count = one.crypto_waiting(); count > limits::crypto_queue_max)
    fail(fmt::format("{}: {} crypto jobs wait", one.name(), count));
  const auto tables = one.look_at<actors::kernel>(one.shared->kernel.actor()).table_sizes();
  if (tables.pending > limits::kernel_requests_max)
    fail(fmt::format("{}: {} kernel requests wait", one.name(), tables.pending));
  if (auto live = one.shared->digests->live.load(); live != 0)
    fail(fmt::format("{}: {} message digests are left", one.name(), live));
  if (auto count = one.living("exchange").size(); count != 0)
    fail(fmt::format("{}: {} exchanges are left", one.name(), count));
  for (const auto& problem : one.problems()) fail(one.name() + ": " + problem);
  std::set<std::pair<data_plane::direction, data_plane::spi>> expected, present;
  for (auto who : one.living("ike_sa")) {
    const auto* model = model_of(one, who);
    if (!model || !is_up(*model)) continue;
    for (const auto& child : model->children) {
      expected.emplace(data_plane::direction::inbound, child.inbound_spi);
      expected.emplace(data_plane::direction::outbound, child.outbound_spi);
    }
  }
  if (!one.fake()) return;
  for (const auto& [id, fingerprint] : one.fake()->key_fingerprints())
    present.emplace(id.direction, id.spi);
  if (present != expected)
    fail(fmt::format("{}: the data plane holds {} SAs, the IKE SAs {}", one.name(), present.size(),
                     expected.size()));
  if (auto count = one.fake()->larval_count(); count != 0)
    fail(fmt::format("{}: {} larval SAs are left", one.name(), count));
  // Of SAs, and of traps without any.
  if (one.fake()->has_policies() != (tables.leases != 0))
    fail(fmt::format("{}: {} policies, {} leases", one.name(), one.fake()->policies().size(),
                     tables.leases));
}

void invariants::check_pair(host& one, host& other) {
  std::map<std::pair<std::uint64_t, std::uint64_t>, const ikev2::ike_sa_model*> theirs;
  for (auto who : other.living("ike_sa"))
    if (const auto* model = model_of(other, who);
        model && is_up(*model) && one.has_address(model->remote.address))
      theirs[{model->initiator_spi, model->responder_spi}] = model;
  for (auto who : one.living("ike_sa")) {
    const auto* model = model_of(one, who);
    if (!model || !is_up(*model) || !other.has_address(model->remote.address)) continue;
    auto at = theirs.find({model->initiator_spi, model->responder_spi});
    if (at == theirs.end()) {
      fail(fmt::format("only {} has the IKE SA {}", one.name(), text_of_spis(*model)));
      continue;
    }
    if (model->keys && at->second->keys && !(model->keys->sk_d == at->second->keys->sk_d))
      fail(fmt::format("{} and {} have different keys for the IKE SA {}", one.name(), other.name(),
                       text_of_spis(*model)));
    if (children_of(*model, false) != children_of(*at->second, true))
      fail(fmt::format("{} and {} do not agree on the Child SAs of {}", one.name(), other.name(),
                       text_of_spis(*model)));
    if (auto twin = twin_of(*model, *at->second); !twin.empty())
      fail(fmt::format("Child SA {} of {} and {} is there twice", twin, one.name(), other.name()));
    theirs.erase(at);
  }
  for (const auto& [spis, model] : theirs)
    fail(fmt::format("only {} has the IKE SA {}", other.name(), text_of_spis(*model)));
  if (!one.fake() || !other.fake()) return;
  std::multimap<std::pair<data_plane::spi, data_plane::direction>, std::size_t> mirrors;
  for (const auto& [id, fingerprint] : other.fake()->key_fingerprints())
    mirrors.emplace(std::pair{id.spi, id.direction}, fingerprint);
  for (const auto& [id, fingerprint] : one.fake()->key_fingerprints()) {
    auto opposite = id.direction == data_plane::direction::inbound ? data_plane::direction::outbound
                                                                   : data_plane::direction::inbound;
    auto [at, last] = mirrors.equal_range({id.spi, opposite});
    for (; at != last; ++at)
      if (at->second != fingerprint)
        fail(fmt::format("{} and {} have different keys for {:08x}", one.name(), other.name(),
                         id.spi));
  }
}

const std::optional<std::string>& invariants::check_empty() {
  for (const auto& one : in_.hosts()) {
    for (const auto* kind : {"exchange", "ike_sa", "child_sa"})
      if (auto live = one->shared->counted->live(kind); live != 0)
        fail(fmt::format("{}: {} {} actors are left", one->name(), live, kind));
    if (auto live = one->shared->digests->live.load(); live != 0)
      fail(fmt::format("{}: {} message digests are left", one->name(), live));
    if (one->fake() && !one->fake()->is_empty())
      fail(one->name() + ": the data plane is not empty");
    if (one->esp() && !one->esp()->is_empty()) fail(one->name() + ": the data plane is not empty");
    if (one->crypto_waiting() != 0) fail(one->name() + ": crypto jobs are left");
    if (auto count = one->shared->timers->pending(); count != 0)
      fail(fmt::format("{}: {} timers are left", one->name(), count));
    for (const auto& problem : one->problems()) fail(one->name() + ": " + problem);
    if (one->has_ended()) continue;
    if (one->look_at<demux>(one->shared->demux.actor()).table_sizes().total() != 0)
      fail(one->name() + ": the demux still knows an SPI");
    if (one->look_at<kernel>(one->shared->kernel.actor()).table_sizes().total() != 0)
      fail(one->name() + ": the kernel actor still holds a lease or a request");
    for (const auto& command : one->answers->expected)
      if (!one->answers->is_answered(command.first))
        fail(fmt::format("{}: command {} was not answered once", one->name(), command.first));
  }
  return violated_;
}

}  // namespace imago::world
