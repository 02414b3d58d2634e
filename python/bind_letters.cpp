// Letters between actors: looked at, delivered, held, dropped, duplicated; one by one or by rule.
#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "python/bind.hpp"

namespace imago::python {

namespace {

using world::letter_fate;

std::string text_of(const letter_view& one) {
  return fmt::format("letter {} ({} from {} to {})", one.id, one.name, one.sender, one.receiver);
}

const world::letter& find(const entry& in, const letter_view& one) {
  const auto* found = in->mail.find(one.id);
  if (!found)
    throw script_error{
        error_kind::not_found,
        text_of(one) + " was delivered or dropped already; world.letters() has those that wait"};
  return *found;
}

// What makes its second one instead of the mailroom.
std::string instead_of_copy(const std::string& name) {
  if (name == "start") return "an actor starts once";
  if (name == "act") return "call world.happen() twice";
  if (name == "job_done")
    return "a crypto result exists once; host.crypto.hold() and perform() choose when it comes";
  if (name == "kernel_request" || name == "kernel_reply" || name == "backend_replied")
    return "let the kernel answer twice: host.kernel.fault(request, 'repeat')";
  return "duplicate the datagram that leads to it: world.network.hold(), then "
         "world.network.duplicate(datagram)";
}

[[noreturn]] void refuse_copy(const letter_view& one) {
  throw script_error{error_kind::not_copyable,
                     fmt::format("{} owns a value that cannot be copied; {}", text_of(one),
                                 instead_of_copy(one.name))};
}

void deliver(const letter_view& one) {
  entry in{one.of, access::runs, "deliver()"};
  if (find(in, one).is_held) in->mail.hold(one.id, false);
  const auto& ready = in->mail.deliverable();
  auto is_this = [&](const world::letter* other) { return other->id == one.id; };
  if (std::none_of(ready.begin(), ready.end(), is_this))
    throw script_error{
        error_kind::general,
        fmt::format("{} waits behind an earlier letter of the same sender to the same receiver, "
                    "and mail between two actors is never reordered; deliver or drop that first",
                    text_of(one))};
  in->deliver(one.id);
  in.done();
}

void hold(const letter_view& one, bool held) {
  entry in{one.of, access::sends, held ? "hold()" : "release()"};
  (void)find(in, one);
  in->mail.hold(one.id, held);
}

void drop(const letter_view& one) {
  entry in{one.of, access::runs, "drop()"};
  if (find(in, one).kind == world::letter_kind::start)
    throw script_error{error_kind::not_supported,
                       text_of(one) +
                           " cannot be dropped: an actor without its start never is; "
                           "hold it, or kill() the actor"};
  in->mail.drop(one.id);
  in.done();
}

letter_view duplicate(const letter_view& one) {
  entry in{one.of, access::runs, "duplicate()"};
  (void)find(in, one);
  world::letter_id newest = 0;
  if (!in->mail.duplicate(one.id)) refuse_copy(one);
  in->mail.for_each([&](const world::letter& other) { newest = std::max(newest, other.id); });
  return view_of(one.of, in.in(), *in->mail.find(newest));
}

letter_fate fate_by(const rule& one, const std::shared_ptr<session>& of, const letter_view& view,
                    const world::letter& what) {
  if (one.action == "hold") return letter_fate::held;
  if (one.action == "drop") return letter_fate::dropped;
  if (one.action != "duplicate") return letter_fate::waits;
  if (world::is_copyable(what)) return letter_fate::doubled;
  try {
    refuse_copy(view);
  } catch (const script_error&) {
    of->note_failure(std::current_exception());
  }
  return letter_fate::waits;
}

letter_fate fate_of(const std::shared_ptr<session>& of, const world::world& in,
                    const world::letter& what) {
  letter_view view;
  for (const auto& one : of->letter_rules) {
    if (one->times == 0) continue;
    if (view.id == 0) view = view_of(of, in, what);
    if (!fits(one->name, view.name) || !fits(one->sender, view.sender) ||
        !fits(one->receiver, view.receiver))
      continue;
    if (one->where) {
      auto answer = of->call(callback_kind::rule, one->where, py::make_tuple(view));
      if (!answer || PyObject_IsTrue(answer.ptr()) != 1) continue;
    }
    if (applies(*one)) return fate_by(*one, of, view, what);
  }
  return letter_fate::waits;
}

std::vector<letter_view> letters_of(const link& of, const std::string& name,
                                    const std::string& sender, const std::string& receiver) {
  entry in{of, access::looks, "letters()"};
  std::vector<letter_view> found;
  in->mail.for_each([&](const world::letter& one) {
    auto view = view_of(of, in.in(), one);
    if (fits(name, view.name) && fits(sender, view.sender) && fits(receiver, view.receiver))
      found.push_back(std::move(view));
  });
  std::sort(found.begin(), found.end(),
            [](const auto& one, const auto& other) { return one.id < other.id; });
  return found;
}

template <class Ask>
bool ask(const letter_view& one, const char* what, Ask ask_it) {
  entry in{one.of, access::looks, what};
  const auto* found = in->mail.find(one.id);
  return found && ask_it(in.in(), *found);
}

bool is_deliverable(world::world& in, const world::letter& one) {
  const auto& ready = in.mail.deliverable();
  return std::any_of(ready.begin(), ready.end(), [&](const auto* at) { return at->id == one.id; });
}

rule_view add_rule(const world_object& world, const std::string& name, const std::string& sender,
                   const std::string& receiver, const py::object& where, const std::string& action,
                   std::optional<std::uint64_t> times) {
  constexpr std::array actions = {"hold", "drop", "duplicate", "deliver"};
  if (std::find(actions.begin(), actions.end(), action) == actions.end())
    throw py::value_error("action '" + action + "' is none of hold, drop, duplicate, deliver");
  entry in{world.owner, access::looks, "on_letter()"};
  auto made = std::make_shared<rule>();
  made->name = name;
  made->sender = sender;
  made->receiver = receiver;
  made->where = world.owner->keep(where);
  made->action = action;
  made->times = times.value_or(UINT64_MAX);
  world.owner->letter_rules.push_back(made);
  watch_letters(world.owner);
  return {world.owner, made};
}

void remove_rule(const rule_view& view) {
  entry in{view.of, access::sends, "remove()"};
  in.owner().letter_rules.remove(view.what);
  in.owner().datagram_rules.remove(view.what);
}

}  // namespace

letter_view view_of(const link& of, const world::world& in, const world::letter& what) {
  return {of,
          what.id,
          std::string{world::name_of(what)},
          in.name_of(what.from),
          in.name_of(what.to),
          what.is_urgent};
}

void watch_letters(const std::shared_ptr<session>& of) {
  entry in{of, access::looks, "on_letter()"};
  if (in->mail.on_sent) return;
  auto* world = &in.in();
  in->mail.on_sent = [link = link{of}, world](const world::letter& what) {
    auto session = link.lock();
    return session && session->is_open() ? fate_of(session, *world, what) : letter_fate::waits;
  };
}

void bind_letters(py::module_& into) {
  py::class_<letter_view>(into, "Letter",
                          "A message between two actors that waits to be delivered, or did when "
                          "it was looked at.")
      .def_readonly("id", &letter_view::id, "Counts from 1 in the order of sending.")
      .def_readonly("name", &letter_view::name, "The message: 'kernel_reply', 'timer_due', ...")
      .def_readonly("sender", &letter_view::sender, "'b.kernel.1'; 'a.user' for a command.")
      .def_readonly("receiver", &letter_view::receiver, "'b.exchange.2'.")
      .def_readonly("is_urgent", &letter_view::is_urgent, "Overtakes what is not: a kill.")
      .def_property_readonly(
          "is_waiting",
          [](const letter_view& one) {
            return ask(one, "is_waiting", [](auto&, auto&) { return true; });
          },
          "Neither delivered nor dropped yet.")
      .def_property_readonly(
          "is_held",
          [](const letter_view& one) {
            return ask(one, "is_held", [](auto&, auto& what) { return what.is_held; });
          },
          "Waits for a script to let it go.")
      .def_property_readonly(
          "is_deliverable",
          [](const letter_view& one) { return ask(one, "is_deliverable", &is_deliverable); },
          "Not held, and the oldest of its sender to its receiver.")
      .def_property_readonly(
          "is_copyable",
          [](const letter_view& one) {
            return ask(one, "is_copyable",
                       [](auto&, auto& what) { return world::is_copyable(what); });
          },
          "It owns nothing that exists once, so duplicate() can be done.")
      .def("deliver", &deliver, "Delivers it now, before older ones. A held one is released.")
      .def(
          "hold", [](const letter_view& one) { hold(one, true); }, "Keeps it until release().")
      .def(
          "release", [](const letter_view& one) { hold(one, false); }, "Ends hold().")
      .def("drop", &drop, "It never arrives.")
      .def("duplicate", &duplicate,
           "A second one right behind it, which is returned. Raises NotCopyable.")
      .def("__repr__", [](const letter_view& one) { return "<imago " + text_of(one) + ">"; });

  py::class_<rule_view>(into, "Rule", "What happens to letters or datagrams as they are sent.")
      .def_property_readonly(
          "hits", [](const rule_view& one) { return one.what->hits; }, "How often it applied.")
      .def("remove", &remove_rule, "It applies no more.");
}

void bind_letter_calls(py::class_<world_object>& of_world) {
  of_world
      .def(
          "letters",
          [](const world_object& world, const std::string& name, const std::string& sender,
             const std::string& receiver) {
            return letters_of(world.owner, name, sender, receiver);
          },
          py::arg("name") = "", py::arg("sender") = "", py::arg("receiver") = "",
          "The letters that wait, oldest first. Each argument is a shell pattern; '' is any.")
      .def(
          "deliver", [](const world_object&, const letter_view& one) { deliver(one); },
          py::arg("letter"), "Delivers that letter now, before older ones.")
      .def(
          "hold", [](const world_object&, const letter_view& one) { hold(one, true); },
          py::arg("letter"), "Keeps that letter until release().")
      .def(
          "release", [](const world_object&, const letter_view& one) { hold(one, false); },
          py::arg("letter"), "Ends hold().")
      .def(
          "drop", [](const world_object&, const letter_view& one) { drop(one); }, py::arg("letter"),
          "That letter never arrives.")
      .def(
          "duplicate", [](const world_object&, const letter_view& one) { return duplicate(one); },
          py::arg("letter"), "A second one right behind that letter. Raises NotCopyable.")
      .def("on_letter", &add_rule, py::arg("name") = "", py::arg("sender") = "",
           py::arg("receiver") = "", py::arg("where") = py::none(), py::kw_only(),
           py::arg("action") = "hold", py::arg("times") = py::none(),
           "From now on every letter that fits all patterns, and for which where(letter) is true, "
           "is held, dropped, duplicated or delivered as usual; at most `times` letters. The first "
           "rule that fits decides. where() may look, not act.");
}

}  // namespace imago::python
