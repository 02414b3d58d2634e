// What every data plane refuses alike, so that a test against the fake finds what a kernel would.
#pragma once

#include "kernel_if/backend.hpp"

namespace imago::kernel_if {

// The octets of key material that an SA with this algorithm takes, AEAD salts included; nothing if
// the algorithm or its key length is not supported.
std::optional<std::size_t> encryption_key_size(encryption_algorithm algorithm,
                                               std::uint16_t key_bits);
std::optional<std::size_t> integrity_key_size(integrity_algorithm algorithm);
bool is_aead(encryption_algorithm algorithm);

// bad_value, unsupported_algorithm, bad_key.
status check_parameters(const data_plane::sa_parameters& sa);
status check_policy(const data_plane::policy& policy);
// not_supported where marks, interfaces, offload, limits in time, bypass or discard are asked and
// the data plane does not have them.
status check_abilities(const capabilities& can, const data_plane::sa_parameters& sa);
status check_abilities(const capabilities& can, const data_plane::policy& policy);

// Data planes that see each packet: does this one say sa_active?
inline bool is_activity_due(duration interval, const std::optional<instant>& reported,
                            instant now) {
  return interval > duration{} && (!reported || now - *reported >= interval);
}

}  // namespace imago::kernel_if
