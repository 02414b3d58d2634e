"""tools/dev/count_tests.py: what test programs print becomes passed, failed, skipped."""

import os
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools", "dev"))
from count_tests import count_junit, count_text  # noqa: E402

DOCTEST = "[doctest] test cases:  12 |  11 passed | 1 failed | 3 skipped\n[doctest] assertions: 9 | 9 passed | 0 failed |\n"


class CountText(unittest.TestCase):
    def test_doctest_is_summed(self):
        self.assertEqual(count_text(DOCTEST + DOCTEST, 1), [22, 2, 6])

    def test_unittest_is_counted(self):
        self.assertEqual(count_text("Ran 5 tests in 0.1s\n\nOK (skipped=2)\n", 0), [3, 0, 2])
        self.assertEqual(count_text("Ran 5 tests in 0.1s\n\nFAILED (failures=1, errors=1)\n", 1), [3, 2, 0])

    def test_pytest_is_counted(self):
        self.assertEqual(count_text("...s\n12 passed, 1 skipped in 3.20s\n", 0), [12, 0, 1])
        self.assertEqual(count_text("= 1 failed, 2 passed, 3 warnings, 1 error in 62.10s (0:01:02) =\n", 1), [2, 2, 0])

    def test_tap_is_counted(self):
        self.assertEqual(count_text("ok - a\nnot ok - b\nok - c # SKIP no root\n", 1), [1, 1, 1])

    def test_a_silent_program_is_one_test(self):
        self.assertEqual(count_text("words\n", 0), [1, 0, 0])
        self.assertEqual(count_text("words\n", 3), [0, 1, 0])

    def test_a_crash_after_success_is_a_failure(self):
        self.assertEqual(count_text("ok - a\n", 134), [1, 1, 0])

    def test_77_is_skipped(self):
        self.assertEqual(count_text("no root\n", 77), [0, 0, 1])


class CountJunit(unittest.TestCase):
    def count(self, cases, exit_code):
        with tempfile.NamedTemporaryFile("w", suffix=".xml") as file:
            file.write(f"<testsuite>{cases}</testsuite>")
            file.flush()
            return count_junit(file.name, exit_code)

    def test_cases_inside_programs_are_summed(self):
        run = '<testcase status="run"><system-out>[doctest] test cases: 4 | 4 passed | 0 failed | 0 skipped' \
              '</system-out></testcase>'
        self.assertEqual(self.count(run + run, 0), [8, 0, 0])

    def test_a_program_that_could_not_run_failed(self):
        self.assertEqual(self.count('<testcase status="fail"><failure/></testcase>', 8), [0, 1, 0])
        missing = '<testcase status="notrun"><skipped message="Unable to find executable"/></testcase>'
        self.assertEqual(self.count(missing, 8), [0, 1, 0])

    def test_a_skipped_program_is_skipped(self):
        skipped = '<testcase status="notrun"><skipped message="SKIP_RETURN_CODE=77"/></testcase>'
        self.assertEqual(self.count(skipped, 0), [0, 0, 1])

    def test_an_exit_code_that_no_case_explains_is_a_failure(self):
        self.assertEqual(self.count("", 8), [0, 1, 0])


if __name__ == "__main__":
    unittest.main()
