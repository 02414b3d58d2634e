// The file of leases, as a killed process (or anybody) left it: what is read can be written, and
// then reads back the same.
#include "kernel_if/xfrm/lease_records.hpp"
#include "tests/fuzz/require.hpp"

using namespace imago;
using namespace imago::kernel_if::xfrm;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto file = parse_leases({data, size});
  if (!file) return 0;
  IMAGO_REQUIRE(file->octets <= size);
  IMAGO_REQUIRE(file->leases.size() <= size);
  auto again = encode_lease_header(file->origin);
  for (const auto& [key, versions] : file->leases.sas)
    for (const auto& one : versions) {
      IMAGO_REQUIRE(one.key == key);
      append(again, encode_lease(one));
      sa_image shown;
      shown.key = key;
      shown.source = one.source;
      shown.reqid = one.reqid;
      shown.has_keys = one.reqid != 0;
      shown.acquire_sequence = label_of(file->origin.salt, key.spi);
      IMAGO_REQUIRE(is_ours(file->leases, file->origin.salt, shown));
      shown.has_keys = true;
      ++shown.acquire_sequence;
      IMAGO_REQUIRE(!is_ours(file->leases, file->origin.salt, shown));
    }
  for (const auto& [key, versions] : file->leases.policies)
    for (const auto& one : versions) {
      IMAGO_REQUIRE(one.key == key);
      append(again, encode_lease(one));
      policy_image shown{one, index_of(file->origin.salt, key)};
      IMAGO_REQUIRE(is_ours(file->leases, file->origin.salt, shown));
      shown.index += 8;
      IMAGO_REQUIRE(!is_ours(file->leases, file->origin.salt, shown));
    }
  auto back = parse_leases(again);
  IMAGO_REQUIRE(back.has_value());
  IMAGO_REQUIRE(back->octets == again.size());
  IMAGO_REQUIRE(back->origin == file->origin);
  IMAGO_REQUIRE(back->leases.sas == file->leases.sas);
  IMAGO_REQUIRE(back->leases.policies == file->leases.policies);
  return 0;
}
