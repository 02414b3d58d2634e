#!/usr/bin/env python3
"""Imago against real daemons, both on the kernel's ESP. Runs inside a kernel that has it (run-in-uml).

Prints one JSON object a line for each case: what was tried, and a cell for each feature, "pass", "fail:
why" or "skipped: why". West is Imago, east the peer. Ends with 1 if a cell failed.
"""

import json
import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "interop"))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
sys.dont_write_bytecode = True
os.environ["IMAGO_BACKEND"] = "xfrm"

from liblab import FEATURES, Case  # noqa: E402
from libconfig import Authority  # noqa: E402
from libforeign import PEERS  # noqa: E402
from libpeers import Lab, run  # noqa: E402

SHAPES = ("tunnel", "tunnel in IPv6", "transport")
# The long way for each role and authentication; the other shapes once for each role.
PLAN = [(role, auth, "tunnel") for role in ("initiator", "responder") for auth in ("psk", "ecdsa")]
PLAN += [(role, "psk", shape) for role in ("initiator", "responder") for shape in SHAPES[1:]]


def main():
    names = sys.argv[1:] or list(PEERS)
    has_failed = False
    with tempfile.TemporaryDirectory(prefix="imago-lab-") as folder:
        authority = Authority(folder, "ecdsa")
        for name in names:
            kind = PEERS[name]
            missing = kind.why_not()
            version = None if missing else kind.version()
            for role, auth, shape in PLAN:
                reason = missing or kind.cannot(role, auth, shape)
                if reason:
                    cells = {feature: f"skipped: {reason}" for feature in FEATURES}
                else:
                    cells = Case(kind, role, auth, shape, authority).run()
                has_failed = has_failed or any(cell.startswith("fail") for cell in cells.values())
                print(json.dumps({"peer": name, "version": version, "kernel": os.uname().release, "role": role,
                                  "auth": auth, "shape": shape, "cells": cells}), flush=True)
    Lab.remove_all()
    return 1 if has_failed else 0


if __name__ == "__main__":
    if os.geteuid() != 0 or run("ip", "xfrm", "state", is_checked=False).returncode != 0:
        sys.exit("interop_cases: needs root and a kernel with XFRM; tests/lab/run-in-uml has one")
    sys.exit(main())
