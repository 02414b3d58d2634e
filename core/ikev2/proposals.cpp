#include "core/ikev2/proposals.hpp"

#include <algorithm>

namespace imago::ikev2 {

namespace {

constexpr std::uint16_t no_integrity = 0;
constexpr std::uint16_t no_key_exchange = 0;

std::vector<wire::transform> usable_of(const wire::proposal& proposal, transform_type type) {
  std::vector<wire::transform> list;
  for (const auto& one : proposal.transforms)
    if (one.type == type && !one.has_unknown_attribute) list.push_back(one);
  return list;
}

bool lists(const wire::proposal& proposal, transform_type type) {
  return std::any_of(proposal.transforms.begin(), proposal.transforms.end(),
                     [&](const wire::transform& one) { return one.type == type; });
}

bool has(const std::vector<wire::transform>& list, const wire::transform& wanted) {
  return std::find(list.begin(), list.end(), wanted) != list.end();
}

// RFC 7296 §3.3.3: the types that a protocol knows. A proposal with any other type is not
// acceptable as a whole (§3.3.6).
bool has_only_known_types(const wire::proposal& proposal, protocol_id protocol) {
  return std::all_of(proposal.transforms.begin(), proposal.transforms.end(),
                     [&](const wire::transform& one) {
                       switch (one.type) {
                         case transform_type::encryption:
                         case transform_type::integrity:
                         case transform_type::key_exchange: return true;
                         case transform_type::prf: return protocol == protocol_id::ike;
                         case transform_type::sequence_numbers: return protocol == protocol_id::esp;
                       }
                       return false;
                     });
}

// ESP: four octets, the first 256 values reserved (RFC 4303 §2.1). IKE: none in IKE_SA_INIT, else
// eight that are not all zero (RFC 7296 §3.1, §3.3.1).
bool has_usable_spi(const wire::proposal& proposal) {
  auto is_zero = [](std::uint8_t octet) { return octet == 0; };
  const auto& spi = proposal.spi;
  if (proposal.protocol == protocol_id::esp)
    return spi.size() == 4 && !std::all_of(spi.begin(), spi.begin() + 3, is_zero);
  return spi.empty() || (spi.size() == 8 && !std::all_of(spi.begin(), spi.end(), is_zero));
}

// One of our proposals beside one of the peer's.
struct proposal_match {
  const wire::proposal& ours;
  const wire::proposal& peers;
  protocol_id protocol;
  bool wants_key_exchange;
  ke_method preferred;

  // What both list, in our order. An absent list stands for `missing`, if there is such a value.
  std::vector<wire::transform> common(transform_type type,
                                      std::optional<std::uint16_t> missing) const {
    auto list_of = [&](const wire::proposal& proposal) {
      if (missing && !lists(proposal, type))
        return std::vector<wire::transform>{{type, *missing, 0, false}};
      return usable_of(proposal, type);
    };
    auto both = list_of(ours);
    auto others = list_of(peers);
    both.erase(std::remove_if(both.begin(), both.end(),
                              [&](const wire::transform& one) { return !has(others, one); }),
               both.end());
    return both;
  }

  // The first common encryption for which integrity fits too.
  bool choose_encryption(chosen_proposal& chosen) const {
    auto integrities = common(transform_type::integrity, no_integrity);
    for (const auto& encryption : common(transform_type::encryption, std::nullopt))
      for (const auto& integrity : integrities) {
        // An AEAD goes with "none" alone and other ciphers never with it (RFC 7296 §3.3,
        // RFC 5282 §8); sizes_of knows, and knows which key lengths there are.
        auto cipher = static_cast<encryption_algorithm>(encryption.id);
        auto mac = static_cast<integrity_algorithm>(integrity.id);
        if (crypto::sizes_of(cipher, encryption.key_bits, mac).encryption_key == 0) continue;
        add(chosen, encryption);
        add(chosen, integrity);
        chosen.ike.encryption = chosen.esp.encryption = cipher;
        chosen.ike.key_bits = chosen.esp.key_bits = encryption.key_bits;
        chosen.ike.integrity = chosen.esp.integrity = mac;
        return true;
      }
    return false;
  }

  bool choose_prf(chosen_proposal& chosen) const {
    for (const auto& one : common(transform_type::prf, std::nullopt)) {
      auto prf = static_cast<prf_algorithm>(one.id);
      if (crypto::prf_size(prf) == 0) continue;
      add(chosen, one);
      chosen.ike.prf = prf;
      return true;
    }
    return false;
  }

  bool choose_key_exchange(chosen_proposal& chosen) const {
    bool is_ike = protocol == protocol_id::ike;
    if (!is_ike && !wants_key_exchange) {
      // RFC 7296 §1.2: nothing but "none" may stand here, better nothing at all. Answered as asked.
      wire::transform none{transform_type::key_exchange, no_key_exchange, 0, false};
      if (has(peers.transforms, none)) add(chosen, none);
      return true;
    }
    auto both = common(transform_type::key_exchange,
                       is_ike ? std::nullopt : std::optional{no_key_exchange});
    if (is_ike) {  // RFC 7296 §3.3.3: mandatory for IKE, so never "none"
      auto is_none = [](const wire::transform& one) { return one.id == no_key_exchange; };
      both.erase(std::remove_if(both.begin(), both.end(), is_none), both.end());
    }
    if (both.empty()) return false;
    auto is_preferred = [&](const wire::transform& one) {
      return static_cast<ke_method>(one.id) == preferred;
    };
    auto found = both.begin();
    if (preferred != ke_method::none) {
      found = std::find_if(both.begin(), both.end(), is_preferred);
      if (found == both.end()) return false;
    }
    add(chosen, *found);
    chosen.ike.key_exchange = chosen.esp.key_exchange = static_cast<ke_method>(found->id);
    return true;
  }

  bool choose_sequence_numbers(chosen_proposal& chosen) const {
    auto both = common(transform_type::sequence_numbers,
                       static_cast<std::uint16_t>(sequence_numbers::no_esn));
    for (const auto& one : both) {
      if (one.id > static_cast<std::uint16_t>(sequence_numbers::esn)) continue;
      add(chosen, one);
      chosen.esp.esn = one.id == static_cast<std::uint16_t>(sequence_numbers::esn);
      return true;
    }
    return false;
  }

  // RFC 7296 §3.3.6: exactly one transform of each type that the peer listed.
  void add(chosen_proposal& chosen, const wire::transform& one) const {
    if (lists(peers, one.type)) chosen.answer.transforms.push_back(one);
  }

  std::optional<chosen_proposal> choose() const {
    if (ours.protocol != protocol || peers.protocol != protocol) return std::nullopt;
    if (!has_only_known_types(peers, protocol) || !has_usable_spi(peers)) return std::nullopt;
    chosen_proposal chosen;
    chosen.answer.number = peers.number;
    chosen.answer.protocol = protocol;
    chosen.answer.spi = peers.spi;
    bool is_ike = protocol == protocol_id::ike;
    if (!choose_encryption(chosen)) return std::nullopt;
    if (is_ike && !choose_prf(chosen)) return std::nullopt;
    if (!choose_key_exchange(chosen)) return std::nullopt;
    if (!is_ike && !choose_sequence_numbers(chosen)) return std::nullopt;
    // Only the part of the protocol says something.
    if (is_ike) {
      chosen.esp = {};
    } else {
      chosen.ike = {};
    }
    return chosen;
  }
};

bool has_one_of_each_type(const wire::proposal& proposal) {
  for (const auto& one : proposal.transforms) {
    auto same_type = [&](const wire::transform& other) { return other.type == one.type; };
    if (std::count_if(proposal.transforms.begin(), proposal.transforms.end(), same_type) != 1)
      return false;
  }
  return true;
}

}  // namespace

result<chosen_proposal> choose_proposal(const std::vector<wire::proposal>& ours,
                                        const std::vector<wire::proposal>& peers,
                                        protocol_id protocol, bool wants_key_exchange,
                                        ke_method preferred) {
  for (const auto& own : ours) {
    // All of the peer's with the preferred method first: it saves an INVALID_KE_PAYLOAD round.
    if (preferred != ke_method::none)
      for (const auto& peer : peers) {
        proposal_match match{own, peer, protocol, wants_key_exchange, preferred};
        if (auto chosen = match.choose()) return *std::move(chosen);
      }
    for (const auto& peer : peers) {
      proposal_match match{own, peer, protocol, wants_key_exchange, ke_method::none};
      if (auto chosen = match.choose()) return *std::move(chosen);
    }
  }
  return {errc::no_proposal_chosen, text_of(protocol)};
}

result<chosen_proposal> check_answer(const std::vector<wire::proposal>& offered,
                                     const std::vector<wire::proposal>& answer,
                                     protocol_id protocol, bool wants_key_exchange) {
  // RFC 7296 §2.7, §3.3.1: a single proposal, with the number of the one accepted.
  if (answer.size() != 1) return {errc::no_proposal_chosen, "not exactly one proposal"};
  const auto& only = answer.front();
  if (!has_one_of_each_type(only))
    return {errc::no_proposal_chosen, "not exactly one transform of each type"};
  for (const auto& own : offered) {
    if (own.number != only.number) continue;
    proposal_match match{own, only, protocol, wants_key_exchange, ke_method::none};
    if (auto chosen = match.choose()) return *std::move(chosen);
  }
  return {errc::no_proposal_chosen, "not what was offered"};
}

std::vector<wire::proposal> offer(std::vector<wire::proposal> ours, bytes_view spi,
                                  bool with_key_exchange) {
  std::vector<wire::proposal> offered;
  for (auto& own : ours) {
    own.spi = to_bytes(spi);
    auto& list = own.transforms;
    if (!with_key_exchange) {
      auto is_key_exchange = [](const wire::transform& one) {
        return one.type == transform_type::key_exchange;
      };
      list.erase(std::remove_if(list.begin(), list.end(), is_key_exchange), list.end());
    }
    // RFC 7296 §3.3.3: mandatory in ESP.
    if (own.protocol == protocol_id::esp && !lists(own, transform_type::sequence_numbers))
      list.push_back({transform_type::sequence_numbers,
                      static_cast<std::uint16_t>(sequence_numbers::no_esn), 0, false});
    // Those that differed in KE only have become the same.
    auto is_same = [&](const wire::proposal& one) {
      return one.protocol == own.protocol && one.transforms == list;
    };
    if (std::any_of(offered.begin(), offered.end(), is_same)) continue;
    // RFC 7296 §3.3.1: from 1, each one more than the last.
    own.number = static_cast<std::uint8_t>(offered.size() + 1);
    offered.push_back(std::move(own));
  }
  return offered;
}

std::vector<ke_method> ke_methods(const std::vector<wire::proposal>& proposals) {
  std::vector<ke_method> methods;
  for (const auto& proposal : proposals)
    for (const auto& one : proposal.transforms) {
      auto method = static_cast<ke_method>(one.id);
      if (one.type != transform_type::key_exchange || method == ke_method::none) continue;
      if (std::find(methods.begin(), methods.end(), method) == methods.end())
        methods.push_back(method);
    }
  return methods;
}

}  // namespace imago::ikev2
