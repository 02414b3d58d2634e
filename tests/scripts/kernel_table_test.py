#!/usr/bin/env python3
"""What ./dev kernel-test prints of its cases: the table, and an object for each cell."""

import json
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lab"))
sys.dont_write_bytecode = True

from kernel_test import cells_of, objects, table  # noqa: E402

CASES = [
    {"peer": "charon", "version": "5.9.8", "kernel": "6.1", "role": "initiator", "auth": "psk", "shape": "tunnel",
     "cells": {"tunnel": "pass", "delete": "fail: it lives: still"}},
    {"peer": "openiked", "version": None, "kernel": "6.1", "role": "responder", "auth": "psk", "shape": "kill -9",
     "cells": {"tunnel": "skipped: no such peer", "Imago killed, back": "skipped: no such peer"}},
]


class Printed(unittest.TestCase):
    def test_the_table_has_a_line_a_case_and_says_why_below(self):
        lines = table(CASES).splitlines()
        cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[:4]]
        self.assertEqual(cells[0], ["peer", "Imago is", "auth", "mode", "tunnel", "Imago killed, back", "delete"])
        self.assertEqual(cells[2], ["charon 5.9.8", "initiator", "psk", "tunnel", "pass", "-", "fail [1]"])
        self.assertEqual(cells[3], ["openiked", "responder", "psk", "kill -9", "skipped [2]", "skipped [2]", "-"])
        self.assertEqual(sorted(lines[5:]), ["[1] it lives: still", "[2] no such peer"])

    def test_json_has_an_object_for_each_cell(self):
        cells = json.loads(json.dumps(cells_of(CASES)))
        self.assertEqual(len(cells), 4)
        self.assertEqual(cells[0], {"peer": "charon", "version": "5.9.8", "role": "initiator", "auth": "psk",
                                    "mode": "tunnel", "feature": "tunnel", "result": "pass"})
        self.assertEqual((cells[1]["result"], cells[1]["reason"]), ("fail", "it lives: still"))
        self.assertEqual({cell["result"] for cell in cells[2:]}, {"skipped"})

    def test_what_is_no_object_is_no_case(self):
        self.assertEqual(objects('told\n{"case": "a", "result": "pass"}\n\n'), [{"case": "a", "result": "pass"}])


if __name__ == "__main__":
    unittest.main(verbosity=2)
