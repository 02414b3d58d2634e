#include "actors/control_listing.hpp"

#include <fmt/format.h>

namespace imago::actors {

namespace {

constexpr std::size_t name_size_max = 255;

std::string seconds_between(instant from, instant to) {
  return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(to - from).count());
}

std::string seconds_of(duration time) {
  return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(time).count());
}

template <class T>
std::vector<std::string> texts_of(const std::vector<T>& values) {
  std::vector<std::string> texts;
  for (const auto& value : values) texts.push_back(value.text());
  return texts;
}

void add_protection(vici::message& to, encryption_algorithm encryption, std::uint16_t key_bits,
                    integrity_algorithm integrity) {
  to.add("encr-alg", text_of(encryption));
  if (key_bits != 0 && encryption != encryption_algorithm::chacha20_poly1305)
    to.add("encr-keysize", std::to_string(key_bits));
  if (integrity != integrity_algorithm::none) to.add("integ-alg", text_of(integrity));
}

void add_end(vici::message& to, const std::string& side, const endpoint& at,
             const config::identity& identity) {
  to.add(side + "-host", at.address.text());
  to.add(side + "-port", std::to_string(at.port));
  to.add(side + "-id", text_of(identity));
}

void add_usage(vici::message& to, const std::string& way,
               const std::optional<data_plane::sa_usage>& usage, instant now) {
  if (!usage) return;
  to.add("bytes-" + way, std::to_string(usage->octets));
  to.add("packets-" + way, std::to_string(usage->packets));
  if (usage->last_used) to.add("use-" + way, seconds_between(*usage->last_used, now));
}

std::string address_text(const config::address_pattern& pattern) {
  if (pattern.any) {
    if (!pattern.any_family) return "%any";
    return *pattern.any_family == ip_family::v4 ? "%any4" : "%any6";
  }
  if (!pattern.host_name.empty()) return pattern.host_name;
  if (pattern.first == pattern.last) return pattern.first.text();
  auto selector = traffic_selector::host(pattern.first);
  selector.end_address = pattern.last;
  return selector.text();
}

std::vector<std::string> address_texts(const std::vector<config::address_pattern>& patterns) {
  std::vector<std::string> texts;
  for (const auto& pattern : patterns) texts.push_back(address_text(pattern));
  return texts;
}

std::vector<std::string> template_texts(const std::vector<config::selector_template>& templates) {
  std::vector<std::string> texts;
  for (const auto& one : templates) {
    if (!one.dynamic) {
      texts.push_back(one.selector.text());
      continue;
    }
    // Protocol and ports stand after the address, which "dynamic" replaces.
    auto text = one.selector.text();
    auto bracket = text.find('[');
    texts.push_back("dynamic" + (bracket == text.npos ? std::string{} : text.substr(bracket)));
  }
  return texts;
}

std::string mode_text(data_plane::mode mode) {
  return mode == data_plane::mode::tunnel ? "TUNNEL" : "TRANSPORT";
}

std::string mode_text(data_plane::mode mode, data_plane::processing processing) {
  if (processing == data_plane::processing::protect) return mode_text(mode);
  return processing == data_plane::processing::bypass ? "PASS" : "DROP";
}

std::string class_text(config::authentication method) {
  return method == config::authentication::psk ? "pre-shared key" : "public key";
}

std::string action_text(config::start_action action) {
  switch (action) {
    case config::start_action::trap: return "trap";
    case config::start_action::start: return "start";
    case config::start_action::trap_and_start: return "trap|start";
    case config::start_action::none: break;
  }
  return "none";
}

std::string action_text(config::dpd_action action) {
  switch (action) {
    case config::dpd_action::trap: return "trap";
    case config::dpd_action::restart: return "start";
    case config::dpd_action::clear: break;
  }
  return "none";
}

std::string unique_text(config::uniqueness uniqueness) {
  static constexpr std::string_view names[] = {"UNIQUE_NEVER", "UNIQUE_NO", "UNIQUE_KEEP",
                                               "UNIQUE_REPLACE"};
  return std::string{names[static_cast<unsigned>(uniqueness)]};
}

std::vector<std::string> subjects_of(const std::vector<bytes>& ders) {
  std::vector<std::string> subjects;
  crypto::library library;
  for (const auto& der : ders)
    if (auto parsed = crypto::certificate::load(library, der))
      subjects.push_back((*parsed)->subject());
  return subjects;
}

vici::message configured_child(const config::child_config& child) {
  vici::message out;
  out.add("mode", mode_text(child.mode, child.processing));
  out.add("rekey_time", seconds_of(child.rekey_time));
  out.add("rekey_bytes", std::to_string(child.rekey_bytes));
  out.add("rekey_packets", std::to_string(child.rekey_packets));
  out.add("dpd_action", action_text(child.dpd_action));
  out.add("close_action", action_text(child.close_action));
  out.add_list("local-ts", template_texts(child.local_selectors));
  out.add_list("remote-ts", template_texts(child.remote_selectors));
  return out;
}

}  // namespace

std::string section_name(std::string_view name) { return escaped(name).substr(0, name_size_max); }

std::string section_name(const ike_sa_status& sa) {
  return sa.connection.empty() ? "(unnamed)" : section_name(sa.connection);
}

std::string section_name(const child_sa_status& child) {
  auto number = "-" + std::to_string(child.id);
  return section_name(child.name).substr(0, name_size_max - number.size()) + number;
}

vici::message message_of(const ike_sa_status& sa, instant now) {
  vici::message out;
  out.add("uniqueid", std::to_string(sa.id)).add("version", "2").add("state", sa.state);
  add_end(out, "local", sa.local, sa.local_identity);
  add_end(out, "remote", sa.remote, sa.remote_identity);
  if (sa.role == ikev2::role::initiator) out.add("initiator", "yes");
  out.add("initiator-spi", fmt::format("{:016x}", sa.initiator_spi));
  out.add("responder-spi", fmt::format("{:016x}", sa.responder_spi));
  if (sa.local_behind_nat) out.add("nat-local", "yes");
  if (sa.remote_behind_nat) out.add("nat-remote", "yes");
  if (sa.local_behind_nat || sa.remote_behind_nat) out.add("nat-any", "yes");
  const auto& chosen = sa.algorithms;
  if (chosen.encryption != encryption_algorithm{}) {
    add_protection(out, chosen.encryption, chosen.key_bits, chosen.integrity);
    out.add("prf-alg", text_of(chosen.prf));
    out.add("dh-group", text_of(chosen.key_exchange));
  }
  if (sa.established_at != instant{}) {
    out.add("established", seconds_between(sa.established_at, now));
    if (sa.rekey_at != instant{}) out.add("rekey-time", seconds_between(now, sa.rekey_at));
  }
  if (!sa.tasks_queued.empty()) out.add_list("tasks-queued", sa.tasks_queued);
  if (!sa.tasks_active.empty()) out.add_list("tasks-active", sa.tasks_active);
  return out;
}

vici::message message_of(const child_sa_status& child, const child_usage& usage, instant now) {
  vici::message out;
  const auto& model = child.model;
  const auto& chosen = model.algorithms;
  out.add("name", child.name).add("uniqueid", std::to_string(child.id));
  out.add("reqid", std::to_string(model.reqid)).add("state", child.state);
  out.add("mode", mode_text(model.mode)).add("protocol", "ESP");
  if (model.is_encapsulated) out.add("encap", "yes");
  out.add("spi-in", fmt::format("{:08x}", model.inbound_spi));
  out.add("spi-out", fmt::format("{:08x}", model.outbound_spi));
  add_protection(out, chosen.encryption, chosen.key_bits, chosen.integrity);
  if (chosen.key_exchange != ke_method::none) out.add("dh-group", text_of(chosen.key_exchange));
  if (chosen.esn) out.add("esn", "1");
  add_usage(out, "in", usage.inbound, now);
  add_usage(out, "out", usage.outbound, now);
  if (child.rekey_at != instant{}) out.add("rekey-time", seconds_between(now, child.rekey_at));
  if (child.expires_at != instant{}) out.add("life-time", seconds_between(now, child.expires_at));
  out.add("install-time", seconds_between(child.installed_at, now));
  out.add_list("local-ts", texts_of(model.local_selectors));
  out.add_list("remote-ts", texts_of(model.remote_selectors));
  return out;
}

vici::message message_of(const config::connection_config& connection) {
  vici::message out;
  out.add_list("local_addrs", address_texts(connection.local_addresses));
  out.add_list("remote_addrs", address_texts(connection.remote_addresses));
  out.add("local_port", std::to_string(connection.local_port));
  out.add("remote_port", std::to_string(connection.remote_port));
  out.add("version", "IKEv2");
  out.add("reauth_time", seconds_of(connection.reauth_time));
  out.add("rekey_time", seconds_of(connection.rekey_time));
  out.add("unique", unique_text(connection.uniqueness));
  if (connection.dpd_delay != duration{}) out.add("dpd_delay", seconds_of(connection.dpd_delay));
  vici::message local, remote, children;
  local.add("class", class_text(connection.local.authentication));
  if (!connection.local.identity.is_any()) local.add("id", text_of(connection.local.identity));
  if (auto subjects = subjects_of(connection.local.certificates); !subjects.empty())
    local.add_list("certs", std::move(subjects));
  remote.add("class", class_text(connection.remote.authentication));
  if (!connection.remote.identity.is_any()) remote.add("id", text_of(connection.remote.identity));
  if (auto subjects = subjects_of(connection.remote.certificates); !subjects.empty())
    remote.add_list("certs", std::move(subjects));
  if (auto subjects = subjects_of(connection.remote.authorities); !subjects.empty())
    remote.add_list("cacerts", std::move(subjects));
  for (const auto& child : connection.children)
    children.add_section(section_name(child.name), configured_child(child));
  out.add_section("local-1", std::move(local)).add_section("remote-1", std::move(remote));
  out.add_section("children", std::move(children));
  return out;
}

vici::message message_of(const child_policy_status& standing) {
  const auto& policy = standing.policy;
  vici::message out;
  out.add("child", standing.child);
  if (policy.reqid != 0) out.add("reqid", std::to_string(policy.reqid));
  out.add("ike", standing.connection).add("mode", mode_text(policy.mode, policy.processing));
  out.add_list("local-ts", texts_of(policy.local_selectors));
  out.add_list("remote-ts", texts_of(policy.remote_selectors));
  return out;
}

vici::message message_of(const crypto::certificate& certificate, bool is_authority, bool has_key) {
  vici::message out;
  out.add("type", "X509").add("flag", is_authority ? "CA" : "NONE");
  if (has_key) out.add("has_privkey", "yes");
  out.add("data", to_text(certificate.der()));
  return out;
}

namespace {

const child_sa_status* find_child(const ike_sa_status& sa, std::uint64_t id) {
  for (const auto& child : sa.children)
    if (child.id == id) return &child;
  return nullptr;
}

vici::message one_child(const ike_sa_status& sa, const std::string& name, vici::message child,
                        instant now) {
  auto out = message_of(sa, now);
  vici::message children;
  children.add_section(name, std::move(child));
  out.add_section("child-sas", std::move(children));
  return out;
}

}  // namespace

vici::packet packet_of(const sa_event& event, instant now) {
  vici::packet packet{vici::packet_type::event, {}, {}};
  const auto& sa = *event.ike_sa;
  auto add = [&](std::string name, bool is_up, vici::message section) {
    packet.name = std::move(name);
    if (is_up) packet.body.add("up", "yes");
    packet.body.add_section(section_name(sa), std::move(section));
  };
  using enum sa_event_kind;
  switch (event.kind) {
    case ike_up:
    case ike_down: add("ike-updown", event.kind == ike_up, message_of(sa, now)); break;
    case ike_rekeyed: {
      vici::message both;
      both.add_section("old", message_of(sa, now));
      if (event.other) both.add_section("new", message_of(*event.other, now));
      add("ike-rekey", false, std::move(both));
      break;
    }
    case child_up:
    case child_down:
      add("child-updown", event.kind == child_up,
          one_child(sa, section_name(event.child_status), message_of(event.child_status, {}, now),
                    now));
      break;
    case child_rekeyed: {
      vici::message both;
      both.add_section("old", message_of(event.child_status, {}, now));
      if (const auto* fresh = find_child(sa, event.new_child))
        both.add_section("new", message_of(*fresh, {}, now));
      add("child-rekey", false,
          one_child(sa, section_name(event.child_status.name), std::move(both), now));
      break;
    }
  }
  return packet;
}

}  // namespace imago::actors
