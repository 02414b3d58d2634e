"""Runs the cases of one of the scripts beside it, each in a lab of its own, and tells of each as JSON."""

import json
import os
import subprocess
import sys

from libpeers import Lab, run
from librefused import Refusals


def expect(holds, what):
    if not holds:
        raise AssertionError(what)


def main(cases, label=""):
    """Those named on the command line, else all; ends the process, with 1 if one failed."""
    if os.geteuid() != 0 or run("ip", "xfrm", "state", is_checked=False).returncode != 0:
        program = os.path.splitext(os.path.basename(sys.argv[0]))[0]
        sys.exit(f"{program}: needs root and a kernel with XFRM; tests/lab/run-in-uml has one")
    results = [passes(case, label) for case in cases if not sys.argv[1:] or case.__name__ in sys.argv[1:]]
    Lab.remove_all()
    sys.exit(0 if all(results) else 1)


def passes(case, label):
    lab, refusals = Lab(), Refusals()
    result = "pass"
    try:
        case(lab)
        refusals.expect_none()
    except (AssertionError, OSError, KeyError, AttributeError, subprocess.SubprocessError) as problem:
        result = "fail: " + " ".join(refusals.beside(problem).split())[:160]
        print(f"{case.__name__}: {problem}\n{lab.logs()}", file=sys.stderr, flush=True)
    finally:
        lab.remove()
    print(json.dumps({"case": label + case.__name__.replace("_", " "), "result": result}), flush=True)
    return result == "pass"
