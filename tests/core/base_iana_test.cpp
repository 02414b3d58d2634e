// The registry's numbers and names.
#include <set>

#include <doctest/doctest.h>

#include "core/base/iana.hpp"

using namespace imago;

namespace {

// Every number of a type: the known ones have a name of their own, the others show as "(N)".
template <class T>
void check_names(unsigned number_max, std::size_t known_count) {
  std::set<std::string> names;
  for (unsigned number = 0; number <= number_max; ++number) {
    auto value = static_cast<T>(number);
    auto plain = "(" + std::to_string(number) + ")";
    if (is_known(value)) {
      CHECK(text_of(value) != plain);
      names.insert(text_of(value));
    } else {
      CHECK(text_of(value) == plain);
    }
  }
  CHECK(names.size() == known_count);
}

#define COUNT(name, number, text) +1

}  // namespace

TEST_CASE("iana: every list's names are distinct and every other number shows as itself") {
  check_names<exchange_type>(255, 0 IMAGO_EXCHANGE_TYPES(COUNT));
  check_names<payload_type>(255, 0 IMAGO_PAYLOAD_TYPES(COUNT));
  check_names<transform_type>(255, 0 IMAGO_TRANSFORM_TYPES(COUNT));
  check_names<protocol_id>(255, 0 IMAGO_PROTOCOL_IDS(COUNT));
  check_names<encryption_algorithm>(65535, 0 IMAGO_ENCRYPTION_ALGORITHMS(COUNT));
  check_names<prf_algorithm>(65535, 0 IMAGO_PRF_ALGORITHMS(COUNT));
  check_names<integrity_algorithm>(65535, 0 IMAGO_INTEGRITY_ALGORITHMS(COUNT));
  check_names<ke_method>(65535, 0 IMAGO_KE_METHODS(COUNT));
  check_names<sequence_numbers>(65535, 0 IMAGO_SEQUENCE_NUMBERS(COUNT));
  check_names<id_type>(255, 0 IMAGO_ID_TYPES(COUNT));
  check_names<auth_method>(255, 0 IMAGO_AUTH_METHODS(COUNT));
  check_names<hash_algorithm>(65535, 0 IMAGO_HASH_ALGORITHMS(COUNT));
  check_names<certificate_encoding>(255, 0 IMAGO_CERTIFICATE_ENCODINGS(COUNT));
  check_names<notify_type>(65535, 0 IMAGO_NOTIFY_TYPES(COUNT));
}

TEST_CASE("iana: some numbers, as the registry has them") {
  CHECK(text_of(static_cast<exchange_type>(35)) == "IKE_AUTH");
  CHECK(text_of(static_cast<payload_type>(46)) == "SK");
  CHECK(text_of(static_cast<payload_type>(53)) == "SKF");
  CHECK(text_of(static_cast<notify_type>(14)) == "NO_PROPOSAL_CHOSEN");
  CHECK(text_of(static_cast<notify_type>(16390)) == "COOKIE");
  CHECK(text_of(static_cast<notify_type>(16431)) == "SIGNATURE_HASH_ALGORITHMS");
  CHECK(text_of(static_cast<ke_method>(31)) == "CURVE_25519");
  CHECK(text_of(static_cast<encryption_algorithm>(20)) == "AES_GCM_16");
  CHECK(static_cast<unsigned>(auth_method::digital_signature) == 14);
  CHECK(static_cast<unsigned>(transform_type::sequence_numbers) == 5);
}
