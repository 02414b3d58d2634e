// One connection: its settings by the table, then what the daemon fills in, then what must fit
// together.
#include <algorithm>

#include "core/config/build.hpp"
#include "core/config/configuration.hpp"

namespace imago::config {
namespace {

bool begins_with(std::string_view text, std::string_view prefix) {
  return equal_ignoring_case(text.substr(0, prefix.size()), prefix);
}

// A tenth more or less is the usual default (swanctl.conf(5)).
template <class T>
T tenth_of(T value) {
  return value / 10;
}

class connection_builder {
 public:
  connection_builder(const section& from, const load_context& context, report& report)
      : from_{from},
        context_{context},
        report_{report},
        path_{(context.is_message ? "" : "connections.") + escaped(from.name)} {}

  connection_config build() {
    draft_.name = from_.name;
    read_settings(from_, connection_keys(), draft_, report_, path_, "connections.<conn>",
                  context_.is_message);
    for (const auto& child : from_.sections) build_section(*child);
    fill_addresses();
    fill_times();
    check_start();
    return std::move(draft_);
  }

 private:
  void build_section(const section& from);
  void build_children(const section& from);
  end_draft build_end(const section& from, std::span<const key_row<end_draft>> rows,
                      std::string_view level, bool& seen);
  void build_certificate(const section& from, end_draft& end, const std::string& path);
  void build_child(const section& from);
  void fill_child(const section& from, const std::string& path, child_draft& child);
  template <class T>
  void fill_lifetimes(const section& from, const std::string& path, std::string_view unit,
                      const given_lifetimes<T>& given, T& rekey, T& life, T& rand);
  void fill_addresses();
  void fill_times();
  void check_start();

  const section& from_;  // a builder lives inside one call
  const load_context& context_;
  report& report_;
  std::string path_;
  connection_draft draft_;
  bool has_local_ = false, has_remote_ = false;
};

void connection_builder::build_section(const section& from) {
  if (begins_with(from.name, "local")) {
    auto end = build_end(from, local_keys(), "connections.<conn>.local", has_local_);
    draft_.local = {end.auth.method, std::move(end.auth.constraint), end.auth.prefers_pss,
                    std::move(end.identity), std::move(end.certificates)};
  } else if (begins_with(from.name, "remote")) {
    auto end = build_end(from, remote_keys(), "connections.<conn>.remote", has_remote_);
    draft_.remote = {end.auth.method, std::move(end.auth.constraint), std::move(end.identity),
                     std::move(end.certificates), std::move(end.authorities)};
  } else if (from.name == "children") {
    build_children(from);
  } else {
    report_.unknown_section(from, path_, "connections.<conn>", {"local", "remote", "children"});
  }
}

void connection_builder::build_children(const section& from) {
  for (const auto& setting : from.settings)
    report_.unknown_key(setting, path_ + ".children", "connections.<conn>.children");
  for (const auto& child : from.sections) build_child(*child);
}

end_draft connection_builder::build_end(const section& from,
                                        std::span<const key_row<end_draft>> rows,
                                        std::string_view level, bool& seen) {
  auto path = path_ + "." + escaped(from.name);
  if (seen) report_.unsupported_section(from, path_, "a second round of authentication");
  seen = true;
  end_draft end;
  end.context = &context_;
  read_settings(from, rows, end, report_, path, level, context_.is_message);
  for (const auto& child : from.sections) build_certificate(*child, end, path);
  return end;
}

// cert<suffix> and cacert<suffix>
void connection_builder::build_certificate(const section& from, end_draft& end,
                                           const std::string& path) {
  bool is_authority = begins_with(from.name, "cacert");
  if (!is_authority && !begins_with(from.name, "cert"))
    return report_.unknown_section(from, path, "connections.<conn>.local", {"cert", "cacert"});
  certificate_draft draft{&context_, is_authority ? "x509ca" : "x509", {}};
  read_settings(from, certificate_keys(), draft, report_, path + "." + escaped(from.name),
                "connections.<conn>.local.cert", context_.is_message);
  if (draft.der)
    (is_authority ? end.authorities : end.certificates).push_back(std::move(*draft.der));
}

void connection_builder::build_child(const section& from) {
  auto path = path_ + ".children." + escaped(from.name);
  child_draft child;
  child.name = from.name;
  read_settings(from, child_keys(), child, report_, path, "connections.<conn>.children.<child>",
                context_.is_message);
  for (const auto& below : from.sections)
    report_.unknown_section(*below, path, "connections.<conn>.children.<child>", {});
  fill_child(from, path, child);
  draft_.children.push_back(std::move(child));
}

template <class T>
void connection_builder::fill_lifetimes(const section& from, const std::string& path,
                                        std::string_view unit, const given_lifetimes<T>& given,
                                        T& rekey, T& life, T& rand) {
  rekey = given.rekey.value_or(rekey);
  life = given.life.value_or(rekey + tenth_of(rekey));
  // By default random within what lies between the two, but never so much that a rekeying could
  // follow the last one at once.
  rand = given.rand.value_or(rekey > T{} && life > rekey ? std::min(life - rekey, rekey / 2) : T{});
  if (rekey > T{} && life > T{} && life < rekey)
    report_.conflict(
        from, path, "life_" + std::string{unit},
        "the SA would end before it is rekeyed; make it longer than rekey_" + std::string{unit});
  if (rand > rekey && given.rand)
    report_.conflict(from, path, "rand_" + std::string{unit},
                     "it is taken from rekey_" + std::string{unit} + ", so make it smaller");
}

void connection_builder::fill_child(const section& from, const std::string& path,
                                    child_draft& child) {
  if (child.proposals.empty()) child.proposals = default_proposals(protocol_id::esp);
  if (child.local_selectors.empty()) child.local_selectors = {{true, {}}};
  if (child.remote_selectors.empty()) child.remote_selectors = {{true, {}}};
  child.rekey_time = std::chrono::hours{1};
  // Who only says how long an SA lives means it to be replaced before.
  if (!child.time.rekey && child.time.life && *child.time.life > duration{} &&
      *child.time.life <= child.rekey_time)
    child.rekey_time = *child.time.life / 11 * 10;
  fill_lifetimes(from, path, "time", child.time, child.rekey_time, child.life_time,
                 child.rand_time);
  fill_lifetimes(from, path, "bytes", child.octets, child.rekey_bytes, child.life_bytes,
                 child.rand_bytes);
  fill_lifetimes(from, path, "packets", child.packets, child.rekey_packets, child.life_packets,
                 child.rand_packets);
}

void connection_builder::fill_addresses() {
  address_pattern any;
  any.any = true;
  if (draft_.local_addresses.empty()) draft_.local_addresses = {any};
  if (draft_.remote_addresses.empty()) draft_.remote_addresses = {any};
  if (draft_.proposals.empty()) draft_.proposals = default_proposals(protocol_id::ike);
}

void connection_builder::fill_times() {
  draft_.rekey_time = draft_.given_rekey_time.value_or(std::chrono::hours{4});
  draft_.over_time = draft_.given_over_time.value_or(tenth_of(draft_.rekey_time));
  draft_.rand_time =
      draft_.given_rand_time.value_or(std::min(draft_.over_time, draft_.rekey_time / 2));
  if (draft_.given_rand_time && draft_.rekey_time > duration{} &&
      draft_.rand_time > draft_.rekey_time)
    report_.conflict(from_, path_, "rand_time", "it is taken from rekey_time, so make it smaller");
}

// What can never work is better said now than at the first packet.
void connection_builder::check_start() {
  if (context_.is_message) return;  // charon takes these, and so do programs that speak to it
  bool has_peer = std::any_of(
      draft_.remote_addresses.begin(), draft_.remote_addresses.end(),
      [](const address_pattern& one) { return one.is_single() || !one.host_name.empty(); });
  if (has_peer) return;
  for (const auto& child : draft_.children) {
    if (child.start_action == start_action::none || child.is_shunt()) continue;
    const auto* children = from_.find_section("children");
    const auto* in = children ? children->find_section(child.name) : nullptr;
    report_.conflict(in ? *in : from_, path_ + ".children." + escaped(child.name), "start_action",
                     "there is nobody to connect to; give remote_addrs one address or host name");
  }
}

}  // namespace

const child_config* connection_config::find_child(std::string_view child) const {
  for (const auto& one : children)
    if (one.name == child) return &one;
  return nullptr;
}

connection_config build_connection(const section& from, const load_context& context,
                                   report& report) {
  return connection_builder{from, context, report}.build();
}

result<connection_config> build_connection(const section& connection, const file_access* files,
                                           const std::string& base_directory) {
  load_context context{files, base_directory, connection.at.line == 0};
  report report{context.is_message};
  auto built = build_connection(connection, context, report);
  if (report.is_clean()) return built;
  return std::move(report.take().front());
}

}  // namespace imago::config
