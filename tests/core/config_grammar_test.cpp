// swanctl.conf's grammar: statements, strings, comments, includes, references, positions.
#include "tests/core/config_support.hpp"

namespace imago::config {

TEST_CASE("settings: sections nest and values end at the line, a comment or a brace") {
  auto root = parsed(
      "a { b = one two\t three # note\n c=3}d\n{\n e = # nothing\n f = x{y # kept\n}\n# last");
  CHECK(value_at(*root, "a.b") == "one two three");
  CHECK(value_at(*root, "a.c") == "3");
  CHECK(value_at(*root, "d.e") == "(none)");
  CHECK(value_at(*root, "d.f") == "x{y");
}

TEST_CASE("settings: strings hold what words cannot, and join with one space") {
  struct sample {
    std::string written, value;
  };
  for (const auto& one : std::vector<sample>{{R"("a # b } c")", "a # b } c"},
                                             {R"("a\nb\tc\rd")", "a\nb\tc\rd"},
                                             {R"("a\"b\\c\d")", "a\"b\\cd"},
                                             {"\"a\\\nb\"", "ab"},
                                             {"\"a\\\r\nb\"", "ab"},
                                             {"\"a\nb\"", "a\nb"},
                                             {"\"a\r\nb\"", "a\nb"},
                                             {R"(x "y  z"  w)", "x y  z w"},
                                             {R"(x"y"z)", "x y z"},
                                             {R"("")", ""}}) {
    CAPTURE(one.written);
    CHECK(value_at(*parsed("k = " + one.written + "\n"), "k") == one.value);
  }
}

TEST_CASE("settings: the last value of a key wins and the first place stays") {
  auto root = parsed("a { x = 1\n y = 2 }\na { x = 3\n z = 4 }");
  const auto* a = root->find_section("a");
  REQUIRE(a);
  REQUIRE(a->settings.size() == 3);
  CHECK(a->settings[0].key == "x");
  CHECK(a->settings[0].value == "3");
  CHECK(a->settings[0].at.text() == "dir/test.conf:3:5");
  CHECK(a->settings[1].key == "y");
  CHECK(a->settings[2].key == "z");
  CHECK(root->sections.size() == 1);
}

TEST_CASE("settings: an empty value takes a value back") {
  auto root = parsed("a { x = 1\n x =\n }");
  CHECK(value_at(*root, "a.x") == "(none)");
}

TEST_CASE("settings: positions count lines and characters, not octets") {
  auto root = parsed("# \u00e4\na { k = \"\u00e4\u00f6\" } b {\n\tc = 1\n}");
  CHECK(root->find_section("b")->at.text() == "dir/test.conf:2:16");
  CHECK(root->find_section("b")->find("c")->at.text() == "dir/test.conf:3:2");
}

TEST_CASE("settings: a syntax error says where and what was expected") {
  struct sample {
    std::string text, where;
  };
  for (const auto& one : std::vector<sample>{
           {"a {\n b = 1\n", "t.conf:1:3: section 'a' is not closed: write '}'"},
           {"a = 1\n}\n", "t.conf:2:1: this '}' closes nothing"},
           {"a { b = \"x\ny }", "t.conf:1:9: the string has no end: write '\"'"},
           {"\"a\" = b", "t.conf:1:1: expected the name of a section or a key, found a string"},
           {"a { ,b }", "t.conf:1:5: expected the name of a section or a key, found ','"},
           {"a\nb = 1",
            "t.conf:1:2: expected '=', ':' or '{' after 'a', found the end of the line"},
           {"abc", "t.conf:1:4: expected '=', ':' or '{' after 'abc', found the end of the file"},
           {"a.b { }",
            "t.conf:1:2: a name has no dots here; write 'a { ... { } }', one section inside the "
            "other"},
           {"a : { }", "t.conf:1:5: expected the name of a section, found '{'"},
           {"a : b. { }", "t.conf:1:7: expected the name of a section, found ' '"},
           {"a : b c { }", "t.conf:1:7: expected '{' or ',' after a reference, found 'c'"},
           {"a : b",
            "t.conf:1:6: expected '{' or ',' after a reference, found the end of the file"},
           {"include a b",
            "t.conf:1:11: one pattern only may follow include; quote it if it has spaces"},
           {"include \"\"", "t.conf:1:1: include needs a file name or a pattern"},
           {std::string("a = b\0c", 7), "t.conf:1:6: a NUL octet may not stand in a value"}}) {
    auto failure = parse_failure(one.text);
    CHECK(failure.code == errc::bad_syntax);
    CHECK(failure.where == one.where);
  }
}

TEST_CASE("settings: include takes a pattern relative to the including file, in its section") {
  memory_files files{{{"dir/conf.d/1.conf", "x = 1\ny = 1"},
                      {"dir/conf.d/2.conf", "y = 2\ninclude more/*"},
                      {"dir/conf.d/more/z", "z = \"3\""},
                      {"dir/with space", "w = 4"},
                      {"/abs/olute", "v = 5"}}};
  auto root = parsed(
      "a {\n include conf.d/*.conf # all\n include with\\ space\n include \"with space\"\n"
      " include /abs/olute}\ninclude none/*\n",
      files);
  for (auto [path, value] :
       {std::pair{"a.x", "1"}, {"a.y", "2"}, {"a.z", "3"}, {"a.w", "4"}, {"a.v", "5"}})
    CHECK(value_at(*root, path) == value);
  CHECK(root->find_section("a")->find("z")->at.text() == "dir/conf.d/more/z:1:1");
}

TEST_CASE("settings: include may also be the name of a key or a section") {
  auto root = parsed("include = 1\na { include { b = 2 } }");
  CHECK(value_at(*root, "include") == "1");
  CHECK(value_at(*root, "a.include.b") == "2");
}

TEST_CASE("settings: an error in an included file names that file") {
  memory_files files{{{"sub/bad.conf", "\n  a = \"x"}}};
  CHECK(parse_failure("include sub/bad.conf", files).where ==
        "sub/bad.conf:2:7: the string has no end: write '\"'");
}

TEST_CASE("settings: a file that includes itself is stopped") {
  memory_files files{{{"self", "include self\n"}, {"twice", "include twice\ninclude twice\n"}}};
  CHECK(parse_failure("include self", files).code == errc::limit_exceeded);
  CHECK(parse_failure("include twice", files).code == errc::limit_exceeded);
}

TEST_CASE("settings: sections may not nest without end") {
  std::string text;
  for (int i = 0; i < 10000; ++i) text += "a {";
  auto failure = parse_failure(text);
  CHECK(failure.code == errc::limit_exceeded);
  CHECK(failure.where == "t.conf:1:51: sections nest deeper than 16");
}

TEST_CASE("settings: names and values are bounded") {
  CHECK(parse_failure(std::string(257, 'n') + " = 1").code == errc::limit_exceeded);
  CHECK(value_at(*parsed(std::string(256, 'n') + " = 1"), std::string(256, 'n')) == "1");
  CHECK(parse_failure("a = " + std::string(65536, 'v')).code == errc::limit_exceeded);
  CHECK(parse_failure("a = \"" + std::string(65536, 'v') + "\"").code == errc::limit_exceeded);
}

TEST_CASE("references: all is inherited, own settings win, left goes before right") {
  auto root = parsed(
      "conns { x : base.one, base.two { own = x\n a = x } }\n"
      "base { one { a = 1\n b = 1\n sub { s = 1\n t = 1 } }\n two { b = 2\n c = 2\n"
      " sub { t = 2\n u = 2 }\n other { } } }");
  for (auto [path, value] : {std::pair{"conns.x.own", "x"},
                             {"conns.x.a", "x"},
                             {"conns.x.b", "1"},
                             {"conns.x.c", "2"},
                             {"conns.x.sub.s", "1"},
                             {"conns.x.sub.t", "1"},
                             {"conns.x.sub.u", "2"}})
    CHECK(value_at(*root, path) == value);
  const auto* x = root->find_section("conns")->find_section("x");
  CHECK(x->settings[0].key == "own");  // own ones come first
  CHECK(x->find_section("other") != nullptr);
  CHECK(x->find("b")->at.text() == "dir/test.conf:4:2");
  CHECK(root->find_section("base")->is_referenced);
  CHECK_FALSE(root->find_section("conns")->is_referenced);
}

TEST_CASE("references: an empty value hides what is inherited") {
  auto root = parsed("a : b { x =\n }\nb { x = 1\n y = 2 }");
  CHECK(value_at(*root, "a.x") == "(none)");
  CHECK(value_at(*root, "a.y") == "2");
}

TEST_CASE("references: they chain, and reach into what is itself inherited") {
  auto root = parsed(
      "a : b { }\nb : c { }\nc { k = 1\n sub { s = 2 } }\nd : a.sub { }\n"
      "e { sub : c.sub { t = 3 } }\nf : e { sub { u = 4 } }");
  CHECK(value_at(*root, "a.k") == "1");
  CHECK(value_at(*root, "d.s") == "2");
  CHECK(value_at(*root, "f.sub.s") == "2");
  CHECK(value_at(*root, "f.sub.t") == "3");
  CHECK(value_at(*root, "f.sub.u") == "4");
}

TEST_CASE("references: a target may come later, from another file") {
  memory_files files{{{"dir/base", "base { k = 1 }"}}};
  CHECK(value_at(*parsed("a : base { }\ninclude base", files), "a.k") == "1");
}

TEST_CASE("references: what is not there, and what goes in circles, is an error with its place") {
  auto failure = parse_failure("a {\n b : c.d { }\n}\nc { }");
  CHECK(failure.code == errc::not_found);
  CHECK(failure.where == "t.conf:2:6: the section 'c.d' that is referred to");
  CHECK(parse_failure("a : b { }\nb : a { }").where ==
        "t.conf:1:1: section 'a' inherits from itself");
  CHECK(parse_failure("a : a { }").code == errc::bad_syntax);
  CHECK(parse_failure("a : b.x { }\nb : a.y { }").code == errc::bad_syntax);
}

TEST_CASE("references: a section inside what it inherits does not unfold for ever") {
  CHECK(parse_failure("a { k = 1\n b : a { } }").code == errc::limit_exceeded);
}

TEST_CASE("references: a chain too long and a tree that doubles are stopped") {
  std::string chain = "s0 { }\n", doubling = "s0 { k = 1 }\n";
  for (int i = 1; i < 30; ++i) {
    auto before = "s" + std::to_string(i - 1), now = "s" + std::to_string(i);
    chain.append(now).append(" : ").append(before).append(" { }\n");
    doubling.append(now).append(" { a : ").append(before).append(" { }\n b : ").append(before);
    doubling.append(" { } }\n");
  }
  CHECK(parse_failure(chain).code == errc::limit_exceeded);
  CHECK(parse_failure(doubling).code == errc::limit_exceeded);
}

TEST_CASE("settings: values can be wiped") {
  auto root = parsed("a { secret = \"quite secret\" }");
  wipe_values(*root);
  CHECK(root->find_section("a")->find("secret")->value == std::string(12, '\0'));
}

}  // namespace imago::config
