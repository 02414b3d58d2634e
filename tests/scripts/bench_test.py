#!/usr/bin/env python3
"""The benchmarks in their short form: are there figures for the rows, and can they be true?"""

import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

from libprograms import BUILD, not_built, run  # noqa: E402

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
NAMES = ("handshake", "overload", "scale", "idle", "teardown", "wire", "log", "hop", "kill")
# What a figure must lie between, whatever the machine and the build: far beyond what is good.
BOUNDS = {"1": (1, 100), "2": (1, 100), "3": (1, 100), "4": (0.2, 5), "5": (0.1, 10), "6": (0, 1000),
          "7": (-100, 1000), "8": (0.01, 100000), "9": (0, 100), "11": (0.01, 10000), "12": (0.001, 10000),
          "13": (0.01, 50), "14": (0.1, 10000), "14 look-up": (0.01, 100), "15": (0, 100),
          "idle": (0, 0), "event CPU": (0.1, 10000)}
# Only on a kernel with ESP, which may be there.
MAYBE = {"active": (0.5, 2), "events / GETSA": (0.01, 20)}
SKIPPED = 77


def skip(reason):
    print(f"bench_test: {reason}")
    sys.exit(SKIPPED)


def check(line):
    low, high = {**BOUNDS, **MAYBE}[line["row"]]
    assert line["value"] is not None and low <= line["value"] <= high, line
    assert isinstance(line["met"], bool) and line["goal"], line


def main():
    programs = [os.path.join(BUILD, "bench", f"bench_{name}") for name in ("handshake", "idle", "wire", "log", "hop", "kill")]
    missing = not_built(os.path.join(BUILD, "daemon", "imagod"), os.path.join(BUILD, "bench", "imago-load"), *programs)
    if missing:
        sys.exit(missing)
    if os.geteuid() != 0 or run("ip", "netns", "add", f"probe-{os.getpid()}", is_checked=False).returncode != 0:
        skip("needs root, for network namespaces")
    run("ip", "netns", "delete", f"probe-{os.getpid()}")
    with tempfile.TemporaryDirectory() as folder:
        ran = subprocess.run([sys.executable, os.path.join(ROOT, "bench", "run.py"), "--build", BUILD, "--short",
                              "--only", "imagod", "--json", "--report", folder, *NAMES],
                             stdout=subprocess.PIPE, text=True, check=True, timeout=300)
        lines = [json.loads(line) for line in ran.stdout.splitlines()]
        assert {line["row"] for line in lines} - set(MAYBE) == set(BOUNDS), ran.stdout
        for line in lines:
            check(line)
        with open(os.path.join(folder, "report.md"), encoding="utf-8") as report:
            text = report.read()
        for row in BOUNDS:
            assert f"| {row} |" in text, row
        for words in ("IKE_AUTH request, PSK", "Which SAs are in use", "one GETSA each"):
            assert words in text, text
    print(f"1..1\nok 1 - {len(lines)} rows have figures")


if __name__ == "__main__":
    main()
