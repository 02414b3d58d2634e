#include "core/ikev2/message_protection.hpp"

#include <algorithm>

#include "core/base/limits.hpp"
#include "core/base/reader.hpp"

namespace imago::ikev2 {

namespace {

// Number and total of an SKF payload (RFC 7383 §2.5).
constexpr std::size_t fragment_fields_size = 4;

// One sealed datagram. Its octets before the body are the associated data (RFC 5282 §5.1) and
// what the integrity checksum begins with (RFC 7296 §3.14).
result<bytes> seal_one(crypto::protection& protection, random_source& random,
                       const wire::header& header, payload_type first_inner, bytes_view plaintext,
                       std::optional<wire::fragment_position> fragment) {
  auto body_size = protection.sealed_size(plaintext.size());
  auto datagram = wire::encode_encrypted_prefix(header, first_inner, body_size, fragment);
  auto body = protection.seal(random, datagram, plaintext);
  if (!body) return std::move(body).failure();
  append(datagram, *body);
  return datagram;
}

// The most plaintext that a fragment of at most `datagram_size_max` octets can carry; 0: none.
std::size_t fragment_room(const crypto::protection& protection, std::size_t datagram_size_max) {
  constexpr auto fixed_size = wire::header_size + wire::generic_header_size + fragment_fields_size;
  if (datagram_size_max < fixed_size + protection.sealed_size(1)) return 0;
  // sealed_size never falls, in steps of a block: the answer lies in [fits, fits_not).
  std::size_t fits = 1;
  std::size_t fits_not = datagram_size_max;
  while (fits_not - fits > 1) {
    auto middle = fits + (fits_not - fits) / 2;
    (fixed_size + protection.sealed_size(middle) <= datagram_size_max ? fits : fits_not) = middle;
  }
  return fits;
}

// The SK or SKF payload of a datagram, found without copying.
struct sealed_part {
  payload_type first_inner{};
  std::uint16_t number = 1, total = 1;
  std::size_t body_at = 0;  // up to here: associated data
};

result<sealed_part> read_fragment_fields(sealed_part part, bytes_view fields) {
  reader input{fields};
  part.number = input.u16();
  part.total = input.u16();
  if (!input.ok()) return {errc::payload_too_short, text_of(payload_type::encrypted_fragment)};
  // RFC 7383 §2.5: numbered from 1, none beyond the total.
  if (part.number == 0 || part.number > part.total)
    return {errc::bad_value, text_of(payload_type::encrypted_fragment)};
  // RFC 7383 §2.5: only the first fragment's Next Payload says something.
  if (part.number != 1) part.first_inner = payload_type::none;
  part.body_at += fragment_fields_size;
  return part;
}

result<sealed_part> find_sealed_part(bytes_view datagram) {
  auto header = wire::parse_header(datagram);
  if (!header) return std::move(header).failure();
  auto type = header->next_payload;
  auto at = wire::header_size;
  for (std::size_t count = 0; count < limits::payload_count_max; ++count) {
    if (type == payload_type::none) return {errc::missing_payload, "SK"};
    reader input{datagram.subspan(at)};
    auto next = static_cast<payload_type>(input.u8());
    input.u8();  // critical bit: SK and SKF are understood (RFC 7296 §2.5)
    std::size_t size = input.u16();
    if (!input.ok() || size < wire::generic_header_size)
      return {errc::payload_too_short, text_of(type)};
    if (size > datagram.size() - at) return {errc::payload_too_long, text_of(type)};
    bool is_fragment = type == payload_type::encrypted_fragment;
    if (is_fragment || type == payload_type::encrypted) {
      // RFC 7296 §3.14, RFC 7383 §2.5: it is the last payload of the message.
      if (size != datagram.size() - at) return {errc::trailing_octets, text_of(type)};
      sealed_part part{next, 1, 1, at + wire::generic_header_size};
      if (!is_fragment) return part;
      return read_fragment_fields(part, input.take_rest());
    }
    type = next;
    at += size;
  }
  return {errc::limit_exceeded, "payloads"};
}

}  // namespace

result<std::vector<bytes>> seal_message(crypto::protection& protection, random_source& random,
                                        const wire::header& header, const wire::payloads& payloads,
                                        std::size_t datagram_size_max) {
  auto first_inner = payloads.empty() ? payload_type::none : wire::type_of(payloads.front());
  secret plaintext{wire::encode_payloads(payloads)};
  // A payload that its length field cannot describe has no encoding; nothing is sent in its place.
  if (plaintext.empty() && !payloads.empty()) return {errc::limit_exceeded, "payload size"};
  std::vector<bytes> datagrams;

  auto whole_size =
      wire::header_size + wire::generic_header_size + protection.sealed_size(plaintext.size());
  if (datagram_size_max == 0 || whole_size <= datagram_size_max) {
    if (whole_size > limits::datagram_size_max) return {errc::limit_exceeded, "datagram size"};
    auto datagram =
        seal_one(protection, random, header, first_inner, plaintext.view(), std::nullopt);
    if (!datagram) return std::move(datagram).failure();
    datagrams.push_back(*std::move(datagram));
    return datagrams;
  }

  auto room = fragment_room(protection, std::min(datagram_size_max, limits::datagram_size_max));
  if (room == 0) return {errc::limit_exceeded, "fragment size"};
  auto total = (plaintext.size() + room - 1) / room;
  // What the peer could not take anyway (limits.hpp) need not be sent.
  if (total > limits::fragment_count_max || plaintext.size() > limits::reassembled_size_max)
    return {errc::limit_exceeded, "fragments"};
  datagrams.reserve(total);
  for (std::size_t index = 0; index < total; ++index) {
    auto at = index * room;
    auto piece = plaintext.view().subspan(at, std::min(room, plaintext.size() - at));
    wire::fragment_position position{static_cast<std::uint16_t>(index + 1),
                                     static_cast<std::uint16_t>(total)};
    // RFC 7383 §2.5: Next Payload is zero in all fragments but the first; each is sealed alone.
    auto datagram = seal_one(protection, random, header,
                             index == 0 ? first_inner : payload_type::none, piece, position);
    if (!datagram) return std::move(datagram).failure();
    datagrams.push_back(*std::move(datagram));
  }
  return datagrams;
}

result<opened> open_message(crypto::protection& protection, bytes_view datagram) {
  auto part = find_sealed_part(datagram);
  if (!part) return std::move(part).failure();
  auto plaintext = protection.open(datagram.first(part->body_at), datagram.subspan(part->body_at));
  if (!plaintext) return std::move(plaintext).failure();
  return opened{part->first_inner, *std::move(plaintext), part->number, part->total};
}

result<std::optional<fragment_assembler::whole>> fragment_assembler::add(opened piece) {
  using none = std::optional<whole>;
  if (piece.number == 0 || piece.number > piece.total) return {errc::bad_value, "fragment number"};
  if (piece.total > limits::fragment_count_max) return {errc::limit_exceeded, "fragments"};
  if (piece.total == 1) {  // nothing to wait for, whatever was collected
    clear();
    return none{whole{piece.first_inner, std::move(piece.plaintext)}};
  }
  // RFC 7383 §2.6: a larger total means that the peer tries again with smaller fragments, so what
  // was collected is stale; a smaller one is an old fragment come late.
  if (piece.total < total_) return none{};
  if (piece.total > total_) clear();
  if (pieces_.count(piece.number) != 0) return none{};
  if (piece.plaintext.size() > limits::reassembled_size_max - size_) {
    clear();
    return {errc::limit_exceeded, "reassembled size"};
  }
  total_ = piece.total;
  size_ += piece.plaintext.size();
  if (piece.number == 1) first_inner_ = piece.first_inner;
  pieces_.emplace(piece.number, std::move(piece.plaintext));
  if (pieces_.size() < total_) return none{};

  bytes chain;
  chain.reserve(size_);
  for (const auto& [number, octets] : pieces_) append(chain, octets.view());
  whole message{first_inner_, secret{std::move(chain)}};
  clear();
  return none{std::move(message)};
}

void fragment_assembler::clear() {
  pieces_.clear();
  total_ = 0;
  first_inner_ = {};
  size_ = 0;
}

}  // namespace imago::ikev2
