// What the demux, its reception and the IKE SAs do alike with a datagram.
#pragma once

#include "actors/services.hpp"

namespace imago::actors {

// A new md about this datagram; its payloads are still to be filled in.
ikev2::msg_digest new_digest(const services& shared, const packet& what,
                             const wire::header& header);

// An answer without keys, to the endpoint that asked.
void answer_unprotected(const services& shared, const endpoint& local, const endpoint& remote,
                        const wire::header& asked, wire::notify_payload notify);

}  // namespace imago::actors
