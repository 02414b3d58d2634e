// The wire: datagrams held, delivered, dropped, doubled, delayed, altered, injected; what the
// network does by itself.
#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "core/wire/message.hpp"
#include "python/bind.hpp"

namespace imago::python {

namespace {

struct datagram_view {
  link of;
  world::datagram what;
  std::string sender;
};

// Of what no host sent.
constexpr world::host_number stranger = 1'000'000;

std::string host_name(const py::object& host) {
  if (py::isinstance<py::str>(host)) return py::str{host};
  if (py::isinstance<host_view>(host)) return host.cast<host_view>().name;
  throw py::type_error("a host or its name is wanted, not " +
                       std::string{py::str(py::type::of(host))});
}

datagram_view view_of(const link& of, const world::world& in, const world::datagram& what) {
  return {of, what, what.from < in.hosts().size() ? in.hosts()[what.from]->name() : ""};
}

std::string text_of(const datagram_view& one) {
  return fmt::format("datagram {} ({} from {} to {}, {} octets)", one.what.id, one.what.label(),
                     one.what.source.text(), one.what.destination.text(), one.what.octets.size());
}

std::vector<datagram_view> views_of(const link& of, const char* what,
                                    const std::vector<world::datagram>& (*list)(world::world&)) {
  entry in{of, access::looks, what};
  std::vector<datagram_view> all;
  for (const auto& one : list(in.in())) all.push_back(view_of(of, in.in(), one));
  return all;
}

std::size_t index_of(const entry& in, const datagram_view& one) {
  const auto& waiting = in->net.waiting;
  auto at = std::find_if(waiting.begin(), waiting.end(),
                         [&](const auto& other) { return other.id == one.what.id; });
  if (at == waiting.end())
    throw script_error{error_kind::not_found,
                       text_of(one) +
                           " does not wait on the wire; call network.hold() before it "
                           "is sent, and take it from network.waiting"};
  return static_cast<std::size_t>(at - waiting.begin());
}

// --- what a script does to one that waits ---

void deliver(const datagram_view& one) {
  entry in{one.of, access::sends, "network.deliver()"};
  in->net.deliver(index_of(in, one));
}

void drop(const datagram_view& one) {
  entry in{one.of, access::sends, "network.drop()"};
  auto& waiting = in->net.waiting;
  waiting.erase(waiting.begin() + static_cast<std::ptrdiff_t>(index_of(in, one)));
}

void duplicate(const datagram_view& one) {
  entry in{one.of, access::sends, "network.duplicate()"};
  in->net.duplicate(index_of(in, one));
}

void delay(const datagram_view& one, double seconds) {
  entry in{one.of, access::sends, "network.delay()"};
  auto due = in->time().now() + duration_of(seconds, "network.delay()");
  in->net.delay(index_of(in, one), due);
}

datagram_view alter(const datagram_view& one, const py::object& octets, const std::string& source,
                    const std::string& destination) {
  entry in{one.of, access::sends, "network.alter()"};
  auto& what = in->net.waiting[index_of(in, one)];
  if (!octets.is_none()) what.octets = octets_of(octets);
  if (!source.empty()) what.source = endpoint_of(source);
  if (!destination.empty()) what.destination = endpoint_of(destination);
  return view_of(one.of, in.in(), what);
}

void inject(const network_view& net, const std::string& source, const std::string& destination,
            const py::object& octets, bool is_esp) {
  world::datagram made;
  made.source = endpoint_of(source);
  made.destination = endpoint_of(destination);
  made.octets = octets_of(octets);
  made.is_esp = is_esp;
  made.from = stranger;
  entry in{net.of, access::sends, "network.inject()"};
  for (const auto& one : in->hosts()) {
    const auto& addresses = one->options().addresses;
    if (std::find(addresses.begin(), addresses.end(), made.source.address) != addresses.end())
      made.from = one->number();
  }
  in->net.inject(std::move(made));
}

void set_holding(const network_view& net, bool holds) {
  entry in{net.of, access::sends, holds ? "network.hold()" : "network.release()"};
  in->net.holds = holds;
  while (!holds && !in->net.waiting.empty()) in->net.deliver(0);
}

// --- what the network does by itself ---

double probability(double value, const char* name) {
  if (!(value >= 0 && value <= 1))
    throw py::value_error(fmt::format("{} = {} is no probability from 0 to 1", name, value));
  return value;
}

struct conditions {
  double delay, jitter, loss, duplication, corruption;
  std::size_t mtu;
};

world::link_conditions checked(const conditions& asked) {
  constexpr std::size_t headers = 28;  // IPv4 and UDP
  world::link_conditions made;
  made.delay = duration_of(asked.delay, "delay");
  made.jitter = duration_of(asked.jitter, "jitter");
  made.loss = probability(asked.loss, "loss");
  made.duplication = probability(asked.duplication, "duplication");
  made.corruption = probability(asked.corruption, "corruption");
  if (asked.mtu != 0 && asked.mtu <= headers)
    throw py::value_error(fmt::format("mtu = {} leaves no room after IP and UDP", asked.mtu));
  if (asked.mtu != 0) made.datagram_size_max = asked.mtu - headers;
  return made;
}

void set_link(const network_view& net, const py::object& sender, const py::object& receiver,
              const conditions& asked) {
  auto made = checked(asked);
  entry in{net.of, access::sends, "network.link()"};
  if (sender.is_none() && receiver.is_none()) {
    in->net.everywhere = made;
    return;
  }
  if (sender.is_none() || receiver.is_none())
    throw py::value_error("a link has a sender and a receiver: give both, or neither for all");
  in->net.set_link(in.host(host_name(sender)).number(), in.host(host_name(receiver)).number(),
                   made);
}

void partition(const network_view& net, const py::args& groups) {
  entry in{net.of, access::sends, "network.partition()"};
  std::vector<std::set<world::host_number>> made;
  for (const auto& group : groups) {
    made.emplace_back();
    for (const auto& one : group)
      made.back().insert(in.host(host_name(py::reinterpret_borrow<py::object>(one))).number());
  }
  in->net.partition(std::move(made));
}

void set_up(const network_view& net, const py::object& host, bool is_up) {
  entry in{net.of, access::sends, "network.up()"};
  in->net.set_up(in.host(host_name(host)).number(), is_up);
}

// --- rules ---

// What travels on, after the rules; false: nothing.
bool decide(const std::shared_ptr<session>& of, world::world& in, const rule& one,
            world::datagram& what) {
  if (one.change) {
    auto changed = of->call(callback_kind::rule, one.change, py::make_tuple(view_of(of, in, what)));
    try {
      if (changed && !changed.is_none()) what.octets = octets_of(changed);
    } catch (...) {
      of->note_failure(std::current_exception());
    }
  }
  if (one.action == "drop") return false;
  if (one.action == "hold") {
    in.net.waiting.push_back(what);
    return false;
  }
  if (one.action == "duplicate") {
    in.net.waiting.push_back(what);
    if (!in.net.holds) in.net.deliver(in.net.waiting.size() - 1);
  }
  return true;
}

bool pass_rules(const std::shared_ptr<session>& of, world::world& in, world::datagram& what) {
  for (const auto& one : of->datagram_rules) {
    if (one->times == 0) continue;
    auto view = view_of(of, in, what);
    if (!fits(one->name, what.label()) || !fits(one->sender, view.sender) ||
        !fits(one->receiver, what.destination.text()))
      continue;
    if (one->where) {
      auto answer = of->call(callback_kind::rule, one->where, py::make_tuple(view));
      if (!answer || PyObject_IsTrue(answer.ptr()) != 1) continue;
    }
    if (applies(*one)) return decide(of, in, *one, what);
  }
  return true;
}

rule_view add_rule(const network_view& net, const std::string& label, const std::string& sender,
                   const std::string& destination, const py::object& where,
                   const std::string& action, std::optional<std::uint64_t> times,
                   const py::object& change) {
  constexpr std::array actions = {"hold", "drop", "duplicate", "deliver"};
  if (std::find(actions.begin(), actions.end(), action) == actions.end())
    throw py::value_error("action '" + action + "' is none of hold, drop, duplicate, deliver");
  entry in{net.of, access::looks, "network.on_datagram()"};
  auto made = std::make_shared<rule>();
  made->name = label;
  made->sender = sender;
  made->receiver = destination;
  made->where = in.owner().keep(where);
  made->change = in.owner().keep(change);
  made->action = action;
  made->times = times.value_or(UINT64_MAX);
  in.owner().datagram_rules.push_back(made);
  if (!in->net.on_wire)
    in->net.on_wire = [of = net.of, world = &in.in()](world::datagram& what) {
      auto session = of.lock();
      return !session || !session->is_open() || pass_rules(session, *world, what);
    };
  return {net.of, made};
}

// --- a datagram as an object ---

std::optional<wire::header> header_of(const datagram_view& one) {
  if (one.what.is_esp) return std::nullopt;
  auto parsed = wire::parse_header(one.what.octets);
  if (!parsed) return std::nullopt;
  return *parsed;
}

std::vector<std::string> payloads_of(const datagram_view& one) {
  std::vector<std::string> names;
  if (!header_of(one)) return names;
  auto parsed = wire::parse_message(one.what.octets);
  if (!parsed) return names;
  auto text = wire::describe(parsed->payloads);  // "[ SA KE Nonce ]"
  for (std::size_t at = 2, end; (end = text.find(' ', at)) != std::string::npos; at = end + 1)
    names.push_back(text.substr(at, end - at));
  return names;
}

template <class Member>
auto header_field(Member member) {
  return [member](const datagram_view& one) {
    auto header = header_of(one);
    return header ? std::optional{(*header).*member} : std::nullopt;
  };
}

std::optional<std::uint32_t> esp_word(const datagram_view& one, std::size_t at) {
  if (!one.what.is_esp || one.what.octets.size() < at + 4) return std::nullopt;
  std::uint32_t value = 0;
  for (auto end = at + 4; at < end; ++at) value = value << 8 | one.what.octets[at];
  return value;
}

void bind_datagram(py::module_& into) {
  using view = datagram_view;
  py::class_<view>(into, "Datagram", "What crosses the wire: an IKE message, ESP, a keepalive.")
      .def_property_readonly(
          "id", [](const view& one) { return one.what.id; },
          "Counts from 1 in the order of sending; a duplicate keeps it.")
      .def_readonly("sender", &view::sender, "The host's name; '' if no host sent it.")
      .def_property_readonly("source", [](const view& one) { return one.what.source.text(); })
      .def_property_readonly("destination",
                             [](const view& one) { return one.what.destination.text(); })
      .def_property_readonly(
          "octets", [](const view& one) { return python_bytes(one.what.octets); },
          "The IKE message (without a non-ESP marker) or the ESP packet.")
      .def_property_readonly(
          "label", [](const view& one) { return one.what.label(); },
          "'IKE_AUTH request 1', 'ESP c0ffee01 7', 'keepalive', 'garbage'.")
      .def_property_readonly("is_esp", [](const view& one) { return one.what.is_esp; })
      .def_property_readonly(
          "exchange",
          [](const view& one) -> std::optional<std::string> {
            auto header = header_of(one);
            if (!header) return std::nullopt;
            return text_of(header->exchange);
          },
          "'IKE_SA_INIT', ...; None if it is no IKE message.")
      .def_property_readonly("message_id", header_field(&wire::header::message_id))
      .def_property_readonly("is_response", header_field(&wire::header::is_response))
      .def_property_readonly("is_from_initiator", header_field(&wire::header::from_initiator),
                             "Sent by the original initiator of the IKE SA (flag I).")
      .def_property_readonly("initiator_spi", header_field(&wire::header::initiator_spi))
      .def_property_readonly("responder_spi", header_field(&wire::header::responder_spi))
      .def_property_readonly("payloads", &payloads_of,
                             "Names in order: ['SA', 'KE', 'Nonce', 'N(COOKIE)']; a protected "
                             "message has ['SK'].")
      .def_property_readonly(
          "spi", [](const view& one) { return esp_word(one, 0); }, "Of ESP, else None.")
      .def_property_readonly(
          "sequence", [](const view& one) { return esp_word(one, 4); }, "Of ESP, else None.")
      .def("__bytes__", [](const view& one) { return python_bytes(one.what.octets); })
      .def("__repr__", [](const view& one) { return "<imago " + text_of(one) + ">"; });
}

void bind_conditions(py::class_<network_view>& net) {
  net.def(
         "link",
         [](const network_view& self, const py::object& sender, const py::object& receiver,
            double delay, double jitter, double loss, double duplication, double corruption,
            std::size_t mtu) {
           set_link(self, sender, receiver, {delay, jitter, loss, duplication, corruption, mtu});
         },
         py::arg("sender") = py::none(), py::arg("receiver") = py::none(), py::kw_only(),
         py::arg("delay") = 0.0, py::arg("jitter") = 0.0, py::arg("loss") = 0.0,
         py::arg("duplication") = 0.0, py::arg("corruption") = 0.0, py::arg("mtu") = 0,
         "Conditions of one direction between two hosts, or of all links that have none of their "
         "own. Seconds; probabilities of each datagram; mtu in octets of an IPv4 packet, 0: any. "
         "What is not said is perfect.")
      .def("partition", &partition,
           "partition(['a'], ['b', 'c']): hosts of different groups do not reach each other.")
      .def(
          "heal", [](const network_view& self) { partition(self, py::args{}); },
          "Ends partition().")
      .def(
          "down", [](const network_view& self, const py::object& one) { set_up(self, one, false); },
          py::arg("host"), "Its interface goes down: nothing comes or goes.")
      .def(
          "up", [](const network_view& self, const py::object& one) { set_up(self, one, true); },
          py::arg("host"), "Its interface is up again.")
      .def(
          "nat",
          [](const network_view& self, const py::object& host, const std::string& outside) {
            auto address = address_of(outside);
            entry in{self.of, access::sends, "network.nat()"};
            in->net.add_nat(in.host(host_name(host)).number(), address);
          },
          py::arg("host"), py::arg("outside"),
          "What leaves the host seems to come from the address `outside`, with ports of the NAT's "
          "own.")
      .def(
          "remap",
          [](const network_view& self, const py::object& host) {
            entry in{self.of, access::sends, "network.remap()"};
            in->net.remap(in.host(host_name(host)).number());
          },
          py::arg("host"), "The host's NAT forgets its mappings and gives new ports.");
}

}  // namespace

void bind_network(py::module_& into) {
  bind_datagram(into);
  py::class_<network_view> net(into, "Network", "The wire between the hosts: world.network.");
  net.def(
         "hold", [](const network_view& self) { set_holding(self, true); },
         "From now on datagrams wait in `waiting` until a script decides.")
      .def(
          "release", [](const network_view& self) { set_holding(self, false); },
          "Ends hold(); what waits is delivered in its order.")
      .def_property_readonly(
          "waiting",
          [](const network_view& self) {
            return views_of(
                self.of, "network.waiting",
                [](auto& in) -> const std::vector<world::datagram>& { return in.net.waiting; });
          },
          "What waits on the wire, oldest first.")
      .def_property_readonly(
          "sent",
          [](const network_view& self) {
            return views_of(
                self.of, "network.sent",
                [](auto& in) -> const std::vector<world::datagram>& { return in.net.sent(); });
          },
          "Everything sent so far, as it was before rules and conditions.")
      .def(
          "deliver", [](const network_view&, const datagram_view& one) { deliver(one); },
          py::arg("datagram"), "It arrives now, before older ones.")
      .def(
          "drop", [](const network_view&, const datagram_view& one) { drop(one); },
          py::arg("datagram"), "It is lost.")
      .def(
          "duplicate", [](const network_view&, const datagram_view& one) { duplicate(one); },
          py::arg("datagram"), "A second one waits right behind it.")
      .def(
          "delay", [](const network_view&, const datagram_view& one, double by) { delay(one, by); },
          py::arg("datagram"), py::arg("seconds"), "It arrives that much later.")
      .def(
          "alter",
          [](const network_view&, const datagram_view& one, const py::object& octets,
             const std::string& source,
             const std::string& destination) { return alter(one, octets, source, destination); },
          py::arg("datagram"), py::arg("octets") = py::none(), py::arg("source") = "",
          py::arg("destination") = "",
          "Other octets or endpoints for one that waits; returns it as it is now.")
      .def("inject", &inject, py::arg("source"), py::arg("destination"), py::arg("octets"),
           py::kw_only(), py::arg("is_esp") = false,
           "Something that no engine sent arrives now: an IKE message without a non-ESP marker, or "
           "ESP. Octets may be anything that bytes() takes, such as scapy's packets.")
      .def("on_datagram", &add_rule, py::arg("label") = "", py::arg("sender") = "",
           py::arg("destination") = "", py::arg("where") = py::none(), py::kw_only(),
           py::arg("action") = "deliver", py::arg("times") = py::none(),
           py::arg("change") = py::none(),
           "From now on every datagram that fits all shell patterns, and for which where(datagram) "
           "is true, is held, dropped, duplicated or delivered as usual, with the octets that "
           "change(datagram) returns if there is one; at most `times` of them. The first rule that "
           "fits decides.");
  bind_conditions(net);
}

}  // namespace imago::python
