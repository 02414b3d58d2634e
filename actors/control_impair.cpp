// impair, impair-list, impair-clear: faults on demand, where imagod allows them.
#include "actors/control_commands.hpp"
#include "actors/impair.hpp"

namespace imago::actors {

namespace {

constexpr std::string_view not_allowed =
    "impairments are not allowed here: start imagod with --allow-impair";

class impair_command final : public control_command {
 public:
  impair_command(control_client& client, const vici::message& request)
      : control_command{client}, fault_{request.value_or("fault", "")} {
    for (const auto& one : request.elements) {
      if (one.name == "fault") continue;
      const auto* value = std::get_if<std::string>(&one.content);
      given_.emplace_back(one.name, value ? *value : std::string{});
    }
  }
  void begin() override {
    const auto& faults = client_.context().parts.faults;
    if (!faults) return client_.answer(refusal(std::string{not_allowed}));
    auto armed = faults->arm(fault_, given_, client_.number());
    if (!armed) return client_.answer(refusal(armed.failure().where));
    auto out = success();
    out.add("id", std::to_string(armed->id)).add("what", armed->what);
    client_.answer(std::move(out));
  }

 private:
  std::string fault_;
  impairments::arguments given_;
};

vici::message message_of(const fault_description& fault) {
  vici::message out, arguments;
  out.add("story", std::string{fault.story}).add("example", std::string{fault.example});
  for (const auto& one : fault.arguments) {
    if (one.name.empty()) continue;
    vici::message argument;
    argument.add("value", std::string{one.value}).add("story", std::string{one.story});
    argument.add("required", one.is_required ? "yes" : "no");
    arguments.add_section(std::string{one.name}, std::move(argument));
  }
  out.add_section("arguments", std::move(arguments));
  return out;
}

vici::message message_of(const impairment& one) {
  vici::message out;
  out.add("fault", std::string{one.fault->name}).add("what", one.what);
  out.add("state", one.is_over ? "over" : "armed");
  out.add("met", std::to_string(one.met)).add("fired", std::to_string(one.fired));
  return out;
}

}  // namespace

std::unique_ptr<control_command> make_impair(control_client& client, vici::message& request) {
  return std::make_unique<impair_command>(client, request);
}

vici::message list_impairments(control_context& context, vici::message&) {
  vici::message out, faults, impairments;
  const auto& here = context.parts.faults;
  out.add("allowed", here ? "yes" : "no");
  for (const auto& one : fault_table) faults.add_section(std::string{one.name}, message_of(one));
  out.add_section("faults", std::move(faults));
  std::vector<std::string> clients;
  if (here) {
    for (const auto& one : here->list())
      impairments.add_section(std::to_string(one.id), message_of(one));
    for (auto number : here->clients()) clients.push_back(std::to_string(number));
  }
  out.add_section("impairments", std::move(impairments));
  out.add_list("clients", std::move(clients));
  return out;
}

vici::message clear_impairments(control_context& context, vici::message& request) {
  const auto& here = context.parts.faults;
  if (!here) return refusal(std::string{not_allowed});
  auto id = request.number_or("id", 0);
  if (id < 0 || (request.find("id") && id == 0))
    return refusal("id: write the number that `imagoctl impair --status` shows");
  auto cleared = here->clear(static_cast<std::uint64_t>(id));
  if (id != 0 && cleared == 0) return refusal("impairment " + std::to_string(id) + " is not armed");
  auto out = success();
  out.add("cleared", std::to_string(cleared));
  return out;
}

}  // namespace imago::actors
