// The two directions of a payload's layout. A payload declares its fields once,
//     template <class codec> void fields(codec& c, field_of<codec, x_payload>& payload)
// and that declaration, instantiated with reading_codec, parses, with writing_codec, encodes.
// Both codecs have the same functions; each says what it does in its direction.
#pragma once

#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/base/address.hpp"
#include "core/base/reader.hpp"
#include "core/base/writer.hpp"

namespace imago::wire {

// The value a codec works on: read into, or written from.
template <class codec, class T>
using field_of = std::conditional_t<codec::is_reading, T, const T>;

// Octets to values. The first failure sticks; after it, fields read as zero and lists end.
class reading_codec {
 public:
  static constexpr bool is_reading = true;

  explicit reading_codec(bytes_view body) : in_{body} {}

  // An unsigned integer or an enum, as wide as its type.
  template <class T>
  void number(T& value) {
    std::uint64_t read = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) read = read << 8 | in_.u8();
    value = static_cast<T>(read);
  }
  // RESERVED: zero when sent, ignored on receipt (RFC 7296 §2.5).
  void reserved(std::size_t octets) { in_.take(octets); }
  // A count or size that stands before what it counts: `now` is what a writer would say.
  std::size_t count_u8(std::size_t) { return in_.u8(); }
  std::size_t count_u16(std::size_t) { return in_.u16(); }
  void octets(bytes& value, std::size_t size) { value = to_bytes(in_.take(size)); }
  // Everything up to the end of the payload or substructure.
  void rest(bytes& value) { value = to_bytes(in_.take_rest()); }
  void address(ip_address& value, ip_family family) {
    auto octets = in_.take(family == ip_family::v4 ? 4 : 16);
    if (in_.ok()) value = *ip_address::from_octets(octets);
  }
  // Last Substruc: 0 for the last, `more` for others. The end is known from the lengths, so only
  // a value that is neither is refused (§3.3.1, §3.3.2).
  void last_substructure(bool, std::uint8_t more) {
    auto mark = in_.u8();
    require(mark == 0 || mark == more, errc::bad_value);
  }

  // Declares a part whose length_u16() counts all its octets, those before the field included.
  // What is declared after length_u16() must fill the length exactly, else bad_length.
  template <class F>
  void substructure(F&& declare) {
    auto outer = std::exchange(frame_, frame{in_.size_left(), std::nullopt});
    declare();
    if (frame_.after) {
      auto inner = in_;
      in_ = *frame_.after;
      if (!inner.ok()) {
        in_.fail(inner.code() == errc::input_too_short ? errc::bad_length : inner.code());
      } else {
        require(inner.at_end(), errc::bad_length);
      }
    }
    frame_ = outer;
  }
  void length_u16() {
    std::size_t length = in_.u16();
    if (!in_.ok()) return;
    auto before = frame_.size_at_start - in_.size_left();
    if (length < before || length - before > in_.size_left()) return in_.fail(errc::bad_length);
    auto body = in_.take(length - before);
    frame_.after = in_;
    in_ = reader{body};
  }

  // `declare(item, is_last)` for each item; is_last matters to a writer only.
  template <class T, class F>
  void list(std::vector<T>& items, std::size_t count, std::size_t count_max, F declare) {
    require(count <= count_max, errc::limit_exceeded);
    for (std::size_t i = 0; i < count && in_.ok(); ++i) {
      items.emplace_back();
      declare(items.back(), i + 1 == count);
    }
  }
  template <class T, class F>
  void list_to_end(std::vector<T>& items, std::size_t count_max, F declare) {
    while (in_.ok() && !in_.at_end()) {
      if (items.size() == count_max) return in_.fail(errc::limit_exceeded);
      items.emplace_back();
      declare(items.back(), false);
    }
  }

  // A rule that received values must obey. What we send is not checked here, so that a test can
  // send nonsense.
  void require(bool holds, errc otherwise) {
    if (!holds) in_.fail(otherwise);
  }
  // A field that follows from what was read.
  template <class T>
  void derive(T& field, T value) {
    field = std::move(value);
  }

  // Ends the payload: all of it must have been declared.
  void finish() { require(in_.at_end(), errc::trailing_octets); }
  bool ok() const { return in_.ok(); }
  errc code() const { return in_.code(); }

 private:
  struct frame {
    std::size_t size_at_start = 0;
    std::optional<reader> after;  // the input behind the substructure
  };
  reader in_;
  frame frame_;
};

// Values to octets. Fails only when a count or a length does not fit its field.
class writing_codec {
 public:
  static constexpr bool is_reading = false;

  template <class T>
  void number(T value) {
    auto written = static_cast<std::uint64_t>(value);
    for (std::size_t i = sizeof(T); i-- > 0;) out_.u8(static_cast<std::uint8_t>(written >> i * 8));
  }
  void reserved(std::size_t octets) { out_.zeros(octets); }
  std::size_t count_u8(std::size_t now) {
    fits(now, 0xff);
    out_.u8(static_cast<std::uint8_t>(now));
    return now;
  }
  std::size_t count_u16(std::size_t now) {
    fits(now, 0xffff);
    out_.u16(static_cast<std::uint16_t>(now));
    return now;
  }
  void octets(const bytes& value, std::size_t) { out_.put(value); }
  void rest(const bytes& value) { out_.put(value); }
  void address(const ip_address& value, ip_family) { out_.put(value.octets()); }
  void last_substructure(bool is_last, std::uint8_t more) { out_.u8(is_last ? 0 : more); }

  template <class F>
  void substructure(F&& declare) {
    auto outer = std::exchange(frame_, frame{out_.size(), std::nullopt});
    declare();
    if (frame_.length_at) {
      auto length = out_.size() - frame_.start;
      fits(length, 0xffff);
      out_.patch_u16(*frame_.length_at, static_cast<std::uint16_t>(length));
    }
    frame_ = outer;
  }
  void length_u16() {
    frame_.length_at = out_.size();
    out_.u16(0);
  }

  template <class T, class F>
  void list(const std::vector<T>& items, std::size_t, std::size_t, F declare) {
    list_to_end(items, 0, declare);
  }
  template <class T, class F>
  void list_to_end(const std::vector<T>& items, std::size_t, F declare) {
    for (const auto& item : items) declare(item, &item == &items.back());
  }

  void require(bool, errc) {}
  template <class T>
  void derive(const T&, const T&) {}

  bool ok() const { return !overflow_; }
  bytes finish() { return out_.finish(); }

 private:
  struct frame {
    std::size_t start = 0;
    std::optional<std::size_t> length_at;
  };
  void fits(std::size_t value, std::size_t value_max) {
    overflow_ = overflow_ || value > value_max;
  }

  writer out_;
  frame frame_;
  bool overflow_ = false;
};

// At the end of a payload's file: both directions of its declaration.
#define IMAGO_WIRE_INSTANTIATE(structure)                    \
  template void fields<>(reading_codec & codec, structure&); \
  template void fields<>(writing_codec & codec, const structure&)

}  // namespace imago::wire
