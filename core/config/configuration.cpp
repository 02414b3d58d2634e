#include "core/config/configuration.hpp"

#include <algorithm>
#include <set>

#include "core/config/build.hpp"

namespace imago::config {
namespace {

enum class secret_kind { shared_key, private_key, unsupported };

struct secret_section {
  std::string_view prefix;
  secret_kind kind;
  std::string_view folder;  // of the file, for private keys
};
constexpr secret_section secret_sections[] = {
    {"ike", secret_kind::shared_key, {}},         {"private", secret_kind::private_key, "private"},
    {"rsa", secret_kind::private_key, "rsa"},     {"ecdsa", secret_kind::private_key, "ecdsa"},
    {"pkcs8", secret_kind::private_key, "pkcs8"}, {"pkcs12", secret_kind::unsupported, {}},
    {"eap", secret_kind::unsupported, {}},        {"xauth", secret_kind::unsupported, {}},
    {"ntlm", secret_kind::unsupported, {}},       {"ppk", secret_kind::unsupported, {}},
    {"token", secret_kind::unsupported, {}},
};
constexpr std::string_view private_key_folders[] = {"private", "rsa", "ecdsa", "pkcs8"};
constexpr std::string_view top_sections[] = {"connections", "secrets", "pools", "authorities"};

// A glob pattern that means this path and no other.
std::string literal_pattern(const std::string& path) {
  std::string pattern;
  for (char c : path) {
    if (std::string_view{"*?[]\\{}"}.find(c) != std::string_view::npos) pattern += '\\';
    pattern += c;
  }
  return pattern;
}

class configuration_builder {
 public:
  configuration_builder(const section& root, const load_context& context)
      : root_{root}, context_{context} {}

  std::variant<configuration, configuration_errors> build() {
    check_top_level();
    if (const auto* from = root_.find_section("connections")) build_connections(*from);
    if (const auto* from = root_.find_section("secrets")) build_secrets(*from);
    if (const auto* from = root_.find_section("authorities")) build_authorities(*from);
    if (const auto* from = root_.find_section("pools"))
      for (const auto& pool : from->sections)
        report_.unsupported_section(*pool, "pools", "a pool of virtual addresses");
    load_folder("x509", out_.certificates);
    load_folder("x509ca", out_.authorities);
    load_private_keys();
    if (report_.is_clean()) return std::move(out_);
    return configuration_errors{report_.take()};
  }

 private:
  struct named_key {
    std::string path;
    secret passphrase;
    position at;
    bool is_used = false;
  };

  void check_top_level();
  void build_connections(const section& from);
  void build_secrets(const section& from);
  void build_shared_key(const section& from);
  void build_private_key(const section& from, std::string_view folder);
  void build_authorities(const section& from);
  void refuse_settings(const section& from);
  void load_folder(std::string_view folder, std::vector<credential_blob>& to);
  void load_private_keys();
  void load_private_key(const std::string& path, const position& at);

  const section& root_;
  const load_context& context_;
  report report_{false};
  configuration out_;
  std::vector<named_key> named_keys_;
};

// Other sections are free, for others to refer to; one that nobody refers to and that is called
// almost like ours is a slip of the pen.
void configuration_builder::check_top_level() {
  for (const auto& setting : root_.settings)
    report_.other(errc::bad_value, setting.at,
                  "the key '" + escaped(setting.key) + "' stands outside of any section");
  std::vector<std::string_view> known(std::begin(top_sections), std::end(top_sections));
  for (const auto& one : root_.sections) {
    if (one->is_referenced || std::find(known.begin(), known.end(), one->name) != known.end())
      continue;
    if (auto hint = suggestion(one->name, known); !hint.empty())
      report_.other(errc::bad_value, one->at,
                    "nothing reads the section '" + escaped(one->name) + "'" + hint);
  }
}

void configuration_builder::refuse_settings(const section& from) {
  for (const auto& setting : from.settings)
    report_.other(errc::bad_value, setting.at,
                  "unknown key '" + escaped(setting.key) + "' in " + from.name +
                      "; only sections stand here");
}

void configuration_builder::build_connections(const section& from) {
  refuse_settings(from);
  for (const auto& one : from.sections)
    out_.connections.push_back(build_connection(*one, context_, report_));
}

void configuration_builder::build_secrets(const section& from) {
  refuse_settings(from);
  std::vector<std::string_view> known;
  for (const auto& kind : secret_sections) known.push_back(kind.prefix);
  for (const auto& one : from.sections) {
    const auto* kind =
        std::find_if(std::begin(secret_sections), std::end(secret_sections),
                     [&](const secret_section& row) { return one->name.starts_with(row.prefix); });
    if (kind == std::end(secret_sections))
      report_.unknown_section(*one, "secrets", "secrets", known);
    else if (kind->kind == secret_kind::shared_key)
      build_shared_key(*one);
    else if (kind->kind == secret_kind::private_key)
      build_private_key(*one, kind->folder);
    else
      report_.unsupported_section(*one, "secrets",
                                  "a secret of the kind " + std::string{kind->prefix});
  }
}

void configuration_builder::build_shared_key(const section& from) {
  auto path = "secrets." + escaped(from.name);
  shared_key_draft draft;
  read_settings(from, shared_key_keys(), draft, report_, path, "secrets.ike", false);
  for (const auto& below : from.sections) report_.unknown_section(*below, path, "secrets.ike", {});
  bool is_written = from.find("secret") != nullptr;
  if (!is_written || (draft.value && draft.value->empty()))
    return report_.conflict(from, path, "secret", "it is missing; write secret = \"...\"");
  if (draft.value)
    out_.shared_keys.push_back({from.name, std::move(*draft.value), std::move(draft.owners)});
}

void configuration_builder::build_private_key(const section& from, std::string_view folder) {
  auto path = "secrets." + escaped(from.name);
  private_key_draft draft;
  read_settings(from, private_key_keys(), draft, report_, path, "secrets.private", false);
  for (const auto& below : from.sections)
    report_.unknown_section(*below, path, "secrets.private", {});
  if (draft.file.empty())
    return report_.conflict(
        from, path, "file",
        "it is missing; write the name of a file in " + std::string{folder} + "/");
  const auto* file = from.find("file");
  named_keys_.push_back({credential_path(context_, folder, draft.file), std::move(draft.passphrase),
                         file->at, false});
}

void configuration_builder::build_authorities(const section& from) {
  refuse_settings(from);
  for (const auto& one : from.sections) {
    auto path = "authorities." + escaped(one->name);
    authority_draft draft;
    read_settings(*one, authority_keys(), draft, report_, path, "authorities.<name>", false);
    if (draft.cacert.empty() == draft.file.empty()) {
      report_.conflict(*one, path, "cacert",
                       "write one of cacert = <file in x509ca/> and file = <path>");
      continue;
    }
    auto origin = draft.cacert.empty() ? credential_path(context_, "", draft.file)
                                       : credential_path(context_, "x509ca", draft.cacert);
    auto content = read_credential(context_, origin);
    if (content)
      out_.authorities.push_back({origin, to_bytes(std::string_view{*content})});
    else
      report_.conflict(*one, path, draft.cacert.empty() ? "file" : "cacert",
                       content.failure().where);
  }
}

void configuration_builder::load_folder(std::string_view folder, std::vector<credential_blob>& to) {
  std::set<std::string> loaded;
  for (const auto& one : to) loaded.insert(one.origin);
  auto pattern = credential_path(context_, folder, "");
  for (const auto& path : context_.files->glob(literal_pattern(pattern) + "*")) {
    if (!loaded.insert(path).second) continue;
    auto content = read_credential(context_, path);
    if (content)
      to.push_back({path, to_bytes(std::string_view{*content})});
    else
      report_.other(errc::bad_value, {}, content.failure().where);
  }
}

void configuration_builder::load_private_keys() {
  for (auto folder : private_key_folders) {
    auto pattern = credential_path(context_, folder, "");
    for (const auto& path : context_.files->glob(literal_pattern(pattern) + "*"))
      load_private_key(path, {});
  }
  // Those outside of the folders.
  for (auto& named : named_keys_)
    if (!named.is_used) load_private_key(named.path, named.at);
}

void configuration_builder::load_private_key(const std::string& path, const position& at) {
  secret passphrase;
  for (auto& named : named_keys_)
    if (named.path == path) {
      named.is_used = true;
      passphrase = named.passphrase.clone();
    }
  auto content = read_credential(context_, path);
  if (!content) return report_.other(errc::bad_value, at, content.failure().where);
  secret data{bytes_view{reinterpret_cast<const std::uint8_t*>(content->data()), content->size()}};
  wipe(content->data(), content->size());
  out_.private_keys.push_back({path, std::move(data), std::move(passphrase)});
}

std::string directory_of(const std::string& path) {
  auto slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

std::variant<configuration, configuration_errors> build_configuration(
    const section& root, const std::string& base_directory, const file_access& files) {
  return configuration_builder{root, {&files, base_directory, false}}.build();
}

std::variant<configuration, configuration_errors> load_configuration(const std::string& path,
                                                                     const file_access& files) {
  auto trimmed_path = path;
  while (trimmed_path.size() > 1 && trimmed_path.back() == '/') trimmed_path.pop_back();
  auto paths = files.glob(literal_pattern(trimmed_path) + "/*.conf");
  auto base_directory = paths.empty() ? directory_of(trimmed_path) : trimmed_path;
  if (paths.empty()) paths = {trimmed_path};
  auto root = parse_setting_files(paths, files);
  if (!root) return configuration_errors{{root.failure()}};
  auto built = build_configuration(**root, base_directory, files);
  wipe_values(**root);
  return built;
}

}  // namespace imago::config
