// Certificates for a responder and for many clients, in a folder; made once, read by generators.
#pragma once

#include <string>
#include <vector>

#include "core/base/result.hpp"
#include "core/crypto/private_key.hpp"

namespace imago::bench {

inline constexpr std::string_view responder_name = "gateway.bench.test";
std::string client_name(std::size_t index);  // "c17.bench.test"

// x509ca/ca.pem, x509/gateway.pem, private/gateway.key as a responder wants them; client.key (one
// for all), clients.der for the generator. ECDSA on P-256, valid for a week. Errors: system_error.
status write_credentials(const std::string& folder, std::size_t count);

struct client_credentials {
  crypto::private_key_ptr key;
  std::vector<bytes> certificates;  // of client_name(index)
  bytes authority_hash;             // as CERTREQ has it
};
// Errors: not_found, bad_value.
result<client_credentials> read_credentials(const crypto::library& library,
                                            const std::string& folder);

}  // namespace imago::bench
