// lint: table
#include "core/config/keys.hpp"

#include <algorithm>

#include "core/base/limits.hpp"

namespace imago::config {
namespace {

error bad(std::string what) { return {errc::bad_value, std::move(what)}; }

// --- words ---
template <class T>
struct named {
  std::string_view word;
  T value;
  bool is_done = true;  // false: known, and refused, lest one believes that it does something
};
constexpr named<uniqueness> uniqueness_words[] = {{"never", uniqueness::never},
                                                  {"no", uniqueness::no},
                                                  {"keep", uniqueness::keep, false},
                                                  {"replace", uniqueness::replace, false}};
constexpr named<certificate_policy> send_cert_words[] = {{"always", certificate_policy::always},
                                                         {"ifasked", certificate_policy::if_asked},
                                                         {"never", certificate_policy::never}};
constexpr named<fragmentation> fragmentation_words[] = {{"yes", fragmentation::yes},
                                                        {"accept", fragmentation::accept, false},
                                                        {"force", fragmentation::force, false},
                                                        {"no", fragmentation::no},
                                                        {"true", fragmentation::yes},
                                                        {"enabled", fragmentation::yes},
                                                        {"1", fragmentation::yes},
                                                        {"false", fragmentation::no},
                                                        {"disabled", fragmentation::no},
                                                        {"0", fragmentation::no}};
constexpr named<start_action> action_words[] = {{"none", start_action::none},
                                                {"trap", start_action::trap},
                                                {"start", start_action::start},
                                                {"trap|start", start_action::trap_and_start},
                                                {"start|trap", start_action::trap_and_start},
                                                {"clear", start_action::none},
                                                {"route", start_action::trap},
                                                {"restart", start_action::start}};
constexpr named<dpd_action> dpd_words[] = {
    {"clear", dpd_action::clear}, {"trap", dpd_action::trap},  {"restart", dpd_action::restart},
    {"none", dpd_action::clear},  {"route", dpd_action::trap}, {"start", dpd_action::restart}};
struct mode_of_child {
  data_plane::mode mode;
  data_plane::processing processing = data_plane::processing::protect;
};
constexpr named<mode_of_child> mode_words[] = {
    {"tunnel", {data_plane::mode::tunnel}},
    {"transport", {data_plane::mode::transport}},
    {"pass", {data_plane::mode::tunnel, data_plane::processing::bypass}},
    {"drop", {data_plane::mode::tunnel, data_plane::processing::discard}}};

template <const auto& Table>
auto parse_word(std::string_view text) -> result<decltype(Table[0].value)> {
  std::vector<std::string_view> known;
  for (const auto& one : Table) {
    if (equal_ignoring_case(one.word, text)) {
      if (one.is_done) return one.value;
      return error{errc::not_supported, std::string{text}};
    }
    if (one.is_done) known.push_back(one.word);
  }
  return bad("'" + escaped(text) + "' is not known" + suggestion(text, known));
}

result<mode_of_child> parse_mode(std::string_view text) {
  for (auto other : {"transport_proxy", "beet", "iptfs"})
    if (equal_ignoring_case(text, other)) return error{errc::not_supported, std::string{other}};
  auto mode = parse_word<mode_words>(text);
  if (!mode) return mode.failure();
  return *mode;
}

result<std::uint32_t> parse_replay_window(std::string_view text) {
  auto size = parse_u32(text);
  if (size && *size > 4096) return bad("'" + escaped(text) + "' packets are too many");
  return size;
}

result<std::uint16_t> parse_real_port(std::string_view text) {
  auto port = parse_port(text);
  if (port && *port == 0) return bad("port 0 cannot be used");
  return port;
}

// What no one checks of a peer must not stand there as if it were checked.
result<authentication_choice> parse_remote_authentication(std::string_view text) {
  auto choice = parse_authentication(text);
  if (!choice || choice->constraint.empty()) return choice;
  for (auto plain : {"rsa", "ecdsa", "ed25519"})
    if (text == plain) return choice;
  return error{errc::not_supported, "the constraint '" + escaped(text) + "'"};
}

result<bool> parse_lax_revocation(std::string_view text) {
  for (auto other : {"strict", "ifuri"})
    if (equal_ignoring_case(text, other)) return error{errc::not_supported, std::string{other}};
  if (equal_ignoring_case(text, "relaxed")) return true;
  return bad("'" + escaped(text) + "' is not known" +
             suggestion(text, {"relaxed", "strict", "ifuri"}));
}

// --- how rows store ---
template <auto Parse, class T>
status put(T& to, const arguments& values) {
  auto value = Parse(values.front());
  if (!value) return value.failure();
  to = std::move(*value);
  return {};
}
template <auto Parse, class T>
status put_list(std::vector<T>& to, const arguments& values) {
  to.clear();
  for (const auto& text : values) {
    auto value = Parse(text);
    if (!value) return value.failure();
    to.push_back(std::move(*value));
  }
  return {};
}
// Into a member, by the parser of its form.
template <auto Member, auto Parse, class Draft>
status store(Draft& draft, const arguments& values) {
  return put<Parse>(draft.*Member, values);
}
template <auto Member, auto Parse, class Draft>
status store_list(Draft& draft, const arguments& values) {
  return put_list<Parse>(draft.*Member, values);
}
// Into a member of one of a child's three groups of lifetimes.
template <auto Group, auto Member, auto Parse>
status store_lifetime(child_draft& draft, const arguments& values) {
  return put<Parse>(draft.*Group.*Member, values);
}
status store_mode(child_draft& draft, const arguments& values) {
  auto mode = parse_mode(values.front());
  if (!mode) return mode.failure();
  draft.mode = mode->mode;
  draft.processing = mode->processing;
  return {};
}
// Checked, and that is all: it has no meaning in IKEv2 or without what it goes with.
template <auto Parse, class Draft>
status accept(Draft&, const arguments& values) {
  auto value = Parse(values.front());
  if (!value) return value.failure();
  return {};
}

template <protocol_id Protocol, class Draft>
status store_proposals(Draft& draft, const arguments& values) {
  draft.proposals.clear();
  for (const auto& text : values) {
    auto some = parse_proposals(Protocol, text);
    if (!some) return some.failure();
    for (auto& one : *some) {
      if (draft.proposals.size() == limits::proposal_count_max)
        return bad("there are more than 64 proposals");
      one.number = static_cast<std::uint8_t>(draft.proposals.size() + 1);
      draft.proposals.push_back(std::move(one));
    }
  }
  return {};
}

bytes_view octets_of(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

result<bytes> read_certificate(const load_context& context, std::string_view folder,
                               const std::string& text) {
  if (context.is_message) return certificate_der(octets_of(text));
  if (text.starts_with("0x") || text.starts_with("0s")) {
    auto octets = text[1] == 'x' ? parse_hex(std::string_view{text}.substr(2))
                                 : parse_base64(std::string_view{text}.substr(2));
    if (!octets) return octets.failure();
    return certificate_der(*octets);
  }
  auto path = credential_path(context, folder, text);
  auto content = read_credential(context, path);
  if (!content) return content.failure();
  auto der = certificate_der(octets_of(*content));
  if (!der) return bad(path + " holds no certificate: " + der.failure().where);
  return der;
}

template <auto Member>
status store_certificates(end_draft& draft, const arguments& values) {
  auto& to = draft.*Member;
  std::string_view folder = &to == &draft.authorities ? "x509ca" : "x509";
  for (const auto& text : values) {
    auto der = read_certificate(*draft.context, folder, text);
    if (!der) return der.failure();
    to.push_back(std::move(*der));
  }
  return {};
}

status store_certificate_file(certificate_draft& draft, const arguments& values) {
  if (!draft.context->files) return bad("files cannot be read here");
  auto by_path = *draft.context;
  by_path.is_message = false;
  auto der = read_certificate(by_path, draft.folder, values.front());
  if (!der) return der.failure();
  draft.der = std::move(*der);
  return {};
}

status add_owner(shared_key_draft& draft, const arguments& values) {
  auto owner = parse_identity(values.front());
  if (!owner) return owner.failure();
  draft.owners.push_back(std::move(*owner));
  return {};
}

result<std::string> parse_text(std::string_view text) { return std::string{text}; }

// --- kinds ---
template <auto Parse>
bool parses(std::string_view text) {
  return Parse(text).has_value();
}
bool is_dscp(std::string_view text) {
  return text.size() == 6 && text.find_first_not_of("01") == text.npos;
}

constexpr value_kind boolean{"boolean", false, "yes or no", {}, parses<parse_boolean>};
constexpr value_kind number{"number", false, "a number", {}, parses<parse_u32>};
constexpr value_kind window{"window", false, "a number of packets, at most 4096"};
constexpr value_kind count{"count", false, "a number of packets", {}, parses<parse_number>};
constexpr value_kind port{"port", false, "a port from 1 to 65535", {}, parses<parse_port>};
constexpr value_kind time_span{
    "time", false, "a time such as 30s, 5m, 4h or 1d", {}, parses<parse_duration>};
constexpr value_kind volume{
    "volume", false, "a number of octets such as 500m or 2g", {}, parses<parse_byte_count>};
constexpr value_kind text{"text", false, "a text"};
constexpr value_kind file_name{"file", false, "the name of a file"};
constexpr value_kind texts{"texts", true, "texts, separated by commas"};
constexpr value_kind mark{"mark", false, "a number, value/mask or %unique"};
constexpr value_kind dscp{"dscp", false, "six binary digits", {}, is_dscp};
constexpr value_kind version{"version", false, "2", "0 1 2"};
constexpr value_kind addresses{
    "addresses", true, "addresses, prefixes, ranges, host names or %any, separated by commas"};
constexpr value_kind selectors{"selectors", true,
                               "dynamic, prefixes or ranges, each perhaps with [protocol/port]"};
constexpr value_kind ike_proposals{"IKE proposals", true,
                                   "default, or such as aes256gcm16-prfsha384-ecp384"};
constexpr value_kind esp_proposals{"ESP proposals", true,
                                   "default, or such as aes256gcm16-ecp384 or aes128-sha256"};
constexpr value_kind an_identity{"identity", false,
                                 "a name, a mail address, an IP address, a DN in quotes or %any"};
constexpr value_kind authentication_form{"authentication", false,
                                         "pubkey, psk, or a constraint such as ike:rsa/pss-sha256"};
constexpr value_kind remote_authentication_form{"remote authentication", false,
                                                "pubkey, psk, rsa, ecdsa or ed25519"};
constexpr value_kind certificates{"certificates", true,
                                  "files in x509/, or 0x or 0s and the octets"};
constexpr value_kind authorities{"authorities", true,
                                 "files in x509ca/, or 0x or 0s and the octets"};
constexpr value_kind a_secret{"secret", false, "a text in quotes, 0x and hex or 0s and base64"};
constexpr value_kind uniqueness_form{"uniqueness", false, "no or never"};
constexpr value_kind send_cert_form{"send_cert", false, "always, ifasked or never"};
constexpr value_kind fragmentation_form{"fragmentation", false, "yes or no"};
constexpr value_kind action{"action", false, "none, trap, start or trap|start"};
constexpr value_kind dpd_form{"dpd_action", false, "clear, trap or restart"};
constexpr value_kind mode_form{"mode", false, "tunnel, transport, pass or drop"};
constexpr value_kind revocation{"revocation", false, "relaxed"};
constexpr value_kind childless{"childless", false, "allow", "allow prefer force never"};
constexpr value_kind ocsp{"ocsp", false, "reply", "never reply request both"};
constexpr value_kind label_mode{"label_mode", false, "system", "system simple selinux"};
constexpr value_kind padding{"padding", false, "0"};
constexpr value_kind per_cpu{"per_cpu_sas", false, "no",
                             "yes no true false enabled disabled 1 0 encap"};
constexpr value_kind offload{"hw_offload", false, "no",
                             "no crypto packet auto yes true false enabled disabled 1 0"};
constexpr value_kind copy_dscp{"copy_dscp", false, "out", "out in yes no"};

using times = given_lifetimes<duration>;
using volumes = given_lifetimes<std::uint64_t>;

// --- the table: key, kind, how it is read (nullptr: not by this version), what is taken then ---
using conn = connection_draft;
using child = child_draft;
// clang-format off
constexpr key_row<connection_draft> connection_table[] = {
    {"version", &version, nullptr, "0 2"},
    {"local_addrs", &addresses, store_list<&conn::local_addresses, parse_address_pattern>},
    {"remote_addrs", &addresses, store_list<&conn::remote_addresses, parse_address_pattern>},
    {"local_port", &port, nullptr, "500"},
    {"remote_port", &port, store<&conn::remote_port, parse_real_port>},
    {"proposals", &ike_proposals, store_proposals<protocol_id::ike>},
    {"vips", &texts, nullptr},
    {"aggressive", &boolean, nullptr, "no"},
    {"pull", &boolean, accept<parse_boolean>},          // IKEv1 only
    {"dscp", &dscp, nullptr, "000000"},
    {"encap", &boolean, store<&conn::force_encapsulation, parse_boolean>},
    {"mobike", &boolean, store<&conn::mobike, parse_boolean>},
    {"dpd_delay", &time_span, store<&conn::dpd_delay, parse_duration>},
    {"dpd_timeout", &time_span, accept<parse_duration>},  // IKEv1 only
    {"fragmentation", &fragmentation_form,
     store<&conn::fragmentation, parse_word<fragmentation_words>>, "yes no"},
    {"childless", &childless, nullptr, "allow never"},
    {"send_certreq", &boolean, store<&conn::sends_certificate_requests, parse_boolean>},
    {"send_cert", &send_cert_form, store<&conn::send_certificate, parse_word<send_cert_words>>},
    {"ocsp", &ocsp, nullptr, "reply never"},
    {"ppk_id", &text, nullptr},
    {"ppk_required", &boolean, nullptr, "no"},
    {"keyingtries", &number, store<&conn::keying_tries, parse_u32>},
    {"unique", &uniqueness_form, store<&conn::uniqueness, parse_word<uniqueness_words>>,
     "no never"},
    {"reauth_time", &time_span, nullptr, "0"},
    {"rekey_time", &time_span, store<&conn::given_rekey_time, parse_duration>},
    {"over_time", &time_span, store<&conn::given_over_time, parse_duration>},
    {"rand_time", &time_span, store<&conn::given_rand_time, parse_duration>},
    {"pools", &texts, nullptr},
    {"if_id_in", &mark, nullptr, "0"},
    {"if_id_out", &mark, nullptr, "0"},
    {"mediation", &boolean, nullptr, "no"},
    {"mediated_by", &text, nullptr},
    {"mediation_peer", &text, nullptr},
};

constexpr key_row<end_draft> local_table[] = {
    {"round", &number, accept<parse_u32>},
    {"auth", &authentication_form, store<&end_draft::auth, parse_authentication>},
    {"id", &an_identity, store<&end_draft::identity, parse_identity>},
    {"certs", &certificates, store_certificates<&end_draft::certificates>},
    {"pubkeys", &texts, nullptr},
    {"eap_id", &text, nullptr},
    {"aaa_id", &text, nullptr},
    {"xauth_id", &text, nullptr},
};

constexpr key_row<end_draft> remote_table[] = {
    {"round", &number, accept<parse_u32>},
    {"auth", &remote_authentication_form,
     store<&end_draft::auth, parse_remote_authentication>, "pubkey psk rsa ecdsa ed25519"},
    {"id", &an_identity, store<&end_draft::identity, parse_identity>},
    {"certs", &certificates, store_certificates<&end_draft::certificates>},
    {"cacerts", &authorities, store_certificates<&end_draft::authorities>},
    {"revocation", &revocation, accept<parse_lax_revocation>},
    {"pubkeys", &texts, nullptr},
    {"eap_id", &text, nullptr},
    {"groups", &texts, nullptr},
    {"cert_policy", &texts, nullptr},
    {"ca_id", &text, nullptr},
};

constexpr key_row<certificate_draft> certificate_table[] = {
    {"file", &file_name, store_certificate_file},
    {"handle", &text, nullptr},
    {"slot", &text, nullptr},
    {"module", &text, nullptr},
};

constexpr key_row<child_draft> child_table[] = {
    {"esp_proposals", &esp_proposals, store_proposals<protocol_id::esp>},
    {"ah_proposals", &texts, nullptr},
    {"sha256_96", &boolean, nullptr, "no"},
    {"local_ts", &selectors, store_list<&child::local_selectors, parse_selector>},
    {"remote_ts", &selectors, store_list<&child::remote_selectors, parse_selector>},
    {"rekey_time", &time_span, store_lifetime<&child::time, &times::rekey, parse_duration>},
    {"life_time", &time_span, store_lifetime<&child::time, &times::life, parse_duration>},
    {"rand_time", &time_span, store_lifetime<&child::time, &times::rand, parse_duration>},
    {"rekey_bytes", &volume, store_lifetime<&child::octets, &volumes::rekey, parse_byte_count>},
    {"life_bytes", &volume, store_lifetime<&child::octets, &volumes::life, parse_byte_count>},
    {"rand_bytes", &volume, nullptr, "0"},
    {"rekey_packets", &count, store_lifetime<&child::packets, &volumes::rekey, parse_byte_count>},
    {"life_packets", &count, store_lifetime<&child::packets, &volumes::life, parse_byte_count>},
    {"rand_packets", &count, nullptr, "0"},
    {"updown", &text, nullptr},
    {"hostaccess", &boolean, accept<parse_boolean>},    // a variable of the updown script only
    {"mode", &mode_form, store_mode},
    {"policies", &boolean, store<&child::installs_policies, parse_boolean>},
    {"policies_fwd_out", &boolean, nullptr, "no"},
    {"dpd_action", &dpd_form, store<&child::dpd_action, parse_word<dpd_words>>},
    {"ipcomp", &boolean, nullptr, "no"},
    {"inactivity", &time_span, nullptr, "0"},
    {"reqid", &number, store<&child::reqid, parse_u32>},
    {"priority", &number, nullptr, "0"},
    {"interface", &text, nullptr},
    {"mark_in", &mark, nullptr, "0"},
    {"mark_out", &mark, nullptr, "0"},
    {"mark_in_sa", &boolean, nullptr, "no"},
    {"set_mark_in", &mark, nullptr, "0"},
    {"set_mark_out", &mark, nullptr, "0"},
    {"if_id_in", &mark, nullptr, "0"},
    {"if_id_out", &mark, nullptr, "0"},
    {"label", &text, nullptr},
    {"label_mode", &label_mode, nullptr, "system"},
    {"tfc_padding", &padding, nullptr, "0"},
    {"replay_window", &window, store<&child::replay_window, parse_replay_window>},
    {"per_cpu_sas", &per_cpu, nullptr, "no"},
    {"hw_offload", &offload, nullptr, "no"},
    {"copy_df", &boolean, nullptr, "yes"},
    {"copy_ecn", &boolean, nullptr, "yes"},
    {"copy_dscp", &copy_dscp, nullptr, "out"},
    {"icmp", &boolean, nullptr, "no"},
    {"start_action", &action, store<&child::start_action, parse_word<action_words>>},
    {"close_action", &action, store<&child::close_action, parse_word<action_words>>},
};

constexpr key_row<shared_key_draft> shared_key_table[] = {
    {"secret", &a_secret, store<&shared_key_draft::value, parse_secret>},
    {"id*", &an_identity, add_owner},
};

constexpr key_row<private_key_draft> private_key_table[] = {
    {"file", &file_name, store<&private_key_draft::file, parse_text>},
    {"secret", &a_secret, store<&private_key_draft::passphrase, parse_secret>},
};

constexpr key_row<authority_draft> authority_table[] = {
    {"cacert", &file_name, store<&authority_draft::cacert, parse_text>},
    {"file", &file_name, store<&authority_draft::file, parse_text>},
    {"handle", &text, nullptr},
    {"slot", &text, nullptr},
    {"module", &text, nullptr},
    {"crl_uris", &texts, nullptr},
    {"ocsp_uris", &texts, nullptr},
    {"cert_uri_base", &text, nullptr},
};
// clang-format on

template <class Draft>
void add_level(std::vector<known_key>& to, std::string_view level,
               std::span<const key_row<Draft>> rows) {
  for (const auto& row : rows)
    to.push_back({level, row.key, row.kind, row.read != nullptr, row.inert});
}

bool has_word(std::string_view words, std::string_view wanted,
              bool (*same)(std::string_view, std::string_view)) {
  while (!words.empty()) {
    auto blank = words.find(' ');
    if (same(words.substr(0, blank), wanted)) return true;
    words = blank == words.npos ? std::string_view{} : words.substr(blank + 1);
  }
  return false;
}

}  // namespace

std::span<const key_row<connection_draft>> connection_keys() { return connection_table; }
std::span<const key_row<end_draft>> local_keys() { return local_table; }
std::span<const key_row<end_draft>> remote_keys() { return remote_table; }
std::span<const key_row<certificate_draft>> certificate_keys() { return certificate_table; }
std::span<const key_row<child_draft>> child_keys() { return child_table; }
std::span<const key_row<shared_key_draft>> shared_key_keys() { return shared_key_table; }
std::span<const key_row<private_key_draft>> private_key_keys() { return private_key_table; }
std::span<const key_row<authority_draft>> authority_keys() { return authority_table; }

const std::vector<known_key>& known_keys() {
  static const std::vector<known_key> all = [] {
    std::vector<known_key> list;
    add_level(list, "connections.<conn>", connection_keys());
    add_level(list, "connections.<conn>.local", local_keys());
    add_level(list, "connections.<conn>.remote", remote_keys());
    add_level(list, "connections.<conn>.local.cert", certificate_keys());
    add_level(list, "connections.<conn>.children.<child>", child_keys());
    add_level(list, "secrets.ike", shared_key_keys());
    add_level(list, "secrets.private", private_key_keys());
    add_level(list, "authorities.<name>", authority_keys());
    return list;
  }();
  return all;
}

bool is_inert(const value_kind& kind, std::string_view inert, std::string_view value) {
  if (value.empty()) return true;
  auto same_word = [](std::string_view one, std::string_view other) {
    return equal_ignoring_case(one, other);
  };
  auto same_boolean = [](std::string_view one, std::string_view other) {
    auto first = parse_boolean(one), second = parse_boolean(other);
    return first && second && *first == *second;
  };
  auto same_number = [](std::string_view one, std::string_view other) {
    auto first = parse_number(one), second = parse_number(other);
    return first && second && *first == *second;
  };
  auto same_time = [](std::string_view one, std::string_view other) {
    auto first = parse_duration(one), second = parse_duration(other);
    return first && second && *first == *second;
  };
  auto same_volume = [](std::string_view one, std::string_view other) {
    auto first = parse_byte_count(one), second = parse_byte_count(other);
    return first && second && *first == *second;
  };
  if (has_word(inert, value, same_word)) return true;
  if (kind.name == "time") return has_word(inert, value, same_time);
  if (kind.name == "volume") return has_word(inert, value, same_volume);
  if (kind.name == "boolean" || !kind.words.empty()) return has_word(inert, value, same_boolean);
  return has_word(inert, value, same_number);
}

std::string credential_path(const load_context& context, std::string_view folder,
                            std::string_view file) {
  if (file.starts_with('/')) return std::string{file};
  auto path = context.base_directory;
  if (!path.empty() && path.back() != '/') path += '/';
  if (!folder.empty()) path += std::string{folder} + '/';
  return path + std::string{file};
}

result<std::string> read_credential(const load_context& context, const std::string& path) {
  if (!context.files) return bad("files cannot be read here");
  auto content = context.files->read(path);
  if (!content)
    return error{errc::bad_value,
                 "cannot read " + path + ": " + std::string{text_of(content.failure().code)}};
  if (content->size() <= limits::credential_size_max) return content;
  wipe(content->data(), content->size());
  return bad(path + " is too large for a key or certificate");
}

}  // namespace imago::config
