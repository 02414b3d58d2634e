// vici messages as values: building, looking up, reading numbers and booleans.
#include <doctest/doctest.h>

#include "core/vici/message.hpp"

using namespace imago;
using namespace imago::vici;

namespace {

message sample() {
  message one;
  message child;
  child.add("mode", "tunnel").add_list("local_ts", {"10.0.0.0/8", "dynamic"});
  message children;
  children.add_section("net", std::move(child));
  message connection;
  connection.add("version", "2").add_section("children", std::move(children));
  one.add("count", "0x10").add_section("home", std::move(connection)).add_list("empty", {});
  return one;
}

}  // namespace

TEST_CASE("vici message: dotted paths lead through sections, and only to the kind asked for") {
  auto one = sample();
  REQUIRE(one.find("home.version"));
  CHECK(*one.find("home.version") == "2");
  REQUIRE(one.find_list("home.children.net.local_ts"));
  CHECK(one.find_list("home.children.net.local_ts")->size() == 2);
  REQUIRE(one.find_section("home.children"));
  CHECK(one.find_section("home.children")->elements.size() == 1);
  REQUIRE(one.find_list("empty"));
  CHECK(one.find_list("empty")->empty());
  CHECK(!one.find("home"));
  CHECK(!one.find("empty"));
  CHECK(!one.find_list("count"));
  CHECK(!one.find_section("count"));
  CHECK(!one.find("count.below"));
  CHECK(!one.find("home.absent.version"));
  CHECK(!one.find(""));
  CHECK(one.value_or("home.children.net.mode", "x") == "tunnel");
  CHECK(one.value_or("home.children.net.none", "x") == "x");
}

TEST_CASE("vici message: an empty section name is a name") {
  message counters;
  message inner;
  inner.add("invalid", "3");
  counters.add_section("", std::move(inner));
  CHECK(counters.value_or(".invalid", "") == "3");
}

TEST_CASE("vici message: numbers by strtol's rules, else the default") {
  auto number = [](std::string text) {
    message one;
    one.add("n", std::move(text));
    return one.number_or("n", 77);
  };
  CHECK(number("12") == 12);
  CHECK(number("-1") == -1);
  CHECK(number("0x1f") == 31);
  CHECK(number("010") == 8);
  CHECK(number("") == 77);
  CHECK(number("12s") == 77);
  CHECK(number("ten") == 77);
  CHECK(number("99999999999999999999") == 77);
  CHECK(number(std::string{"12\0", 3}) == 77);
  CHECK(message{}.number_or("n", 77) == 77);
}

TEST_CASE("vici message: booleans in any case, else the default") {
  auto boolean = [](std::string text, bool fallback) {
    message one;
    one.add("b", std::move(text));
    return one.boolean_or("b", fallback);
  };
  for (auto* text : {"1", "yes", "Yes", "TRUE", "enabled"}) CHECK(boolean(text, false));
  for (auto* text : {"0", "no", "NO", "false", "Disabled"}) CHECK(!boolean(text, true));
  for (auto* text : {"", "2", "on", "yes ", "ye"}) {
    CHECK(boolean(text, true));
    CHECK(!boolean(text, false));
  }
  CHECK(message{}.boolean_or("b", true));
}

TEST_CASE("vici message: a clone is whole and its own") {
  auto one = sample();
  auto copy = one.clone();
  one.elements.clear();
  CHECK(copy.value_or("home.children.net.mode", "") == "tunnel");
  REQUIRE(copy.find_list("home.children.net.local_ts"));
  CHECK(copy.find_list("home.children.net.local_ts")->back() == "dynamic");
  CHECK(copy.number_or("count", 0) == 16);
}
