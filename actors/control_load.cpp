// What clients bring: connections, certificates, keys, shared keys, authorities. All of it goes
// into the control socket's own parts of the policy; what files loaded is never touched.
#include <algorithm>

#include "actors/control_commands.hpp"
#include "core/config/configuration.hpp"

namespace imago::actors {

namespace {

bytes_view octets_of(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

// A value that holds a key is not left in memory.
class wiped_value {
 public:
  explicit wiped_value(std::string* text) : text_{text} {}
  ~wiped_value() {
    if (text_) wipe(text_->data(), text_->size());
  }
  wiped_value(const wiped_value&) = delete;
  wiped_value& operator=(const wiped_value&) = delete;

 private:
  std::string* text_;
};

std::string* value_of(vici::message& request, std::string_view key) {
  for (auto& one : request.elements)
    if (one.name == key)
      if (auto* text = std::get_if<std::string>(&one.content)) return text;
  return nullptr;
}

config::section section_of(std::string name, const vici::message& from) {
  config::section section;
  section.name = std::move(name);
  for (const auto& one : from.elements) {
    if (const auto* below = std::get_if<std::unique_ptr<vici::message>>(&one.content)) {
      section.sections.push_back(std::make_unique<config::section>(section_of(one.name, **below)));
      continue;
    }
    config::setting setting;
    setting.key = one.name;
    if (const auto* text = std::get_if<std::string>(&one.content)) {
      setting.value = *text;
    } else {
      setting.items = std::get<std::vector<std::string>>(one.content);
      setting.is_list = true;
    }
    section.settings.push_back(std::move(setting));
  }
  return section;
}

engine_parts::credentials_store& store(control_context& context) {
  return *context.parts.credentials;
}

const config::connection_config* find_named(
    const std::vector<config::connection_config_ptr>& connections, const std::string& name) {
  for (const auto& one : connections)
    if (one->name == name) return one.get();
  return nullptr;
}

// vici's texts are in `where` already; the class of error adds nothing for a client.
std::string text_for_client(const error& failure) {
  return failure.where.empty() ? std::string{text_of(failure.code)} : failure.where;
}

bool contains(const std::vector<crypto::certificate_ptr>& list, const bytes& der) {
  return std::any_of(list.begin(), list.end(), [&](const auto& one) { return one->der() == der; });
}

std::string id_of(const crypto::private_key& key) { return to_hex(key.public_half()->key_id()); }

}  // namespace

vici::message load_connections(control_context& context, vici::message& request) {
  for (const auto& one : request.elements) {
    const auto* body = std::get_if<std::unique_ptr<vici::message>>(&one.content);
    if (!body) return refusal("unknown option: " + escaped(one.name) + ", config discarded");
    auto built = config::build_connection(section_of(one.name, **body), nullptr, "");
    if (!built) return refusal(text_for_client(built.failure()));
    auto fresh = std::make_shared<const config::connection_config>(std::move(*built));
    if (find_named(store(context).files().connections, one.name))
      return refusal("connection '" + escaped(one.name) +
                     "' belongs to the configuration file, which is where to change it");
    auto changed = store(context).change_control([&](ikev2::policy_parts& parts) -> status {
      for (auto& known : parts.connections) {
        if (known->name != one.name) continue;
        known = fresh;
        return {};
      }
      parts.connections.push_back(fresh);
      return {};
    });
    if (!changed) return refusal(text_for_client(changed.failure()));
  }
  return success();
}

vici::message unload_connection(control_context& context, vici::message& request) {
  auto name = request.value_or("name", "");
  if (name.empty()) return refusal("missing connection name to unload");
  auto missing = "unload: connection '" + escaped(name) + "' not found";
  auto changed = store(context).change_control([&](ikev2::policy_parts& parts) -> status {
    auto count =
        std::erase_if(parts.connections, [&](const auto& one) { return one->name == name; });
    return count != 0 ? status{} : status{errc::not_found, missing};
  });
  return changed ? success() : refusal(text_for_client(changed.failure()));
}

vici::message get_connections(control_context& context, vici::message&) {
  std::vector<std::string> names;
  for (const auto& one : store(context).control().connections) names.push_back(one->name);
  vici::message out;
  out.add_list("conns", std::move(names));
  return out;
}

vici::message load_certificate(control_context& context, vici::message& request) {
  auto type = request.value_or("type", "");
  auto flag = request.value_or("flag", "");
  if (type == "x509ca") flag = "CA";
  if (type != "X509" && type != "x509" && type != "x509ca")
    return refusal("invalid certificate type '" + escaped(type) +
                   "': this version of Imago takes X509 only");
  if (flag == "AA" || flag == "OCSP")
    return refusal("certificates with flag " + flag +
                   " are not supported by this version of Imago");
  const auto* data = request.find("data");
  if (!data) return refusal("certificate data missing");
  auto loaded = crypto::certificate::load(*context.parts.shared->library, octets_of(*data));
  if (!loaded) return refusal("parsing " + escaped(type) + " certificate failed");
  // Only what says so itself is an authority.
  bool is_authority = flag == "CA" && (*loaded)->is_ca();
  return reply_of(store(context).change_control([&](ikev2::policy_parts& parts) -> status {
    auto& list = is_authority ? parts.authorities : parts.certificates;
    if (!contains(list, (*loaded)->der())) list.push_back(*loaded);
    return {};
  }));
}

vici::message load_key(control_context& context, vici::message& request) {
  auto* data = value_of(request, "data");
  wiped_value guard{data};
  if (!data) return refusal("key data missing");
  auto type = request.value_or("type", "any");
  auto loaded = crypto::private_key::load(*context.parts.shared->library, octets_of(*data));
  if (!loaded)
    return refusal("parsing " + escaped(type) + " private key failed: " + loaded.failure().text());
  auto id = id_of(**loaded);
  auto changed = store(context).change_control([&](ikev2::policy_parts& parts) -> status {
    auto is_same = [&](const auto& one) { return id_of(*one) == id; };
    if (std::none_of(parts.private_keys.begin(), parts.private_keys.end(), is_same))
      parts.private_keys.push_back(*loaded);
    return {};
  });
  auto out = reply_of(changed);
  if (changed) out.add("id", id);
  return out;
}

vici::message unload_key(control_context& context, vici::message& request) {
  auto id = request.value_or("id", "");
  auto changed = store(context).change_control([&](ikev2::policy_parts& parts) -> status {
    auto count =
        std::erase_if(parts.private_keys, [&](const auto& one) { return id_of(*one) == id; });
    return count != 0 ? status{} : status{errc::not_found, "key not found"};
  });
  return changed ? success() : refusal(text_for_client(changed.failure()));
}

vici::message get_keys(control_context& context, vici::message&) {
  std::vector<std::string> ids;
  for (const auto& one : store(context).control().private_keys) ids.push_back(id_of(*one));
  vici::message out;
  out.add_list("keys", std::move(ids));
  return out;
}

vici::message load_shared_key(control_context& context, vici::message& request) {
  auto* data = value_of(request, "data");
  wiped_value guard{data};
  auto type = request.value_or("type", "");
  if (type != "IKE" && type != "ike")
    return refusal("invalid shared key type '" + escaped(type) +
                   "': this version of Imago takes IKE only");
  if (!data) return refusal("shared key data missing");
  auto fresh = std::make_shared<config::shared_key>();
  fresh->id = request.value_or("id", "");
  fresh->value = secret{octets_of(*data)};
  if (const auto* owners = request.find_list("owners")) {
    for (const auto& owner : *owners) {
      auto identity = config::parse_identity(owner);
      if (!identity) return refusal("invalid shared key owner: " + identity.failure().text());
      fresh->owners.push_back(std::move(*identity));
    }
  }
  return reply_of(store(context).change_control([&](ikev2::policy_parts& parts) -> status {
    if (!fresh->id.empty())
      std::erase_if(parts.shared_keys, [&](const auto& one) { return one->id == fresh->id; });
    parts.shared_keys.push_back(fresh);
    return {};
  }));
}

vici::message unload_shared_key(control_context& context, vici::message& request) {
  auto id = request.value_or("id", "");
  if (id.empty()) return refusal("unload: missing shared key id");
  return reply_of(store(context).change_control([&](ikev2::policy_parts& parts) -> status {
    std::erase_if(parts.shared_keys, [&](const auto& one) { return one->id == id; });
    return {};
  }));
}

vici::message get_shared_keys(control_context& context, vici::message&) {
  std::vector<std::string> ids;
  for (const auto& one : store(context).control().shared_keys)
    if (!one->id.empty()) ids.push_back(one->id);
  vici::message out;
  out.add_list("keys", std::move(ids));
  return out;
}

vici::message clear_credentials(control_context& context, vici::message&) {
  auto changed = store(context).change_control([](ikev2::policy_parts& parts) -> status {
    parts.shared_keys.clear();
    parts.private_keys.clear();
    parts.certificates.clear();
    parts.authorities.clear();
    return {};
  });
  if (changed) {
    std::lock_guard guard{context.authorities_mutex};
    context.authorities.clear();
  }
  return reply_of(changed);
}

vici::message load_authority(control_context& context, vici::message& request) {
  for (const auto& one : request.elements) {
    const auto* body = std::get_if<std::unique_ptr<vici::message>>(&one.content);
    if (!body) return refusal("unknown option: " + escaped(one.name) + ", config discarded");
    for (const auto& setting : (*body)->elements)
      if (setting.name != "cacert")
        return refusal("unknown option: " + escaped(setting.name) + ", config discarded");
    const auto* data = (*body)->find("cacert");
    if (!data) return refusal("CA certificate missing: " + escaped(one.name));
    auto loaded = crypto::certificate::load(*context.parts.shared->library, octets_of(*data));
    if (!loaded || !(*loaded)->is_ca())
      return refusal("invalid value for: cacert, config discarded");
    auto changed = store(context).change_control([&](ikev2::policy_parts& parts) -> status {
      if (!contains(parts.authorities, (*loaded)->der())) parts.authorities.push_back(*loaded);
      return {};
    });
    if (!changed) return reply_of(changed);
    std::lock_guard guard{context.authorities_mutex};
    context.authorities[one.name] = (*loaded)->der();
  }
  return success();
}

vici::message unload_authority(control_context& context, vici::message& request) {
  auto name = request.value_or("name", "");
  bytes der;
  {
    std::lock_guard guard{context.authorities_mutex};
    auto one = context.authorities.extract(name);
    if (one.empty()) return refusal("unload: authority '" + escaped(name) + "' not found");
    der = std::move(one.mapped());
    for (const auto& [other, known] : context.authorities)
      if (known == der) return success();  // by another name it stays
  }
  return reply_of(store(context).change_control([&](ikev2::policy_parts& parts) -> status {
    std::erase_if(parts.authorities, [&](const auto& one) { return one->der() == der; });
    return {};
  }));
}

vici::message get_authorities(control_context& context, vici::message&) {
  std::vector<std::string> names;
  {
    std::lock_guard guard{context.authorities_mutex};
    for (const auto& [name, der] : context.authorities) names.push_back(name);
  }
  vici::message out;
  out.add_list("authorities", std::move(names));
  return out;
}

}  // namespace imago::actors
