#include "actors/packets.hpp"

#include "core/wire/message.hpp"

namespace imago::actors {

ikev2::msg_digest new_digest(const services& shared, const packet& what,
                             const wire::header& header) {
  ikev2::msg_digest md{shared.digests};
  md.header = header;
  md.local = what.local;
  md.remote = what.remote;
  md.received_at = what.received_at;
  return md;
}

void answer_unprotected(const services& shared, const endpoint& local, const endpoint& remote,
                        const wire::header& asked, wire::notify_payload notify) {
  wire::header header;
  header.initiator_spi = asked.initiator_spi;
  header.responder_spi = asked.responder_spi;
  header.exchange = asked.exchange;
  header.from_initiator = !asked.from_initiator;
  header.is_response = true;
  header.message_id = asked.message_id;
  shared.net->send_ike(local, remote, wire::encode_message(header, {std::move(notify)}));
}

}  // namespace imago::actors
