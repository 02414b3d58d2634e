// Security Association payload (RFC 7296 §3.3): proposals, each with transforms, each with
// attributes. After the generic payload header:
//
//   proposal   | 0 or 2: last, more | RESERVED | proposal length          |
//              | proposal number | protocol | SPI size | transform count  |
//              | SPI ...                                                  |
//   transform  | 0 or 3: last, more | RESERVED | transform length         |
//              | type | RESERVED | transform ID                           |
//   attribute  |1| type (15 bits) | value (16 bits)                       |   TV
//              |0| type (15 bits) | length (16 bits) | value ...          |   TLV
#include "core/base/limits.hpp"
#include "core/wire/payload_list.hpp"

namespace imago::wire {
namespace {

constexpr std::uint16_t short_format = 0x8000;
constexpr std::uint16_t key_length = short_format | 14;  // the only attribute defined (§3.3.5)
// Stands for any attribute that we do not know: of the range for private use, value 0.
constexpr std::uint16_t unknown_attribute = short_format | 0x7fff;
// More than any real transform has.
constexpr std::size_t attribute_count_max = 16;

struct attribute {
  std::uint16_t format_and_type = 0;
  std::uint16_t value = 0;  // of the short format
  bytes long_value;
};

std::vector<attribute> attributes_of(const transform& one) {
  std::vector<attribute> list;
  if (one.key_bits != 0) list.push_back({key_length, one.key_bits, {}});
  if (one.has_unknown_attribute) list.push_back({unknown_attribute, 0, {}});
  return list;
}

transform with_attributes(transform one, const std::vector<attribute>& list) {
  for (const auto& attribute : list) {
    bool is_first_key_length = attribute.format_and_type == key_length && one.key_bits == 0;
    if (is_first_key_length && attribute.value != 0) {
      one.key_bits = attribute.value;
    } else {
      // Unknown, repeated, or a Key Length in the long format, which it may not have (§3.3.5).
      one.has_unknown_attribute = true;
    }
  }
  return one;
}

template <class codec>
void attribute_fields(codec& c, field_of<codec, attribute>& one) {
  c.number(one.format_and_type);
  if (one.format_and_type & short_format) {
    c.number(one.value);
  } else {
    auto size = c.count_u16(one.long_value.size());
    c.octets(one.long_value, size);
  }
}

template <class codec>
void transform_fields(codec& c, field_of<codec, transform>& one, bool is_last) {
  c.substructure([&] {
    c.last_substructure(is_last, 3);
    c.reserved(1);
    c.length_u16();
    c.number(one.type);
    c.reserved(1);
    c.number(one.id);
    auto attributes = attributes_of(one);
    c.list_to_end(attributes, attribute_count_max,
                  [&](auto& attribute, bool) { attribute_fields(c, attribute); });
    c.derive(one, with_attributes(one, attributes));
  });
}

// IKE: none at first, 8 octets when rekeying; ESP and AH: 4 (§3.3.1). A proposal of a protocol not
// known here is skipped by the one who chooses, so its SPI may have any size.
bool is_spi_size(protocol_id protocol, std::size_t size) {
  switch (protocol) {
    case protocol_id::ike: return size == 0 || size == 8;
    case protocol_id::esp:
    case protocol_id::ah: return size == 4;
    default: return true;
  }
}

template <class codec>
void proposal_fields(codec& c, field_of<codec, proposal>& one, bool is_last) {
  c.substructure([&] {
    c.last_substructure(is_last, 2);
    c.reserved(1);
    c.length_u16();
    c.number(one.number);
    c.number(one.protocol);
    auto spi_size = c.count_u8(one.spi.size());
    auto transform_count = c.count_u8(one.transforms.size());
    c.require(is_spi_size(one.protocol, spi_size), errc::bad_length);
    c.require(transform_count != 0, errc::bad_value);
    c.octets(one.spi, spi_size);
    c.list(one.transforms, transform_count, limits::transform_count_max,
           [&](auto& transform, bool last) { transform_fields(c, transform, last); });
  });
}

// Proposals are numbered one by one. An offer begins with 1; an answer holds one proposal, with the
// number it had in the offer (§3.3.1).
bool is_numbered_well(const std::vector<proposal>& proposals) {
  if (proposals.empty()) return false;
  if (proposals.size() == 1) return proposals.front().number != 0;
  for (std::size_t i = 0; i < proposals.size(); ++i)
    if (proposals[i].number != i + 1) return false;
  return true;
}

}  // namespace

template <class codec>
void fields(codec& c, field_of<codec, security_association_payload>& payload) {
  c.list_to_end(payload.proposals, limits::proposal_count_max,
                [&](auto& proposal, bool last) { proposal_fields(c, proposal, last); });
  c.require(is_numbered_well(payload.proposals), errc::bad_value);
}
IMAGO_WIRE_INSTANTIATE(security_association_payload);

}  // namespace imago::wire
