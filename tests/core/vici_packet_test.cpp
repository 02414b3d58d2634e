// vici packets and the stream they come in.
#include <doctest/doctest.h>

#include "core/vici/message.hpp"
#include "tests/support/hex.hpp"

using namespace imago;
using namespace imago::vici;

namespace {

bytes without_length(const bytes& segment) { return {segment.begin() + 4, segment.end()}; }

packet command(message body = {}) {
  return {packet_type::command_request, "list-sas", std::move(body)};
}

message sample() {
  message list;
  list.add("name", "net").add_list("ts", {"10.0.0.0/8", ""}).add_list("none", {});
  message outer;
  outer.add("key", std::string{"\0\xff\n", 3}).add_section("s", std::move(list)).add("", "");
  return outer;
}

// A command response with these elements.
errc refusal(std::string_view elements) {
  auto octets = from_hex("01");
  append(octets, from_hex(elements));
  return parse_packet(octets).failure().code;
}
packet parsed(std::string_view elements) {
  auto octets = from_hex("01");
  append(octets, from_hex(elements));
  auto one = parse_packet(octets);
  REQUIRE(one);
  return *std::move(one);
}

message nested(std::size_t depth) {
  message one;
  for (std::size_t i = 0; i < depth; ++i) {
    message outer;
    outer.add_section("s", std::move(one));
    one = std::move(outer);
  }
  return one;
}

}  // namespace

TEST_CASE("vici packet: a command has the octets of the README's picture") {
  message body;
  body.add("ike", "gw").add_list("l", {"a"});
  message section;
  section.add_section("s", std::move(body));
  auto octets = encode_packet(command(std::move(section)));
  REQUIRE(octets);
  CHECK(to_hex(*octets) == to_hex(from_hex("0000001f"
                                           "00 08 6c6973742d736173"
                                           "01 01 73"
                                           "03 03 696b65 0002 6777"
                                           "04 01 6c 05 0001 61 06"
                                           "02")));
}

TEST_CASE("vici packet: every type round-trips") {
  for (std::uint8_t type = 0; type <= 7; ++type) {
    packet one;
    one.type = static_cast<packet_type>(type);
    bool has_name = type == 0 || type == 3 || type == 4 || type == 7;
    bool has_body = type == 0 || type == 1 || type == 7;
    if (has_name) one.name = "list-sas";
    if (has_body) one.body = sample();
    auto octets = encode_packet(one);
    REQUIRE(octets);
    auto again = parse_packet(without_length(*octets));
    REQUIRE(again);
    CHECK(again->type == one.type);
    CHECK(again->name == one.name);
    CHECK(again->body.elements.size() == one.body.elements.size());
    auto octets_again = encode_packet(*again);
    REQUIRE(octets_again);
    CHECK(*octets_again == *octets);
  }
}

TEST_CASE("vici packet: values are any octets, lists and strings may be empty") {
  auto octets = encode_packet(command(sample()));
  REQUIRE(octets);
  auto one = parse_packet(without_length(*octets));
  REQUIRE(one);
  CHECK(one->body.value_or("key", "") == std::string{"\0\xff\n", 3});
  REQUIRE(one->body.find_list("s.ts"));
  CHECK(*one->body.find_list("s.ts") == std::vector<std::string>{"10.0.0.0/8", ""});
  REQUIRE(one->body.find_list("s.none"));
  CHECK(one->body.find_list("s.none")->empty());
  REQUIRE(one->body.find(""));
}

TEST_CASE("vici packet: section and list ends missing at the end of the data are accepted") {
  auto section = parsed("010173 03016b000176");
  CHECK(section.body.value_or("s.k", "") == "v");
  auto list = parsed("010173 04016c 05000161");
  REQUIRE(list.body.find_list("s.l"));
  CHECK(list.body.find_list("s.l")->size() == 1);
  CHECK(parsed("010173 010174 02").body.find_section("s.t"));
  CHECK(parsed("").body.elements.empty());
}

TEST_CASE("vici packet: elements out of place are a syntax error") {
  CHECK(refusal("02") == errc::bad_syntax);                   // section end at the root
  CHECK(refusal("010173 02 02") == errc::bad_syntax);         // one too many
  CHECK(refusal("05000161") == errc::bad_syntax);             // item outside a list
  CHECK(refusal("06") == errc::bad_syntax);                   // list end outside a list
  CHECK(refusal("04016c 03016b000176") == errc::bad_syntax);  // in a list: a value
  CHECK(refusal("04016c 010173") == errc::bad_syntax);        //   a section
  CHECK(refusal("04016c 02") == errc::bad_syntax);            //   a section end
  CHECK(refusal("04016c 04016d") == errc::bad_syntax);        //   a list
  CHECK(refusal("00") == errc::bad_syntax);
  CHECK(refusal("07") == errc::bad_syntax);
  CHECK(refusal("04016c 07") == errc::bad_syntax);
}

TEST_CASE("vici packet: names are printable, also of packets") {
  CHECK(refusal("03010a000176") == errc::bad_value);
  CHECK(refusal("010180") == errc::bad_value);
  CHECK(refusal("04017f") == errc::bad_value);
  CHECK(parse_packet(from_hex("0003610062")).failure().code == errc::bad_value);
  CHECK(parse_packet(from_hex("0301ff")).failure().code == errc::bad_value);
  CHECK(parse_packet(from_hex("08")).failure().code == errc::bad_value);
  CHECK(parse_packet(from_hex("ff")).failure().code == errc::bad_value);
  CHECK(parse_packet({}).failure().code == errc::input_too_short);
}

TEST_CASE("vici packet: cut anywhere inside an element it is too short, never read beyond") {
  auto octets = encode_packet(command(sample()));
  REQUIRE(octets);
  auto whole = without_length(*octets);
  std::size_t accepted = 0;
  for (std::size_t size = 0; size < whole.size(); ++size) {
    bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    auto one = parse_packet(cut);
    if (one) {
      ++accepted;  // between two elements: ends may be missing
    } else {
      CHECK(one.failure().code == errc::input_too_short);
    }
  }
  CHECK(accepted == 11);  // as many elements as there are
}

TEST_CASE("vici packet: sections nest to the limit, both ways") {
  auto octets = encode_packet(command(nested(section_depth_max)));
  REQUIRE(octets);
  CHECK(parse_packet(without_length(*octets)));
  CHECK(encode_packet(command(nested(section_depth_max + 1))).failure().code ==
        errc::limit_exceeded);
  bytes deep = from_hex("01");
  for (std::size_t i = 0; i <= section_depth_max; ++i) append(deep, from_hex("010173"));
  CHECK(parse_packet(deep).failure().code == errc::limit_exceeded);
}

TEST_CASE("vici packet: names over 255, values over 65535 and packets over 512 KiB do not encode") {
  auto code_of = [](message body) {
    auto octets = encode_packet(command(std::move(body)));
    return octets ? errc{} : octets.failure().code;
  };
  message one;
  one.add(std::string(255, 'n'), std::string(65535, 'v'));
  CHECK(encode_packet(command(one.clone())));
  CHECK(code_of(std::move(message{}.add(std::string(256, 'n'), ""))) == errc::limit_exceeded);
  CHECK(code_of(std::move(message{}.add("n", std::string(65536, 'v')))) == errc::limit_exceeded);
  CHECK(code_of(std::move(message{}.add_list("n", {std::string(65536, 'v')}))) ==
        errc::limit_exceeded);
  message large;
  for (int i = 0; i < 8; ++i) large.add("n", std::string(65535, 'v'));
  CHECK(code_of(std::move(large)) == errc::limit_exceeded);
  CHECK(encode_packet({packet_type::event, std::string(256, 'n'), {}}).failure().code ==
        errc::limit_exceeded);
}

TEST_CASE("vici segmenter: the same segments however the stream is split") {
  bytes stream;
  std::vector<bytes> expected;
  for (auto* name : {"version", "stats", "list-sas"}) {
    auto octets = encode_packet({packet_type::command_request, name, sample()});
    REQUIRE(octets);
    append(stream, *octets);
    expected.push_back(without_length(*octets));
  }
  append(stream, from_hex("00000000"));
  expected.push_back({});
  for (std::size_t split = 0; split <= stream.size(); ++split) {
    segmenter segments;
    std::vector<bytes> got;
    auto all = bytes_view{stream};
    for (auto part : {all.first(split), all.subspan(split)}) {
      REQUIRE(segments.add(part));
      while (auto one = segments.next()) got.push_back(*std::move(one));
    }
    REQUIRE(got == expected);
    REQUIRE(!segments.has_partial());
  }
}

TEST_CASE("vici segmenter: octet by octet, with a partial one told apart") {
  auto octets = encode_packet(command(sample()));
  REQUIRE(octets);
  segmenter segments;
  for (std::size_t i = 0; i < octets->size(); ++i) {
    CHECK(!segments.next());
    CHECK(segments.has_partial() == (i != 0));
    CHECK(segments.add(bytes_view{*octets}.subspan(i, 1)));
  }
  auto one = segments.next();
  REQUIRE(one);
  CHECK(*one == without_length(*octets));
  CHECK(!segments.has_partial());
}

TEST_CASE("vici segmenter: a length over the limit is refused at once") {
  segmenter segments;
  CHECK(segments.add(from_hex("00080000")));  // exactly 512 KiB
  CHECK(segment_size_max == 0x80000);
  segmenter over;
  CHECK(over.add(from_hex("000800")));
  CHECK(over.add(from_hex("01")).failure().code == errc::limit_exceeded);
  segmenter second;
  CHECK(second.add(from_hex("00000001aa ffffffff")).failure().code == errc::limit_exceeded);
}

TEST_CASE("vici segmenter: what nobody takes does not grow for ever") {
  segmenter segments;
  bytes segment(4 + segment_size_max);
  segment[1] = 0x08;
  CHECK(segments.add(segment));
  CHECK(segments.add(segment));
  CHECK(segments.add(bytes{0}).failure().code == errc::limit_exceeded);
  REQUIRE(segments.next());
  CHECK(segments.add(bytes{0}));
}
