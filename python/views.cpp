#include "python/views.hpp"

#include "actors/ike_sa.hpp"

namespace imago::python {

namespace {

std::vector<std::string> texts_of(const traffic_selectors& selectors) {
  std::vector<std::string> texts;
  for (const auto& one : selectors) texts.push_back(one.text());
  return texts;
}

std::string text_of(data_plane::mode mode) {
  return mode == data_plane::mode::tunnel ? "tunnel" : "transport";
}

child_sa_values values_of(const ikev2::child_sa_model& model) {
  child_sa_values made;
  made.name = model.config ? model.config->name : "";
  made.state = name_of(model.state);
  made.mode = text_of(model.mode);
  made.algorithms = ikev2::text_of(model.algorithms);
  made.inbound_spi = model.inbound_spi;
  made.outbound_spi = model.outbound_spi;
  made.reqid = model.reqid;
  made.local_selectors = texts_of(model.local_selectors);
  made.remote_selectors = texts_of(model.remote_selectors);
  made.is_encapsulated = model.is_encapsulated;
  made.created_by_us = model.created_by_us;
  return made;
}

ike_sa_values values_of(const ikev2::ike_sa_model& model, std::string name) {
  ike_sa_values made;
  made.name = std::move(name);
  if (model.connection) made.connection = model.connection->config->name;
  made.state = name_of(model.state);
  made.role = model.role == ikev2::role::initiator ? "initiator" : "responder";
  if (model.keys) made.algorithms = ikev2::text_of(model.algorithms);
  made.local = model.local.text();
  made.remote = model.remote.text();
  made.local_identity = config::text_of(model.local_identity);
  made.remote_identity = config::text_of(model.remote_identity);
  made.initiator_spi = model.initiator_spi;
  made.responder_spi = model.responder_spi;
  made.epoch = model.epoch;
  for (const auto& child : model.children) made.child_sas.push_back(values_of(child));
  return made;
}

template <class T>
std::optional<std::string> text_of(const std::optional<T>& value) {
  if (!value) return std::nullopt;
  return value->text();
}

}  // namespace

std::vector<ike_sa_values> ike_sas_of(const world::world& in, const world::host& host) {
  std::vector<ike_sa_values> all;
  for (auto who : host.living("ike_sa")) {
    const auto& party = in.mail.who(who);
    if (!party.actor || !party.is_started) continue;
    const auto& actor = static_cast<const actors::ike_sa&>(*party.actor);
    all.push_back(values_of(actor.model(), in.name_of(who)));
  }
  return all;
}

std::vector<connection_values> connections_of(const world::host& host) {
  std::vector<connection_values> all;
  for (const auto& one : host.connections()) {
    connection_values made{one->name, {}};
    for (const auto& child : one->children) made.children.push_back(child.name);
    all.push_back(std::move(made));
  }
  return all;
}

std::vector<kernel_sa_values> kernel_sas_of(const kernel_if::fake_backend& from) {
  std::vector<kernel_sa_values> all;
  for (const auto& sa : from.sas()) {
    kernel_sa_values made;
    made.direction = sa.id.direction == data_plane::direction::inbound ? "inbound" : "outbound";
    made.source = sa.source.text();
    made.destination = sa.id.destination.text();
    made.mode = text_of(sa.mode);
    made.algorithms = ikev2::text_of(
        ikev2::esp_algorithms{sa.encryption, sa.key_bits, sa.integrity, ke_method::none, false});
    made.spi = sa.id.spi;
    made.reqid = sa.reqid;
    made.key_fingerprint = sa.key_fingerprint;
    made.encap_local = text_of(sa.encap_local);
    made.encap_remote = text_of(sa.encap_remote);
    made.local_selectors = texts_of(sa.local_selectors);
    made.remote_selectors = texts_of(sa.remote_selectors);
    made.octets = sa.usage.octets;
    made.packets = sa.usage.packets;
    all.push_back(std::move(made));
  }
  return all;
}

std::vector<kernel_policy_values> kernel_policies_of(const kernel_if::fake_backend& from) {
  std::vector<kernel_policy_values> all;
  for (const auto& one : from.policies())
    all.push_back({one.reqid, text_of(one.mode), one.outer_local.text(), one.outer_remote.text(),
                   texts_of(one.local_selectors), texts_of(one.remote_selectors)});
  return all;
}

std::vector<larval_sa_values> larval_sas_of(const kernel_if::fake_backend& from) {
  std::vector<larval_sa_values> all;
  for (const auto& one : from.larval())
    all.push_back({one.id.spi, one.id.destination.text(), one.remote.text()});
  return all;
}

std::vector<fact_values> journal_of(world::host& host) {
  std::vector<fact_values> all;
  host.shared->facts->drain();
  if (!host.ring) return all;
  for (const auto& one : host.ring->facts()) {
    fact_values made;
    made.name = one.name;
    made.level = actors::text_of(one.level);
    made.group = actors::text_of(one.group);
    made.connection = one.connection;
    made.story = actors::story_of(one);
    made.line = actors::line_of(one);
    made.ike_sa = one.ike_sa;
    made.seconds = seconds_of(one.at);
    for (const auto& field : one.fields)
      made.fields[std::string{field.key.view()}] = actors::text_of(field.value);
    all.push_back(std::move(made));
  }
  return all;
}

}  // namespace imago::python
