#!/usr/bin/env python3
"""The kernel data plane on real kernels: the contract suite, Imago under systemd and alone, then beside real daemons.

Each part runs in a kernel of its own (run-in-uml) and what it says lies in the log folder, the result as kernel-test.md
and kernel-test.json too. Ends with the interop table, or with --json with one object that holds it, its cells one
by one. A system call that imagod's sandbox refuses fails the case. 0: nothing failed; 77: this host cannot do it, the
last line says why.
"""

import argparse
import json
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
RUN = os.path.join(HERE, "run-in-uml")
CASES = os.path.join(HERE, "interop_cases.py")
PATH = os.path.join(HERE, "data_path.py")
# Parts that say one line a case, and how long each may take.
CHECKS = {"systemd": ("systemd_cases.py", 300), "policies": ("policy_cases.py", 300), "links": ("link_cases.py", 400)}
CHECKS_OF_FEW = ("systemd",)
SKIPPED = 77
NAMES = ("imago", "charon", "libreswan", "openiked")
# The table's columns, as far as there are such cells.
FEATURES = ("tunnel", "child rekey by Imago", "IKE rekey by Imago", "child rekey by peer", "IKE rekey by peer",
            "Imago killed, back", "peer killed, back", "delete", "nothing left")
SECONDS_MAX = 2400  # of one peer's cases


def say(text):
    print(text, file=sys.stderr, flush=True)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "dev"), help="whose programs are tested")
    parser.add_argument("--logs", default=os.path.join(ROOT, "build", "logs"), help="where logs are left")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    parser.add_argument("--few", action="store_true", help="the contract suite, systemd and a chosen few cases: about a minute and a half")
    parser.add_argument("--only", metavar="PATTERN", help="only cases like this: role authentication mode")
    parser.add_argument("peers", nargs="*", help=f"only these of: {' '.join(NAMES)}")
    return parser.parse_args()


class Parts:
    """Runs commands in guests, one log each."""

    def __init__(self, options):
        self.options = options
        self.environment = {**os.environ, "IMAGO_BUILD_DIR": os.path.abspath(options.build), "IMAGO_NEEDS_XFRM": "1"}
        os.makedirs(options.logs, exist_ok=True)

    def run(self, name, command, seconds_max):
        """(exit code, what it printed)"""
        path = os.path.join(self.options.logs, f"kernel-{name}.log")
        begun = time.monotonic()
        print(f"-- kernel: {name} ... ", end="", file=sys.stderr, flush=True)
        with open(path, "w", encoding="utf-8") as log:
            done = subprocess.run([RUN, "--seconds", str(seconds_max), "--", *command], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=log, text=True, env=self.environment, check=False)
            log.write(done.stdout)
        say(f"{'ok' if done.returncode == 0 else 'failed, log: ' + path} ({time.monotonic() - begun:.1f} s)")
        return done.returncode, done.stdout


def table(cases):
    """One line a case; marks below say what failed or was skipped, and why."""
    features = [feature for feature in FEATURES if any(feature in case["cells"] for case in cases)]
    rows = [["peer", "Imago is", "auth", "mode", *features]]
    notes = {}
    for case in cases:
        cells = []
        for feature in features:
            kind, _, why = case["cells"].get(feature, "-").partition(": ")
            cells.append(kind if not why else f"{kind} [{notes.setdefault(why, len(notes) + 1)}]")
        peer = case["peer"] + (f" {case['version']}" if case["version"] else "")
        rows.append([peer, case["role"], case["auth"], case["shape"], *cells])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in rows]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(lines + [""] + [f"[{number}] {why}" for why, number in notes.items()])


def cells_of(cases):
    """An object for each cell, as --json gives them."""
    cells = []
    for case in cases:
        for feature, result in case["cells"].items():
            kind, _, why = result.partition(": ")
            cells.append({"peer": case["peer"], "version": case["version"], "role": case["role"], "auth": case["auth"],
                          "mode": case["shape"], "feature": feature, "result": kind, **({"reason": why} if why else {})})
    return cells


def commit():
    """Of the tree whose programs these are."""
    done = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty", "--abbrev=10"], capture_output=True,
                          text=True, check=False, stdin=subprocess.DEVNULL)
    return done.stdout.strip() or "unknown"


def objects(said):
    return [json.loads(line) for line in said.splitlines() if line.startswith("{")]


def wanted_parts(options):
    """[(name of the log, what interop_cases.py is told)], a guest each."""
    only = ["--only", options.only] if options.only else []
    if options.few:
        others = ", ".join(["data-path", *(name for name in CHECKS if name not in CHECKS_OF_FEW)])
        say(f"   the other cases are skipped: {others}; {' '.join(NAMES)}, all roles and modes: ./dev kernel-test runs them")
        return [("few", ["--few", *options.peers])]
    return [(name, [*only, name]) for name in options.peers or NAMES]


def main():
    options = parse_arguments()
    check = subprocess.run([RUN, "--check"], capture_output=True, text=True, check=False)
    if check.returncode != 0:
        print(check.stderr.strip().splitlines()[-1] if check.stderr.strip() else "run-in-uml cannot be here")
        return SKIPPED
    parts = Parts(options)
    program = os.path.join(os.path.abspath(options.build), "tests", "test_kernel_if")
    code, said = parts.run("contract", [program, "-tc=contract*,xfrm*"], 120)
    contract = "pass" if code == 0 else "fail"
    has_failed = code != 0
    if has_failed:
        say(said[-3000:])
    cases, checks = [], []
    if not (options.few or options.peers or options.only):
        code, _ = parts.run("data-path", [sys.executable, PATH], 120)
        has_failed = has_failed or code != 0
    for name, (script, seconds_max) in CHECKS.items():
        if options.peers or options.only or (options.few and name not in CHECKS_OF_FEW):
            continue
        code, said = parts.run(name, [sys.executable, os.path.join(HERE, script)], seconds_max)
        has_failed = has_failed or code != 0
        checks += objects(said)
    for check in checks:
        if check["result"] != "pass":
            say(f"   {check['case']}: {check['result']}")
    for name, arguments in wanted_parts(options):
        code, said = parts.run(name, [sys.executable, CASES, *arguments], SECONDS_MAX)
        has_failed = has_failed or code != 0
        cases += objects(said)
    about = {"commit": commit(), "kernel": cases[0]["kernel"] if cases else None, "date": time.strftime("%Y-%m-%d")}
    results = {"json": json.dumps({**about, "contract": contract, "checks": checks, "cells": cells_of(cases)})}
    if cases:
        results["md"] = (f"Linux {about['kernel']}, commit {about['commit']}, {about['date']}; contract suite: {contract}\n\n"
                         + table(cases))
        if checks:
            results["md"] += "\n\n" + "\n".join(f"- {one['case']}: {one['result']}" for one in checks)
    for ending, text in results.items():
        with open(os.path.join(options.logs, f"kernel-test.{ending}"), "w", encoding="utf-8") as file:
            file.write(text + "\n")
    print(results["json"] if options.json else results.get("md", contract))
    return 1 if has_failed else 0


if __name__ == "__main__":
    sys.exit(main())
