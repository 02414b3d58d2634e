#!/usr/bin/env python3
"""The suites of tests/interop, on user-space ESP, where all that imagod's sandbox refuses is seen. Runs inside run-in-uml.

Prints one JSON object a line for each, {"case": ..., "result": "pass", "fail: why" or "skipped: why"}. Ends with 1 if
one failed.
"""

import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
INTEROP = os.path.join(HERE, "..", "interop")
sys.path.insert(0, os.path.join(HERE, "..", "support"))
sys.dont_write_bytecode = True

from librefused import Refusals  # noqa: E402

SUITES = ("imago_pair_test.py",)  # the others take ten minutes each in such a kernel: name them to have them
SKIPPED = 77


def result_of(suite):
    refusals = Refusals()
    done = subprocess.run([sys.executable, os.path.join(INTEROP, suite)], stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    print(f"===== {suite}\n{done.stdout}", file=sys.stderr, flush=True)
    if done.returncode == SKIPPED:
        return f"skipped: {done.stdout.strip().splitlines()[-1]}"
    if done.returncode != 0:
        return f"fail: it ended with {done.returncode}"
    try:
        refusals.expect_none()
    except AssertionError as problem:
        return f"fail: {problem}"
    return "pass"


def main():
    has_failed = False
    for suite in sys.argv[1:] or SUITES:
        result = result_of(suite)
        has_failed = has_failed or result.startswith("fail")
        print(json.dumps({"case": f"in the sandbox, on user-space ESP: {suite}", "result": result}), flush=True)
    return 1 if has_failed else 0


if __name__ == "__main__":
    sys.exit(main())
