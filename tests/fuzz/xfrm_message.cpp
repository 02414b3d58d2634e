// A datagram from the kernel: cut into messages; what is understood keeps its promises, and what
// can be written again reads back the same.
#include "kernel_if/xfrm/messages.hpp"
#include "kernel_if/xfrm/selectors.hpp"
#include "tests/fuzz/require.hpp"

using namespace imago;
using namespace imago::kernel_if::xfrm;

namespace {

void check(const acknowledgement& one) {
  IMAGO_REQUIRE(one.code >= 0);
  for (char c : one.text) IMAGO_REQUIRE(c >= 0x20 && c < 0x7f);
}
void check(const dump_ended& one) { IMAGO_REQUIRE(one.code >= 0); }

void check(const policy_image& one) {
  auto again = encode_policy(policy_command::add, one.entry, 1);
  message_reader reader{again.view()};
  auto back = reader.next();
  IMAGO_REQUIRE(back.has_value());
  auto* read = std::get_if<policy_image>(&back->body);
  IMAGO_REQUIRE(read && read->entry.key == one.entry.key);
  IMAGO_REQUIRE(read->entry.priority == one.entry.priority);
  (void)priority_of(one.entry.key.selector);
}

void check(const sa_image& one) {
  endpoint to{one.key.destination, 4500};
  auto moved = encode_moved_sa(sa_command::add, one, one.source, to.address, to, to, {}, 1);
  message_reader reader{moved.view()};
  auto back = reader.next();
  IMAGO_REQUIRE(back.has_value());
  auto* read = std::get_if<sa_image>(&back->body);
  IMAGO_REQUIRE(read && read->key.spi == one.key.spi && read->reqid == one.reqid);
  IMAGO_REQUIRE(read->key.destination == to.address);
}

void check(const sa_acquire& one) {
  IMAGO_REQUIRE(source_of(one.packet).family() == destination_of(one.packet).family());
  IMAGO_REQUIRE(one.source.family() == one.destination.family());
}
void check(const source_changed& one) {
  IMAGO_REQUIRE(one.before.address.family() == one.after.address.family());
}
void check(const sa_expire&) {}
void check(const sa_activity&) {}
void check(const other_message&) {}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  message_reader reader{{data, size}};
  for (std::size_t count = 0; !reader.at_end(); ++count) {
    IMAGO_REQUIRE(count <= size / 16);  // each message takes its header at least
    auto one = reader.next();
    if (one) std::visit([](const auto& body) { check(body); }, one->body);
  }
  return 0;
}
