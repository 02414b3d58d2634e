"""Each rule of tools/lint.py has a case that must fail and one that must not."""

import os
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools"))
import lint  # noqa: E402
from linting.source import SourceFile, Tree, split_comments  # noqa: E402


class LintCase(unittest.TestCase):
    def findings(self, files, rule=None):
        with tempfile.TemporaryDirectory() as root:
            for path, text in files.items():
                os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                    file.write(text)
            return lint.lint(Tree(root, sorted(files)), [rule] if rule else None)

    def refused(self, rule, path, text, word, line=None, others=None):
        found = [entry for entry in self.findings({**(others or {}), path: text}, rule) if entry[0] == path]
        self.assertTrue(any(word in entry[3] for entry in found), f"nothing says '{word}': {found}")
        if line is not None:
            self.assertIn(line, [entry[1] for entry in found])

    def accepted(self, path, text, others=None):
        self.assertEqual(self.findings({**(others or {}), path: text}), [])


def header(body):
    return "#pragma once\n\nnamespace imago {\n" + body + "\n}  // namespace imago\n"


class Walls(LintCase):
    CORE = {"core/base/bytes.hpp": header(""), "core/ikev2/flow.hpp": header(""),
            "core/data_plane/values.hpp": header(""), "kernel_if/backend.hpp": header(""),
            "actors/engine.hpp": header("")}

    def refused_include(self, path, include, word):
        self.refused("walls", path, f"#include {include}\n", word, 1, self.CORE)

    def test_core_sees_no_caf(self):
        self.refused_include("core/wire/nonce.cpp", "<caf/all.hpp>", "seen only by actors")

    def test_core_sees_no_libmnl(self):
        self.refused_include("core/base/link.cpp", "<libmnl/libmnl.h>", "kernel_if/xfrm")

    def test_openssl_stays_in_core_crypto(self):
        self.refused_include("core/ikev2/flow.cpp", "<openssl/evp.h>", "core/crypto")
        self.refused_include("actors/pool.cpp", "<openssl/evp.h>", "core/crypto")
        self.accepted("core/crypto/prf.cpp", "#include <openssl/evp.h>\n")

    def test_core_has_no_sockets_and_threads(self):
        self.refused_include("core/base/port.cpp", "<sys/socket.h>", "sockets")
        self.refused_include("core/ikev2/pool.cpp", "<thread>", "threads")

    def test_core_rooms_have_an_order(self):
        self.refused_include("core/base/early.cpp", '"core/ikev2/flow.hpp"', "core/base may not include")
        self.refused_include("core/wire/early.cpp", '"core/ikev2/flow.hpp"', "core/wire may not include")

    def test_core_does_not_see_upwards(self):
        self.refused_include("core/ikev2/up.cpp", '"kernel_if/backend.hpp"', "may not include")
        self.refused_include("core/ikev2/up.cpp", '"actors/engine.hpp"', "may not include")

    def test_kernel_if_sees_values_only(self):
        self.refused_include("kernel_if/fake/fake.cpp", '"core/ikev2/flow.hpp"', "kernel_if may not include")
        self.refused_include("kernel_if/fake/fake.cpp", "<openssl/evp.h>", "seen only by")
        self.refused_include("kernel_if/user_esp/esp.cpp", "<libmnl/libmnl.h>", "seen only by")
        self.accepted("kernel_if/user_esp/esp.cpp",
                      '#include <openssl/evp.h>\n\n#include "core/data_plane/values.hpp"\n', self.CORE)

    def test_actors_see_both(self):
        self.accepted("actors/ike_sa.cpp", '#include <caf/all.hpp>\n\n#include "core/ikev2/flow.hpp"\n'
                      '#include "kernel_if/backend.hpp"\n', self.CORE)

    def test_tests_of_core_see_core_only(self):
        self.refused_include("tests/core/flow_test.cpp", '"actors/engine.hpp"', "tests/core may not include")

    def test_includes_are_rooted(self):
        self.refused_include("core/base/near.cpp", '"bytes.hpp"', "not a path from the root")
        self.refused_include("core/base/near.cpp", '"../base/bytes.hpp"', "not a path from the root")

    def test_only_headers_are_included(self):
        self.refused("walls", "core/base/all.cpp", '#include "core/base/part.cpp"\n', "not a header", 1,
                     {"core/base/part.cpp": "\n"})

    def test_an_include_in_a_comment_is_none(self):
        self.accepted("core/base/quiet.cpp", "// #include <caf/all.hpp>\n")


class PublicHeaders(LintCase):
    def test_caf_is_found_behind_another_header(self):
        behind = {"actors/tree.hpp": "#pragma once\n#include <caf/all.hpp>\nnamespace imago {}\n"}
        engine = '#pragma once\n#include "actors/tree.hpp"\nnamespace imago {}\n'
        found = self.findings({**behind, "actors/engine.hpp": engine}, "public-headers")
        self.assertEqual([entry[:2] for entry in found], [("actors/tree.hpp", 2)])
        self.assertIn("actors/engine.hpp -> actors/tree.hpp", found[0][3])

    def test_a_public_header_without_caf_passes(self):
        self.accepted("actors/engine.hpp", header("class engine;"))


class Banned(LintCase):
    def refused_line(self, path, line, word):
        self.refused("banned", path, line + "\n", word)

    def test_what_blocks_an_actor(self):
        self.refused_line("actors/a.cpp", "request(x).await(f);", "killed")
        self.refused_line("actors/a.cpp", "self->send_exit(other, reason);", "high priority")
        self.refused_line("actors/a.cpp", "anon_send_exit(other, reason);", "high priority")
        self.refused_line("actors/a.cpp", "self->delayed_send(other, delay, x);", "timer wheel")

    def test_co_await_is_no_await_call(self):
        self.accepted("actors/a.cpp", "auto x = co_await (job);\n")

    def test_memcmp(self):
        self.refused_line("core/base/a.cpp", "return std::memcmp(a, b, n) == 0;", "constant-time")

    def test_using_namespace_in_a_header(self):
        self.refused("banned", "core/base/a.hpp", "#pragma once\nusing namespace std;\n", "name what you use", 2)
        self.accepted("core/base/a.cpp", "using namespace std::literals;\n")

    def test_entropy_is_injected(self):
        self.refused_line("tests/core/a.cpp", "int x = std::rand();", "random.hpp")
        self.refused_line("core/base/a.cpp", "std::random_device d;", "random.hpp")

    def test_core_does_not_print(self):
        self.refused_line("core/base/a.cpp", 'std::printf("x");', "does not print")
        self.refused_line("core/base/a.cpp", 'std::cerr << "x";', "does not print")
        self.accepted("tools/a.cpp", 'std::printf("x");\n')

    def test_core_has_no_clock(self):
        self.refused_line("core/ikev2/a.cpp", "auto t = std::chrono::steady_clock::now();", "no clock")
        self.refused_line("core/ikev2/a.cpp", "auto t = time(nullptr);", "no clock")

    def test_tests_do_not_sleep(self):
        self.refused_line("tests/core/a.cpp", "std::this_thread::sleep_for(1s);", "never for time")
        self.refused_line("tests/core/a.cpp", "sleep(1);", "never for time")

    def test_unbounded_copies(self):
        self.refused_line("kernel_if/a.cpp", "strcpy(a, b);", "unbounded")

    def test_postponed_work(self):
        self.refused_line("core/base/a.cpp", "// TO" "DO: later", "write an issue")
        self.refused_line("docs/a.md", "FIX" "ME", "write an issue")

    def test_paths_of_one_machine(self):
        self.refused_line("docs/a.md", "see /" "work/main/core", "one machine")

    def test_blanks(self):
        self.refused_line("core/base/a.cpp", "int a; ", "strip them")
        self.refused_line("core/base/a.cpp", "\tint a;", "spaces")

    def test_a_word_in_a_literal_or_comment_is_none(self):
        self.accepted("core/base/a.cpp", '// memcmp would leak\nauto x = "memcmp";\n')

    def test_pragma_once(self):
        self.refused("banned", "core/base/a.hpp", "// words\n#include <span>\nnamespace imago {}\n", "#pragma once", 2)

    def test_unnamed_namespace_in_a_header(self):
        self.refused("banned", "core/base/a.hpp", header("namespace {\nint a;\n}"), "detail", 4)
        self.accepted("core/base/a.cpp", "namespace {\nint a;\n}\n")

    def test_a_reasoned_exception_is_heard(self):
        self.accepted("core/base/a.cpp", "// lint: allow banned because the sum is public\nint a = memcmp(b, c, 1);\n")

    def test_an_exception_without_reason_is_not(self):
        self.refused("banned", "core/base/a.cpp", "// lint: allow banned\nint a = memcmp(b, c, 1);\n", "constant-time")

    def test_an_exception_holds_for_its_rule_only(self):
        self.refused("banned", "core/base/a.cpp",
                     "int a = memcmp(b, c, 1);  // lint: allow limits because wide\n", "constant-time")


def lines_of(count, line="  ++a;"):
    return "\n".join([line] * count)


class Limits(LintCase):
    def refused_limit(self, text, word, line=None):
        self.refused("limits", "core/base/a.cpp", text, word, line)

    def test_long_functions(self):
        self.refused_limit(f"int b;\nvoid f(int a) {{\n{lines_of(69)}\n}}\n", "71 lines in one function", 2)
        self.accepted("core/base/a.cpp", f"void f(int a) {{\n{lines_of(68)}\n}}\n")

    def test_long_methods_and_constructors(self):
        self.refused_limit(f"struct x {{\n x(int a) : b_{{a}}, c_(a) {{\n{lines_of(80)}\n }}\n}};\n", "82 lines", 2)
        self.refused_limit(f"class x {{\n public:\n  void f() const {{\n{lines_of(80)}\n }}\n}};\n", "82 lines", 3)

    def test_a_long_test_is_a_long_function(self):
        self.refused_limit(f'TEST_CASE("a: b c") {{\n{lines_of(80)}\n}}\n', "82 lines")

    def test_a_long_class_is_no_function(self):
        self.accepted("core/base/a.cpp", f"struct x {{\n{lines_of(100, '  int f();')}\n}};\n")

    def test_a_reason_allows_length(self):
        self.accepted("core/base/a.cpp",
                      f"// lint: long because one switch names all\nvoid f(int a) {{\n{lines_of(80)}\n}}\n")

    def test_tables_do_not_count(self):
        table = "// lint: table\nconst int rows[] = {\n" + lines_of(600, "    1,") + "\n};\n"
        self.accepted("core/base/a.cpp", table)
        self.refused_limit(table.replace("// lint: table\n", ""), "split by noun")

    def test_long_files(self):
        self.refused_limit(lines_of(501, "int f();") + "\n", "501 lines")

    def test_long_lines(self):
        self.refused_limit("int a = " + "1 + " * 30 + "1;\n", "columns", 1)
        self.accepted("core/base/a.cpp", "// https://example.org/" + "a" * 100 + "\n")
        self.accepted("core/base/a.cpp", 'const char* vector = "' + "0a" * 60 + '";\n')

    def test_long_python_functions(self):
        self.refused("limits", "tools/a.py", "def f():\n" + lines_of(75, "    pass") + "\n", "76 lines", 1)


class Names(LintCase):
    def test_files(self):
        self.refused("names", "core/base/IkeSa.cpp", "\n", "snake_case")
        self.refused("names", "core/base/str_util.cpp", "\n", "abbreviates")

    def test_types(self):
        self.refused("names", "core/base/a.cpp", "class IkeSa {};\n", "snake_case", 1)
        self.refused("names", "core/base/a.cpp", "struct packet_hdr {};\n", "'header' for 'hdr'", 1)
        self.accepted("core/base/a.cpp", "template <class T>\nstruct ike_sa {};\nstruct ossl_lib_ctx_st;\n")

    def test_macros(self):
        self.refused("names", "core/base/a.hpp", header("#define BYTES 1"), "IMAGO_", 4)
        self.accepted("core/base/a.hpp", header("#define X(a) a\n#undef X"))

    def test_sides(self):
        self.refused("names", "core/base/a.cpp", "int left_address;\n", "local and remote", 1)
        self.accepted("core/base/a.cpp", "int size_left; auto x = std::left;\n")

    def test_namespace(self):
        self.refused("names", "core/base/a.hpp", "#pragma once\nint f();\n", "outside namespace imago")

    def test_test_names(self):
        self.refused("names", "tests/core/a.cpp", 'TEST_CASE("reader") {}\n', "not a sentence", 1)
        twice = 'TEST_CASE("reader: it reads bytes") {}\n'
        self.refused("names", "tests/core/a.cpp", twice + twice, "also in", 2)
        self.accepted("tests/core/a.cpp", twice)


class Links(LintCase):
    def test_links(self):
        self.refused("links", "README.md", "see [it](docs/none.md)\n", "leads nowhere", 1)
        self.accepted("README.md", "see [it](docs/some.md#here) [that](https://example.org)\n", {"docs/some.md": "x\n"})


class Understanding(unittest.TestCase):
    def test_comments_and_literals_are_told_apart(self):
        code, comments = split_comments('int a = 1\'000; // "x"\nauto s = "// no"; char c = \'"\'; /* { */ int b;\n')
        self.assertNotIn("no", code)
        self.assertNotIn("{", code)
        self.assertIn("int b;", code)
        self.assertIn('// "x"', comments)
        self.assertNotIn("no", comments)

    def test_raw_strings_hide_their_contents(self):
        code, _ = split_comments('auto s = R"(a { " // b)"; int c;\n')
        self.assertNotIn("{", code)
        self.assertIn("int c;", code)

    def test_functions_are_found_with_their_lines(self):
        text = ("namespace x {\n[[nodiscard]] result<int>\nparse(view a = {}) {\n  if (a) { b(); }\n"
                "  auto f = [&] { return 1; };\n}\n}\n")
        functions = [region for region in SourceFile("a.cpp", text).regions if region.kind == "function"]
        self.assertEqual([(region.head_line, region.last) for region in functions], [(2, 6)])


class Repository(unittest.TestCase):
    def test_the_rules_are_listed(self):
        self.assertEqual(set(lint.RULES), {"walls", "public-headers", "banned", "limits", "names", "links"})

    def test_an_unknown_rule_is_refused(self):
        with self.assertRaises(SystemExit):
            sys.stderr, kept = open(os.devnull, "w", encoding="utf-8"), sys.stderr
            try:
                lint.main(["--only", "nothing"])
            finally:
                sys.stderr.close()
                sys.stderr = kept


if __name__ == "__main__":
    unittest.main()
