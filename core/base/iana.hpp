// Every IANA number of IKEv2 that Imago knows: value, name and printable name from one line.
// Source: IANA registry "Internet Key Exchange Version 2 (IKEv2) Parameters" (RFC 7296 §3).
// The types are open: a received number outside the list stays representable and prints as "(N)".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace imago {

// clang-format off
#define IMAGO_EXCHANGE_TYPES(X) \
  X(ike_sa_init, 34, "IKE_SA_INIT") \
  X(ike_auth, 35, "IKE_AUTH") \
  X(create_child_sa, 36, "CREATE_CHILD_SA") \
  X(informational, 37, "INFORMATIONAL")

#define IMAGO_PAYLOAD_TYPES(X) \
  X(none, 0, "NONE") \
  X(security_association, 33, "SA") \
  X(key_exchange, 34, "KE") \
  X(identification_initiator, 35, "IDi") \
  X(identification_responder, 36, "IDr") \
  X(certificate, 37, "CERT") \
  X(certificate_request, 38, "CERTREQ") \
  X(authentication, 39, "AUTH") \
  X(nonce, 40, "Nonce") \
  X(notify, 41, "N") \
  X(delete_, 42, "D") \
  X(vendor_id, 43, "V") \
  X(traffic_selector_initiator, 44, "TSi") \
  X(traffic_selector_responder, 45, "TSr") \
  X(encrypted, 46, "SK") \
  X(configuration, 47, "CP") \
  X(eap, 48, "EAP") \
  X(encrypted_fragment, 53, "SKF")

#define IMAGO_TRANSFORM_TYPES(X) \
  X(encryption, 1, "ENCR") \
  X(prf, 2, "PRF") \
  X(integrity, 3, "INTEG") \
  X(key_exchange, 4, "KE") \
  X(sequence_numbers, 5, "ESN")

#define IMAGO_PROTOCOL_IDS(X) \
  X(none, 0, "none") \
  X(ike, 1, "IKE") \
  X(ah, 2, "AH") \
  X(esp, 3, "ESP")

#define IMAGO_ENCRYPTION_ALGORITHMS(X) \
  X(none, 0, "NONE") \
  X(aes_cbc, 12, "AES_CBC") \
  X(aes_gcm_16, 20, "AES_GCM_16") \
  X(chacha20_poly1305, 28, "CHACHA20_POLY1305")

#define IMAGO_PRF_ALGORITHMS(X) \
  X(none, 0, "NONE") \
  X(hmac_sha2_256, 5, "PRF_HMAC_SHA2_256") \
  X(hmac_sha2_384, 6, "PRF_HMAC_SHA2_384") \
  X(hmac_sha2_512, 7, "PRF_HMAC_SHA2_512")

#define IMAGO_INTEGRITY_ALGORITHMS(X) \
  X(none, 0, "NONE") \
  X(hmac_sha2_256_128, 12, "HMAC_SHA2_256_128") \
  X(hmac_sha2_384_192, 13, "HMAC_SHA2_384_192") \
  X(hmac_sha2_512_256, 14, "HMAC_SHA2_512_256")

#define IMAGO_KE_METHODS(X) \
  X(none, 0, "NONE") \
  X(modp_2048, 14, "MODP_2048") \
  X(modp_3072, 15, "MODP_3072") \
  X(modp_4096, 16, "MODP_4096") \
  X(ecp_256, 19, "ECP_256") \
  X(ecp_384, 20, "ECP_384") \
  X(ecp_521, 21, "ECP_521") \
  X(curve25519, 31, "CURVE_25519")

#define IMAGO_SEQUENCE_NUMBERS(X) \
  X(no_esn, 0, "NO_ESN") \
  X(esn, 1, "ESN")

#define IMAGO_ID_TYPES(X) \
  X(any, 0, "ANY") \
  X(ipv4_addr, 1, "IPV4_ADDR") \
  X(fqdn, 2, "FQDN") \
  X(rfc822_addr, 3, "RFC822_ADDR") \
  X(ipv6_addr, 5, "IPV6_ADDR") \
  X(der_asn1_dn, 9, "DER_ASN1_DN") \
  X(der_asn1_gn, 10, "DER_ASN1_GN") \
  X(key_id, 11, "KEY_ID")

#define IMAGO_AUTH_METHODS(X) \
  X(none, 0, "none") \
  X(rsa_signature, 1, "RSA") \
  X(shared_key, 2, "PSK") \
  X(ecdsa_sha2_256_p256, 9, "ECDSA-256") \
  X(ecdsa_sha2_384_p384, 10, "ECDSA-384") \
  X(ecdsa_sha2_512_p521, 11, "ECDSA-521") \
  X(digital_signature, 14, "digital signature")

#define IMAGO_HASH_ALGORITHMS(X) \
  X(sha1, 1, "SHA1") \
  X(sha2_256, 2, "SHA2_256") \
  X(sha2_384, 3, "SHA2_384") \
  X(sha2_512, 4, "SHA2_512") \
  X(identity, 5, "IDENTITY")

#define IMAGO_CERTIFICATE_ENCODINGS(X) \
  X(x509_signature, 4, "X.509 signature") \
  X(hash_and_url_x509, 12, "hash and URL of X.509")

#define IMAGO_NOTIFY_TYPES(X) \
  X(unsupported_critical_payload, 1, "UNSUPPORTED_CRITICAL_PAYLOAD") \
  X(invalid_ike_spi, 4, "INVALID_IKE_SPI") \
  X(invalid_major_version, 5, "INVALID_MAJOR_VERSION") \
  X(invalid_syntax, 7, "INVALID_SYNTAX") \
  X(invalid_message_id, 9, "INVALID_MESSAGE_ID") \
  X(invalid_spi, 11, "INVALID_SPI") \
  X(no_proposal_chosen, 14, "NO_PROPOSAL_CHOSEN") \
  X(invalid_ke_payload, 17, "INVALID_KE_PAYLOAD") \
  X(authentication_failed, 24, "AUTHENTICATION_FAILED") \
  X(single_pair_required, 34, "SINGLE_PAIR_REQUIRED") \
  X(no_additional_sas, 35, "NO_ADDITIONAL_SAS") \
  X(internal_address_failure, 36, "INTERNAL_ADDRESS_FAILURE") \
  X(failed_cp_required, 37, "FAILED_CP_REQUIRED") \
  X(ts_unacceptable, 38, "TS_UNACCEPTABLE") \
  X(invalid_selectors, 39, "INVALID_SELECTORS") \
  X(temporary_failure, 43, "TEMPORARY_FAILURE") \
  X(child_sa_not_found, 44, "CHILD_SA_NOT_FOUND") \
  X(initial_contact, 16384, "INITIAL_CONTACT") \
  X(set_window_size, 16385, "SET_WINDOW_SIZE") \
  X(additional_ts_possible, 16386, "ADDITIONAL_TS_POSSIBLE") \
  X(ipcomp_supported, 16387, "IPCOMP_SUPPORTED") \
  X(nat_detection_source_ip, 16388, "NAT_DETECTION_SOURCE_IP") \
  X(nat_detection_destination_ip, 16389, "NAT_DETECTION_DESTINATION_IP") \
  X(cookie, 16390, "COOKIE") \
  X(use_transport_mode, 16391, "USE_TRANSPORT_MODE") \
  X(http_cert_lookup_supported, 16392, "HTTP_CERT_LOOKUP_SUPPORTED") \
  X(rekey_sa, 16393, "REKEY_SA") \
  X(esp_tfc_padding_not_supported, 16394, "ESP_TFC_PADDING_NOT_SUPPORTED") \
  X(non_first_fragments_also, 16395, "NON_FIRST_FRAGMENTS_ALSO") \
  X(childless_ikev2_supported, 16418, "CHILDLESS_IKEV2_SUPPORTED") \
  X(ikev2_fragmentation_supported, 16430, "IKEV2_FRAGMENTATION_SUPPORTED") \
  X(signature_hash_algorithms, 16431, "SIGNATURE_HASH_ALGORITHMS")
// clang-format on

#define IMAGO_IANA_ENUM(type, width, list)            \
  enum class type : width { list(IMAGO_IANA_VALUE) }; \
  /* The registry's name, or "(N)" for an unknown. */ \
  std::string text_of(type value);                    \
  /* Is it one of the list? */                        \
  bool is_known(type value);
#define IMAGO_IANA_VALUE(name, number, text) name = number,

IMAGO_IANA_ENUM(exchange_type, std::uint8_t, IMAGO_EXCHANGE_TYPES)
IMAGO_IANA_ENUM(payload_type, std::uint8_t, IMAGO_PAYLOAD_TYPES)
IMAGO_IANA_ENUM(transform_type, std::uint8_t, IMAGO_TRANSFORM_TYPES)
IMAGO_IANA_ENUM(protocol_id, std::uint8_t, IMAGO_PROTOCOL_IDS)
IMAGO_IANA_ENUM(encryption_algorithm, std::uint16_t, IMAGO_ENCRYPTION_ALGORITHMS)
IMAGO_IANA_ENUM(prf_algorithm, std::uint16_t, IMAGO_PRF_ALGORITHMS)
IMAGO_IANA_ENUM(integrity_algorithm, std::uint16_t, IMAGO_INTEGRITY_ALGORITHMS)
IMAGO_IANA_ENUM(ke_method, std::uint16_t, IMAGO_KE_METHODS)
IMAGO_IANA_ENUM(sequence_numbers, std::uint16_t, IMAGO_SEQUENCE_NUMBERS)
IMAGO_IANA_ENUM(id_type, std::uint8_t, IMAGO_ID_TYPES)
IMAGO_IANA_ENUM(auth_method, std::uint8_t, IMAGO_AUTH_METHODS)
IMAGO_IANA_ENUM(hash_algorithm, std::uint16_t, IMAGO_HASH_ALGORITHMS)
IMAGO_IANA_ENUM(certificate_encoding, std::uint8_t, IMAGO_CERTIFICATE_ENCODINGS)
IMAGO_IANA_ENUM(notify_type, std::uint16_t, IMAGO_NOTIFY_TYPES)

#undef IMAGO_IANA_VALUE
#undef IMAGO_IANA_ENUM

}  // namespace imago
