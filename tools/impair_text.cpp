#include "tools/impair_text.hpp"

#include <fmt/format.h>

#include "actors/impair_faults.hpp"

namespace imago {

namespace {

// At blanks, so that no line is longer than a terminal.
std::string wrapped(std::string_view text, std::size_t indent) {
  constexpr std::size_t width = 96;
  std::string out(indent, ' ');
  std::size_t column = indent;
  while (!text.empty()) {
    auto blank = text.find(' ');
    auto word = text.substr(0, blank);
    if (column > indent && column + 1 + word.size() > width) {
      out += "\n" + std::string(indent, ' ');
      column = indent;
    }
    if (column > indent) out += ' ', ++column;
    out += word;
    column += word.size();
    text = blank == text.npos ? std::string_view{} : text.substr(blank + 1);
  }
  return out + "\n";
}

}  // namespace

void declare_impair(CLI::App& app, impair_arguments& chosen) {
  app.add_option("FAULT", chosen.fault, "what is to go wrong; --list explains each");
  for (const auto& fault : actors::fault_table)
    for (const auto& one : fault.arguments) {
      auto option = "--" + std::string{one.name};
      if (one.name.empty() || app.get_option_no_throw(option)) continue;
      app.add_option_function<std::string>(
             option,
             [&chosen, name = std::string{one.name}](const std::string& value) {
               chosen.values[name] = value;
             },
             std::string{one.story})
          ->type_name(std::string{one.value});
    }
  app.add_flag("--list", chosen.lists, "explain every fault, with its arguments and an example");
  app.add_flag("--status", chosen.shows_status, "what is armed and how often it fired");
  app.add_option_function<std::string>(
         "--clear",
         [&chosen](const std::string& id) {
           chosen.clears = true;
           chosen.clear_id = id;
         },
         "end the impairment of that number, or all; what stands still goes on")
      ->type_name("[ID]")
      ->expected(0, 1);
  app.footer(
      "Only with an imagod that was started with --allow-impair. For tests: it makes a daemon "
      "fail.\n\n"
      "examples:\n  imagoctl impair --list\n"
      "  imagoctl impair drop --message \"IKE_AUTH response\" --nth 2\n"
      "  imagoctl impair stall-crypto --seconds 5\n  imagoctl impair --status\n"
      "  imagoctl impair --clear");
}

std::string fault_descriptions() {
  std::string out;
  for (const auto& fault : actors::fault_table) {
    out += fmt::format("{}{}\n{}", out.empty() ? "" : "\n", fault.name, wrapped(fault.story, 2));
    for (const auto& one : fault.arguments) {
      if (one.name.empty()) continue;
      out += fmt::format("    --{} {}{}\n{}", one.name, one.value,
                         one.is_required ? "  (required)" : "", wrapped(one.story, 8));
    }
    out += fmt::format("  example: {}\n", fault.example);
  }
  return out;
}

result<std::pair<std::string, vici::message>> impair_request(const impair_arguments& chosen) {
  int asked = int{!chosen.fault.empty()} + int{chosen.shows_status} + int{chosen.clears};
  if (asked != 1)
    return {errc::bad_value,
            "impair: write one of a fault, --list, --status and --clear (see impair --help)"};
  vici::message request;
  if (chosen.shows_status) return std::pair{std::string{"impair-list"}, std::move(request)};
  if (chosen.clears) {
    if (!chosen.clear_id.empty()) request.add("id", chosen.clear_id);
    return std::pair{std::string{"impair-clear"}, std::move(request)};
  }
  request.add("fault", chosen.fault);
  for (const auto& [name, value] : chosen.values) request.add(name, value);
  return std::pair{std::string{"impair"}, std::move(request)};
}

std::string impairments_text(const vici::message& answer) {
  if (answer.value_or("allowed", "no") != "yes")
    return "impairments are not allowed here: start imagod with --allow-impair\n";
  std::string out;
  const auto* all = answer.find_section("impairments");
  if (!all || all->elements.empty()) out = "nothing is impaired\n";
  if (all)
    for (const auto& one : all->elements) {
      auto path = one.name + ".";
      auto value = [&](const char* key) { return escaped(all->value_or(path + key, "")); };
      out += fmt::format("{:>3}  {:<5}  fired {}, met {}  {}\n", escaped(one.name), value("state"),
                         value("fired"), value("met"), value("what"));
    }
  if (const auto* clients = answer.find_list("clients"); clients && !clients->empty())
    out +=
        fmt::format("control clients: {}\n", escaped(fmt::format("{}", fmt::join(*clients, ", "))));
  return out;
}

}  // namespace imago
