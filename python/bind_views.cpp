#include <fmt/format.h>

#include "python/views.hpp"

namespace imago::python {

namespace {

void bind_sas(py::module_& into) {
  using child = child_sa_values;
  py::class_<child>(into, "ChildSa", "A Child SA as its IKE SA knows it.")
      .def_readonly("name", &child::name, "Of its configuration.")
      .def_readonly("state", &child::state, "'installed', 'rekeying', 'rekeyed', 'deleting'.")
      .def_readonly("mode", &child::mode, "'tunnel' or 'transport'.")
      .def_readonly("algorithms", &child::algorithms)
      .def_readonly("inbound_spi", &child::inbound_spi, "Ours; names it on this host.")
      .def_readonly("outbound_spi", &child::outbound_spi, "The peer's.")
      .def_readonly("reqid", &child::reqid)
      .def_readonly("local_selectors", &child::local_selectors)
      .def_readonly("remote_selectors", &child::remote_selectors)
      .def_readonly("is_encapsulated", &child::is_encapsulated, "ESP goes in UDP.")
      .def_readonly("created_by_us", &child::created_by_us)
      .def("__repr__", [](const child& one) {
        return fmt::format("<imago.ChildSa {} {} in {:08x} out {:08x}>", one.name, one.state,
                           one.inbound_spi, one.outbound_spi);
      });
  using ike = ike_sa_values;
  py::class_<ike>(into, "IkeSa", "An IKE SA: the durable model of one ike_sa actor.")
      .def_readonly("name", &ike::name, "Of the actor: 'a.ike_sa.1'.")
      .def_readonly("connection", &ike::connection, "'' while a responder does not know it yet.")
      .def_readonly("state", &ike::state, "'sa_init_sent', 'established', ...")
      .def_readonly("role", &ike::role, "'initiator' or 'responder', of this host.")
      .def_readonly("algorithms", &ike::algorithms, "'' until keys are agreed.")
      .def_readonly("local", &ike::local, "'192.0.2.1:500'.")
      .def_readonly("remote", &ike::remote)
      .def_readonly("local_identity", &ike::local_identity)
      .def_readonly("remote_identity", &ike::remote_identity)
      .def_readonly("initiator_spi", &ike::initiator_spi)
      .def_readonly("responder_spi", &ike::responder_spi)
      .def_readonly("epoch", &ike::epoch,
                    "Goes up when what is in flight may no longer change this SA.")
      .def_readonly("child_sas", &ike::child_sas)
      .def("__repr__", [](const ike& one) {
        return fmt::format("<imago.IkeSa {} {} {} with {} Child SAs>", one.name, one.connection,
                           one.state, one.child_sas.size());
      });
  py::class_<connection_values>(into, "Connection", "A connection as it was configured.")
      .def_readonly("name", &connection_values::name)
      .def_readonly("children", &connection_values::children, "Names of its children.")
      .def("__repr__",
           [](const connection_values& one) { return "<imago.Connection " + one.name + ">"; });
}

void bind_kernel_values(py::module_& into) {
  using sa = kernel_sa_values;
  py::class_<sa>(into, "KernelSa", "An ESP SA in the data plane's table.")
      .def_readonly("direction", &sa::direction, "'inbound' or 'outbound'.")
      .def_readonly("source", &sa::source)
      .def_readonly("destination", &sa::destination)
      .def_readonly("mode", &sa::mode)
      .def_readonly("algorithms", &sa::algorithms)
      .def_readonly("spi", &sa::spi)
      .def_readonly("reqid", &sa::reqid)
      .def_readonly("key_fingerprint", &sa::key_fingerprint,
                    "Equal keys have equal numbers: do both peers agree?")
      .def_readonly("encap_local", &sa::encap_local, "None: not in UDP.")
      .def_readonly("encap_remote", &sa::encap_remote)
      .def_readonly("local_selectors", &sa::local_selectors)
      .def_readonly("remote_selectors", &sa::remote_selectors)
      .def_readonly("octets", &sa::octets)
      .def_readonly("packets", &sa::packets)
      .def("__repr__", [](const sa& one) {
        return fmt::format("<imago.KernelSa {} {:08x} to {}>", one.direction, one.spi,
                           one.destination);
      });
  using policy = kernel_policy_values;
  py::class_<policy>(into, "KernelPolicy", "An entry of the data plane's SPD.")
      .def_readonly("reqid", &policy::reqid)
      .def_readonly("mode", &policy::mode)
      .def_readonly("outer_local", &policy::outer_local)
      .def_readonly("outer_remote", &policy::outer_remote)
      .def_readonly("local_selectors", &policy::local_selectors)
      .def_readonly("remote_selectors", &policy::remote_selectors);
  using larval = larval_sa_values;
  py::class_<larval>(into, "LarvalSa", "An SPI that was allocated and has no keys yet.")
      .def_readonly("spi", &larval::spi)
      .def_readonly("destination", &larval::destination)
      .def_readonly("remote", &larval::remote);
}

}  // namespace

void bind_views(py::module_& into) {
  bind_sas(into);
  bind_kernel_values(into);
  using fact = fact_values;
  py::class_<fact>(into, "Fact", "One thing that the journal says happened.")
      .def_readonly("name", &fact::name, "'ike_sa_established'.")
      .def_readonly("level", &fact::level, "'audit', 'control', 'detail' or 'debug'.")
      .def_readonly("group", &fact::group, "'net', 'ike', 'child', 'kernel', ...")
      .def_readonly("connection", &fact::connection, "'' if none is known.")
      .def_readonly("ike_sa", &fact::ike_sa, "The unique id of its IKE SA; 0: none.")
      .def_readonly("fields", &fact::fields, "Its values, as text.")
      .def_readonly("story", &fact::story, "In words.")
      .def_readonly("line", &fact::line, "As imagod's log has it.")
      .def_readonly("seconds", &fact::seconds, "When, in the world's time.")
      .def("__repr__", [](const fact& one) { return "<imago.Fact " + one.line + ">"; });
}

}  // namespace imago::python
