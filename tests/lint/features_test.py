"""docs/features.md counts right, and its checker notices when it does not."""

import os
import subprocess
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools"))
sys.dont_write_bytecode = True
import count_features  # noqa: E402


def document(rows):
    text = ("<!-- counts: x -->\n\n<!-- end of counts -->\n## Group\n" + "\n".join(rows) + "\n")
    table = count_features.table_of(count_features.rows_of(text))
    return count_features.COUNTS.sub(lambda found: found.group(1) + table + found.group(3), text)


def all_rows():
    return [f"| {number} | a feature | RFC | no |  |  |" for number in range(1, 131)]


def faults(rows, known=()):
    return list(count_features.faults_of(document(rows), lambda path: path in known))


class Features(unittest.TestCase):
    def test_the_document_of_the_tree_holds(self):
        done = subprocess.run([sys.executable, os.path.join(ROOT, "tools", "count_features.py")],
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_a_whole_table_is_good(self):
        self.assertEqual(faults(all_rows()), [])

    def test_a_missing_row_is_noticed(self):
        self.assertIn("1 to 130", faults(all_rows()[1:])[0])

    def test_another_word_is_noticed(self):
        rows = all_rows()
        rows[6] = "| 7 | a feature | RFC | maybe |  |  |"
        self.assertIn("feature 7: 'maybe'", faults(rows)[0])

    def test_a_path_that_is_not_there_is_noticed(self):
        rows = all_rows()
        rows[0] = "| 1 | a feature | RFC | yes | `here` | `there` |"
        self.assertEqual(faults(rows, known=("here",)), ["feature 1: there does not exist"])

    def test_a_wrong_count_is_noticed(self):
        text = document(all_rows()).replace("| 130 |\n", "| 129 |\n")
        self.assertIn("the counts", list(count_features.faults_of(text, lambda path: True))[0])


if __name__ == "__main__":
    unittest.main()
