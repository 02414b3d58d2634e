// Reader, writer, escaped text, secrets, errors, results.
#include <set>

#include <doctest/doctest.h>

#include "core/base/reader.hpp"
#include "core/base/secret.hpp"
#include "core/base/writer.hpp"
#include "tests/support/hex.hpp"

using namespace imago;

TEST_CASE("reader: numbers are in network order") {
  auto octets = from_hex("01 0203 04050607 08090a0b0c0d0e0f");
  reader in{octets};
  CHECK(in.u8() == 1);
  CHECK(in.u16() == 0x0203);
  CHECK(in.u32() == 0x04050607);
  CHECK(in.u64() == 0x08090a0b0c0d0e0f);
  CHECK(in.at_end());
  CHECK(in.ok());
}

TEST_CASE("reader: a failed read sticks") {
  auto octets = from_hex("010203");
  reader in{octets};
  CHECK(in.u32() == 0);
  CHECK(!in.ok());
  CHECK(in.code() == errc::input_too_short);
  CHECK(in.u8() == 0);
  CHECK(in.size_left() == 0);
  CHECK(in.take(1).empty());
  in.fail(errc::bad_value);
  CHECK(in.code() == errc::input_too_short);  // the first reason stays
}

TEST_CASE("reader: taking all that is left, or nothing, is fine; one more is not") {
  auto octets = from_hex("0102");
  reader in{octets};
  CHECK(in.take(0).empty());
  CHECK(in.take_rest().size() == 2);
  CHECK(in.take_rest().empty());
  CHECK(in.ok());
  CHECK(in.take(1).empty());
  CHECK(!in.ok());
  reader huge{octets};
  CHECK(huge.take(static_cast<std::size_t>(-1)).empty());
  CHECK(!huge.ok());
}

TEST_CASE("writer: what it writes a reader reads") {
  writer out{from_hex("ff")};
  out.u8(1);
  out.u16(0x0203);
  out.u32(0x04050607);
  out.u64(0x08090a0b0c0d0e0f);
  out.put(from_hex("aabb"));
  out.zeros(2);
  CHECK(out.size() == 20);
  CHECK(to_hex(out.written()) == "ff0102030405060708090a0b0c0d0e0faabb0000");
  out.patch_u16(0, 0x1122);
  out.patch_u32(16, 0x33445566);
  CHECK(to_hex(out.finish()) == "112202030405060708090a0b0c0d0e0f33445566");
}

TEST_CASE("escaped: printable ASCII stays, everything else and the backslash become numbers") {
  CHECK(escaped("moon.example") == "moon.example");
  CHECK(escaped("a\\b\n") == "a\\x5cb\\x0a");
  CHECK(escaped(bytes{0x00, 0x1f, 0x20, 0x7e, 0x7f, 0x80, 0xff}) == "\\x00\\x1f ~\\x7f\\x80\\xff");
  CHECK(escaped("").empty());
  for (unsigned octet = 0; octet < 256; ++octet)
    for (char c : escaped(bytes{static_cast<std::uint8_t>(octet)})) CHECK((c >= 0x20 && c < 0x7f));
}

TEST_CASE("bytes: text and hexadecimal") {
  CHECK(to_hex(bytes{0x00, 0x9f, 0xf0}) == "009ff0");
  CHECK(to_text(to_bytes("text")) == "text");
  CHECK(to_hex(bytes{}).empty());
}

TEST_CASE("secret: moved from, it is empty; compared by content") {
  secret one{from_hex("010203")};
  auto copy = one.clone();
  CHECK(one == copy);
  secret moved{std::move(one)};
  CHECK(one.empty());  // NOLINT(bugprone-use-after-move): that is the promise
  CHECK(moved == copy);
  copy.data()[2] = 9;
  CHECK(!(moved == copy));
  CHECK(!(moved == secret{from_hex("0102")}));
  secret target{std::size_t{4}};
  CHECK(to_hex(target.view()) == "00000000");
  target = std::move(moved);
  CHECK(target.size() == 3);
  CHECK(moved.empty());  // NOLINT(bugprone-use-after-move)
}

TEST_CASE("wipe: every octet becomes zero") {
  std::uint8_t memory[5] = {1, 2, 3, 4, 5};
  wipe(memory, 4);
  CHECK(to_hex(memory) == "0000000005");
  bytes octets{1, 2};
  wipe(octets);
  CHECK(octets.empty());
  wipe(nullptr, 0);
}

TEST_CASE("equal_in_constant_time: same octets, same size") {
  CHECK(equal_in_constant_time({}, {}));
  CHECK(equal_in_constant_time(bytes{1, 2}, bytes{1, 2}));
  CHECK(!equal_in_constant_time(bytes{1, 2}, bytes{1, 3}));
  CHECK(!equal_in_constant_time(bytes{1, 2}, bytes{1}));
}

TEST_CASE("errors: each has a name and a text of its own") {
  std::set<std::string_view> names;
  std::set<std::string_view> texts;
  std::size_t count = 0;
#define X(name, words)                          \
  CHECK(name_of(errc::name) == #name);          \
  CHECK(text_of(errc::name) == words);          \
  CHECK(error{errc::name, ""}.text() == words); \
  names.insert(name_of(errc::name));            \
  texts.insert(text_of(errc::name));            \
  ++count;
  IMAGO_ERRORS(X)
#undef X
  CHECK(names.size() == count);
  CHECK(texts.size() == count);
  CHECK(error{errc::bad_value, "KE"}.text() == "KE: a value is not one of those allowed here");
}

TEST_CASE("result: a value or an error, also without a value") {
  auto half = [](int number) -> result<int> {
    if (number % 2) return {errc::bad_value, "half"};
    return number / 2;
  };
  REQUIRE(half(4));
  CHECK(*half(4) == 2);
  REQUIRE(!half(3));
  CHECK(half(3).failure().code == errc::bad_value);
  CHECK(half(3).failure().where == "half");
  CHECK(status{});
  CHECK(status{errc::cancelled}.failure().code == errc::cancelled);
}
