"""tools/dev/tidy.py asks clang-tidy as often as needed and no oftener; clang-tidy is pretended here."""

import json
import os
import stat
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TIDY = os.path.join(ROOT, "tools", "dev", "tidy.py")
# Writes down what it is asked; "BAD" in a file is a finding.
PRETENDING = """#!/bin/bash
[ "$1" = --version ] && { echo "pretended $(cat version)"; exit; }
for file; do :; done
echo "$file" >>asked
echo "9 warnings generated." >&2
! grep -n BAD "$file"
"""


class Tidy(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.write("clang-tidy", PRETENDING)
        os.chmod(self.path("clang-tidy"), stat.S_IRWXU)
        self.write("version", "14")
        self.write(".clang-tidy", "Checks: x")
        self.write("one.hpp", "int number();\n")
        self.write("one.cpp", '#include "one.hpp"\nint one = 1;\n')
        self.write("two.cpp", "int two = 2;\n")
        self.know()

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)

    def know(self, options=""):
        self.write("compile_commands.json", json.dumps([
            {"directory": self.folder.name, "file": self.path(name),
             "command": f"/usr/bin/ccache /usr/bin/c++ {options} -o {name}.o -c {self.path(name)}"}
            for name in ("one.cpp", "two.cpp")]))

    def run_tidy(self, *names):
        """Exit code, what it printed, and the files clang-tidy was asked about."""
        self.write("asked", "")
        done = subprocess.run([sys.executable, TIDY, ".", "2"], cwd=self.folder.name, text=True, check=False,
                              input="".join(f"{name}\n" for name in names), capture_output=True,
                              env={**os.environ, "PATH": self.folder.name + os.pathsep + os.environ["PATH"]})
        with open(self.path("asked"), encoding="utf-8") as asked:
            return done.returncode, done.stdout, sorted(asked.read().split())

    def test_what_passed_is_not_looked_at_again(self):
        code, said, asked = self.run_tidy("one.cpp", "two.cpp", "unknown.cpp")
        self.assertEqual((code, asked), (0, ["one.cpp", "two.cpp"]))
        self.assertIn("2 files, 0 with findings", said)
        self.assertNotIn("generated", said)
        code, said, asked = self.run_tidy("one.cpp", "two.cpp")
        self.assertEqual((code, asked), (0, []))
        self.assertIn("one.cpp (as before)", said)

    def test_a_finding_is_shown_each_time(self):
        self.write("two.cpp", "int two = 2;  // BAD\n")
        for _ in range(2):
            code, said, asked = self.run_tidy("one.cpp", "two.cpp")
            self.assertEqual(code, 1)
            self.assertIn("two.cpp", asked)
            self.assertIn("1:int two = 2;  // BAD", said)
            self.assertIn("2 files, 1 with findings", said)

    def test_what_changes_the_answer_is_looked_at_again(self):
        changes = {
            "a header": lambda: self.write("one.hpp", "int number(int);\n"),
            "a comment": lambda: self.write("one.hpp", "int number(int);  // NOLINT\n"),
            "a macro": lambda: self.write("one.hpp", "int number(int);  // NOLINT\n#define ONE 1\n"),
            "the rules": lambda: self.write(".clang-tidy", "Checks: y"),
            "the program": lambda: self.write("version", "15"),
            "the options": lambda: self.know("-DTHREE=3"),
        }
        self.run_tidy("one.cpp")
        for what, change in changes.items():
            with self.subTest(what):
                self.assertEqual(self.run_tidy("one.cpp")[2], [])
                change()
                self.assertEqual(self.run_tidy("one.cpp")[2], ["one.cpp"])

    def test_what_cannot_be_preprocessed_is_never_remembered(self):
        self.write("two.cpp", '#include "gone.hpp"\n')
        for _ in range(2):
            self.assertEqual(self.run_tidy("two.cpp")[2], ["two.cpp"])


if __name__ == "__main__":
    unittest.main()
