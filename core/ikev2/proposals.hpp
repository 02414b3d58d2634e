// Choosing among proposals (RFC 7296 §2.7, §3.3).
#pragma once

#include <optional>

#include "core/ikev2/keys.hpp"
#include "core/wire/payloads.hpp"

namespace imago::ikev2 {

struct chosen_proposal {
  wire::proposal answer;  // exactly one transform of each type, the peer's number; SPI: the peer's,
                          // to be replaced by ours before it is sent
  ike_algorithms ike;     // protocol IKE
  esp_algorithms esp;     // protocol ESP
};

// As a responder: the first of *our* proposals (our order counts) for which one of the peer's
// fits; within it our transform order counts. A transform type that only one side lists does not
// fit, except: ESP without KE fits a list with KE "none" (id 0) or no KE list; missing ESN list
// means no_esn; INTEG "none" equals an absent list beside an AEAD. Transforms with an unknown
// attribute are never chosen. `wants_key_exchange` false: in ESP, KE lists are ignored
// (the Child SA made by IKE_AUTH, §1.2). `preferred` KE method, if acceptable, wins over our order
// (the method that the peer's KE payload already used). Errors: no_proposal_chosen.
result<chosen_proposal> choose_proposal(const std::vector<wire::proposal>& ours,
                                        const std::vector<wire::proposal>& peers,
                                        protocol_id protocol, bool wants_key_exchange,
                                        ke_method preferred = ke_method::none);

// As an initiator: is the peer's single answer one that we offered? Errors: no_proposal_chosen.
result<chosen_proposal> check_answer(const std::vector<wire::proposal>& offered,
                                     const std::vector<wire::proposal>& answer,
                                     protocol_id protocol, bool wants_key_exchange);

// Our proposals made ready to be sent: numbered from 1, with the SPI; KE transforms left out where
// `with_key_exchange` is false; an ESN transform in every ESP proposal.
std::vector<wire::proposal> offer(std::vector<wire::proposal> ours, bytes_view spi,
                                  bool with_key_exchange = true);

// The KE methods that appear in the proposals, in order of appearance, without doubles or none.
std::vector<ke_method> ke_methods(const std::vector<wire::proposal>& proposals);

}  // namespace imago::ikev2
