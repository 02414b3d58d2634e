// NAT detection (RFC 7296 §2.23).
#pragma once

#include "core/base/address.hpp"
#include "core/crypto/hash.hpp"

namespace imago::ikev2 {

// SHA-1(SPIi | SPIr | address | port): the data of both NAT_DETECTION_* notifies.
// Empty if OpenSSL has no SHA-1; then every comparison fails, which means "there is a NAT".
bytes nat_detection_hash(const crypto::library& library, std::uint64_t initiator_spi,
                         std::uint64_t responder_spi, const endpoint& at);

}  // namespace imago::ikev2
