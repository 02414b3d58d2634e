#include "tools/status_text.hpp"

#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>

namespace imago {

namespace {

using json = nlohmann::ordered_json;

// Whatever the daemon passes on from a peer: nothing of it reaches the terminal as a command.
std::string printable(const std::string& text) { return escaped(text); }

std::string text(const json& object, const char* key) {
  auto at = object.find(key);
  if (at == object.end()) return {};
  return printable(at->is_string() ? at->get<std::string>() : at->dump());
}

long long number(const json& object, const char* key) {
  auto at = object.find(key);
  if (at == object.end()) return 0;
  return at->is_number() ? at->get<long long>() : std::atoll(text(object, key).c_str());
}

std::string joined(const json& object, const char* key) {
  std::string out;
  auto at = object.find(key);
  if (at == object.end() || !at->is_array()) return out;
  for (const auto& one : *at) out += (out.empty() ? "" : " ") + printable(one.get<std::string>());
  return out;
}

// "AES_GCM_16-128/PRF_HMAC_SHA2_256/CURVE_25519"
std::string algorithms(const json& object) {
  auto out = text(object, "encr-alg");
  if (auto size = text(object, "encr-keysize"); !size.empty()) out += "-" + size;
  for (const char* key : {"integ-alg", "prf-alg", "dh-group"})
    if (auto part = text(object, key); !part.empty()) out += "/" + part;
  return out;
}

std::string age(long long seconds) {
  if (seconds < 0) return "-" + age(-seconds);
  if (seconds < 120) return fmt::format("{}s", seconds);
  if (seconds < 7200) return fmt::format("{}m{:02}s", seconds / 60, seconds % 60);
  if (seconds < 172800) return fmt::format("{}h{:02}m", seconds / 3600, seconds / 60 % 60);
  return fmt::format("{}d{:02}h", seconds / 86400, seconds / 3600 % 24);
}

std::string volume(long long octets) {
  static constexpr const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  auto size = static_cast<double>(octets);
  std::size_t unit = 0;
  for (; size >= 1024 && unit + 1 < std::size(units); ++unit) size /= 1024;
  return unit == 0 ? fmt::format("{} B", octets) : fmt::format("{:.1f} {}", size, units[unit]);
}

// What programs compute with is a number in JSON; all else stays text.
bool is_number_key(const std::string& key) {
  static constexpr std::string_view keys[] = {
      "uniqueid",    "version",    "local-port",  "remote-port", "encr-keysize", "integ-keysize",
      "established", "rekey-time", "reauth-time", "life-time",   "install-time", "reqid",
      "bytes-in",    "bytes-out",  "packets-in",  "packets-out", "use-in",       "use-out"};
  return std::find(std::begin(keys), std::end(keys), key) != std::end(keys);
}

json value_of(const std::string& key, const std::string& value) {
  char* end = nullptr;
  if (is_number_key(key) && !value.empty()) {
    auto number = std::strtoll(value.c_str(), &end, 10);
    if (*end == '\0') return number;
  }
  return value;
}

std::string child_lines(const json& child) {
  std::string out = fmt::format("  {}-{}  {}  {}  {}", text(child, "name"), text(child, "uniqueid"),
                                text(child, "state"), text(child, "mode"), algorithms(child));
  if (text(child, "encap") == "yes") out += "  in UDP";
  if (text(child, "esn") == "1") out += "  ESN";
  out += fmt::format("\n      {} === {}\n", joined(child, "local-ts"), joined(child, "remote-ts"));
  for (const char* way : {"in", "out"}) {
    auto key = [&](const char* stem) { return std::string{stem} + way; };
    out += fmt::format("      {:<3}  {}", way, text(child, key("spi-").c_str()));
    if (child.contains(key("bytes-")))
      out += fmt::format("  {:>10}  {:>8} packets", volume(number(child, key("bytes-").c_str())),
                         number(child, key("packets-").c_str()));
    if (child.contains(key("use-")))
      out += fmt::format("  used {} ago", age(number(child, key("use-").c_str())));
    out += "\n";
  }
  out += fmt::format("      installed {} ago", age(number(child, "install-time")));
  if (child.contains("rekey-time"))
    out += fmt::format(", rekeyed in {}", age(number(child, "rekey-time")));
  if (child.contains("life-time"))
    out += fmt::format(", expires in {}", age(number(child, "life-time")));
  return out + "\n";
}

}  // namespace

json json_of(const vici::message& message) {
  json out = json::object();
  for (const auto& one : message.elements) {
    if (const auto* value = std::get_if<std::string>(&one.content))
      out[one.name] = value_of(one.name, *value);
    else if (const auto* items = std::get_if<std::vector<std::string>>(&one.content))
      out[one.name] = *items;
    else
      out[one.name] = json_of(*std::get<std::unique_ptr<vici::message>>(one.content));
  }
  return out;
}

json json_of_sa(const vici::message& listed) {
  json out = json::object();
  if (listed.elements.empty()) return out;
  const auto& first = listed.elements.front();
  const auto* body = std::get_if<std::unique_ptr<vici::message>>(&first.content);
  if (!body) return out;
  out["connection"] = first.name;
  json children = json::array();
  auto all = json_of(**body);
  for (auto& one : all.items()) {
    if (one.key() != "child-sas") {
      out[one.key()] = std::move(one.value());
      continue;
    }
    for (auto& child : one.value()) children.push_back(std::move(child));
  }
  out["child-sas"] = std::move(children);
  return out;
}

std::string status_table(const std::vector<json>& sas) {
  if (sas.empty()) return "no IKE SA is up\n";
  std::string out;
  for (const auto& sa : sas) {
    out +=
        fmt::format("{} #{}  {}", text(sa, "connection"), text(sa, "uniqueid"), text(sa, "state"));
    if (sa.contains("established")) out += fmt::format("  for {}", age(number(sa, "established")));
    if (sa.contains("rekey-time"))
      out += fmt::format(", rekeyed in {}", age(number(sa, "rekey-time")));
    out += fmt::format("  {}\n", algorithms(sa));
    for (const char* side : {"local", "remote"}) {
      auto key = [&](const char* stem) { return text(sa, (std::string{side} + stem).c_str()); };
      out += fmt::format("  {:<6}  {}  {}[{}]", side, key("-id"), key("-host"), key("-port"));
      if (text(sa, (std::string{"nat-"} + side).c_str()) == "yes") out += "  behind NAT";
      out += "\n";
    }
    out += fmt::format("  SPIs    {}{} {}{}\n", text(sa, "initiator-spi"),
                       text(sa, "initiator") == "yes" ? "*" : "", text(sa, "responder-spi"),
                       text(sa, "initiator") == "yes" ? "" : "*");
    for (const auto& child : sa["child-sas"]) out += child_lines(child);
  }
  return out;
}

}  // namespace imago
