// The messages of an initiator, made of core's codec and keys, with one key pair for all of them.
#pragma once

#include <memory>
#include <optional>

#include "bench/load/credentials.hpp"
#include "bench/load/options.hpp"
#include "core/crypto/key_exchange.hpp"
#include "core/ikev2/keys.hpp"
#include "core/wire/message.hpp"

namespace imago::bench {

// One IKE SA of the generator once its keys are known.
struct session {
  ikev2::derived_ike_keys keys;
  std::uint32_t next_message_id = 1;
  std::uint32_t child_spi = 0, new_child_spi = 0;  // of our inbound ESP SA
};

// What a client remembers between IKE_SA_INIT and IKE_AUTH.
struct beginning {
  bytes request, nonce, cookie;
};

class messages {
 public:
  // Errors: what core and OpenSSL refuse; not_found for credentials.
  static result<messages> create(const load_options& options);

  // IKE_SA_INIT with NAT detection that finds no NAT.
  bytes init_request(std::uint64_t spi, const endpoint& from, beginning& kept) const;
  // Keys from the response. Errors: missing_payload, peer_refused (with the notify), others.
  result<std::unique_ptr<session>> start_session(const beginning& kept,
                                                 const wire::message& response) const;
  // IKE_AUTH with a Child SA for an address of its own.
  result<bytes> auth_request(session& of, std::size_t index, const beginning& kept,
                             const wire::message& init_response) const;

  // Sealed with the next message ID.
  result<bytes> dpd_request(session& of, const wire::header& ids) const;
  result<bytes> rekey_request(session& of, std::size_t index, const wire::header& ids) const;
  result<bytes> delete_child_request(session& of, std::uint32_t spi, const wire::header& ids) const;
  result<bytes> delete_request(session& of, const wire::header& ids) const;
  // The answer to a peer's request: empty, or NO_ADDITIONAL_SAS to a CREATE_CHILD_SA.
  result<bytes> answer(session& of, const wire::header& request) const;
  // Verified and parsed. Errors: integrity_failed and those of parsing.
  static result<wire::payloads> open(session& of, bytes_view datagram);

  // An IKE_SA_INIT to be changed in place: SPIi is at octet 0, the nonce at `nonce_at`.
  struct flood_template {
    bytes datagram;
    std::size_t nonce_at = 0;
  };
  flood_template make_template() const;
  // The same with a cookie before everything else (RFC 7296 §2.6).
  static bytes with_cookie(bytes_view datagram, bytes_view cookie);

  crypto::library& library() const { return *library_; }

 private:
  messages() = default;
  wire::payloads init_payloads(bytes nonce) const;
  result<bytes> seal(session& of, const wire::header& ids, exchange_type exchange,
                     const wire::payloads& payloads) const;
  static wire::payloads child_payloads(std::size_t index, std::uint32_t spi);
  result<wire::payload> prove(session& of, std::size_t index, const beginning& kept,
                              bytes_view nonce_of_peer,
                              const wire::identification_payload& id) const;

  std::unique_ptr<crypto::library> library_;
  std::optional<crypto::key_exchange> pair_;
  ikev2::ike_algorithms algorithms_;
  secret shared_key_;
  std::optional<client_credentials> credentials_;
  endpoint target_;
};

}  // namespace imago::bench
