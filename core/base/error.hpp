// What can go wrong, as a closed list. An error says what is wrong and where; its text is in one
// table.
#pragma once

#include <string>
#include <string_view>

namespace imago {

// One line per error: name, text for people.
#define IMAGO_ERRORS(X)                                                           \
  /* octets */                                                                    \
  X(input_too_short, "the input ends too early")                                  \
  X(input_too_long, "the input is longer than it may be")                         \
  X(trailing_octets, "octets are left over at the end")                           \
  X(bad_value, "a value is not one of those allowed here")                        \
  X(bad_length, "a length field does not fit what it describes")                  \
  X(bad_syntax, "the text does not follow the grammar")                           \
  X(limit_exceeded, "a limit is exceeded")                                        \
  /* IKE messages */                                                              \
  X(bad_version, "the IKE major version is not 2")                                \
  X(unsupported_critical_payload, "a critical payload is not understood")         \
  X(payload_too_short, "a payload is shorter than its fixed part")                \
  X(payload_too_long, "a payload is longer than its container")                   \
  X(misplaced_payload, "a payload stands where it may not")                       \
  X(missing_payload, "a required payload is missing")                             \
  X(repeated_payload, "a payload that may occur once occurs again")               \
  X(integrity_failed, "the integrity check failed")                               \
  X(bad_padding, "the padding is wrong")                                          \
  X(wrong_exchange, "this exchange is not expected now")                          \
  /* negotiation */                                                               \
  X(no_proposal_chosen, "no proposal is acceptable")                              \
  X(invalid_ke_payload, "the key exchange method is not the one wanted")          \
  X(authentication_failed, "authentication failed")                               \
  X(no_matching_connection, "no connection fits these addresses and identities")  \
  X(traffic_selectors_unacceptable, "no traffic selector is acceptable")          \
  X(peer_refused, "the peer refused")                                             \
  X(peer_unreachable, "the peer does not answer")                                 \
  /* crypto */                                                                    \
  X(crypto_failed, "a cryptographic operation failed")                            \
  X(unsupported_algorithm, "the algorithm is not supported")                      \
  X(bad_key, "the key cannot be used")                                            \
  X(bad_signature, "the signature does not verify")                               \
  X(bad_certificate, "the certificate cannot be read")                            \
  X(untrusted_certificate, "the certificate chain does not lead to a trusted CA") \
  X(identity_mismatch, "the certificate does not contain the claimed identity")   \
  X(counter_exhausted, "a counter may not go on without repeating")               \
  /* data plane */                                                                \
  X(no_such_sa, "there is no such SA")                                            \
  X(already_exists, "it exists already")                                          \
  X(no_buffer_space, "the data plane has no buffer space")                        \
  X(out_of_memory, "the data plane is out of memory")                             \
  X(data_plane_busy, "the data plane is busy")                                    \
  X(data_plane_lost, "the data plane did not answer")                             \
  X(not_supported, "this is not supported here")                                  \
  X(system_error, "the operating system refused")                                 \
  /* engine */                                                                    \
  X(not_found, "it does not exist")                                               \
  X(queue_full, "a queue is full")                                                \
  X(cancelled, "it was cancelled")                                                \
  X(timed_out, "it took too long")                                                \
  X(stale_epoch, "the SA has changed since")                                      \
  X(shutting_down, "the engine is shutting down")

enum class errc : unsigned char {
#define X(name, text) name,
  IMAGO_ERRORS(X)
#undef X
};

std::string_view name_of(errc code);  // "payload_too_short"
std::string_view text_of(errc code);  // "a payload is shorter than its fixed part"

struct error {
  errc code{};
  std::string
      where;  // what it is about: a payload, a key, a file position. Peer bytes are escaped.

  std::string text() const;  // "<where>: <text>"
};

}  // namespace imago
