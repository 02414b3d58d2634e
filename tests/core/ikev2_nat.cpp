#include <doctest/doctest.h>

#include "core/ikev2/nat.hpp"

using namespace imago;
using namespace imago::ikev2;

namespace {

endpoint at(std::string_view address, std::uint16_t port) {
  return {*ip_address::parse(address), port};
}

}  // namespace

// Expected values from Python: hashlib.sha1(SPIs + packed address + port)
TEST_CASE("nat: the hash covers SPIs, address and port in network order") {
  crypto::library library;
  struct {
    std::uint64_t initiator_spi, responder_spi;
    endpoint where;
    const char* hash;
  } const rows[] = {
      {0x0102030405060708, 0, at("192.0.2.1", 500), "644b4575455bd6fcc1efe2be8162a9218e448e5f"},
      {0x0102030405060708, 0x1112131415161718, at("192.0.2.1", 4500),
       "5184f43875ff7d9e3dfdc92bd1dee1a08204de3e"},
      {0x0102030405060708, 0x1112131415161718, at("2001:db8::1", 500),
       "645efdf3a4d473679c6a6530abefd3b71d8c18af"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.where.text());
    CHECK(to_hex(nat_detection_hash(library, row.initiator_spi, row.responder_spi, row.where)) ==
          row.hash);
  }
}

TEST_CASE("nat: another address, port or SPI gives another hash") {
  crypto::library library;
  const auto one = nat_detection_hash(library, 1, 2, at("192.0.2.1", 500));
  CHECK(one.size() == 20);
  CHECK(nat_detection_hash(library, 1, 2, at("192.0.2.1", 500)) == one);
  CHECK(nat_detection_hash(library, 1, 2, at("192.0.2.2", 500)) != one);
  CHECK(nat_detection_hash(library, 1, 2, at("192.0.2.1", 501)) != one);
  CHECK(nat_detection_hash(library, 1, 3, at("192.0.2.1", 500)) != one);
  CHECK(nat_detection_hash(library, 3, 2, at("192.0.2.1", 500)) != one);
  CHECK(nat_detection_hash(library, 2, 1, at("192.0.2.1", 500)) != one);
}
