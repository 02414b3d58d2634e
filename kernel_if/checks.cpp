#include "kernel_if/checks.hpp"

namespace imago::kernel_if {

std::optional<std::size_t> encryption_key_size(encryption_algorithm algorithm,
                                               std::uint16_t key_bits) {
  bool is_aes_size = key_bits == 128 || key_bits == 192 || key_bits == 256;
  switch (algorithm) {
    case encryption_algorithm::aes_cbc:
      if (is_aes_size) return key_bits / 8U;
      return std::nullopt;
    case encryption_algorithm::aes_gcm_16:  // RFC 4106 §8.1: the salt follows the key
      if (is_aes_size) return key_bits / 8U + 4;
      return std::nullopt;
    case encryption_algorithm::chacha20_poly1305:  // RFC 7634 §2: one key size
      if (key_bits == 0 || key_bits == 256) return 36U;
      return std::nullopt;
    default: return std::nullopt;
  }
}

std::optional<std::size_t> integrity_key_size(integrity_algorithm algorithm) {
  switch (algorithm) {  // RFC 4868 §2.1.1: the key is as long as the hash
    case integrity_algorithm::none: return 0U;
    case integrity_algorithm::hmac_sha2_256_128: return 32U;
    case integrity_algorithm::hmac_sha2_384_192: return 48U;
    case integrity_algorithm::hmac_sha2_512_256: return 64U;
    default: return std::nullopt;
  }
}

bool is_aead(encryption_algorithm algorithm) {
  return algorithm == encryption_algorithm::aes_gcm_16 ||
         algorithm == encryption_algorithm::chacha20_poly1305;
}

namespace {

status check_keys(const data_plane::sa_parameters& sa) {
  auto encryption = encryption_key_size(sa.encryption, sa.key_bits);
  if (!encryption) {
    return {errc::unsupported_algorithm,
            text_of(sa.encryption) + " with " + std::to_string(sa.key_bits) + " bits"};
  }
  auto integrity = integrity_key_size(sa.integrity);
  if (!integrity) return {errc::unsupported_algorithm, text_of(sa.integrity)};
  // Encryption without integrity is forbidden (RFC 8221 §4), and AEAD brings its own.
  if (is_aead(sa.encryption) != (sa.integrity == integrity_algorithm::none))
    return {errc::bad_value, text_of(sa.encryption) + " with " + text_of(sa.integrity)};
  if (sa.encryption_key.size() != *encryption) return {errc::bad_key, "encryption key"};
  if (sa.integrity_key.size() != *integrity) return {errc::bad_key, "integrity key"};
  return {};
}

}  // namespace

status check_parameters(const data_plane::sa_parameters& sa) {
  if (sa.id.spi < 256) return {errc::bad_value, "SPI"};  // RFC 4303 §2.1
  if (sa.reqid == 0) return {errc::bad_value, "reqid"};
  if (sa.source.family() != sa.id.destination.family())
    return {errc::bad_value, "outer addresses of two families"};
  if (sa.encap_local.has_value() != sa.encap_remote.has_value())
    return {errc::bad_value, "one encapsulation endpoint without the other"};
  if (sa.encap_local && sa.encap_local->address.family() != sa.encap_remote->address.family())
    return {errc::bad_value, "encapsulation endpoints of two families"};
  bool inbound = sa.id.direction == data_plane::direction::inbound;
  if (inbound && sa.replay_window > 4096) return {errc::bad_value, "replay window"};
  // Without selectors nothing could be accepted (RFC 4301 §5.2).
  if (inbound && (sa.local_selectors.empty() || sa.remote_selectors.empty()))
    return {errc::bad_value, "inbound SA without selectors"};
  return check_keys(sa);
}

status check_policy(const data_plane::policy& policy) {
  bool protects = policy.processing == data_plane::processing::protect;
  if (protects != (policy.reqid != 0)) return {errc::bad_value, "reqid of a policy"};
  if (policy.local_selectors.empty() || policy.remote_selectors.empty())
    return {errc::bad_value, "policy without selectors"};
  if (protects && policy.outer_local.family() != policy.outer_remote.family())
    return {errc::bad_value, "policy with outer addresses of two families"};
  for (const auto* list : {&policy.local_selectors, &policy.remote_selectors})
    for (const auto& selector : *list)
      if (selector.start_address.family() != selector.end_address.family() ||
          selector.end_address < selector.start_address)
        return {errc::bad_value, "address range of a policy"};
  return {};
}

status check_abilities(const capabilities& can, const data_plane::sa_parameters& sa) {
  const data_plane::packet_mark none;
  if (!can.has_kernel_options &&
      (sa.mark != none || sa.output_mark != none || sa.if_id != 0 || !sa.offload_device.empty()))
    return {errc::not_supported, "marks, interfaces or offload of an SA"};
  if (!can.has_time_lifetimes && (sa.lifetime.soft_seconds != 0 || sa.lifetime.hard_seconds != 0))
    return {errc::not_supported, "limits in time of an SA"};
  return {};
}

status check_abilities(const capabilities& can, const data_plane::policy& policy) {
  if (!can.has_kernel_options && (policy.mark != data_plane::packet_mark{} || policy.if_id != 0))
    return {errc::not_supported, "mark or interface of a policy"};
  if (!can.has_shunts && policy.processing != data_plane::processing::protect)
    return {errc::not_supported,
            "a policy that lets pass or drops: this data plane sees only what it protects"};
  return {};
}

}  // namespace imago::kernel_if
