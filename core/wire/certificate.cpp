// Certificate payload (RFC 7296 §3.6) and Certificate Request payload (§3.7). After the generic
// payload header:
//
//   | encoding (8 bits) | certificate data ...      |
//   | encoding (8 bits) | certification authority ... |
#include "core/wire/payload_list.hpp"

namespace imago::wire {
namespace {

// SHA-1 hashes of CA public keys, back to back; other encodings define no content (§3.7).
bool is_authorities_size(certificate_encoding encoding, std::size_t size) {
  bool is_hashes = encoding == certificate_encoding::x509_signature ||
                   encoding == certificate_encoding::hash_and_url_x509;
  return !is_hashes || size % 20 == 0;
}

}  // namespace

template <class codec>
void fields(codec& c, field_of<codec, certificate_payload>& payload) {
  c.number(payload.encoding);
  c.rest(payload.data);
}
IMAGO_WIRE_INSTANTIATE(certificate_payload);

template <class codec>
void fields(codec& c, field_of<codec, certificate_request_payload>& payload) {
  c.number(payload.encoding);
  c.rest(payload.authorities);
  c.require(is_authorities_size(payload.encoding, payload.authorities.size()), errc::bad_length);
}
IMAGO_WIRE_INSTANTIATE(certificate_request_payload);

}  // namespace imago::wire
